"""What every SIP message exchange rests on. Points GB-SIP."""

from __future__ import annotations

from gb28181.manscdp.device_info import DeviceInfoQuery
from sip.message import Response

from ..case import Level, NotApplicable, Role, case, check, demand
from ..peers.device import DevicePeer
from ..peers.platform import PlatformPeer
from ..peers.wire import NoAnswer, check_status

BOTH = (Role.PLATFORM, Role.DEVICE)
METHODS = ("INVITE", "ACK", "INFO", "CANCEL", "BYE", "OPTIONS", "MESSAGE")


@case("GB-SIP-002", roles=BOTH, clause="RFC 3581 4", level=Level.RECOMMENDED)
async def answer_tells_the_source(peer: DevicePeer | PlatformPeer) -> None:
    """An answer tells the sender where its request came from.

    Demand: to a Via with ``rport`` the answer has ``received`` and ``rport`` filled in.

    Why: a peer behind address translation learns its outer address by it.

    Tested: OPTIONS over UDP with ``rport``.

    Fix: write the source address and port of the datagram into the topmost Via.
    """
    if peer.target.transport != "udp":
        raise NotApplicable("over UDP only")
    await _registered(peer)
    via = (await peer.options()).vias[0]
    check(via.received, "received must be filled in", seen=via)
    check(via.rport, "rport must be filled in", seen=via)


@case("GB-SIP-003", roles=BOTH, clause="9.2.3 b", level=Level.REQUIRED)
async def options_names_the_methods(peer: DevicePeer | PlatformPeer) -> None:
    """OPTIONS is answered with the methods that are served.

    Demand: 200 with an Allow that lists at least INVITE, ACK, INFO, CANCEL, BYE, OPTIONS and
    MESSAGE.

    Why: peers use OPTIONS to see whether somebody is there.

    Tested: OPTIONS by a registered peer.

    Fix: answer OPTIONS outside a dialog with a constant Allow.
    """
    await _registered(peer)
    response = await peer.options()
    check_status(response, 200)
    allow = demand(response.headers.get("Allow"), "the 200 must carry Allow")
    listed = {
        word.strip().upper() for word in ",".join(response.headers.get_all("Allow")).split(",")
    }
    missing = [method for method in METHODS if method not in listed]
    check(not missing, f"Allow must list {', '.join(missing)}", seen=allow)


@case("GB-SIP-004", roles=BOTH, clause="9.3.3.1", level=Level.REQUIRED)
async def message_is_answered_without_body(peer: DevicePeer | PlatformPeer) -> None:
    """A MESSAGE is answered at once and without a body.

    Demand: 200 with Content-Length 0; what the command asks for comes in a MESSAGE of its own.

    Why: the sender's transaction would time out, and a body in the 200 is read by nobody.

    Tested: a heartbeat to the platform, or a DeviceInfo query to the device.

    Fix: send the 200 before the command is carried out.
    """
    await _registered(peer)
    try:
        response = await _plain_message(peer)
    except NoAnswer as error:
        check(condition=False, sentence="a MESSAGE must be answered", seen=error)
        raise
    check_status(response, 200)
    check(not response.body, "the 200 must have no body", seen=f"{len(response.body)} bytes")


@case("GB-SIP-005", roles=(Role.PLATFORM,), clause="spec 02 4", level=Level.RECOMMENDED,
      robustness=True)  # fmt: skip
async def message_of_a_stranger_is_refused(peer: DevicePeer) -> None:
    """A MESSAGE of somebody who is not registered is refused.

    Demand: 403 (or 401), and nothing changes.

    Why: a MESSAGE carries no credentials; the registration is its only proof.

    Tested: a heartbeat without a registration.

    Fix: look for the binding of the sender before the body is read.
    """
    await peer.register()
    await peer.unregister()
    check_status(await peer.heartbeat(), 401, 403)


@case("GB-SIP-006", roles=BOTH, clause="spec 02 1", level=Level.RECOMMENDED, robustness=True)
async def broken_xml_is_survived(peer: DevicePeer | PlatformPeer) -> None:
    """Broken XML does no harm.

    Demand: 400 (or 200 by configuration), and the target goes on to serve.

    Why: devices send such bodies, and attackers do.

    Tested: a MESSAGE whose XML ends in the middle, then a right one.

    Fix: catch what the XML parser raises, at the place where one message is handled.
    """
    await _registered(peer)
    check_status(await peer.send(b'<?xml version="1.0"?><Notify><CmdType>Keep'), 200, 400)
    check_status(await _plain_message(peer), 200)


@case("GB-XML-006", roles=BOTH, clause="spec 03 1", level=Level.RECOMMENDED, robustness=True)
async def entities_are_not_expanded(peer: DevicePeer | PlatformPeer) -> None:
    """A body with a document type is refused.

    Demand: 400 (or 200 by configuration), no entity is expanded, and the target goes on to serve.

    Why: nested entities fill the memory, external ones read files.

    Tested: a Notify with nested entities, then a right message.

    Fix: refuse ``<!DOCTYPE`` before the XML parser sees the body.
    """
    await _registered(peer)
    nested = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 9))
    body = (
        f'<?xml version="1.0"?><!DOCTYPE Notify [<!ENTITY e0 "ha">{nested}]>'
        f"<Notify><CmdType>Keepalive</CmdType><SN>1</SN><DeviceID>{peer.id}</DeviceID>"
        "<Status>&e8;</Status></Notify>"
    )
    check_status(await peer.send(body.encode()), 200, 400)
    check_status(await _plain_message(peer), 200)


@case("GB-SIP-007", roles=BOTH, clause="spec 02 1", level=Level.RECOMMENDED, robustness=True)
async def unknown_command_is_taken(peer: DevicePeer | PlatformPeer) -> None:
    """A command that is not known is taken and ignored.

    Demand: 200.

    Why: newer peers send newer commands; an error makes some of them register again.

    Tested: a Notify with a CmdType of the kit's invention.

    Fix: answer before the CmdType is looked at.
    """
    await _registered(peer)
    body = (
        '<?xml version="1.0" encoding="GB2312"?>\r\n<Notify>\r\n<CmdType>KitInvention</CmdType>\r\n'
        f"<SN>{peer.next_sn()}</SN>\r\n<DeviceID>{peer.id}</DeviceID>\r\n</Notify>\r\n"
    )
    check_status(await peer.send(body.encode()), 200)


@case("GB-SIP-008", roles=BOTH, clause="RFC 3261 8.2.3", level=Level.RECOMMENDED, robustness=True)
async def foreign_content_is_refused(peer: DevicePeer | PlatformPeer) -> None:
    """A body of another type is refused.

    Demand: 415.

    Why: the sender learns that nobody reads what it sends.

    Tested: a MESSAGE with text/plain.

    Fix: compare the media type, without its parameters and without regard to case.
    """
    await _registered(peer)
    check_status(await peer.send(b"hello", content_type="text/plain"), 415)


@case("GB-SIP-017", roles=BOTH, clause="spec 02 1", level=Level.RECOMMENDED)
async def content_type_is_read_without_case(peer: DevicePeer | PlatformPeer) -> None:
    """The content type is compared without regard to case and parameters.

    Demand: 200 to ``APPLICATION/MANSCDP+XML; charset=GB2312``.

    Why: all these spellings are in the field.

    Tested: a right command under that content type.

    Fix: cut the parameters off and compare in lower case.
    """
    await _registered(peer)
    sn, code = peer.next_sn(), peer.id if isinstance(peer, DevicePeer) else peer.target.id
    kind, name = (
        ("Notify", "Keepalive") if isinstance(peer, DevicePeer) else ("Query", "DeviceInfo")
    )
    body = (
        f'<?xml version="1.0" encoding="GB2312"?>\r\n<{kind}>\r\n<CmdType>{name}</CmdType>\r\n'
        f"<SN>{sn}</SN>\r\n<DeviceID>{code}</DeviceID>\r\n<Status>OK</Status>\r\n</{kind}>\r\n"
    )
    response = await peer.send(
        body.encode(), content_type="APPLICATION/MANSCDP+XML; charset=GB2312"
    )
    check_status(response, 200)


@case("GB-LIV-016", roles=BOTH, clause="RFC 3261 15.1.2", level=Level.RECOMMENDED, robustness=True)
async def bye_without_call_is_refused(peer: DevicePeer | PlatformPeer) -> None:
    """A BYE for a call that does not exist is refused.

    Demand: 481.

    Why: the sender learns that its call is gone and stops asking.

    Tested: a BYE with a tag that nobody has given.

    Fix: match Call-ID and both tags, and answer 481 when nothing matches.
    """
    await _registered(peer)
    status = await peer.bye_without_call()
    check(status == 481, "481 is demanded", seen=status)


@case("GB-PBK-015", roles=BOTH, clause="RFC 3261 12.2.2", level=Level.RECOMMENDED, robustness=True)
async def info_without_call_is_refused(peer: DevicePeer | PlatformPeer) -> None:
    """An INFO for a call that does not exist is refused.

    Demand: 481.

    Why: the sender learns that its playback is gone and stops steering it.

    Tested: an INFO with a tag that nobody has given.

    Fix: match Call-ID and both tags before the body is read, and answer 481 when nothing matches.
    """
    await _registered(peer)
    status = await peer.info_without_call()
    check(status == 481, "481 is demanded", seen=status)


async def _registered(peer: DevicePeer | PlatformPeer) -> None:
    if isinstance(peer, DevicePeer):
        await peer.register()
    else:
        await peer.registered()


async def _plain_message(peer: DevicePeer | PlatformPeer) -> Response:
    if isinstance(peer, DevicePeer):
        return await peer.heartbeat()
    return await peer.send(DeviceInfoQuery(sn=peer.next_sn(), device_id=peer.target.id))
