"""The device side alone, and joined to a registrar by a list and a virtual clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gb28181.edition import Edition
from gb28181.registrar import (
    Offline,
    OfflineCause,
    Refreshed,
    Registered,
    Registrar,
    RegistrarConfig,
    RegistrarEvent,
)
from gb28181.registration import (
    TABLE,
    Action,
    Input,
    Registration,
    RegistrationConfig,
    RegistrationState,
    SendKeepalive,
    SendRegister,
    StateChanged,
    refresh_after,
)
from sip.auth import DigestServer
from sip.errors import LocalProtocolError
from sip.flow import Flow
from sip.headers import parse_credentials
from sip.message import Headers, Request, Response, make_response

DEVICE = "34020000001320000001"
SERVER = "34020000002000000001"
OTHER = "34020000002000000002"
PASSWORD = "12345678"
CONFIG = RegistrationConfig(
    device_id=DEVICE,
    server_id=SERVER,
    domain="3402000000",
    server="udp://192.0.2.1:5060",
    contact=f"<sip:{DEVICE}@192.0.2.10:5060>",
    password=PASSWORD,
)
FLOW = Flow("udp", ("192.0.2.1", 5060), ("192.0.2.10", 5060))
CHALLENGE = 'Digest realm="3402000000", nonce="{}"'
S = RegistrationState


def tokens() -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"token{next(numbers)}"


def device(config: RegistrationConfig = CONFIG, jitter: float = 0.0) -> Registration:
    return Registration(config, token=tokens(), jitter=lambda: jitter)


def registrar(config: RegistrarConfig | None = None) -> Registrar:
    digest = DigestServer("3402000000", b"a secret of the test")
    return Registrar(config or RegistrarConfig(server_id=SERVER), digest)


def sent(actions: list[Action]) -> Request:
    (action,) = (one for one in actions if isinstance(one, SendRegister))
    return action.request


def reply(request: Request, status: int, *headers: tuple[str, str]) -> Response:
    return make_response(request, status, headers=headers)


def challenged(request: Request, nonce: str = "n1", more: str = "") -> Response:
    return reply(request, 401, ("WWW-Authenticate", CHALLENGE.format(nonce) + more))


def registered(registration: Registration, now: float = 0.0, expires: int = 3600) -> Request:
    request = sent(registration.start(now))
    request = sent(registration.receive(challenged(request), now))
    registration.receive(reply(request, 200, ("Expires", str(expires))), now)
    assert registration.registered
    return request


class Joined:
    """A registration and a registrar, joined by a list; one virtual clock."""

    def __init__(self, registration: Registration, platform: Registrar) -> None:
        self.registration = registration
        self.platform = platform
        self.now = 0.0
        self.is_up = True
        self.flow = FLOW
        self.password: str | None = PASSWORD
        self.wire: list[Action] = []
        self.events: list[RegistrarEvent] = []
        self.statuses: list[int] = []
        self.attempts: list[float] = []

    def start(self) -> None:
        self.carry(self.registration.start(self.now))

    def stop(self) -> None:
        self.carry(self.registration.stop(self.now))

    def carry(self, actions: list[Action]) -> None:
        self.wire += actions
        while self.wire:
            action = self.wire.pop(0)
            if isinstance(action, SendRegister):
                self.wire += self._register(action.request)
            elif isinstance(action, SendKeepalive):
                self.wire += self._keepalive(action)

    def _register(self, request: Request) -> list[Action]:
        self.attempts.append(self.now)
        if not self.is_up:
            return self.registration.request_failed("no answer", self.now, request=request)
        result = self.platform.register(request, self.flow, self.password, self.now)
        self.statuses.append(result.status)
        if result.event is not None:
            self.events.append(result.event)
        response = make_response(request, result.status, result.reason, headers=result.headers)
        return self.registration.receive(response, self.now)

    def _keepalive(self, action: SendKeepalive) -> list[Action]:
        if not self.is_up:
            return self.registration.keepalive_failed(self.now, sn=action.sn)
        result = self.platform.keepalive(DEVICE, self.flow, self.now)
        return self.registration.keepalive_answered(result.status, self.now, sn=action.sn)

    def run_until(self, end: float) -> None:
        while True:
            due = [self.registration.next_timeout(), self.platform.next_timeout()]
            times = [time for time in due if time is not None and time <= end]
            if not times:
                self.now = end
                return
            self.now = max(self.now, min(times))
            self.events += self.platform.poll(self.now)
            self.carry(self.registration.poll(self.now))

    def kinds(self) -> list[type[RegistrarEvent]]:
        return [type(event) for event in self.events]


def test_a_device_registers_by_answering_the_challenge() -> None:
    joined = Joined(device(), registrar())
    joined.start()
    assert joined.statuses == [401, 200]
    assert joined.registration.registered
    assert joined.kinds() == [Registered]
    assert joined.registration.server_edition is Edition.GB2022


def test_a_registration_stands_for_a_day_of_refreshes_and_heartbeats() -> None:
    joined = Joined(device(), registrar())
    joined.start()
    joined.run_until(86400.0)
    assert joined.registration.registered
    assert set(joined.kinds()[1:]) == {Refreshed}
    assert joined.attempts[2::2] == pytest.approx([2400.0 * n for n in range(1, 37)])


def test_both_sides_notice_an_outage_and_recover() -> None:
    joined = Joined(device(), registrar())
    joined.start()
    joined.is_up = False
    joined.run_until(500.0)
    assert joined.kinds() == [Registered, Offline]
    assert joined.registration.state is S.BACKING_OFF
    joined.is_up = True
    joined.run_until(600.0)
    assert joined.kinds() == [Registered, Offline, Registered]
    assert joined.registration.registered


def test_a_server_that_forgot_us_is_told_again_at_the_next_heartbeat() -> None:
    joined = Joined(device(), registrar())
    joined.start()
    joined.platform.remove(DEVICE)
    joined.run_until(60.0)
    assert joined.platform.binding(DEVICE) is not None
    assert joined.registration.registered


def test_stopping_unregisters_with_credentials() -> None:
    joined = Joined(device(), registrar())
    joined.start()
    joined.stop()
    assert joined.statuses == [401, 200, 401, 200]
    assert joined.registration.state is S.STOPPED
    assert joined.platform.bindings == ()
    assert isinstance(joined.events[-1], Offline)
    assert joined.events[-1].cause is OfflineCause.UNREGISTERED
    assert joined.registration.next_timeout() is None


def test_a_wrong_password_ends_in_one_refusal_and_a_pause() -> None:
    joined = Joined(device(replace(CONFIG, password="wrong")), registrar())
    joined.start()
    joined.run_until(59.0)
    assert joined.statuses == [401, 403]
    assert joined.registration.state is S.BACKING_OFF


def test_a_nonce_that_grew_old_on_the_way_is_replaced() -> None:
    platform, registration = registrar(), device()
    request = sent(registration.start(0.0))
    result = platform.register(request, FLOW, PASSWORD, 0.0)
    answer = sent(registration.receive(reply(request, 401, *result.headers), 0.0))
    late = platform.register(answer, FLOW, PASSWORD, 100.0)
    assert late.status == 401
    answer = sent(registration.receive(reply(answer, 401, *late.headers), 100.0))
    assert platform.register(answer, FLOW, PASSWORD, 100.0).status == 200


def test_the_register_has_the_form_of_the_standard() -> None:
    registration = device()
    first = sent(registration.start(0.0))
    second = sent(registration.receive(challenged(first), 0.0))
    assert second.uri == f"sip:{SERVER}@3402000000"
    assert str(second.from_.uri) == str(second.to.uri) == f"sip:{DEVICE}@3402000000"
    assert second.from_.tag == first.from_.tag
    assert second.call_id == first.call_id
    assert (first.cseq.number, second.cseq.number) == (1, 2)
    assert second.headers.get("X-GB-Ver") == "3.0"
    assert second.expires == 3600
    assert "Authorization" not in first.headers


def test_the_digest_is_the_check_value_of_the_reference() -> None:
    registration = device()
    challenge = challenged(sent(registration.start(0.0)), "44010b73623249f6916a6acf7c316b8e")
    request = sent(registration.receive(challenge, 0.0))
    credentials = parse_credentials(request.headers.get("Authorization") or "")
    assert credentials.parameters["response"] == "da0b48d27ae30f5413ac57acfa686de3"


def test_an_older_edition_sends_no_version() -> None:
    registration = device(replace(CONFIG, edition=Edition.GB2016))
    assert "X-GB-Ver" not in sent(registration.start(0.0)).headers


def test_the_second_challenge_with_the_same_nonce_is_not_answered() -> None:
    registration = device()
    request = sent(registration.receive(challenged(sent(registration.start(0.0))), 0.0))
    actions = registration.receive(challenged(request), 0.0)
    assert not any(isinstance(action, SendRegister) for action in actions)
    assert registration.state is S.BACKING_OFF
    assert registration.next_timeout() == 60.0


def test_endless_fresh_nonces_end_in_a_pause() -> None:
    registration = device()
    request = sent(registration.start(0.0))
    for number in range(2):
        request = sent(registration.receive(challenged(request, f"n{number}"), 0.0))
    registration.receive(challenged(request, "n3", ", stale=true"), 0.0)
    assert registration.state is S.BACKING_OFF


def asked_by_proxy(request: Request, nonce: str = "p1") -> Response:
    return reply(request, 407, ("Proxy-Authenticate", CHALLENGE.format(nonce)))


def test_a_proxy_and_the_registrar_behind_it_are_both_answered() -> None:
    registration = device()
    first = sent(registration.start(0.0))
    second = sent(registration.receive(asked_by_proxy(first), 0.0))
    assert "Authorization" not in second.headers
    third = sent(registration.receive(challenged(second), 0.0))
    assert [one.cseq.number for one in (first, second, third)] == [1, 2, 3]
    assert {one.call_id for one in (first, second, third)} == {first.call_id}
    for name, nonce in (("Proxy-Authorization", "p1"), ("Authorization", "n1")):
        credentials = parse_credentials(third.headers.get(name) or "")
        assert credentials.parameters["nonce"] == nonce
    registration.receive(reply(third, 200, ("Expires", "3600")), 0.0)
    assert registration.registered


def test_a_proxy_that_refuses_the_password_is_named() -> None:
    registration = device()
    request = sent(registration.receive(asked_by_proxy(sent(registration.start(0.0))), 0.0))
    registration.receive(asked_by_proxy(request), 0.0)
    assert registration.state is S.BACKING_OFF
    assert "proxy" in registration.reason


def test_a_challenge_by_a_proxy_is_answered_at_each_refresh() -> None:
    registration = device()
    request = sent(registration.receive(asked_by_proxy(sent(registration.start(0.0))), 0.0))
    registration.receive(reply(request, 200, ("Expires", "3600")), 0.0)
    for number in range(2, 6):
        now = registration.next_timeout()
        while not (
            due := [a for a in registration.poll(now or 0.0) if isinstance(a, SendRegister)]
        ):
            now = registration.next_timeout()
            registration.keepalive_answered(200, now or 0.0)
        answered = registration.receive(asked_by_proxy(due[0].request, f"p{number}"), now or 0.0)
        request = sent(answered)
        registration.receive(reply(request, 200, ("Expires", "3600")), now or 0.0)
        assert registration.registered


def test_an_unknown_algorithm_is_an_error_without_a_second_register() -> None:
    registration = device()
    challenge = challenged(sent(registration.start(0.0)), "n", ", algorithm=ROT13")
    actions = registration.receive(challenge, 0.0)
    assert [type(action) for action in actions] == [StateChanged]
    assert registration.state is S.BACKING_OFF
    assert "challenge" in registration.reason


@pytest.mark.parametrize("status", [400, 403, 404, 408, 480, 500, 503, 603])
def test_a_refusal_is_followed_by_a_pause_and_a_fresh_call_id(status: int) -> None:
    registration = device(jitter=0.5)
    request = sent(registration.start(0.0))
    registration.receive(reply(request, status), 0.0)
    assert registration.next_timeout() == 75.0
    assert registration.poll(74.9) == []
    again = sent(registration.poll(75.0))
    assert again.call_id != request.call_id
    assert again.cseq.number == 1


def test_retry_after_lengthens_the_pause_within_a_bound() -> None:
    for asked, pause in (("120", 120.0), ("5", 60.0), ("999999", 3600.0), ("soon", 60.0)):
        registration = device()
        request = sent(registration.start(0.0))
        registration.receive(reply(request, 503, ("Retry-After", asked)), 0.0)
        assert registration.next_timeout() == pause


def test_a_cascade_waits_longer_after_a_refusal() -> None:
    registration = device(replace(CONFIG, refused_retry=300.0))
    registration.receive(reply(sent(registration.start(0.0)), 403), 0.0)
    assert registration.next_timeout() == 300.0


def test_retries_are_spread_at_random() -> None:
    times = set()
    for number in range(10):
        registration = device(jitter=number / 10)
        registration.receive(reply(sent(registration.start(0.0)), 403), 0.0)
        times.add(registration.next_timeout())
    assert len(times) == 10
    assert all(time is not None and 60.0 <= time <= 90.0 for time in times)


@pytest.mark.parametrize(
    ("headers", "granted"),
    [
        ([("Expires", "600")], 600),
        ([("Contact", "<sip:a@192.0.2.10>;expires=300"), ("Expires", "600")], 300),
        ([], 3600),
        ([("Contact", "<sip:a@")], 3600),
        (
            [
                ("Contact", f"<sip:{DEVICE}@192.0.2.99:5060>;expires=12, <sip:x@y>"),
                ("m", f'"x, y" <sip:{DEVICE}@192.0.2.10:5060;lr>;q=1;expires=500'),
                ("Expires", "600"),
            ],
            500,
        ),
    ],
)
def test_the_granted_time_is_obeyed(headers: list[tuple[str, str]], granted: int) -> None:
    registration = device(replace(CONFIG, keepalive_interval=9999.0))
    request = sent(registration.start(0.0))
    registration.receive(reply(request, 200, *headers), 0.0)
    assert registration.granted == granted
    assert registration.next_timeout() == refresh_after(granted)


def test_a_grant_of_no_time_is_a_refusal() -> None:
    registration = device()
    registration.receive(reply(sent(registration.start(0.0)), 200, ("Expires", "0")), 0.0)
    assert registration.state is S.BACKING_OFF


@given(st.floats(1.0, 1e6))
@settings(max_examples=100)
def test_the_refresh_is_before_the_end_and_not_at_once(granted: float) -> None:
    after = refresh_after(granted)
    assert granted * 0.4 <= after <= granted * 0.67
    if granted >= 120:
        assert granted - after >= 60


def test_the_refresh_keeps_the_call_id_and_raises_the_cseq() -> None:
    registration = device(replace(CONFIG, keepalive_interval=9999.0))
    last = registered(registration)
    refresh = sent(registration.poll(2400.0))
    assert refresh.call_id == last.call_id
    assert refresh.cseq.number == last.cseq.number + 1
    assert registration.registered


def test_a_failed_refresh_is_repeated_until_the_registration_runs_out() -> None:
    registration = device(replace(CONFIG, keepalive_interval=9999.0))
    registered(registration, expires=600)
    first = sent(registration.poll(400.0))
    registration.request_failed("no answer", 432.0, request=first)
    assert registration.registered
    assert registration.next_timeout() == 492.0
    registration.poll(492.0)
    registration.request_failed("no answer", 524.0)
    registration.request_failed("no answer", 584.5, request=sent(registration.poll(584.0)))
    actions = registration.poll(600.0)
    assert registration.state is S.REGISTERING
    assert sent(actions).call_id != first.call_id


def test_min_expires_is_obeyed() -> None:
    registration = device(replace(CONFIG, expires=60))
    request = sent(registration.start(0.0))
    again = sent(registration.receive(reply(request, 423, ("Min-Expires", "3600")), 0.0))
    assert again.expires == 3600
    registration.receive(reply(again, 423, ("Min-Expires", "3600")), 0.0)
    assert registration.state is S.BACKING_OFF


def test_lost_heartbeats_in_a_row_register_again() -> None:
    registration = device()
    registered(registration)
    for number in (1, 2):
        registration.poll(60.0 * number)
        registration.keepalive_failed(60.0 * number, sn=number)
    registration.keepalive_answered(200, 130.0, sn=2)
    for number in (3, 4, 5):
        assert registration.registered
        registration.poll(60.0 * number)
        actions = registration.keepalive_failed(60.0 * number, sn=number)
    assert registration.state is S.REGISTERING
    assert sent(actions).cseq.number == 1


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refused_heartbeat_registers_at_once(status: int) -> None:
    registration = device()
    registered(registration)
    registration.poll(60.0)
    assert sent(registration.keepalive_answered(status, 60.0, sn=1)).method == "REGISTER"


def test_a_heartbeat_answered_500_counts_as_missed() -> None:
    registration = device(replace(CONFIG, keepalive_count=1))
    registered(registration)
    registration.poll(60.0)
    registration.keepalive_answered(500, 60.0, sn=1)
    assert registration.state is S.REGISTERING


def test_late_news_of_an_earlier_heartbeat_changes_nothing() -> None:
    registration = device(replace(CONFIG, keepalive_count=1))
    registered(registration)
    registration.poll(60.0)
    request = sent(registration.keepalive_failed(60.0, sn=1))
    registration.receive(reply(request, 200), 60.0)
    assert registration.keepalive_failed(61.0, sn=1) == []
    assert registration.keepalive_answered(403, 61.0, sn=1) == []
    assert registration.registered


def test_late_answers_and_failures_of_earlier_requests_are_dropped() -> None:
    registration = device()
    first = sent(registration.start(0.0))
    second = sent(registration.receive(challenged(first), 0.0))
    assert registration.receive(reply(first, 403), 0.1) == []
    assert registration.request_failed("late", 0.1, request=first) == []
    assert registration.receive(reply(second, 100), 0.1) == []
    assert registration.receive(Response(200, "OK", Headers()), 0.1) == []
    registration.receive(reply(second, 200), 0.1)
    assert registration.receive(reply(second, 403), 0.2) == []
    assert registration.registered
    assert registration.dropped == 5


def test_an_answer_to_an_earlier_series_is_dropped() -> None:
    registration = device()
    first = sent(registration.start(0.0))
    registration.request_failed("no answer", 32.0)
    second = sent(registration.poll(92.0))
    assert first.cseq == second.cseq
    assert registration.receive(reply(first, 200), 93.0) == []
    assert not registration.registered


def test_heartbeats_missed_before_a_new_registration_do_not_count_after() -> None:
    registration = device(replace(CONFIG, keepalive_count=2))
    registered(registration)
    registration.poll(60.0)
    registration.keepalive_failed(60.0, sn=1)
    registration.flow_lost(61.0)
    registration.receive(reply(sent(registration.poll(121.0)), 200), 121.0)
    registration.poll(181.0)
    registration.keepalive_failed(181.0, sn=2)
    assert registration.registered


def test_every_attempt_to_refresh_may_be_challenged() -> None:
    registration = device(replace(CONFIG, keepalive_interval=9999.0))
    registered(registration)
    for number in range(3):
        now = 2400.0 + 100 * number
        request = sent(registration.poll(now))
        request = sent(registration.receive(challenged(request, f"r{number}"), now))
        registration.request_failed("no answer", now + 32, request=request)
    assert registration.registered


def test_a_broken_connection_is_a_lost_registration_and_a_pause() -> None:
    registration = device()
    registered(registration)
    registration.flow_lost(10.0)
    assert registration.state is S.BACKING_OFF
    assert registration.next_timeout() == 70.0


def test_the_date_of_the_server_is_handed_on_as_text() -> None:
    registration = device()
    request = sent(registration.start(0.0))
    registration.receive(reply(request, 200, ("Date", "garbage")), 0.0)
    assert registration.server_date == "garbage"
    assert registration.registered


# 302: 2022 9.1.2.3


def redirected(registration: Registration, contact: str) -> list[Action]:
    request = sent(registration.start(0.0))
    return registration.receive(reply(request, 302, ("Contact", contact), ("Expires", "3600")), 0.0)


def test_a_redirect_leads_to_the_named_server_with_its_id() -> None:
    registration = device()
    actions = redirected(registration, f"<sip:{OTHER}@192.0.2.2:5070>")
    (send,) = (action for action in actions if isinstance(action, SendRegister))
    assert send.target == "udp://192.0.2.2:5070"
    assert send.request.uri == f"sip:{OTHER}@{OTHER[:10]}"
    assert send.request.cseq.number == 1
    registration.receive(reply(send.request, 200), 0.0)
    (keepalive,) = registration.poll(60.0)
    assert keepalive == SendKeepalive(sn=1, target="udp://192.0.2.2:5070", server_id=OTHER)


@pytest.mark.parametrize(
    ("contact", "target"),
    [
        (f"sip:{OTHER}@192.0.2.2", "udp://192.0.2.2:5060"),
        (f"<sip:{OTHER}@[2001:db8::2]:5070;transport=TCP>", "tcp://[2001:db8::2]:5070"),
    ],
)
def test_a_redirect_may_name_a_transport(contact: str, target: str) -> None:
    registration = device()
    redirected(registration, contact)
    assert registration.target == target


@pytest.mark.parametrize(
    "contact",
    [
        f"<sip:{DEVICE}@192.0.2.2:5070>",
        "<sip:192.0.2.2:5070>",
        f"<sip:{OTHER}@192.0.2.1:5060>",
        f"<sip:{OTHER}@evil.example:5060>",
        "<sip:",
        "*",
    ],
)
def test_a_redirect_that_cannot_be_trusted_is_a_refusal(contact: str) -> None:
    registration = device(replace(CONFIG, redirect_hosts=("192.0.2.1", "192.0.2.2")))
    redirected(registration, contact)
    assert registration.state is S.BACKING_OFF
    assert registration.target == CONFIG.server


def test_redirects_in_a_circle_end_in_a_pause() -> None:
    registration = device()
    actions = redirected(registration, f"<sip:{OTHER}@192.0.2.2:5060>")
    actions = registration.receive(
        reply(sent(actions), 302, ("Contact", f"<sip:{SERVER}@192.0.2.1:5060>")), 0.0
    )
    assert registration.state is S.BACKING_OFF
    assert "back" in registration.reason


def test_the_sixth_redirect_is_not_followed() -> None:
    registration = device()
    actions = redirected(registration, f"<sip:{OTHER}@192.0.2.2:5060>")
    for host in range(3, 7):
        contact = ("Contact", f"<sip:{OTHER}@192.0.2.{host}:5060>")
        actions = registration.receive(reply(sent(actions), 302, contact), 0.0)
    registration.receive(reply(sent(actions), 302, ("Contact", f"<sip:{OTHER}@192.0.2.9>")), 0.0)
    assert registration.state is S.BACKING_OFF


@pytest.mark.parametrize("status", [403, 500])
def test_a_refusal_by_the_named_server_leads_back_to_the_first(status: int) -> None:
    registration = device()
    actions = redirected(registration, f"<sip:{OTHER}@192.0.2.2:5060>")
    registration.receive(reply(sent(actions), status), 0.0)
    (send,) = (one for one in registration.poll(60.0) if isinstance(one, SendRegister))
    assert send.target == CONFIG.server
    assert send.request.uri == f"sip:{SERVER}@3402000000"


def test_a_redirect_is_followed_again_after_the_named_server_refused() -> None:
    registration = device()
    contact = f"<sip:{OTHER}@192.0.2.2:5060>"
    registration.receive(reply(sent(redirected(registration, contact)), 403), 0.0)
    request = sent(registration.poll(60.0))
    registration.receive(reply(request, 302, ("Contact", contact)), 60.0)
    assert registration.target == "udp://192.0.2.2:5060"


def test_a_silent_named_server_leads_back_to_the_first() -> None:
    registration = device(replace(CONFIG, keepalive_count=1))
    request = sent(redirected(registration, f"<sip:{OTHER}@192.0.2.2:5060>"))
    registration.receive(reply(request, 200), 0.0)
    registration.poll(60.0)
    registration.keepalive_failed(60.0)
    assert registration.target == CONFIG.server


# The table


def test_starting_twice_is_the_callers_mistake() -> None:
    registration = device()
    registration.start(0.0)
    with pytest.raises(LocalProtocolError):
        registration.start(0.0)


def test_an_attempt_that_nobody_reports_on_is_given_up() -> None:
    registration = device()
    request = sent(registration.start(0.0))
    assert registration.next_timeout() == 40.0
    registration.poll(40.0)
    assert registration.state is S.BACKING_OFF
    assert registration.receive(reply(request, 200), 41.0) == []
    assert registration.next_timeout() == 100.0


def test_a_refresh_that_nobody_reports_on_is_repeated() -> None:
    registration = device(replace(CONFIG, keepalive_interval=9999.0))
    registered(registration)
    registration.poll(2400.0)
    registration.poll(2440.0)
    assert registration.registered
    assert registration.next_timeout() == 2500.0


def test_stopping_an_unanswered_registration_ends_when_the_server_is_dead() -> None:
    registration = device()
    registration.start(0.0)
    request = sent(registration.stop(1.0))
    assert request.expires == 0
    registration.request_failed("no answer", 33.0, request=request)
    assert registration.state is S.STOPPED


def test_a_stopped_registration_can_be_started_again() -> None:
    registration = device()
    registration.stop(0.0)
    assert registration.state is S.STOPPED
    assert registration.start(1.0)


def test_every_state_has_a_way_out_and_takes_a_stop() -> None:
    for state in RegistrationState:
        assert (state, Input.STOP) in TABLE
        assert (state, Input.FLOW_LOST) in TABLE
    reached = {S.IDLE}
    for _ in RegistrationState:
        reached |= {after for (before, _), (after, _) in TABLE.items() if before in reached}
    assert reached == set(RegistrationState)


def test_a_registration_ends_only_where_it_was_stopped() -> None:
    for (state, given_input), (after, _) in TABLE.items():
        if after is S.STOPPED:
            assert given_input is Input.STOP or state in (S.UNREGISTERING, S.STOPPED)


def happen(registration: Registration, event: str, now: float) -> list[Action]:
    happenings: dict[str, Callable[[float], list[Action]]] = {
        "fail": lambda at: registration.request_failed("x", at),
        "flow": registration.flow_lost,
        "poll": registration.poll,
        "ka200": lambda at: registration.keepalive_answered(200, at),
        "ka403": lambda at: registration.keepalive_answered(403, at),
        "kafail": registration.keepalive_failed,
    }
    return happenings[event](now)


EVENTS = (
    "200",
    "401",
    "407",
    "403",
    "302",
    "423",
    "fail",
    "flow",
    "poll",
    "ka200",
    "ka403",
    "kafail",
)


@given(st.lists(st.sampled_from(EVENTS), max_size=40))
@settings(max_examples=200)
def test_whatever_happens_a_started_registration_has_something_to_wait_for(
    story: list[str],
) -> None:
    registration, now = device(), 0.0
    actions: list[Action] = registration.start(now)
    request = sent(actions)
    for number, event in enumerate(story):
        now += 50.0
        headers = {
            "401": ("WWW-Authenticate", CHALLENGE.format(number)),
            "407": ("Proxy-Authenticate", CHALLENGE.format(number)),
            "302": ("Contact", f"<sip:{OTHER}@192.0.2.{number + 2}>"),
            "423": ("Min-Expires", str(4000 + number)),
        }.get(event, ("Expires", "600"))
        if event.isdigit():
            actions = registration.receive(reply(request, int(event), headers), now)
        else:
            actions = happen(registration, event, now)
        requests = [one.request for one in actions if isinstance(one, SendRegister)]
        request = requests[-1] if requests else request
        assert registration.next_timeout() is not None


def test_the_table_has_no_row_that_a_server_could_use_to_restart_a_stopped_one() -> None:
    from_network = set(Input) - {Input.START, Input.STOP}
    for state, given_input in product((S.STOPPED, S.IDLE), from_network):
        row = TABLE.get((state, given_input))
        assert row is None or row[0] is state
