"""A subscription as two tables: the side that asked for it, and the side that notifies."""

from dataclasses import dataclass
from enum import Enum, auto

from .headers import parse_parameters


class SubscriberState(Enum):
    """Where a subscription of ours is."""

    WAITING = auto()
    OVER_EARLY = auto()
    CANCEL_PENDING = auto()
    ACTIVE = auto()
    REFRESHING = auto()
    FETCHING = auto()
    CANCELLING = auto()
    LINGERING = auto()
    ENDED = auto()


class SubscriberInput(Enum):
    """What can happen to a subscription of ours."""

    ACCEPTED = auto()
    ACCEPTED_ONCE = auto()
    REFUSED = auto()
    GONE = auto()
    TIMEOUT = auto()
    FLOW_LOST = auto()
    NOTIFY = auto()
    NOTIFY_END = auto()
    REFRESH = auto()
    EXPIRED = auto()
    CANCEL = auto()
    LINGERED = auto()


class SubscriberAction(Enum):
    """What a row asks for."""

    OPEN_DIALOG = auto()
    START_TIMERS = auto()
    STOP_TIMERS = auto()
    START_LINGER = auto()
    SEND_REFRESH = auto()
    RETRY_LATER = auto()
    SEND_CANCEL = auto()
    TAKE_EXPIRY = auto()
    DELIVER = auto()
    REPORT_ACCEPTED = auto()
    REPORT_REFUSED = auto()
    REPORT_TIMEOUT = auto()
    REPORT_FLOW_LOST = auto()
    REPORT_LEFT = auto()
    REPORT_TERMINATED = auto()
    REPORT_GONE = auto()
    REPORT_EXPIRED = auto()
    RELEASE = auto()


class NotifierState(Enum):
    """Where a subscription to us is."""

    ACTIVE = auto()
    NOTIFYING = auto()
    ENDING = auto()
    LEAVING = auto()
    ENDED = auto()


class NotifierInput(Enum):
    """What can happen to a subscription to us."""

    NOTIFY = auto()
    ANSWERED = auto()
    GONE = auto()
    REFRESH = auto()
    UNSUBSCRIBE = auto()
    TERMINATE = auto()
    EXPIRED = auto()
    REPLACED = auto()


class NotifierAction(Enum):
    """What a row asks for."""

    SEND_NOTIFY = auto()
    SEND_LAST = auto()
    ANSWER = auto()
    START_EXPIRY = auto()
    STOP_EXPIRY = auto()
    REPORT_REFRESHED = auto()
    REPORT_UNSUBSCRIBED = auto()
    REPORT_EXPIRED = auto()
    REPORT_LEFT = auto()
    REPORT_GONE = auto()
    REPORT_REPLACED = auto()
    RELEASE = auto()


SubscriberTable = dict[
    tuple[SubscriberState, SubscriberInput], tuple[SubscriberState, tuple[SubscriberAction, ...]]
]
NotifierTable = dict[
    tuple[NotifierState, NotifierInput], tuple[NotifierState, tuple[NotifierAction, ...]]
]

_S, _I, _A = SubscriberState, SubscriberInput, SubscriberAction
_REFUSED = (_S.ENDED, (_A.STOP_TIMERS, _A.REPORT_REFUSED, _A.RELEASE))
_TIMED_OUT = (_S.ENDED, (_A.STOP_TIMERS, _A.REPORT_TIMEOUT, _A.RELEASE))
_LOST = (_S.ENDED, (_A.STOP_TIMERS, _A.REPORT_FLOW_LOST, _A.RELEASE))
_TERMINATED = (_S.ENDED, (_A.STOP_TIMERS, _A.DELIVER, _A.REPORT_TERMINATED, _A.RELEASE))
_GONE = (_S.ENDED, (_A.STOP_TIMERS, _A.REPORT_GONE, _A.RELEASE))
_EXPIRED = (_S.ENDED, (_A.STOP_TIMERS, _A.REPORT_EXPIRED, _A.RELEASE))
_ACCEPTED = (_S.ACTIVE, (_A.OPEN_DIALOG, _A.START_TIMERS, _A.REPORT_ACCEPTED))
_FETCHED = (_S.FETCHING, (_A.OPEN_DIALOG, _A.START_LINGER, _A.REPORT_ACCEPTED))
_LEAVE = (_S.CANCELLING, (_A.STOP_TIMERS, _A.SEND_CANCEL))
_KEPT = (_S.ACTIVE, (_A.RETRY_LATER,))
_LEFT = (_S.ENDED, (_A.STOP_TIMERS, _A.REPORT_LEFT, _A.RELEASE))
_OVER = (_S.ENDED, (_A.STOP_TIMERS, _A.RELEASE))

# The subscriber, RFC 6665 section 4.1. There is no timer N: devices exist that accept a
# subscription and then tell their news by MESSAGE.
SUBSCRIBER: SubscriberTable = {
    (_S.WAITING, _I.ACCEPTED): _ACCEPTED,
    (_S.WAITING, _I.ACCEPTED_ONCE): _FETCHED,  # 4.4.3: Expires 0 asks for the state once
    (_S.WAITING, _I.REFUSED): _REFUSED,
    (_S.WAITING, _I.GONE): _REFUSED,
    (_S.WAITING, _I.TIMEOUT): _TIMED_OUT,
    (_S.WAITING, _I.FLOW_LOST): _LOST,
    (_S.WAITING, _I.NOTIFY): (_S.WAITING, (_A.DELIVER,)),  # 4.1.2.4: it may overtake the 200
    (_S.WAITING, _I.NOTIFY_END): (_S.OVER_EARLY, (_A.DELIVER,)),
    (_S.WAITING, _I.CANCEL): (_S.CANCEL_PENDING, ()),
    (_S.OVER_EARLY, _I.ACCEPTED): (
        _S.ENDED,
        (_A.OPEN_DIALOG, _A.REPORT_ACCEPTED, _A.REPORT_TERMINATED, _A.RELEASE),
    ),
    (_S.OVER_EARLY, _I.ACCEPTED_ONCE): (
        _S.ENDED,
        (_A.OPEN_DIALOG, _A.REPORT_ACCEPTED, _A.REPORT_TERMINATED, _A.RELEASE),
    ),
    (_S.OVER_EARLY, _I.REFUSED): _REFUSED,
    (_S.OVER_EARLY, _I.GONE): _REFUSED,
    (_S.OVER_EARLY, _I.TIMEOUT): _TIMED_OUT,
    (_S.OVER_EARLY, _I.FLOW_LOST): _LOST,
    (_S.OVER_EARLY, _I.NOTIFY): (_S.OVER_EARLY, ()),
    (_S.OVER_EARLY, _I.NOTIFY_END): (_S.OVER_EARLY, ()),
    (_S.OVER_EARLY, _I.CANCEL): (_S.CANCEL_PENDING, ()),
    (_S.CANCEL_PENDING, _I.ACCEPTED): (_S.CANCELLING, (_A.OPEN_DIALOG, _A.SEND_CANCEL)),
    (_S.CANCEL_PENDING, _I.ACCEPTED_ONCE): _LEFT,
    (_S.CANCEL_PENDING, _I.REFUSED): _LEFT,
    (_S.CANCEL_PENDING, _I.GONE): _LEFT,
    (_S.CANCEL_PENDING, _I.TIMEOUT): _LEFT,
    (_S.CANCEL_PENDING, _I.FLOW_LOST): _LEFT,
    (_S.CANCEL_PENDING, _I.NOTIFY): (_S.CANCEL_PENDING, ()),
    (_S.CANCEL_PENDING, _I.NOTIFY_END): (_S.CANCEL_PENDING, ()),
    (_S.CANCEL_PENDING, _I.CANCEL): (_S.CANCEL_PENDING, ()),
    (_S.ACTIVE, _I.REFRESH): (_S.REFRESHING, (_A.SEND_REFRESH,)),
    (_S.ACTIVE, _I.NOTIFY): (_S.ACTIVE, (_A.TAKE_EXPIRY, _A.DELIVER)),
    (_S.ACTIVE, _I.NOTIFY_END): _TERMINATED,
    (_S.ACTIVE, _I.EXPIRED): _EXPIRED,
    (_S.ACTIVE, _I.CANCEL): _LEAVE,
    (_S.REFRESHING, _I.ACCEPTED): (_S.ACTIVE, (_A.OPEN_DIALOG, _A.START_TIMERS)),
    (_S.REFRESHING, _I.ACCEPTED_ONCE): _GONE,  # the peer grants no more time
    (_S.REFRESHING, _I.REFUSED): _KEPT,  # 4.1.2.2: valid until it expires
    (_S.REFRESHING, _I.GONE): _GONE,  # 4.1.2.2: 481 and its kin end it
    (_S.REFRESHING, _I.TIMEOUT): _KEPT,
    (_S.REFRESHING, _I.FLOW_LOST): _KEPT,
    (_S.REFRESHING, _I.NOTIFY): (_S.REFRESHING, (_A.DELIVER,)),
    (_S.REFRESHING, _I.NOTIFY_END): _TERMINATED,
    (_S.REFRESHING, _I.EXPIRED): _EXPIRED,
    (_S.REFRESHING, _I.CANCEL): _LEAVE,
    (_S.FETCHING, _I.NOTIFY): (_S.FETCHING, (_A.DELIVER,)),
    (_S.FETCHING, _I.NOTIFY_END): _TERMINATED,
    (_S.FETCHING, _I.LINGERED): _EXPIRED,
    (_S.FETCHING, _I.CANCEL): _LEFT,
    (_S.CANCELLING, _I.ACCEPTED): (_S.LINGERING, (_A.START_LINGER, _A.REPORT_LEFT)),
    (_S.CANCELLING, _I.ACCEPTED_ONCE): (_S.LINGERING, (_A.START_LINGER, _A.REPORT_LEFT)),
    (_S.CANCELLING, _I.REFUSED): _LEFT,
    (_S.CANCELLING, _I.GONE): _LEFT,
    (_S.CANCELLING, _I.TIMEOUT): _LEFT,
    (_S.CANCELLING, _I.FLOW_LOST): _LEFT,
    (_S.CANCELLING, _I.NOTIFY): (_S.CANCELLING, (_A.DELIVER,)),
    (_S.CANCELLING, _I.NOTIFY_END): (_S.CANCELLING, (_A.DELIVER,)),
    (_S.CANCELLING, _I.CANCEL): (_S.CANCELLING, ()),
    (_S.LINGERING, _I.NOTIFY): (_S.LINGERING, (_A.DELIVER,)),  # 4.4.1: one is still to come
    (_S.LINGERING, _I.NOTIFY_END): (_S.ENDED, (_A.STOP_TIMERS, _A.DELIVER, _A.RELEASE)),
    (_S.LINGERING, _I.LINGERED): _OVER,
    (_S.LINGERING, _I.CANCEL): (_S.LINGERING, ()),
}

_NS, _NI, _NA = NotifierState, NotifierInput, NotifierAction

# The notifier, RFC 6665 section 4.2. One NOTIFY at a time: the next waits for the answer, so that
# they cannot overtake each other on UDP.
NOTIFIER: NotifierTable = {
    (_NS.ACTIVE, _NI.NOTIFY): (_NS.NOTIFYING, (_NA.SEND_NOTIFY,)),
    (_NS.ACTIVE, _NI.ANSWERED): (_NS.ACTIVE, ()),
    (_NS.ACTIVE, _NI.REFRESH): (
        _NS.ACTIVE,
        (_NA.ANSWER, _NA.START_EXPIRY, _NA.REPORT_REFRESHED),  # 4.2.1.1
    ),
    (_NS.ACTIVE, _NI.UNSUBSCRIBE): (
        _NS.LEAVING,
        (_NA.STOP_EXPIRY, _NA.ANSWER, _NA.REPORT_UNSUBSCRIBED, _NA.SEND_LAST),  # 4.2.1.4
    ),
    (_NS.ACTIVE, _NI.TERMINATE): (
        _NS.LEAVING,
        (_NA.STOP_EXPIRY, _NA.REPORT_LEFT, _NA.SEND_LAST),
    ),
    (_NS.ACTIVE, _NI.EXPIRED): (_NS.LEAVING, (_NA.REPORT_EXPIRED, _NA.SEND_LAST)),  # 4.2.2
    (_NS.ACTIVE, _NI.REPLACED): (
        _NS.ENDED,
        (_NA.STOP_EXPIRY, _NA.REPORT_REPLACED, _NA.RELEASE),
    ),
    (_NS.NOTIFYING, _NI.ANSWERED): (_NS.ACTIVE, ()),
    (_NS.NOTIFYING, _NI.GONE): (
        _NS.ENDED,
        (_NA.STOP_EXPIRY, _NA.REPORT_GONE, _NA.RELEASE),  # 4.2.2: 481 and its kin, or silence
    ),
    (_NS.NOTIFYING, _NI.REFRESH): (
        _NS.NOTIFYING,
        (_NA.ANSWER, _NA.START_EXPIRY, _NA.REPORT_REFRESHED),
    ),
    (_NS.NOTIFYING, _NI.UNSUBSCRIBE): (
        _NS.ENDING,
        (_NA.STOP_EXPIRY, _NA.ANSWER, _NA.REPORT_UNSUBSCRIBED),
    ),
    (_NS.NOTIFYING, _NI.TERMINATE): (_NS.ENDING, (_NA.STOP_EXPIRY, _NA.REPORT_LEFT)),
    (_NS.NOTIFYING, _NI.EXPIRED): (_NS.ENDING, (_NA.REPORT_EXPIRED,)),
    (_NS.NOTIFYING, _NI.REPLACED): (
        _NS.ENDED,
        (_NA.STOP_EXPIRY, _NA.REPORT_REPLACED, _NA.RELEASE),
    ),
    (_NS.ENDING, _NI.ANSWERED): (_NS.LEAVING, (_NA.SEND_LAST,)),
    (_NS.ENDING, _NI.GONE): (_NS.ENDED, (_NA.RELEASE,)),
    (_NS.ENDING, _NI.UNSUBSCRIBE): (_NS.ENDING, (_NA.ANSWER,)),
    (_NS.ENDING, _NI.TERMINATE): (_NS.ENDING, ()),
    (_NS.ENDING, _NI.REPLACED): (_NS.ENDED, (_NA.RELEASE,)),
    (_NS.LEAVING, _NI.ANSWERED): (_NS.ENDED, (_NA.RELEASE,)),
    (_NS.LEAVING, _NI.GONE): (_NS.ENDED, (_NA.RELEASE,)),
    (_NS.LEAVING, _NI.UNSUBSCRIBE): (_NS.LEAVING, (_NA.ANSWER,)),
    (_NS.LEAVING, _NI.TERMINATE): (_NS.LEAVING, ()),
    (_NS.LEAVING, _NI.REPLACED): (_NS.ENDED, (_NA.RELEASE,)),
    (_NS.ENDED, _NI.TERMINATE): (_NS.ENDED, ()),
    (_NS.ENDED, _NI.ANSWERED): (_NS.ENDED, ()),
}

ENDING_STATUSES = frozenset({404, 405, 410, 416, *range(480, 486), 489, 501, 604})
"""Answers that end a subscription. Source: RFC 6665 sections 4.1.2.2 and 4.2.2, RFC 5057."""


@dataclass(frozen=True, slots=True)
class EventId:
    """What a subscription is about.

    Devices leave the package out (``Event: id=1984``): it is empty then.

    Source: RFC 6665 section 8.2.1.
    """

    package: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class SubscriptionStatus:
    """A Subscription-State value.

    Source: RFC 6665 section 8.2.3.
    """

    state: str = "active"
    """Lower case; ``active`` when the header is missing."""
    reason: str = ""
    expires: int | None = None
    retry_after: int | None = None


def parse_event(text: str | None) -> EventId:
    """Read an Event value; anything is accepted."""
    first, _, rest = (text or "").partition(";")
    if "=" in first:
        first, rest = "", text or ""
    return EventId(first.strip(), _parameters(rest).get("id") or "")


def parse_status(text: str | None) -> SubscriptionStatus:
    """Read a Subscription-State value; anything is accepted."""
    state, _, rest = (text or "").partition(";")
    parameters = _parameters(rest)
    return SubscriptionStatus(
        state=state.strip().lower() or "active",
        reason=(parameters.get("reason") or "").lower(),
        expires=_seconds(parameters.get("expires")),
        retry_after=_seconds(parameters.get("retry-after")),
    )


def is_same_event(ours: EventId, theirs: EventId) -> bool:
    """Tell whether two Event values name one subscription; packages are compared without case."""
    return ours.id == theirs.id and ours.package.lower() == theirs.package.lower()


def _parameters(text: str) -> dict[str, str | None]:
    return parse_parameters(text) if text.strip() else {}


def _seconds(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else None
