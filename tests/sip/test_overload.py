from collections import Counter

import pytest

from sip.flow import Flow
from sip.message import Headers, Request, make_response
from sip.overload import Dawdlers, Gate, OverloadLimits, is_offence

LIMITS = OverloadLimits(
    rate=1.0,
    burst=10.0,
    failure_cost=5.0,
    sources=3,
    first_message=10.0,
    whole_message=30.0,
    refusals=1000,
)
PEER = Flow("udp", ("192.0.2.1", 5060), ("192.0.2.10", 5060))
TCP = Flow("tcp", ("192.0.2.1", 5060), ("192.0.2.10", 40000))


def request(method: str = "MESSAGE", *, to: str = "", fields: tuple[str, ...] = ()) -> Request:
    return Request(
        method,
        "sip:34020000002000000001@3402000000",
        Headers(
            [
                ("Via", "SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK1"),
                ("From", "<sip:34020000001320000001@3402000000>;tag=1"),
                ("To", f"<sip:34020000002000000001@3402000000>{to}"),
                ("Call-ID", "1"),
                ("CSeq", f"1 {method}"),
                *((name, "Digest") for name in fields),
            ]
        ),
    )


class Doorkeeper:
    """A gate with what it looks at."""

    def __init__(self, *, knows: bool = True) -> None:
        self.waiting = 0
        self.known: set[Flow] = set()
        self.counters: Counter[str] = Counter()
        self.gate = Gate(
            LIMITS,
            high=5,
            waiting=lambda: self.waiting,
            counters=self.counters,
            is_known=(lambda flow: flow in self.known) if knows else None,
        )

    def admitted(self, count: int, now: float = 0.0, flow: Flow = PEER) -> int:
        return sum(self.gate.admits(flow, request(), now) for _ in range(count))


def test_above_the_high_mark_only_known_peers_and_what_ends_work_pass() -> None:
    door = Doorkeeper()
    door.waiting = 5
    assert not door.gate.admits(PEER, request("REGISTER"), 0.0)
    assert not door.gate.admits(PEER, request("INVITE"), 0.0)
    assert door.counters["overload"] == 2
    assert not door.gate.admits(PEER, request("MESSAGE", to=";tag=1"), 0.0)  # anybody can write one
    for passing in (request("BYE"), request("CANCEL")):
        assert door.gate.admits(PEER, passing, 0.0)
    door.known.add(PEER)
    assert door.gate.admits(PEER, request("MESSAGE"), 0.0)


def test_strangers_have_a_burst_and_a_rate() -> None:
    door = Doorkeeper()
    assert door.admitted(20) == 10
    assert door.counters["charged_out"] == 10
    assert door.admitted(20, now=4.0) == 4
    assert door.admitted(20, now=1000.0) == 10


def test_success_is_free_and_failure_is_dear() -> None:
    door = Doorkeeper()
    for _ in range(100):
        assert door.gate.admits(PEER, request(), 0.0)
        door.known.add(PEER)
        door.gate.settle(PEER, request(), make_response(request(), 200), 0.0)
        door.known.remove(PEER)
    assert len(door.gate) == 0
    for _ in range(2):
        door.gate.settle(PEER, request(), make_response(request(), 403), 0.0)
    assert door.admitted(1) == 0
    assert door.counters["charged"] == 2


def test_what_everybody_is_answered_is_not_free() -> None:
    door = Doorkeeper()
    served = 0
    for _ in range(100):
        if door.gate.admits(PEER, request("OPTIONS"), 0.0):
            served += 1
            door.gate.settle(PEER, request("OPTIONS"), make_response(request(), 200), 0.0)
    assert served == 10


def test_refusals_are_told_at_a_rate() -> None:
    door = Doorkeeper()
    told = [sum(door.gate.may_refuse(now) for _ in range(1500)) for now in (5.0, 5.9, 6.0)]
    assert told == [1000, 0, 1000]
    assert door.counters["refused_silently"] == 2500


def test_known_peer_behind_a_charged_address_passes() -> None:
    door = Doorkeeper()
    assert door.admitted(20) == 10
    known = Flow("udp", PEER.local, (PEER.remote[0], 6000))
    door.known.add(known)
    assert door.admitted(20, flow=known) == 20


def test_another_source_is_not_charged() -> None:
    door = Doorkeeper()
    door.admitted(20)
    other = Flow("udp", PEER.local, ("192.0.2.99", 5060))
    assert door.admitted(1, flow=other) == 1


def test_without_knowledge_nobody_is_charged() -> None:
    door = Doorkeeper(knows=False)
    assert door.admitted(1000) == 1000
    assert door.gate.malformed(PEER, 0.0)
    door.gate.settle(PEER, request(), make_response(request(), 403), 0.0)
    door.waiting = 5
    assert door.admitted(1) == 0


def test_source_of_garbage_gets_no_answer_in_the_end() -> None:
    door = Doorkeeper()
    assert [door.gate.malformed(PEER, 0.0) for _ in range(4)] == [True, True, False, False]
    assert not door.gate.malformed(PEER, 5.0)
    assert door.gate.malformed(PEER, 60.0)


def test_number_of_sources_is_bounded() -> None:
    door = Doorkeeper()
    for number in range(10):
        door.admitted(1, flow=Flow("udp", PEER.local, (f"192.0.2.{number}", 5060)))
    assert len(door.gate) == 3


@pytest.mark.parametrize(
    ("status", "fields", "challenge", "is_it"),
    [
        (401, (), "Digest", False),
        (401, ("Authorization",), "Digest", True),
        (401, ("Authorization",), "Digest realm=a, stale=TRUE", False),
        (407, ("Proxy-Authorization",), "", True),
        (403, (), "", True),
        (481, (), "", True),
        (486, (), "", False),
        (487, (), "", False),
        (503, (), "", False),
        (500, (), "", False),
    ],
)
def test_only_the_peers_own_faults_are_offences(
    status: int, fields: tuple[str, ...], challenge: str, is_it: bool
) -> None:
    asked = request("REGISTER", fields=fields)
    answer = make_response(asked, status, headers=[("WWW-Authenticate", challenge)])
    assert is_offence(asked, answer) is is_it


def test_connection_without_a_whole_message_is_overdue() -> None:
    watched = Dawdlers(LIMITS)
    watched.accepted(TCP, 0.0)
    watched.progressed(TCP, 0, is_idle=False, now=9.0)  # a byte now and then does not help
    assert watched.overdue(9.9) == []
    assert watched.next_timeout() == 10.0
    assert watched.overdue(10.0) == [TCP]
    assert len(watched) == 0


def test_connection_that_has_spoken_may_be_silent() -> None:
    watched = Dawdlers(LIMITS)
    watched.accepted(TCP, 0.0)
    watched.progressed(TCP, 1, is_idle=True, now=1.0)
    assert watched.next_timeout() is None
    watched.progressed(TCP, 0, is_idle=True, now=500.0)
    assert watched.overdue(1000.0) == []


def test_later_message_has_its_time_as_well() -> None:
    watched = Dawdlers(LIMITS)
    watched.accepted(TCP, 0.0)
    watched.progressed(TCP, 1, is_idle=False, now=1.0)
    watched.progressed(TCP, 0, is_idle=False, now=30.0)
    assert watched.next_timeout() == 31.0
    watched.progressed(TCP, 1, is_idle=False, now=30.5)  # whole, and the next one began
    assert watched.next_timeout() == 60.5
    watched.progressed(TCP, 1, is_idle=True, now=40.0)
    watched.progressed(TCP, 0, is_idle=False, now=100.0)
    assert watched.overdue(130.0) == [TCP]


def test_lost_connection_is_forgotten() -> None:
    watched = Dawdlers(LIMITS)
    watched.accepted(TCP, 0.0)
    watched.gone(TCP)
    assert watched.overdue(100.0) == []
    assert watched.idle(10_000.0) == []
    assert not watched.has_accepted


def test_connection_is_idle_when_its_last_message_is_long_ago() -> None:
    watched = Dawdlers(LIMITS)
    watched.accepted(TCP, 0.0)
    watched.progressed(TCP, 1, is_idle=True, now=5.0)
    watched.progressed(TCP, 1, is_idle=True, now=100.0)
    watched.progressed(TCP, 0, is_idle=True, now=350.0)  # CRLF is no message
    assert watched.idle(399.9) == []
    assert watched.idle(400.0) == [TCP]
    watched.progressed(TCP, 0, is_idle=False, now=400.0)  # a message has its own time
    assert watched.idle(410.0) == []


def test_connection_of_ours_is_never_idle() -> None:
    watched = Dawdlers(LIMITS)
    watched.progressed(TCP, 1, is_idle=True, now=0.0)
    watched.progressed(TCP, 0, is_idle=False, now=1.0)
    watched.progressed(TCP, 1, is_idle=True, now=2.0)
    assert watched.idle(10_000.0) == []
    assert not watched.has_accepted
