"""INVITE within a call, from either side, alone and crossing: of two stacks and two endpoints."""

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gb28181.testing.clock import VirtualClock
from gb28181.testing.network import SimulatedNetwork
from sip.conversation import Call, IncomingCall, IncomingInvite, IncomingRequest, OutgoingCall
from sip.endpoint import SipEndpoint
from sip.errors import LocalProtocolError, TransactionTimeout
from sip.events import (
    CallAnswered,
    CallEnded,
    CallKey,
    Event,
    InviteCancelled,
    InviteReceived,
    RequestReceived,
    ResponseReceived,
    TransactionFlowLost,
    TransactionKey,
    TransactionTimedOut,
)
from sip.flow import Flow
from sip.message import Headers, Request, Response, make_response
from sip.parser import parse_datagram
from sip.reinvite import glare_pause
from sip.stack import SipStack

US, THEM = ("192.0.2.1", 5060), ("192.0.2.10", 5060)


class Side:
    """One end of a call: its stack, what it saw, what it sent."""

    def __init__(self, name: str, flow: Flow) -> None:
        numbers = itertools.count(1)
        self.name = name
        self.flow = flow
        self.stack = SipStack(token=lambda: f"{name}{next(numbers)}")
        self.seen: list[Event] = []
        self.sent: list[tuple[float, str]] = []
        self.requests: list[Request] = []
        self.call = CallKey(0)

    def saw(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.seen if isinstance(event, kind)]

    @property
    def offers(self) -> list[RequestReceived]:
        """INVITEs within the call that are ours to answer."""
        return [event for event in self.seen if isinstance(event, RequestReceived)]

    @property
    def statuses(self) -> list[int]:
        """Final responses to what we sent within the call."""
        responses = [event.response for event in self.seen if isinstance(event, ResponseReceived)]
        return [response.status for response in responses if response.status >= 200]

    def count(self, what: str) -> int:
        return [title for _, title in self.sent].count(what)

    @property
    def target(self) -> str:
        dialog = self.stack.calls.dialog(self.call)
        assert dialog is not None
        return dialog.remote_target

    @property
    def is_pending(self) -> bool:
        return self.stack.calls.reinvites.is_pending(self.call)


class Standing:
    """A call that stands between two stacks; what is written arrives at the next ``settle``."""

    def __init__(self, transport: str = "udp") -> None:
        self.a = Side("a", Flow(transport, US, THEM))
        self.b = Side("b", Flow(transport, THEM, US))
        self.now = 0.0
        self.drop: Callable[[str, str], bool] = lambda who, what: False
        headers = [
            ("From", "<sip:34020000002000000001@3402000000>;tag=3001"),
            ("To", "<sip:34020000001320000001@3402000000>"),
            ("Call-ID", "7001"),
            ("CSeq", "20 INVITE"),
            ("Contact", "<sip:34020000002000000001@192.0.2.1:5060>"),
        ]
        invite = Request("INVITE", "sip:34020000001320000001@192.0.2.10", Headers(headers))
        self.a.call = self.a.stack.calls.invite(invite, self.a.flow, 0.0)
        self.settle()
        (offered,) = self.b.saw(InviteReceived)
        assert isinstance(offered, InviteReceived)
        self.b.call = offered.call
        self.b.stack.calls.respond(offered.call, answer(offered.request, 200, to_tag="9001"), 0.0)
        self.settle()
        assert self.a.saw(CallAnswered)
        self.a.stack.calls.ack(self.a.call, 0.0)
        self.settle()
        for side in (self.a, self.b):
            side.seen.clear()
            side.sent.clear()

    def step(self) -> bool:
        """Let everything arrive that is written now; False when nothing was."""
        wire = [(s, o, data) for s, o in self.ends for _, data in s.stack.outgoing()]
        for sender, receiver, data in wire:
            message = parse_datagram(data)
            if isinstance(message, Request):
                sender.requests.append(message)
            what = title(message)
            sender.sent.append((self.now, what))
            if not self.drop(sender.name, what):
                receiver.stack.receive_data(receiver.flow, data, self.now)
        for side, _ in self.ends:
            side.seen += side.stack.events()
        return bool(wire)

    def settle(self) -> None:
        while self.step():
            pass

    @property
    def ends(self) -> tuple[tuple[Side, Side], tuple[Side, Side]]:
        return (self.a, self.b), (self.b, self.a)

    def run_until(self, end: float) -> None:
        self.settle()
        while due := [
            t for s, _ in self.ends if (t := s.stack.next_timeout()) is not None and t <= end
        ]:
            self.now = min(due)
            for side, _ in self.ends:
                side.stack.handle_timeout(self.now)
            self.settle()
        self.now = end

    def reinvite(self, side: Side) -> TransactionKey:
        return side.stack.calls.reinvite(side.call, self.now, body=b"offer")

    def answer(self, side: Side, status: int, offer: RequestReceived | None = None) -> None:
        offer = offer or side.offers[-1]
        response = answer(offer.request, status, host=f"{side.name}.moved")
        side.stack.calls.reinvites.answer(side.call, offer.key, response, self.now)

    def bye(self, side: Side) -> None:
        side.stack.calls.bye(side.call, self.now)
        side.seen += side.stack.events()

    def is_clean(self) -> bool:
        self.run_until(self.now + 400)
        return not any([*self.a.stack.pending().values(), *self.b.stack.pending().values()])


def answer(request: Request, status: int, host: str = "there", to_tag: str = "x") -> Response:
    contact = [("Contact", f"<sip:34020000001320000001@{host}>")]
    return make_response(request, status, to_tag=to_tag, headers=contact)


def title(message: Request | Response) -> str:
    if isinstance(message, Request):
        return message.method
    return f"{message.status} {message.cseq.method}"


@pytest.mark.parametrize("by_caller", [True, False])
def test_changed_session_is_acknowledged_and_the_target_follows(by_caller: bool) -> None:
    net = Standing()  # RFC 3261 14.1, 12.2.1.2
    asking, asked = (net.a, net.b) if by_caller else (net.b, net.a)
    net.reinvite(asking)
    net.settle()
    assert asked.offers[-1].request.body == b"offer"
    net.answer(asked, 200)
    net.settle()
    assert asking.statuses[-1] == 200
    assert asking.count("ACK") == 1
    assert asking.target == f"sip:34020000001320000001@{asked.name}.moved"
    invite, ack = asking.requests[-2:]
    assert (ack.cseq.number, ack.method) == (invite.cseq.number, "ACK")
    net.run_until(60)
    assert asked.count("200 INVITE") == 1
    assert not asking.saw(CallEnded)
    net.bye(asked)
    assert net.is_clean()


def test_repeated_200_gets_the_same_ack() -> None:  # RFC 3261 13.2.2.4
    net = Standing()
    net.drop = lambda who, what: what == "ACK" and net.now < 3.0
    net.reinvite(net.a)
    net.settle()
    net.answer(net.b, 200)
    net.run_until(20)
    assert [when for when, what in net.b.sent if what == "200 INVITE"] == [0.0, 0.5, 1.5, 3.5]
    assert net.a.count("ACK") == 4
    assert len({r.branch for r in net.a.requests if r.method == "ACK" and r.cseq.number == 21}) == 1
    assert net.a.statuses.count(200) == 1


def test_200_without_an_ack_ends_the_call() -> None:  # RFC 3261 14.2, 13.3.1.4
    net = Standing()
    net.drop = lambda who, what: what == "ACK"
    net.reinvite(net.a)
    net.settle()
    net.answer(net.b, 200)
    net.run_until(40)
    assert [when for when, what in net.b.sent if what == "BYE"] == [32.0]
    assert net.is_clean()


@pytest.mark.parametrize("status", [400, 415, 488, 500, 603])
def test_refusal_leaves_the_session_as_it_was(status: int) -> None:  # RFC 3261 14.1
    net = Standing()
    target = net.a.target
    net.reinvite(net.a)
    net.settle()
    net.answer(net.b, status)
    net.settle()
    assert net.a.statuses == [status]
    assert net.a.target == target
    assert not net.a.is_pending
    net.reinvite(net.a)
    net.settle()
    net.answer(net.b, 200)
    net.settle()
    assert net.a.statuses == [status, 200]
    assert not net.a.saw(CallEnded)


@pytest.mark.parametrize("status", [408, 481])
def test_408_and_481_end_the_call(status: int) -> None:  # RFC 3261 14.1, 12.2.1.2
    net = Standing()
    net.reinvite(net.a)
    net.settle()
    net.answer(net.b, status)
    net.settle()
    (ended,) = net.a.saw(CallEnded)
    assert isinstance(ended, CallEnded)
    assert (ended.by, ended.text) == ("lost", f"{status} to INVITE")


def test_silence_ends_the_call() -> None:
    net = Standing()
    net.drop = lambda who, what: who == "b"
    net.reinvite(net.a)
    net.run_until(40)
    assert net.a.saw(TransactionTimedOut)
    (ended,) = net.a.saw(CallEnded)
    assert isinstance(ended, CallEnded)
    assert (ended.by, ended.text) == ("lost", "no answer to INVITE")


def test_both_at_once_refuse_each_other_with_491() -> None:  # RFC 3261 14.2
    net = Standing()
    net.reinvite(net.a)
    net.reinvite(net.b)
    net.settle()
    assert net.a.statuses == net.b.statuses == [491]
    assert net.a.offers == net.b.offers == []
    assert net.a.stack.counters["glare"] == net.b.stack.counters["glare"] == 1
    net.reinvite(net.b)
    net.settle()
    net.answer(net.a, 200)
    net.settle()
    assert net.b.statuses == [491, 200]
    net.bye(net.a)
    assert net.is_clean()


def test_491_is_answered_until_our_own_is_final() -> None:
    net = Standing()
    net.drop = lambda who, what: who == "a" and what == "INVITE"
    net.reinvite(net.a)
    net.step()
    net.reinvite(net.b)
    net.settle()
    assert net.b.statuses == [491]
    assert net.a.is_pending


@pytest.mark.parametrize("is_answered", [False, True])
def test_none_is_sent_while_that_of_the_peer_is_pending(is_answered: bool) -> None:
    net = Standing()
    net.drop = lambda who, what: what == "ACK"
    net.reinvite(net.a)
    net.settle()
    if is_answered:
        net.answer(net.b, 200)
        net.settle()
    assert net.b.is_pending
    with pytest.raises(LocalProtocolError, match="pending"):
        net.reinvite(net.b)
    assert net.b.stack.outgoing() == []


def test_none_is_sent_before_the_call_is_acknowledged_or_after_its_end() -> None:
    net = Standing()
    net.bye(net.a)
    with pytest.raises(LocalProtocolError, match="does not stand"):
        net.reinvite(net.a)
    net.settle()
    with pytest.raises(LocalProtocolError, match="over"):
        net.reinvite(net.b)


def test_next_one_shows_that_the_peer_has_our_200() -> None:
    net = Standing()
    net.drop = lambda who, what: what == "ACK" and net.now < 1.0
    net.reinvite(net.a)
    net.settle()
    net.answer(net.b, 200)
    net.settle()
    net.reinvite(net.a)
    net.settle()
    assert len(net.b.offers) == 2
    net.answer(net.b, 200)
    net.run_until(0.9)
    net.run_until(60)
    assert not net.b.saw(CallEnded)
    assert net.b.count("200 INVITE") == 4  # the first once, the second until its ACK got through


def test_cancelled_before_the_answer_gets_487() -> None:  # RFC 3261 9.2
    net = Standing()
    key = net.reinvite(net.a)
    net.settle()
    net.a.stack.abandon(key, net.now)
    net.settle()
    assert (net.a.count("CANCEL"), net.b.count("200 CANCEL"), net.b.count("487 INVITE")) == (
        1,
        1,
        1,
    )
    assert net.b.saw(InviteCancelled)
    assert not net.a.is_pending
    assert not net.b.is_pending
    net.answer(net.b, 200)  # our user was too late
    assert net.b.stack.outgoing() == []
    assert net.b.stack.counters["response_without_transaction"] == 1
    net.reinvite(net.a)
    net.settle()
    net.answer(net.b, 200)
    net.settle()
    assert net.a.statuses == [487, 200]
    net.bye(net.a)
    assert net.is_clean()


def test_cancel_waits_for_a_provisional_answer() -> None:  # RFC 3261 9.1
    net = Standing()
    net.drop = lambda who, what: what == "100 INVITE" and net.now < 0.4
    key = net.reinvite(net.a)
    net.settle()
    net.a.stack.abandon(key, net.now)
    net.settle()
    assert net.a.count("CANCEL") == 0
    net.run_until(1.0)
    assert [when for when, what in net.a.sent if what == "CANCEL"] == [0.5]
    assert net.a.statuses == [487]


def test_200_that_crosses_the_cancel_is_acknowledged() -> None:  # RFC 3261 9.1
    net = Standing()
    key = net.reinvite(net.a)
    net.settle()
    net.answer(net.b, 200)
    net.a.stack.abandon(key, net.now)
    net.settle()
    assert net.a.count("CANCEL") == 1
    assert net.a.count("ACK") == 1
    assert net.a.target.endswith("b.moved")
    assert not net.b.is_pending
    net.run_until(60)
    assert not net.a.saw(CallEnded)
    net.bye(net.b)
    assert net.is_clean()


def test_second_answer_is_an_error() -> None:
    net = Standing()
    net.drop = lambda who, what: what == "ACK"
    net.reinvite(net.a)
    net.settle()
    net.answer(net.b, 200)
    with pytest.raises(LocalProtocolError, match="SEND_SUCCESS"):
        net.answer(net.b, 200)


def test_one_that_our_user_forgets_is_refused_and_the_call_stands() -> None:
    net = Standing()
    net.reinvite(net.a)
    net.run_until(40)
    assert next(when for when, what in net.b.sent if what == "500 INVITE") == 32.0
    assert net.a.statuses == [500]
    assert net.b.saw(InviteCancelled)
    assert not net.a.saw(CallEnded)
    net.bye(net.a)
    assert net.is_clean()


def test_one_that_is_never_answered_is_cancelled_and_given_up() -> None:
    net = Standing()
    net.reinvite(net.a)
    net.settle()
    net.drop = lambda who, what: who == "b"
    net.run_until(300)
    assert next(when for when, what in net.a.sent if what == "CANCEL") == 180.0
    assert net.a.saw(TransactionTimedOut)
    assert not net.a.saw(CallEnded)
    assert not net.a.is_pending
    net.drop = lambda who, what: False
    net.bye(net.a)
    assert net.is_clean()


@pytest.mark.parametrize("leaver", ["a", "b"])
@pytest.mark.parametrize("asker", ["a", "b"])
def test_bye_ends_a_call_whose_invite_is_pending(leaver: str, asker: str) -> None:  # 15.1.2
    net = Standing()
    sides = {"a": net.a, "b": net.b}
    other = {"a": net.b, "b": net.a}[asker]
    net.reinvite(sides[asker])
    net.settle()
    net.bye(sides[leaver])
    net.settle()
    assert 487 in sides[asker].statuses
    net.answer(other, 200)  # our user was too late
    net.settle()
    assert len(net.a.saw(CallEnded)) == len(net.b.saw(CallEnded)) == 1
    assert net.is_clean()


def test_call_that_is_left_while_the_peer_is_silent_leaves_nothing() -> None:
    net = Standing()
    net.drop = lambda who, what: who == "b"
    net.reinvite(net.a)
    net.settle()
    net.bye(net.a)
    net.run_until(100)
    assert len(net.a.saw(CallEnded)) == 1
    net.bye(net.b)
    assert net.is_clean()


def test_bye_that_crosses_a_200_leaves_nothing() -> None:
    net = Standing()
    net.reinvite(net.a)
    net.settle()
    net.answer(net.b, 200)
    net.bye(net.a)
    net.settle()
    assert net.a.count("ACK") == 1
    assert net.is_clean()


def test_lost_connection_leaves_the_session_as_it_was() -> None:
    net = Standing("tcp")
    net.reinvite(net.a)
    net.settle()
    net.a.stack.flow_lost(net.a.flow, net.now)
    net.b.stack.flow_lost(net.b.flow, net.now)
    net.settle()
    assert net.a.saw(TransactionFlowLost)
    assert net.b.saw(InviteCancelled)
    assert not net.a.saw(CallEnded)
    assert not net.a.is_pending
    assert not net.b.is_pending
    net.reinvite(net.a)
    net.settle()
    net.answer(net.b, 200)
    net.settle()
    assert net.a.statuses == [200]


def test_owner_of_the_call_id_waits_longer() -> None:  # RFC 3261 14.1
    assert [glare_pause(f, is_owner=True) for f in (0.0, 0.5, 1.0)] == [2.1, 3.05, 4.0]
    assert [glare_pause(f, is_owner=False) for f in (0.0, 0.5, 1.0)] == [0.0, 1.0, 2.0]
    assert glare_pause(1 / 3, is_owner=False) == 0.67  # steps of 10 ms


class Story:
    """What two users may do to a call, and what the network may do to it, in any order."""

    def __init__(self) -> None:
        self.net = Standing()
        self.net.drop = lambda who, what: bool(self.losses) and self.losses.popleft()
        self.losses: deque[bool] = deque()
        self.asked: list[tuple[Side, TransactionKey]] = []

    def do(self, move: str) -> None:
        what, _, who = move.partition(" ")
        side = self.net.b if who == "b" else self.net.a
        if what == "ask":
            self.ask(side)
        elif what == "answer":
            self.answer(side)
        elif what == "refuse":
            self.answer(side, 488)
        elif what == "bye":
            self.net.bye(side)
        elif what == "take-back" and self.asked:
            asking, key = self.asked.pop()
            asking.stack.abandon(key, self.net.now)
        elif what == "step":
            self.net.step()
        elif what == "wait":
            self.net.run_until(self.net.now + 3.0)
        elif what == "lose":
            self.losses.append(True)

    def ask(self, side: Side) -> None:
        try:
            self.asked.append((side, self.net.reinvite(side)))
        except LocalProtocolError:
            assert side.is_pending or side.saw(CallEnded)

    def answer(self, side: Side, status: int = 200) -> None:
        if side.offers:
            try:
                self.net.answer(side, status)
            except LocalProtocolError:
                assert side.is_pending  # it was answered and waits for the ACK


MOVES = [
    "ask a",
    "ask b",
    "answer a",
    "answer b",
    "refuse a",
    "bye a",
    "bye b",
    "take-back",
    "step",
    "step",
    "wait",
    "lose",
]


@given(st.lists(st.sampled_from(MOVES), max_size=30))
def test_whatever_happens_the_call_ends_once_at_both_sides_and_is_forgotten(
    moves: list[str],
) -> None:
    story = Story()
    for move in moves:
        story.do(move)
    story.losses.clear()
    story.net.settle()
    for side, _ in story.net.ends:
        story.net.bye(side)
    assert story.net.is_clean()
    for side, _ in story.net.ends:
        assert len(side.saw(CallEnded)) == 1
        assert len(side.offers) <= len(story.asked) + moves.count("take-back")


# Endpoints on a simulated network.


@asynccontextmanager
async def standing(
    serve: Callable[[IncomingRequest], None],
) -> AsyncIterator[tuple[OutgoingCall, IncomingCall]]:
    """Yield both ends of a call; what comes within it goes to ``serve``."""
    net = SimulatedNetwork(seed=5)
    net.link(net.host("10.0.0.1"), net.host("10.0.0.5"), latency=0.01)
    with VirtualClock():
        async with asyncio.TaskGroup() as group:
            ends = [
                SipEndpoint(listen=("udp://:5060",), network=net.host(host))
                for host in ("10.0.0.1", "10.0.0.5")
            ]
            accepted: asyncio.Future[IncomingCall] = asyncio.get_running_loop().create_future()

            async def accept(incoming: IncomingInvite) -> None:
                accepted.set_result(await incoming.accept(body=b"answer"))

            def handle(incoming: IncomingRequest) -> None:
                if isinstance(incoming, IncomingInvite):
                    group.create_task(accept(incoming))
                else:
                    serve(incoming)

            for one in ends:
                await one.start()
                group.create_task(one.serve(handle))
            invite = Request("INVITE", "sip:34020000001320000001@10.0.0.5", Headers([]), b"offer")
            call = await ends[0].invite(invite, "udp://10.0.0.5:5060")
            await call.ack()
            yield call, await accepted
            call.hang_up()
            await asyncio.sleep(300)
            for one in ends:
                assert not any(one.stack.pending().values())
                await one.aclose()
    assert net.leaks() == []


async def test_call_is_changed_from_either_side() -> None:
    def serve(incoming: IncomingRequest) -> None:
        assert (incoming.method, incoming.request.body) == ("INVITE", b"other")
        assert incoming.call is not None
        incoming.respond(200, body=b"agreed", content_type="application/sdp")

    async with standing(serve) as calls:
        for call in calls:
            response = await call.reinvite(body=b"other")
            assert (response.status, response.body) == (200, b"agreed")
        assert not any(call.is_ended for call in calls)


async def test_glare_is_tried_again_and_he_who_did_not_call_goes_first() -> None:  # 14.1
    served: list[tuple[float, str]] = []

    def serve(incoming: IncomingRequest) -> None:
        now = asyncio.get_running_loop().time()
        served.append((round(now - begun, 1), type(incoming.call).__name__))
        incoming.respond(200)

    async with standing(serve) as calls:
        begun = asyncio.get_running_loop().time()

        async def change(call: Call) -> int:
            return (await call.reinvite(body=b"other", fraction=lambda: 0.5)).status

        async with asyncio.TaskGroup() as group:
            changes = [group.create_task(change(call)) for call in calls]
        assert [task.result() for task in changes] == [200, 200]
        assert served == [(1.0, "OutgoingCall"), (3.1, "IncomingCall")]


async def test_change_waits_for_that_of_the_peer() -> None:
    open_offers: list[IncomingRequest] = []

    async with standing(open_offers.append) as (ours, theirs), asyncio.TaskGroup() as group:
        first = group.create_task(ours.reinvite(body=b"one"))
        await asyncio.sleep(0.1)
        second = group.create_task(theirs.reinvite(body=b"two", fraction=lambda: 0.5))
        await asyncio.sleep(0.5)
        assert len(open_offers) == 1
        open_offers[0].respond(488)
        assert (await first).status == 488
        await asyncio.sleep(1.0)
        open_offers[1].respond(200)
        assert (await second).status == 200


async def test_change_that_is_given_up_is_cancelled() -> None:
    open_offers: list[IncomingRequest] = []

    async with standing(open_offers.append) as (ours, theirs):
        with pytest.raises(TransactionTimeout, match=r"in 2\.0 s"):
            await ours.reinvite(body=b"one", timeout=2.0)
        await asyncio.sleep(0.1)
        open_offers[0].respond(200)  # too late: nothing happens
        asking = asyncio.ensure_future(theirs.reinvite(body=b"two"))
        await asyncio.sleep(0.1)
        open_offers[1].respond(200)
        assert (await asking).status == 200
        assert not ours.is_ended


async def test_change_of_a_call_that_ends_meanwhile_is_over() -> None:
    open_offers: list[IncomingRequest] = []

    async with standing(open_offers.append) as (ours, theirs):
        asking = asyncio.ensure_future(ours.reinvite(body=b"one"))
        await asyncio.sleep(0.1)
        theirs.hang_up()
        assert (await asking).status == 487
        with pytest.raises(LocalProtocolError):
            await ours.reinvite(body=b"two")
