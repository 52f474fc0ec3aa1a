"""Registration: challenge, credentials, expiry, leaving. Points GB-REG."""

from __future__ import annotations

from ..case import Level, Role, case, check, demand
from ..peers.device import DevicePeer
from ..peers.digest import read_parameters
from ..peers.platform import PlatformPeer, Registering
from ..peers.wire import check_status

PLATFORM = (Role.PLATFORM,)
DEVICE = (Role.DEVICE,)


@case("GB-REG-002", roles=PLATFORM, clause="9.1.2.1", level=Level.REQUIRED)
async def register_is_challenged(peer: DevicePeer) -> None:
    """A REGISTER without credentials is challenged.

    Demand: the platform answers 401 with a WWW-Authenticate of the scheme Digest that has a realm
    and a nonce.

    Why: without a challenge anybody can register as any camera.

    Tested: one REGISTER without Authorization.

    Fix: answer 401 whenever Authorization is missing; do not take the Call-ID or the address of an
    earlier registration for a proof.
    """
    response = await peer.send_register()
    check_status(response, 401)
    value = demand(response.headers.get("WWW-Authenticate"), "the 401 must carry WWW-Authenticate")
    check(value.lower().startswith("digest "), "the scheme must be Digest", seen=value)
    asked = read_parameters(value)
    check(asked.get("realm"), "the challenge must have a realm", seen=value)
    check(asked.get("nonce"), "the challenge must have a nonce", seen=value)


@case("GB-REG-003", roles=PLATFORM, clause="9.1.2.1", level=Level.REQUIRED, needs=("GB-REG-002",))
async def right_credentials_register(peer: DevicePeer) -> None:
    """A REGISTER with the right credentials is accepted.

    Demand: 200 with the Contact and the time granted; the device is online then.

    Why: the device takes the time of its refresh from this answer.

    Tested: REGISTER, 401, REGISTER with the digest; then a heartbeat, and, where the target has
    the trigger ``online``, a look at its interface.

    Fix: repeat the device's Contact, and write Expires (or the Contact's ``expires``) with what was
    granted.
    """
    response = await peer.try_register(expires=3600)
    check_status(response, 200)
    check("Contact" in response.headers, "the 200 must repeat the Contact")
    granted = demand(response.expires, "the 200 must say the time granted")
    check(0 < granted <= 3600, "no more than asked may be granted", seen=granted)
    check_status(await peer.heartbeat(), 200)
    if "online" in peer.target.triggers:
        online = await peer.becomes(online=True, within=peer.target.times.answer)
        check(online, "the device must be online now")


@case(
    "GB-REG-004",
    roles=PLATFORM,
    clause="9.1.2.1",
    level=Level.REQUIRED,
    robustness=True,
    needs=("GB-REG-002",),
)
async def wrong_password_is_refused(peer: DevicePeer) -> None:
    """A wrong password is refused.

    Demand: the registration is refused (usually 403; 401 again is a refusal too) and the device
    stays offline.

    Why: a platform that does not check the digest lets a stranger take a camera's place.

    Tested: REGISTER, 401, REGISTER with the digest of another password; then a heartbeat, which
    must not be taken either.

    Fix: compute the response from the stored password and compare it; mark nothing online before.
    """
    await peer.challenge()
    response = await peer.try_register(password=f"not {peer.target.password}")
    check(
        400 <= response.status < 500,
        "a wrong password must be refused",
        seen=f"{response.status} {response.reason}",
    )
    if "online" in peer.target.triggers:
        check(not await peer.is_online(), "the device must stay offline")


@case(
    "GB-REG-005",
    roles=PLATFORM,
    clause="spec 02 3.1",
    level=Level.RECOMMENDED,
    robustness=True,
    needs=("GB-REG-002",),
)
async def unknown_device_is_refused(peer: DevicePeer) -> None:
    """A device that nobody has entered is refused.

    Demand: 403, or 404 by configuration.

    Why: a platform open to every id fills up with devices that nobody knows.

    Tested: the whole exchange with an id that the platform does not know and a password that is
    right for another one.

    Fix: look the id up before anything is stored for it, and answer 403.
    """
    unknown = peer.target.unknown_id
    first = await peer.send_register(device_id=unknown)
    if first.status == 401:
        challenge = first.headers.get("WWW-Authenticate") or ""
        first = await peer.send_register(
            device_id=unknown, credentials=peer.credentials(challenge, username=unknown)
        )
    check_status(first, 401, 403, 404)


@case(
    "GB-REG-006",
    roles=PLATFORM,
    clause="RFC 2617 3.2.1",
    level=Level.RECOMMENDED,
    robustness=True,
    needs=("GB-REG-003",),
)
async def used_nonce_is_refused(peer: DevicePeer) -> None:
    """A nonce serves once, and only one that the platform has made.

    Demand: 401 with a new challenge, with ``stale=true`` where the password was right.

    Why: whoever has recorded one REGISTER could send it again and take the camera's place.

    Tested: a registration; the same credentials again; then credentials with an invented nonce.

    Fix: remember the nonces that were used until they expire, and give each device its own.
    """
    challenge = await peer.challenge()
    credentials = peer.credentials(challenge)
    check_status(await peer.send_register(credentials=credentials), 200)
    again = await peer.send_register(credentials=credentials)
    check_status(again, 401)
    foreign = await peer.send_register(credentials=peer.credentials(challenge, nonce="0" * 32))
    check_status(foreign, 401, 403)
    await peer.unregister()


@case(
    "GB-REG-007",
    roles=PLATFORM,
    clause="9.1.2.1",
    level=Level.RECOMMENDED,
    robustness=True,
    needs=("GB-REG-002",),
)
async def credentials_of_another_are_refused(peer: DevicePeer) -> None:
    """The credentials must name the device that registers.

    Demand: a REGISTER whose Authorization names another user than From is refused.

    Why: else one device that has a password could register as any other.

    Tested: the digest of an unknown user with the right password, in a REGISTER of our device.

    Fix: compare the user of the credentials with the id in From.
    """
    response = await peer.try_register(username=peer.target.unknown_id)
    check(
        400 <= response.status < 500,
        "credentials of another user must be refused",
        seen=f"{response.status} {response.reason}",
    )


@case("GB-REG-020", roles=PLATFORM, clause="9.1.2.2", level=Level.REQUIRED, needs=("GB-REG-003",))
async def unregistering_takes_the_device_offline(peer: DevicePeer) -> None:
    """A device that unregisters is offline at once.

    Demand: REGISTER with Expires 0 and valid credentials is answered 200.

    Why: otherwise the platform invites a camera that has gone.

    Tested: a registration, then the same exchange with Expires 0; where the target has the trigger
    ``online``, a look at its interface.

    Fix: remove the binding when the granted time is 0, before the 200 is sent.
    """
    await peer.register()
    check_status(await peer.unregister(), 200)
    if "online" in peer.target.triggers:
        offline = await peer.becomes(online=False, within=1.0)
        check(offline, "the device must be offline at once")


@case(
    "GB-REG-021",
    roles=PLATFORM,
    clause="9.1.2.2",
    level=Level.REQUIRED,
    robustness=True,
    needs=("GB-REG-003",),
)
async def unregistering_needs_credentials(peer: DevicePeer) -> None:
    """Nobody unregisters a device without its password.

    Demand: REGISTER with Expires 0 is challenged, and refused with a wrong password; the device
    stays online.

    Why: one forged datagram would take any camera offline.

    Tested: a registration; Expires 0 without credentials and with wrong ones; then a heartbeat.

    Fix: treat Expires 0 like every other REGISTER.
    """
    await peer.register()
    check_status(await peer.send_register(expires=0), 401)
    refused = await peer.send_register(
        expires=0, credentials=peer.credentials(await peer.challenge(expires=0), password="wrong")
    )
    check(400 <= refused.status < 500, "a wrong password must be refused", seen=refused.status)
    check_status(await peer.heartbeat(), 200)


@case(
    "GB-REG-027",
    roles=PLATFORM,
    clause="2022 I",
    level=Level.REQUIRED,
    needs=("GB-REG-003",),
    editions=("2022",),
)
async def answers_name_the_version(peer: DevicePeer) -> None:
    """Every answer to a REGISTER names the version of the protocol.

    Demand: ``X-GB-Ver: 3.0`` in the answers, also in 401 and in a refusal.

    Why: the device learns what the platform understands.

    Tested: the header in the 401, in the 200, and in the refusal of a wrong password.

    Fix: write the header into all answers to REGISTER.
    """
    answers = [
        await peer.send_register(),
        await peer.try_register(),
        await peer.try_register(password="wrong"),
    ]
    for answer in answers:
        value = answer.headers.get("X-GB-Ver")
        check(value == "3.0", f"the {answer.status} must carry X-GB-Ver: 3.0", seen=value)


@case(
    "GB-REG-030",
    roles=PLATFORM,
    clause="9.10.3",
    level=Level.REQUIRED,
    needs=("GB-REG-003",),
)
async def registration_tells_the_time(peer: DevicePeer) -> None:
    """The answer to a registration tells the time.

    Demand: the 200 carries ``Date: yyyy-MM-ddTHH:mm:ss.SSS``, local time without a zone.

    Why: cameras set their clocks by it, and recordings are found by those clocks.

    Tested: the Date of a successful registration.

    Fix: write Beijing time in this form, not in that of RFC 1123.
    """
    response = await peer.register()
    value = demand(response.headers.get("Date"), "the 200 must carry Date")
    shape = "".join("0" if letter.isdigit() else letter for letter in value.strip())
    check(shape == "0000-00-00T00:00:00.000", "the form is yyyy-MM-ddTHH:mm:ss.SSS", seen=value)


@case(
    "GB-REG-037",
    roles=PLATFORM,
    clause="RFC 3261 10.3",
    level=Level.RECOMMENDED,
    needs=("GB-REG-003",),
)
async def registering_without_a_time_is_granted_one(peer: DevicePeer) -> None:
    """A REGISTER that asks for no time is granted the default.

    Demand: 200 with the time granted.

    Why: such devices exist, and they refresh by what the answer says.

    Tested: the exchange with neither Expires nor the ``expires`` of a Contact.

    Fix: grant the configured default (3600 s) and write it into the 200.
    """
    response = await peer.try_register(expires=None)
    check_status(response, 200)
    granted = demand(response.expires, "the 200 must say the time granted")
    check(granted > 0, "the time granted must not be 0", seen=granted)


# The device under test.


@case("GB-REG-001", roles=DEVICE, clause="9.1.2.1", level=Level.REQUIRED)
async def device_answers_the_challenge(peer: PlatformPeer) -> None:
    """A device answers the challenge with a second REGISTER.

    Demand: after 401 a second REGISTER with Authorization, the same Call-ID, CSeq one higher, and
    the right response.

    Why: a platform matches the two by Call-ID and CSeq.

    Tested: the first registration of the device at the kit, whose digest is computed a second time
    independently.

    Fix: keep Call-ID and From tag, count CSeq up, hash method, URI and nonce as RFC 2617 says.
    """
    await peer.registered()
    pairs = zip(peer.registers, peer.registers[1:], strict=False)
    first, second = demand(
        next(((a, b) for a, b in pairs if a.status == 401 and b.credentials), None),
        "after 401 a REGISTER with Authorization is demanded",
    )
    check(second.request.call_id == first.request.call_id, "the Call-ID must stay")
    check(
        second.request.cseq.number == first.request.cseq.number + 1,
        "CSeq must be one higher",
        seen=f"{first.request.cseq}, then {second.request.cseq}",
    )
    check(second.credentials.get("nonce") == second.nonce, "the nonce must be that of the 401")
    check(second.fits, "the response must be the digest of the password")


@case("GB-REG-013", roles=DEVICE, clause="9.1.1", level=Level.REQUIRED, needs=("GB-REG-001",))
async def device_asks_for_a_long_time(peer: PlatformPeer) -> None:
    """A device asks for the time that it is configured with, one hour or more.

    Demand: Expires 86400, or what is configured, which is not shorter than 3600.

    Why: short times make needless load on large platforms.

    Tested: the Expires of the registration at the kit, against ``times.expires`` of the target.

    Fix: default to 86400 and refuse less than 3600 in the configuration.
    """
    one = await peer.registered()
    asked = demand(one.request.expires, "the REGISTER must ask for a time")
    check(asked == peer.target.times.expires, "the configured time must be asked for", seen=asked)
    check(asked >= 3600, "the time must not be shorter than 3600 s", seen=asked)


@case("GB-REG-015", roles=DEVICE, clause="9.1.1", level=Level.REQUIRED, needs=("GB-REG-014",))
async def device_refreshes_with_the_same_call_id(peer: PlatformPeer) -> None:
    """A refresh belongs to the registration that it refreshes.

    Demand: the refresh comes before expiry; it has the Call-ID of the registration and a higher
    CSeq.

    Why: with another Call-ID the platform takes it for a rebooted device and ends its sessions.

    Tested: two refreshes, with a short time granted.

    Fix: keep the Call-ID as long as the registration stands (RFC 3261 10.2.4).
    """
    before, after = await _refreshed(peer)
    check(after.request.call_id == before.request.call_id, "the Call-ID must stay in a refresh",
          seen=f"{before.request.call_id}, then {after.request.call_id}")  # fmt: skip
    check(after.request.cseq.number > before.request.cseq.number, "CSeq must rise")


@case("GB-REG-014", roles=DEVICE, clause="9.1.1", level=Level.REQUIRED, needs=("GB-REG-001",))
async def device_obeys_the_granted_time(peer: PlatformPeer) -> None:
    """A device obeys the time that it was granted.

    Demand: when the platform grants less than was asked for, the refresh comes before that runs
    out.

    Why: a device that goes by its own setting is offline between expiry and refresh.

    Tested: the registration is renewed with ``times.short_expires`` granted; the next REGISTER must
    come within it.

    Fix: read Contact ``expires``, then Expires, of the 200, and refresh at about two thirds.
    """
    before, after = await _refreshed(peer)
    late = after.time - before.time
    check(late < before.granted, "the refresh must come before the time granted runs out",
          seen=f"{late:.1f} s after a grant of {before.granted} s")  # fmt: skip


@case("GB-REG-019", roles=DEVICE, clause="9.1.2.2", level=Level.REQUIRED, needs=("GB-REG-001",))
async def device_unregisters_when_it_leaves(peer: PlatformPeer) -> None:
    """A device that is stopped unregisters.

    Demand: REGISTER with Expires 0, which is challenged and repeated with credentials.

    Why: the platform knows at once instead of after three lost heartbeats.

    Tested: the trigger ``leave``, which stops the device and starts it again.

    Fix: send the REGISTER on an orderly stop, and answer its challenge.
    """
    peer.target.require_trigger("leave")
    await peer.registered()
    since = peer.wire.now()
    await peer.target.trigger("leave")
    leaving = [one for one in peer.registers if one.time >= since and one.request.expires == 0]
    check(leaving, "a stopped device must send REGISTER with Expires 0")
    check(any(one.fits for one in leaving), "the challenge of this REGISTER must be answered")
    await peer.registered(since=since)


async def _refreshed(peer: PlatformPeer) -> tuple[Registering, Registering]:
    """Return a registration that was granted a short time, and the REGISTER that followed it."""
    peer.target.require_trigger("leave")
    peer.grants = peer.target.times.short_expires
    since = peer.wire.now()
    await peer.target.trigger("leave")
    before = await peer.registered(since=since)
    timeout = before.time + before.granted + 1.0 - peer.wire.now()
    after = await peer.next_register(since=before.time + 0.001, timeout=max(0.0, timeout))
    return before, demand(after, "no refresh came before the time granted ran out")
