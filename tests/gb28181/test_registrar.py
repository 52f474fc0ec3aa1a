"""The platform side: who comes in, where a device is, and when it is gone."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gb28181.edition import Edition
from gb28181.registrar import (
    Moved,
    Offline,
    OfflineCause,
    Refreshed,
    Registered,
    RegisterResult,
    Registrar,
    RegistrarConfig,
    Revived,
)
from sip.auth import DigestServer, answer
from sip.errors import MalformedMessage
from sip.flow import Flow
from sip.message import Headers, Request

DEVICE = "34020000001320000001"
SERVER = "34020000002000000001"
PASSWORD = "12345678"
HERE = ("192.0.2.1", 5060)
UDP = Flow("udp", HERE, ("192.0.2.10", 5060))
OTHER_PORT = Flow("udp", HERE, ("192.0.2.10", 40001))
OTHER_HOST = Flow("udp", HERE, ("198.51.100.7", 5060))
TCP = Flow("tcp", HERE, ("192.0.2.10", 50001))
TCP_AGAIN = Flow("tcp", HERE, ("192.0.2.10", 50002))
SILENCE = 60 * 3 * 1.1 + 2

numbers = count(1)


def registrar(**settings: object) -> Registrar:
    config = replace(RegistrarConfig(server_id=SERVER), **settings)  # type: ignore[arg-type]  # test data
    return Registrar(config, DigestServer("3402000000", b"a secret of the test"))


def register(
    *,
    device: str = DEVICE,
    expires: str | None = "3600",
    contact: str | None = f"<sip:{DEVICE}@192.0.2.10:5060>",
    authorization: str | None = None,
    more: tuple[tuple[str, str], ...] = (),
) -> Request:
    items = [
        ("Via", f"SIP/2.0/UDP 192.0.2.10:5060;rport;branch=z9hG4bK{next(numbers)}"),
        ("From", f"<sip:{device}@3402000000>;tag=1001"),
        ("To", f"<sip:{device}@3402000000>"),
        ("Call-ID", "5001@192.0.2.10"),
        ("CSeq", "1 REGISTER"),
        ("User-Agent", "test"),
        *more,
    ]
    if contact is not None:
        items.append(("Contact", contact))
    if expires is not None:
        items.append(("Expires", expires))
    if authorization is not None:
        items.append(("Authorization", authorization))
    return Request("REGISTER", f"sip:{SERVER}@3402000000", Headers(items))


def credentials(result: RegisterResult, password: str = PASSWORD, username: str = DEVICE) -> str:
    challenges = [value for name, value in result.headers if name == "WWW-Authenticate"]
    return answer(
        challenges,
        username=username,
        password=password,
        method="REGISTER",
        uri=f"sip:{SERVER}@3402000000",
        cnonce="0a4f113b",
    )


def admit(
    platform: Registrar,
    now: float = 0.0,
    flow: Flow = UDP,
    *,
    date: str | None = None,
    expires: str | None = "3600",
    contact: str | None = f"<sip:{DEVICE}@192.0.2.10:5060>",
    more: tuple[tuple[str, str], ...] = (),
) -> RegisterResult:
    """Register with the right credentials."""
    first = platform.register(register(), flow, PASSWORD, now)
    request = register(
        authorization=credentials(first), expires=expires, contact=contact, more=more
    )
    return platform.register(request, flow, PASSWORD, now, date=date)


def header(result: RegisterResult, name: str) -> str | None:
    return dict(result.headers).get(name)


# Who comes in


def test_a_register_without_credentials_is_challenged_and_binds_nothing() -> None:
    platform = registrar()
    result = platform.register(register(), UDP, PASSWORD, 0.0)
    assert result.status == 401
    assert "nonce=" in (header(result, "WWW-Authenticate") or "")
    assert platform.bindings == ()


def test_right_credentials_bind_the_device_where_it_came_from() -> None:
    platform = registrar()
    result = admit(platform, 5.0, more=(("X-GB-Ver", "3.0"),))
    binding = platform.binding(DEVICE)
    assert result.status == 200
    assert binding is not None
    assert result.event == Registered(binding=binding)
    assert binding.flow == UDP
    assert binding.edition is Edition.GB2022
    assert binding.user_agent == "test"
    assert binding.expires_at == 3605.0


@pytest.mark.parametrize("known", [True, False])
def test_wrong_password_and_unknown_id_get_the_same_answers(known: bool) -> None:
    platform = registrar()
    stored = PASSWORD if known else None
    first = platform.register(register(), UDP, stored, 0.0)
    request = register(authorization=credentials(first, "wrong"))
    second = platform.register(request, UDP, stored, 0.0)
    assert (first.status, second.status) == (401, 403)
    assert header(second, "X-GB-Ver") == "3.0"
    assert second.refusal
    assert platform.bindings == ()


def test_no_password_at_all_opens_nothing() -> None:
    platform = registrar()
    for guess in ("", "no password is stored", "None"):
        first = platform.register(register(), UDP, None, 0.0)
        request = register(authorization=credentials(first, guess))
        assert platform.register(request, UDP, None, 0.0).status == 403


def test_an_empty_stored_password_opens_nothing() -> None:
    platform = registrar()
    first = platform.register(register(), UDP, "", 0.0)
    request = register(authorization=credentials(first, ""))
    assert platform.register(request, UDP, "", 0.0).status == 403


def test_unknown_ids_may_be_answered_404() -> None:
    platform = registrar(unknown_status=404)
    assert platform.register(register(), UDP, None, 0.0).status == 404


def test_credentials_of_another_device_are_refused() -> None:
    platform = registrar()
    first = platform.register(register(), UDP, PASSWORD, 0.0)
    request = register(authorization=credentials(first, username="34020000001320000002"))
    assert platform.register(request, UDP, PASSWORD, 0.0).status == 403


def test_a_replayed_register_is_challenged_as_stale_and_changes_nothing() -> None:
    platform = registrar()
    first = platform.register(register(), UDP, PASSWORD, 0.0)
    request = register(authorization=credentials(first))
    platform.register(request, UDP, PASSWORD, 0.0)
    before = platform.binding(DEVICE)
    replay = platform.register(request, OTHER_HOST, PASSWORD, 1.0)
    assert replay.status == 401
    assert "stale=true" in (header(replay, "WWW-Authenticate") or "")
    assert platform.binding(DEVICE) == before


def test_an_old_nonce_is_stale() -> None:
    platform = registrar()
    first = platform.register(register(), UDP, PASSWORD, 0.0)
    late = platform.register(register(authorization=credentials(first)), UDP, PASSWORD, 61.0)
    assert late.status == 401
    assert "stale=true" in (header(late, "WWW-Authenticate") or "")


def test_a_nonce_of_another_server_is_challenged() -> None:
    platform = registrar()
    foreign = DigestServer("3402000000", b"another secret").challenge(DEVICE, 0.0)
    result = RegisterResult(status=401, reason="", headers=(("WWW-Authenticate", foreign[0]),))
    request = register(authorization=credentials(result))
    assert platform.register(request, UDP, PASSWORD, 0.0).status == 401
    assert platform.bindings == ()


def test_a_nonce_made_for_one_device_does_not_serve_another() -> None:
    platform = registrar()
    first = platform.register(register(device="34020000001320000002"), UDP, PASSWORD, 0.0)
    request = register(authorization=credentials(first))
    assert platform.register(request, UDP, PASSWORD, 0.0).status == 401
    assert platform.bindings == ()


def test_a_refresh_without_credentials_is_challenged_and_extends_nothing() -> None:
    platform = registrar()
    admit(platform)
    result = platform.register(register(), UDP, PASSWORD, 100.0)
    binding = platform.binding(DEVICE)
    assert result.status == 401
    assert binding is not None
    assert binding.expires_at == 3600.0
    assert binding.last_seen == 0.0


@pytest.mark.parametrize("password", [None, "wrong"])
def test_unregistering_needs_credentials(password: str | None) -> None:
    platform = registrar()
    admit(platform)
    first = platform.register(register(expires="0"), OTHER_HOST, PASSWORD, 1.0)
    if password is not None:
        request = register(expires="0", authorization=credentials(first, password))
        assert platform.register(request, OTHER_HOST, PASSWORD, 1.0).status == 403
    assert first.status == 401
    assert platform.binding(DEVICE) is not None


@pytest.mark.parametrize("contact", ["*", f"<sip:{DEVICE}@192.0.2.10:5060>", None])
def test_unregistering_with_credentials_takes_the_device_offline(contact: str | None) -> None:
    platform = registrar()
    admit(platform)
    result = admit(platform, 1.0, expires="0", contact=contact)
    assert result.status == 200
    assert header(result, "Expires") == "0"
    assert isinstance(result.event, Offline)
    assert result.event.cause is OfflineCause.UNREGISTERED
    assert platform.bindings == ()
    assert platform.next_timeout() is None


def test_unregistering_what_is_not_registered_is_no_event() -> None:
    assert admit(registrar(), expires="0").event is None


@pytest.mark.parametrize(
    "request_",
    [
        register(device=""),
        register(device="a b"),
        register(device="3" * 65),
        register(contact="*"),
        register(contact="<sip:"),
    ],
)
def test_a_malformed_register_is_answered_400(request_: Request) -> None:
    assert registrar().register(request_, UDP, PASSWORD, 0.0).status == 400


def test_identify_names_the_device_or_says_that_it_cannot() -> None:
    assert registrar().identify(register()) == DEVICE
    with pytest.raises(MalformedMessage):
        registrar().identify(register(device="x;y"))


def test_strict_ids_refuse_what_is_not_twenty_digits() -> None:
    platform = registrar(is_strict_about_ids=True)
    assert platform.register(register(device="camera-1"), UDP, PASSWORD, 0.0).status == 403
    assert registrar().register(register(device="camera-1"), UDP, PASSWORD, 0.0).status == 401


# What it is granted


@pytest.mark.parametrize(
    ("expires", "contact", "granted"),
    [
        ("3600", None, 3600),
        (None, None, 3600),
        ("30", None, 60),
        ("9999999", None, 86400),
        ("300", "<sip:a@192.0.2.10>;expires=600", 600),
        ("junk", "<sip:a@192.0.2.10>", 3600),
    ],
)
def test_the_granted_time(expires: str | None, contact: str | None, granted: int) -> None:
    result = admit(registrar(), expires=expires, contact=contact)
    assert result.status == 200
    assert header(result, "Expires") == str(granted)


def test_the_contact_is_echoed_with_the_granted_time_where_it_had_one() -> None:
    plain = admit(registrar(), contact="<sip:a@192.0.2.10:5060>")
    timed = admit(registrar(), contact="<sip:a@192.0.2.10:5060>;expires=10", expires=None)
    assert header(plain, "Contact") == "<sip:a@192.0.2.10:5060>"
    assert header(timed, "Contact") == "<sip:a@192.0.2.10:5060>;expires=60"


def test_a_missing_contact_is_the_source_address() -> None:
    assert header(admit(registrar(), contact=None), "Contact") == f"<sip:{DEVICE}@192.0.2.10:5060>"


def test_strict_expiry_is_refused_with_the_least() -> None:
    platform = registrar(is_strict_about_expires=True)
    result = admit(platform, expires="60")
    assert result.status == 423
    assert header(result, "Min-Expires") == "3600"
    assert platform.bindings == ()


def test_the_date_stands_only_in_a_success() -> None:
    date = "2024-05-01T08:00:00.123"
    assert header(admit(registrar(), date=date), "Date") == date
    assert header(admit(registrar()), "Date") is None
    challenge = registrar().register(register(), UDP, PASSWORD, 0.0, date=date)
    assert header(challenge, "Date") is None


def test_the_version_stands_in_every_answer_of_a_2022_platform() -> None:
    for platform, version in ((registrar(), "3.0"), (registrar(edition=Edition.GB2016), None)):
        challenge = platform.register(register(), UDP, PASSWORD, 0.0)
        success = admit(platform)
        assert [header(one, "X-GB-Ver") for one in (challenge, success)] == [version, version]


@pytest.mark.parametrize("version", ["abc", "9.9", ""])
def test_a_strange_version_is_no_failure(version: str) -> None:
    assert admit(registrar(), more=(("X-GB-Ver", version),)).status == 200


def test_a_redirect_is_given_to_a_proven_device_only() -> None:
    platform = registrar()
    contact = "<sip:34020000002000000002@192.0.2.2:5060>"
    first = platform.register(register(), UDP, PASSWORD, 0.0, redirect=contact)
    request = register(authorization=credentials(first))
    second = platform.register(request, UDP, PASSWORD, 0.0, redirect=contact)
    assert (first.status, second.status) == (401, 302)
    assert header(second, "Contact") == contact
    assert platform.bindings == ()


def test_a_device_that_unregisters_is_not_redirected() -> None:
    platform = registrar()
    admit(platform)
    first = platform.register(register(), UDP, PASSWORD, 1.0)
    request = register(authorization=credentials(first), expires="0")
    result = platform.register(request, UDP, PASSWORD, 1.0, redirect="<sip:a@192.0.2.2>")
    assert result.status == 200
    assert platform.bindings == ()


# Where it is


def test_a_refresh_from_the_same_address_keeps_the_sessions() -> None:
    platform = registrar()
    admit(platform)
    event = admit(platform, 100.0).event
    assert isinstance(event, Refreshed)
    assert event.binding.registered_at == 0.0
    assert event.binding.expires_at == 3700.0


@pytest.mark.parametrize(("before", "after"), [(UDP, OTHER_PORT), (TCP, TCP_AGAIN)])
def test_a_register_from_another_port_of_the_host_keeps_the_sessions(
    before: Flow, after: Flow
) -> None:
    platform = registrar()
    admit(platform, 0.0, before)
    event = admit(platform, 1.0, after).event
    assert isinstance(event, Refreshed)
    assert event.binding.flow == after


@pytest.mark.parametrize("after", [OTHER_HOST, TCP])
def test_a_register_from_another_address_wins_and_names_what_it_replaces(after: Flow) -> None:
    platform = registrar()
    admit(platform)
    event = admit(platform, 1.0, after).event
    assert isinstance(event, Registered)
    assert event.previous is not None
    assert event.previous.flow == UDP
    assert event.binding.flow == after


def test_a_heartbeat_counts_from_where_the_device_registered() -> None:
    platform = registrar()
    admit(platform)
    assert platform.keepalive(DEVICE, UDP, 60.0).status == 200
    binding = platform.binding(DEVICE)
    assert binding is not None
    assert binding.last_seen == 60.0


def test_a_heartbeat_of_an_unregistered_device_is_refused_and_binds_nothing() -> None:
    platform = registrar()
    assert platform.keepalive(DEVICE, UDP, 0.0).status == 403
    assert platform.bindings == ()


def test_another_udp_port_of_the_host_is_followed() -> None:
    platform = registrar()
    admit(platform)
    result = platform.keepalive(DEVICE, OTHER_PORT, 60.0)
    assert result.status == 200
    assert isinstance(result.event, Moved)
    assert result.event.binding.flow == OTHER_PORT
    assert platform.binding(DEVICE) == result.event.binding


@pytest.mark.parametrize(
    ("registered", "other"),
    [(UDP, OTHER_HOST), (TCP, TCP_AGAIN), (TCP, UDP), (UDP, TCP), (TCP, OTHER_HOST)],
)
def test_another_host_or_connection_is_refused_until_it_registers(
    registered: Flow, other: Flow
) -> None:
    platform = registrar()
    admit(platform, 0.0, registered)
    before = platform.binding(DEVICE)
    assert platform.keepalive(DEVICE, other, 60.0).status == 403
    assert platform.touch(DEVICE, other, 60.0).status == 403
    assert platform.binding(DEVICE) == before
    admit(platform, 61.0, other)
    assert platform.keepalive(DEVICE, other, 62.0).status == 200


def test_a_looser_rule_is_the_quirk_of_a_device() -> None:
    platform = registrar()
    admit(platform)
    result = platform.keepalive(DEVICE, OTHER_HOST, 60.0, follow=True)
    assert isinstance(result.event, Moved)
    assert platform.keepalive("nobody", OTHER_HOST, 60.0, follow=True).status == 403


def test_devices_are_found_by_their_flow_as_it_moves() -> None:
    platform = registrar()
    admit(platform)
    assert platform.devices_at(UDP) == (DEVICE,)
    platform.keepalive(DEVICE, OTHER_PORT, 60.0)
    assert platform.devices_at(UDP) == ()
    assert platform.devices_at(OTHER_PORT) == (DEVICE,)
    platform.remove(DEVICE)
    assert platform.devices_at(OTHER_PORT) == ()


# When it is gone


def test_an_unrefreshed_registration_runs_out() -> None:
    platform = registrar(keepalive_interval=3000.0)
    admit(platform, expires="600")
    assert platform.poll(599.9) == []
    (event,) = platform.poll(600.0)
    assert event.cause is OfflineCause.EXPIRED
    assert platform.bindings == ()
    assert platform.keepalive(DEVICE, UDP, 600.1).status == 403


def test_a_heartbeat_after_expiry_is_refused_before_the_poll() -> None:
    platform = registrar()
    admit(platform, expires="60")
    assert platform.keepalive(DEVICE, UDP, 60.0).status == 403


def test_a_silent_device_goes_offline_after_the_grace() -> None:
    platform = registrar()
    admit(platform)
    assert platform.poll(SILENCE - 0.1) == []
    (event,) = platform.poll(SILENCE)
    assert event.cause is OfflineCause.SILENT
    assert "200 s" in event.sentence
    assert platform.poll(SILENCE + 1) == []


def test_heartbeats_that_come_a_little_late_keep_a_device_online() -> None:
    platform = registrar(keepalive_count=1)
    admit(platform)
    for number in range(1, 50):
        assert platform.poll(65.0 * number) == []
        assert platform.keepalive(DEVICE, UDP, 65.0 * number).status == 200


def test_any_message_from_its_address_is_a_sign_of_life() -> None:
    platform = registrar()
    admit(platform)
    platform.touch(DEVICE, UDP, 150.0)
    assert platform.poll(SILENCE) == []
    assert platform.poll(150.0 + SILENCE) != []


def test_a_silent_device_that_is_heard_again_is_revived() -> None:
    platform = registrar()
    admit(platform)
    platform.poll(SILENCE)
    result = platform.keepalive(DEVICE, OTHER_PORT, 300.0)
    assert result.status == 200
    assert isinstance(result.event, Revived)
    assert result.event.binding.online
    assert platform.poll(300.0 + SILENCE)[0].cause is OfflineCause.SILENT


def test_a_silent_device_that_registers_is_new_and_replaces_nothing() -> None:
    platform = registrar()
    admit(platform)
    platform.poll(SILENCE)
    event = admit(platform, 300.0, OTHER_HOST).event
    assert isinstance(event, Registered)
    assert event.previous is None


def test_a_silent_device_is_reported_offline_once() -> None:
    platform = registrar()
    admit(platform)
    assert len(platform.poll(SILENCE)) == 1
    assert platform.poll(3600.0) == []
    assert platform.bindings == ()


@pytest.mark.parametrize(
    ("interval", "times", "silence"),
    [
        (10.0, 2, 24.0),
        (0.0, 3, SILENCE),
        (-1.0, -1, SILENCE),
        (float("nan"), 0, SILENCE),
        (1e9, 10**9, SILENCE),
    ],
)
def test_announced_heartbeats_are_clamped(interval: float, times: int, silence: float) -> None:
    platform = registrar()
    admit(platform)
    platform.set_keepalive(DEVICE, interval, times)
    assert platform.poll(silence - 0.1) == []
    assert len(platform.poll(silence)) == 1


def test_announced_heartbeats_survive_a_refresh() -> None:
    platform = registrar()
    admit(platform)
    platform.set_keepalive(DEVICE, 10.0, 2)
    admit(platform, 5.0)
    assert len(platform.poll(29.0)) == 1
    platform.set_keepalive("nobody", 10.0, 2)


def test_a_broken_connection_has_a_grace_to_register_again() -> None:
    platform = registrar()
    admit(platform, 0.0, TCP)
    platform.flow_lost(TCP, 10.0)
    assert platform.poll(39.9) == []
    (event,) = platform.poll(40.0)
    assert event.cause is OfflineCause.FLOW_LOST
    assert platform.bindings == ()


def test_what_is_read_late_of_a_broken_connection_does_not_mend_it() -> None:
    platform = registrar()
    admit(platform, 0.0, TCP)
    platform.flow_lost(TCP, 10.0)
    platform.flow_lost(TCP, 15.0)
    platform.touch(DEVICE, TCP, 20.0)
    assert platform.poll(40.0)[0].cause is OfflineCause.FLOW_LOST


def test_following_to_another_connection_mends_it() -> None:
    platform = registrar()
    admit(platform, 0.0, TCP)
    platform.flow_lost(TCP, 10.0)
    platform.touch(DEVICE, TCP_AGAIN, 20.0, follow=True)
    assert platform.poll(40.0) == []


def test_registering_within_the_grace_goes_unnoticed() -> None:
    platform = registrar()
    admit(platform, 0.0, TCP)
    platform.flow_lost(TCP, 10.0)
    assert isinstance(admit(platform, 20.0, TCP_AGAIN).event, Refreshed)
    platform.flow_lost(TCP, 21.0)
    assert platform.poll(60.0) == []


def test_a_snapshot_survives_a_restart_with_a_grace() -> None:
    before = registrar()
    admit(before)
    after = registrar()
    after.restore(before.bindings, 1000.0)
    assert after.poll(1000.0 + SILENCE - 0.1) == []
    assert after.keepalive(DEVICE, UDP, 1100.0).status == 200
    tcp = registrar()
    admit(tcp, 0.0, TCP)
    after.restore(tcp.bindings, 2000.0)
    assert after.poll(2030.0)[0].cause is OfflineCause.FLOW_LOST


def test_a_snapshot_of_another_clock_is_shifted() -> None:
    before = registrar(keepalive_interval=3000.0)
    admit(before, 500.0, expires="600")
    after = registrar()
    after.restore(before.bindings, 10.0, shift=-1000.0)
    assert after.poll(99.9) == []
    assert after.poll(100.0)[0].cause is OfflineCause.EXPIRED


def test_a_removed_device_must_register_again() -> None:
    platform = registrar()
    admit(platform)
    assert platform.remove(DEVICE) is not None
    assert platform.keepalive(DEVICE, UDP, 1.0).status == 403
    assert platform.poll(1e9) == []


def test_the_next_timeout_is_never_after_what_is_due() -> None:
    platform = registrar()
    assert platform.next_timeout() is None
    admit(platform)
    for now in range(50, 3000, 50):
        platform.keepalive(DEVICE, UDP, float(now))
        platform.poll(float(now))
        due = platform.next_timeout()
        assert due is not None
        assert now < due <= min(3600.0, now + SILENCE)


def online_after(event: object, *, online: bool) -> bool:
    match event:
        case Registered(previous=previous):
            assert online is (previous is not None)
            return True
        case Revived():
            assert not online
            return True
        case Refreshed() | Moved():
            assert online
        case Offline():
            assert online
            return False
    return online


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["admit", "short", "bye", "keepalive", "silent", "lost", "set", "poll"]),
        st.sampled_from([UDP, OTHER_PORT, OTHER_HOST, TCP, TCP_AGAIN]),
        st.floats(0.0, 120.0),
    ),
    max_size=30,
)


@given(STEPS)
@settings(max_examples=100)
def test_events_alternate_and_every_device_ends_offline(
    steps: list[tuple[str, Flow, float]],
) -> None:
    platform, now, online = registrar(), 0.0, False
    events: list[object] = []
    for what, flow, wait in steps:
        now += wait
        events = list(platform.poll(now))
        if what in ("admit", "short", "bye"):
            expires = {"admit": "3600", "short": "60", "bye": "0"}[what]
            events.append(admit(platform, now, flow, expires=expires).event)
        elif what == "keepalive":
            events.append(platform.keepalive(DEVICE, flow, now).event)
        elif what == "lost":
            platform.flow_lost(flow, now)
        elif what == "set":
            platform.set_keepalive(DEVICE, wait, 2)
        for event in events:
            online = online_after(event, online=online)
        binding = platform.binding(DEVICE)
        assert online is (binding is not None and binding.online)
    assert len(platform.poll(now + 1e6)) == int(online)
    assert platform.next_timeout() is None


def test_what_is_too_large_for_udp_may_come_over_tcp_from_the_same_host() -> None:
    """RFC 3261, 18.1.1; the way back to the device stays as it registered."""
    platform = registrar()
    admit(platform)
    assert platform.touch(DEVICE, TCP, 59.0).status == 403
    assert platform.touch(DEVICE, TCP, 60.0, is_large=True).status == 200
    binding = platform.binding(DEVICE)
    assert binding is not None
    assert (binding.flow, binding.last_seen) == (UDP, 60.0)
    elsewhere = Flow("tcp", HERE, (OTHER_HOST.remote[0], 50001))
    assert platform.touch(DEVICE, elsewhere, 61.0, is_large=True).status == 403
