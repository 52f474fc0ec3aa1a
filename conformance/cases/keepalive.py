"""The status report. Points GB-KA."""

from __future__ import annotations

from gb28181.manscdp.keepalive import KeepaliveNotify

from ..case import Level, Role, case, check, demand
from ..peers.device import DevicePeer
from ..peers.platform import PlatformPeer
from ..peers.wire import Seen, check_status, is_command


@case(
    "GB-KA-005",
    roles=(Role.PLATFORM,),
    clause="9.6.1",
    level=Level.REQUIRED,
    needs=("GB-REG-003",),
)
async def silent_device_goes_offline(peer: DevicePeer) -> None:
    """A device whose heartbeats stop goes offline.

    Demand: without a heartbeat for the interval times the count the device is offline.

    Why: a camera that has lost its power says no goodbye.

    Tested: registration, one heartbeat, then nothing; the trigger ``online`` must say no once the
    time and ``times.grace`` have passed, and not before the count of heartbeats was missed.

    Fix: restart a timer with every valid message of the device; take it offline when it fires.
    """
    peer.target.require_trigger("online")
    times = peer.target.times
    await peer.register()
    check_status(await peer.heartbeat(), 200)
    began = peer.wire.now()
    allowed = times.keepalive_interval * times.keepalive_count
    check(await peer.is_online(), "the device must be online after a heartbeat")
    offline = await peer.becomes(online=False, within=allowed + times.grace)
    check(offline, f"the device must be offline after {allowed:g} s without a heartbeat")
    lasted = peer.wire.now() - began
    least = times.keepalive_interval * (times.keepalive_count - 1)
    check(lasted >= least, "the device must not be offline so soon", seen=f"{lasted:.1f} s")


@case(
    "GB-KA-008",
    roles=(Role.PLATFORM,),
    clause="spec 02 4",
    level=Level.RECOMMENDED,
    robustness=True,
    needs=("GB-REG-003",),
)
async def heartbeat_without_registration_is_refused(peer: DevicePeer) -> None:
    """A heartbeat is no registration.

    Demand: the heartbeat of a device that is known but not registered is refused with 403 and does
    not make it online.

    Why: a heartbeat carries no credentials: anybody can send one.

    Tested: the device unregisters and then sends a heartbeat.

    Fix: take heartbeats of registered devices only.
    """
    await peer.register()
    await peer.unregister()
    check_status(await peer.heartbeat(), 401, 403)
    if "online" in peer.target.triggers:
        check(not await peer.is_online(), "a heartbeat must not make the device online")


@case(
    "GB-KA-001",
    roles=(Role.DEVICE,),
    clause="9.6.1",
    level=Level.REQUIRED,
    needs=("GB-REG-001",),
)
async def device_sends_heartbeats(peer: PlatformPeer) -> None:
    """A registered device sends a heartbeat at the configured interval.

    Demand: a MESSAGE with Notify/Keepalive every 60 s, or as configured.

    Why: the platform takes a silent device offline.

    Tested: two heartbeats in a row; the time between them against ``times.keepalive_interval``.

    Fix: start a timer when the registration stands; let it not depend on the answers.
    """
    await peer.registered()
    interval = peer.target.times.keepalive_interval
    slack = min(peer.target.times.grace, interval / 2)
    first = await _heartbeat(peer, since=peer.wire.now(), timeout=interval + slack + 1.0)
    second = await _heartbeat(peer, since=first.time + 0.001, timeout=interval + slack + 1.0)
    apart = second.time - first.time
    check(abs(apart - interval) <= slack, f"heartbeats must come every {interval:g} s",
          seen=f"{apart:.1f} s")  # fmt: skip


@case(
    "GB-KA-002",
    roles=(Role.DEVICE,),
    clause="A.2.5.2",
    level=Level.REQUIRED,
    needs=("GB-KA-001",),
)
async def heartbeat_says_what_it_must(peer: PlatformPeer) -> None:
    """A heartbeat has an SN, the device's code and a status.

    Demand: CmdType Keepalive, SN, DeviceID, and Status OK or ERROR.

    Why: the platform goes by DeviceID and Status.

    Tested: the next heartbeat, its raw XML.

    Fix: write the four elements under Notify, in this order.
    """
    await peer.registered()
    interval = peer.target.times.keepalive_interval
    seen = await _heartbeat(peer, since=peer.wire.now(), timeout=interval * 1.5 + 1.0)
    command = seen.command
    check(isinstance(command, KeepaliveNotify), "the heartbeat cannot be read")
    assert isinstance(command, KeepaliveNotify)
    check(command.sn, "SN must not be empty")
    check(command.device_id == peer.target.id, "DeviceID must be the device's code",
          seen=command.device_id)  # fmt: skip
    body = seen.request.body
    check(b"<Status>" in body, "Status must be there")
    check(command.status in ("OK", "ERROR"), "Status is OK or ERROR", seen=command.status)


@case(
    "GB-KA-006",
    roles=(Role.DEVICE,),
    clause="9.6.1 e",
    level=Level.REQUIRED,
    needs=("GB-KA-001",),
)
async def unanswered_device_registers_again(peer: PlatformPeer) -> None:
    """A device whose heartbeats are not answered registers again.

    Demand: after as many heartbeats without an answer as configured the device takes the server to
    be offline and registers.

    Why: a platform that was restarted does not know the device any more.

    Tested: the kit answers no heartbeat; a REGISTER must come, not before two of them were lost
    (with a count of two or more), and within a transaction's life after the last.

    Fix: count heartbeats without an answer, start again from zero with each answer, and begin a new
    registration at the count.
    """
    await peer.registered()
    times = peer.target.times
    peer.answers_heartbeats = False
    since = peer.wire.now()
    # The last heartbeat is given up 32 s after it was sent at the latest (RFC 3261, timer F).
    limit = times.keepalive_interval * (times.keepalive_count + 1) + times.grace + 32.0
    register = await peer.next_register(since=since, timeout=limit)
    again = demand(register, f"no REGISTER came within {limit:g} s")
    lost = [one for one in peer.wire.seen if since <= one.time < again.time]
    count = sum(is_command(one, "Notify", "Keepalive") for one in lost)
    check(count >= min(2, times.keepalive_count), "one lost heartbeat must not be enough",
          seen=f"REGISTER after {count}")  # fmt: skip
    peer.answers_heartbeats = True
    await peer.registered(since=since)


async def _heartbeat(peer: PlatformPeer, *, since: float, timeout: float) -> Seen:
    seen = await peer.wire.wait_for(
        lambda one: is_command(one, "Notify", "Keepalive"), since=since, timeout=timeout
    )
    return demand(seen, f"no heartbeat came within {timeout:.1f} s")
