"""What a stack reports: frozen values, in the order in which things happened."""

from dataclasses import dataclass
from typing import Final, NewType, TypeAlias

from .flow import Flow
from .message import Request, Response
from .subscription import SubscriptionStatus

CallKey = NewType("CallKey", int)
"""One INVITE usage within one stack."""

SubscriptionKey = NewType("SubscriptionKey", int)
"""One subscription within one stack, ours or a peer's."""


TransactionKey = NewType("TransactionKey", str)
"""What tells transactions apart, in one text; ``transaction`` makes it."""


@dataclass(slots=True, init=False)
class RequestReceived:
    """A request that our user answers with ``send_response``; ``call`` is set inside a dialog."""

    key: Final[TransactionKey]
    request: Final[Request]
    flow: Final[Flow]
    call: Final[CallKey | None]

    def __init__(
        self, *, key: TransactionKey, request: Request, flow: Flow, call: CallKey | None = None
    ) -> None:
        # A frozen dataclass makes these, one for each request, at twenty times the cost.
        self.key = key
        self.request = request
        self.flow = flow
        self.call = call


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseReceived:
    """A response, provisional or final, to a request that our user sent."""

    key: TransactionKey
    response: Response
    flow: Flow


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionTimedOut:
    """No final response came within 64 T1."""

    key: TransactionKey
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionFlowLost:
    """The flow of a request went away before its final response."""

    key: TransactionKey
    flow: Flow


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowLost:
    """A connection is gone."""

    flow: Flow


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowBroken:
    """The peer broke the framing of a connection: it must be closed."""

    flow: Flow
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InviteReceived:
    """Somebody calls; 100 Trying is on its way already."""

    call: CallKey
    key: TransactionKey
    request: Request
    flow: Flow


@dataclass(frozen=True, slots=True, kw_only=True)
class InviteCancelled:
    """An INVITE ended before we answered it: CANCEL, a lost flow, or we took too long.

    It was the first one of its call, which is over then, or one within it, which goes on.
    """

    call: CallKey
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallProgress:
    """A provisional answer to our INVITE."""

    call: CallKey
    response: Response


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAnswered:
    """The first 2xx to our INVITE; it waits for our ACK."""

    call: CallKey
    response: Response


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRefused:
    """A final answer of 300 or above to our INVITE; ACK was sent."""

    call: CallKey
    response: Response


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFailed:
    """Our INVITE got no final answer: nothing at all, a lost flow, or nothing after CANCEL."""

    call: CallKey
    text: str
    flow_lost: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAcknowledged:
    """The ACK to our 2xx came."""

    call: CallKey
    request: Request


@dataclass(frozen=True, slots=True, kw_only=True)
class CallUnacknowledged:
    """No ACK came within 64 T1; BYE was sent."""

    call: CallKey


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnded:
    """An established call is over for our user."""

    call: CallKey
    by: str
    """``local``, ``remote`` or ``lost``."""
    text: str = ""
    """The Reason header of a BYE, or what was lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReleased:
    """Nothing of a call is left: our BYE was answered or given up."""

    call: CallKey


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionAccepted:
    """The 2xx to our first SUBSCRIBE."""

    subscription: SubscriptionKey
    response: Response


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionRefused:
    """A final answer of 300 or above to our first SUBSCRIBE."""

    subscription: SubscriptionKey
    response: Response


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionFailed:
    """Our first SUBSCRIBE got no final answer."""

    subscription: SubscriptionKey
    text: str
    flow_lost: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyReceived:
    """News of a subscription of ours, to be answered with ``send_response``."""

    subscription: SubscriptionKey
    key: TransactionKey
    request: Request
    flow: Flow
    status: SubscriptionStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscribeRefreshed:
    """A peer has prolonged its subscription; it was answered already."""

    subscription: SubscriptionKey
    request: Request


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionEnded:
    """A subscription is over for our user."""

    subscription: SubscriptionKey
    by: str
    """``local``, ``remote``, ``expired``, ``replaced`` or ``lost``."""
    reason: str = ""
    """The reason of Subscription-State, or what happened."""
    retry_after: int | None = None
    """Seconds the notifier asks to wait before the next attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionReleased:
    """Nothing of a subscription is left."""

    subscription: SubscriptionKey


Event: TypeAlias = (
    RequestReceived
    | ResponseReceived
    | TransactionTimedOut
    | TransactionFlowLost
    | FlowLost
    | FlowBroken
    | InviteReceived
    | InviteCancelled
    | CallProgress
    | CallAnswered
    | CallRefused
    | CallFailed
    | CallAcknowledged
    | CallUnacknowledged
    | CallEnded
    | CallReleased
    | SubscriptionAccepted
    | SubscriptionRefused
    | SubscriptionFailed
    | NotifyReceived
    | SubscribeRefreshed
    | SubscriptionEnded
    | SubscriptionReleased
)
