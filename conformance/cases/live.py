"""Live play: INVITE, media, BYE. Points GB-LIV."""

from __future__ import annotations

import asyncio

from gb28181.errors import MalformedSdp
from gb28181.sdp import MediaTransport, Payload, SessionDescription, parse_sdp

from ..case import Inconclusive, Level, Role, case, check, demand
from ..peers.device import DevicePeer
from ..peers.platform import Invited, PlatformPeer
from ..peers.wire import Seen

PLATFORM = (Role.PLATFORM,)
DEVICE = (Role.DEVICE,)
LIVE = ("GB-LIV-001",)
ANSWERED = ("GB-LIV-005",)
_PROMPT = 0.2
_SETTLE = 0.5


@case("GB-LIV-001", roles=PLATFORM, clause="9.2.3", level=Level.REQUIRED, needs=("GB-QRY-001",))
async def invite_says_what_it_must(peer: DevicePeer) -> None:
    """The INVITE of a live session is complete.

    Demand: a Subject; SDP with the platform's own code in o=, c=, the port in m=, ``t=0 0``,
    ``s=Play`` and y=.

    Why: the camera finds in it what to send, where to, and with which SSRC.

    Tested: the trigger ``play``; the INVITE that comes to the kit's device.

    Fix: write the lines in the order of the standard's grammar, y= after the attributes.
    """
    invite, offer = await _played(peer)
    check("Subject" in invite.request.headers, "the INVITE must carry Subject")
    check("Contact" in invite.request.headers, "the INVITE must carry Contact")
    lines = _lines(invite.request.body)
    check(offer.origin_id == peer.target.id, "o= must have the platform's own code",
          seen=offer.origin_id)  # fmt: skip
    check("c" in lines, "c= must be there")
    check(lines.get("t") == "0 0", "t= must be 0 0", seen=lines.get("t"))
    check(lines.get("s") == "Play", "s= must be Play", seen=lines.get("s"))
    check("y" in lines, "y= must be there")
    check(offer.port > 0 or offer.setup == "active", "m= must have a port", seen=offer.port)
    check(offer.payload("PS") is not None, "PS must be offered", seen=lines.get("m"))


@case("GB-LIV-002", roles=PLATFORM, clause="2022 L", level=Level.REQUIRED, needs=LIVE)
async def subject_names_both_ends(peer: DevicePeer) -> None:
    """The Subject names both ends of the stream.

    Demand: ``sender:serial,receiver:serial``; the sender is the camera, and the sender's serial
    begins with 0 for live video.

    Why: cameras and platforms find by it which sessions are the same stream.

    Tested: the trigger ``play``; the Subject of the INVITE.

    Fix: write the camera's code and the SSRC text first, then your own code and a window number.
    """
    invite, _ = await _played(peer)
    value = invite.request.headers.get("Subject") or ""
    parts = [part.split(":") for part in value.split(",")]
    check(len(parts) == 2 and all(len(part) == 2 and all(part) for part in parts),
          "Subject is sender:serial,receiver:serial", seen=value)  # fmt: skip
    (sender, serial), _ = parts
    check(sender.strip() == peer.target.channel_id, "the sender must be the camera", seen=value)
    check(serial.startswith("0"), "the sender's serial begins with 0 for live", seen=value)
    check(len(serial) <= 20, "the serial has at most 20 characters", seen=value)


@case("GB-LIV-003", roles=PLATFORM, clause="2016 F, 2022 G", level=Level.REQUIRED, needs=LIVE)
async def ssrc_is_of_the_domain(peer: DevicePeer) -> None:
    """The SSRC in y= belongs to the platform's domain.

    Demand: ten digits; the first is 0 for live, the next five are digits 4 to 8 of the platform's
    code.

    Why: so no two domains of a cascade choose the same SSRC.

    Tested: the trigger ``play``; y= of the INVITE.

    Fix: write 0, the five digits, and a number of four digits that no other session has, padded
    with zeros.
    """
    invite, _ = await _played(peer)
    value = _lines(invite.request.body).get("y", "")
    check(len(value) == 10 and value.isascii() and value.isdigit(), "y= has ten digits", seen=value)
    check(value[0] == "0", "the first digit is 0 for live", seen=value)
    domain = peer.target.id[3:8]
    check(value[1:6] == domain, f"digits 2 to 6 must be {domain}", seen=value)


@case("GB-LIV-014", roles=PLATFORM, clause="9.2", level=Level.REQUIRED, needs=LIVE)
async def stopping_sends_bye(peer: DevicePeer) -> None:
    """A session that nobody watches any more is ended with BYE.

    Demand: ACK after the 200; when the last viewer leaves, BYE to the camera.

    Why: cameras have few sessions, and a forgotten one costs its bandwidth for ever.

    Tested: the triggers ``play`` and ``stop``; the kit's device sends media in between, and the
    BYE must come within ``times.answer`` of the stop, not before.

    Fix: count the viewers of a stream and send BYE within some seconds of the last.
    """
    peer.target.require_trigger("stop")
    await _played(peer)
    call = demand(await peer.acknowledged(), "the 200 must be acknowledged")
    await asyncio.sleep(_SETTLE)
    check(not call.is_ended, "the session must stand while it is watched")
    await peer.target.trigger("stop", channel=peer.target.channel_id)
    done, _ = await asyncio.wait([call.ended], timeout=peer.target.times.answer)
    check(done and call.ended.result().by == "remote", "BYE must be sent when nobody watches")


@case("GB-LIV-005", roles=DEVICE, clause="9.2.3", level=Level.REQUIRED, needs=("GB-REG-001",))
async def invite_is_answered(peer: PlatformPeer) -> None:
    """A device answers an INVITE with where it sends from.

    Demand: 100 Trying (unless the final answer is there within 200 ms), then 200 with its own code
    in o=, sendonly, and a port.

    Why: the platform opens its receiver for the address and port of the answer.

    Tested: an INVITE for the camera over UDP.

    Fix: answer only the payload that was chosen, with ``a=sendonly``.
    """
    async with peer.invite() as invited:
        check(invited.call, "the INVITE must be accepted", seen=invited.status)
        check(invited.progress or invited.seconds <= _PROMPT, "100 must come first",
              seen=f"{invited.status} after {invited.seconds:.2f} s")  # fmt: skip
        answer = _answer(invited)
        own = (peer.target.id, peer.target.channel_id)
        check(answer.origin_id in own, "o= must have the device's own code", seen=answer.origin_id)
        check(answer.direction == "sendonly", "the answer must be sendonly", seen=answer.direction)
        check(answer.port, "the answer must have a port", seen=answer.port)
        check(answer.transport is MediaTransport.UDP, "the transport must be that of the offer")


@case("GB-LIV-004", roles=DEVICE, clause="2016 F, 2022 G", level=Level.REQUIRED, needs=ANSWERED)
async def ssrc_of_the_offer_is_used(peer: PlatformPeer) -> None:
    """A device uses the SSRC that the platform chose.

    Demand: the 200 has the y= of the INVITE, and the RTP packets carry that number as their SSRC.

    Why: platforms tell streams on a shared port by the SSRC alone.

    Tested: an INVITE with y=; y= of the answer and the SSRC of the packets of ``times.watch``.

    Fix: read y= as a decimal number and write it into the RTP header as 32 bits.
    """
    async with peer.invite() as invited:
        answer = _answer(invited)
        wanted = invited.offer.ssrc
        check(answer.ssrc == wanted, "y= of the answer must be that of the offer", seen=answer.ssrc)
        await _first_packet(peer, invited)
        await asyncio.sleep(peer.target.times.watch / 3)
        sources = {one.ssrc for one in invited.ear.heard if one.is_rtp}
        check(sources == {wanted}, f"the SSRC of the RTP packets must be {wanted}",
              seen=", ".join(map(str, sorted(sources))))  # fmt: skip


@case("GB-LIV-006", roles=DEVICE, clause="2016 F, 2022 G", level=Level.REQUIRED, robustness=True,
      needs=("GB-REG-001",))  # fmt: skip
async def unusable_offer_is_declined(peer: PlatformPeer) -> None:
    """An offer that cannot be met is declined.

    Demand: 488.

    Why: a camera that accepts and sends something else shows a black picture to a viewer.

    Tested: an INVITE whose only payload is one of the kit's invention.

    Fix: compare the encoding names with what can be sent before a 200 is written.
    """
    payloads = (Payload(number=125, name="KITSVIDEO/90000"),)
    async with peer.invite(payloads=payloads) as invited:
        check(invited.status == 488, "488 is demanded", seen=invited.status)


@case("GB-LIV-008", roles=DEVICE, clause="RFC 3261 21.4.5", level=Level.RECOMMENDED,
      robustness=True, needs=("GB-REG-001",))  # fmt: skip
async def unknown_camera_is_not_found(peer: PlatformPeer) -> None:
    """An INVITE for a camera that is not there is refused.

    Demand: 404.

    Why: the platform learns that its catalogue is old.

    Tested: an INVITE for an unknown code.

    Fix: look the code of the Request-URI up before the SDP is read.
    """
    async with peer.invite(channel_id=peer.target.unknown_id) as invited:
        check(invited.status == 404, "404 is demanded", seen=invited.status)


@case("GB-LIV-015", roles=DEVICE, clause="9.2", level=Level.REQUIRED, needs=ANSWERED)
async def bye_ends_the_media(peer: PlatformPeer) -> None:
    """BYE ends the session and the media.

    Demand: 200, and no RTP after it.

    Why: a stream that goes on after BYE fills the port of the next session.

    Tested: an INVITE, media, BYE; then a third of ``times.watch`` of silence is demanded, half a
    second after the 200.

    Fix: stop the sender before the BYE is answered.
    """
    async with peer.invite() as invited:
        call, _ = invited.answered()
        await _first_packet(peer, invited)
        began = peer.wire.now()
        await call.bye(timeout=peer.target.times.answer)
        check(peer.wire.now() - began < peer.target.times.answer, "BYE must be answered")
        await asyncio.sleep(_SETTLE)
        late = await invited.ear.listen_for(peer.target.times.watch / 3)
        check(not late, "RTP must stop at once", seen=f"{len(late)} packets after the BYE")


@case("GB-LIV-018", roles=DEVICE, clause="2016 L, 2022 D", level=Level.REQUIRED,
      option="tcp-media", needs=ANSWERED)  # fmt: skip
async def device_connects_to_a_passive_receiver(peer: PlatformPeer) -> None:
    """To a receiver that listens, the device connects.

    Demand: to ``a=setup:passive`` the answer is ``a=setup:active``; the device connects and sends
    RTP with two bytes of length before each packet.

    Why: receivers have fixed addresses, cameras are behind address translation.

    Tested: an offer of TCP/RTP/AVP with setup:passive; the connection, the frames, the SSRC.

    Fix: connect after the 200; write the length in network order, without ``$``.
    """
    async with peer.invite(setup="passive") as invited:
        answer = _answer(invited)
        check(answer.transport is MediaTransport.TCP, "the answer must be TCP/RTP/AVP")
        check(answer.setup == "active", "the answer must be setup:active", seen=answer.setup)
        await _first_packet(peer, invited)
        await _check_frames(peer, invited)


@case("GB-LIV-019", roles=DEVICE, clause="2016 L, 2022 D", level=Level.REQUIRED,
      option="tcp-media", needs=ANSWERED)  # fmt: skip
async def device_listens_for_an_active_receiver(peer: PlatformPeer) -> None:
    """For a receiver that connects, the device listens.

    Demand: to ``a=setup:active`` the answer is ``a=setup:passive`` with the port where the device
    listens.

    Why: where the camera has the fixed address this is the only way.

    Tested: an offer of TCP/RTP/AVP with setup:active; the kit connects to the port of the answer.

    Fix: listen before the 200 is sent.
    """
    async with peer.invite(setup="active") as invited:
        answer = _answer(invited)
        check(answer.setup == "passive", "the answer must be setup:passive", seen=answer.setup)
        try:
            transport = await invited.ear.connect(answer.address, answer.port)
        except OSError as error:
            check(condition=False, sentence="the device must listen on its port", seen=error)
            raise
        try:
            await _first_packet(peer, invited)
            await _check_frames(peer, invited)
        finally:
            transport.close()


async def _played(peer: DevicePeer) -> tuple[Seen, SessionDescription]:
    await peer.register()
    invite = await peer.invited()
    try:
        return invite, parse_sdp(invite.request.body)
    except MalformedSdp as error:
        check(condition=False, sentence="the offer must be SDP", seen=error)
        raise


def _lines(body: bytes) -> dict[str, str]:
    """The first line of each letter, read without the library's own parser."""
    lines: dict[str, str] = {}
    for line in body.decode("utf-8", "replace").splitlines():
        letter, equals, value = line.partition("=")
        if equals and len(letter) == 1:
            lines.setdefault(letter, value.strip())
    return lines


def _answer(invited: Invited) -> SessionDescription:
    check(invited.call, "the INVITE must be accepted", seen=invited.status)
    try:
        return invited.answered()[1]
    except MalformedSdp as error:
        check(condition=False, sentence="the answer must be SDP", seen=error)
        raise


async def _first_packet(peer: PlatformPeer, invited: Invited) -> None:
    timeout = peer.target.times.media
    packet = demand(await invited.ear.first(timeout), f"no RTP came within {timeout:g} s")
    check(packet.is_rtp, "the first packet must be RTP", seen=packet.data[:12].hex())


async def _check_frames(peer: PlatformPeer, invited: Invited) -> None:
    await asyncio.sleep(peer.target.times.watch / 3)
    ear = invited.ear
    check(ear.connections == 1, "there must be one connection", seen=ear.connections)
    check(not ear.framing_errors, "each frame must be one RTP packet",
          seen=f"{ear.framing_errors} frames that are not")  # fmt: skip
    if len(ear.heard) < 2:
        raise Inconclusive("a single packet says nothing about the framing")
    wrong = {one.ssrc for one in ear.heard if one.is_rtp} - {invited.offer.ssrc}
    check(not wrong, "the SSRC must be that of the offer", seen=", ".join(map(str, wrong)))
