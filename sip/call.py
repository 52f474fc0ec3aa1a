"""A call as two tables: the side that sent the INVITE, and the side that answers it."""

from enum import Enum, auto


class CallState(Enum):
    """Where a call is."""

    CALLING = auto()
    EARLY = auto()
    CANCEL_PENDING = auto()
    CANCELLING = auto()
    ANSWERED = auto()
    RINGING = auto()
    ACCEPTED = auto()
    LEAVING_UNACKNOWLEDGED = auto()
    CONFIRMED = auto()
    LEAVING = auto()
    ENDED = auto()


class CallInput(Enum):
    """What can happen to a call."""

    PROVISIONAL = auto()
    SUCCESS = auto()
    FAILURE = auto()
    TIMEOUT = auto()
    FLOW_LOST = auto()
    CANCEL = auto()
    SEND_ACK = auto()
    BYE = auto()
    PEER_CANCEL = auto()
    PEER_ACK = auto()
    PEER_BYE = auto()
    BYE_DONE = auto()
    DEAD = auto()
    SEND_PROVISIONAL = auto()
    SEND_SUCCESS = auto()
    SEND_FAILURE = auto()
    GIVE_UP = auto()
    REPEAT = auto()
    NO_ACK = auto()
    UNANSWERED = auto()


class CallAction(Enum):
    """What a row asks for."""

    OPEN_DIALOG = auto()
    SEND_ACK = auto()
    REPEAT_ACK = auto()
    SEND_BYE = auto()
    SEND_CANCEL = auto()
    START_GIVE_UP = auto()
    ABANDON = auto()
    RESPOND = auto()
    REPEAT_ANSWER = auto()
    START_REPEAT = auto()
    DOUBLE_REPEAT = auto()
    START_NO_ACK = auto()
    STOP_TIMERS = auto()
    REFUSE_487 = auto()
    REFUSE_408 = auto()
    REPORT_PROGRESS = auto()
    REPORT_ANSWER = auto()
    REPORT_REFUSED = auto()
    REPORT_TIMEOUT = auto()
    REPORT_FLOW_LOST = auto()
    REPORT_CANCELLED = auto()
    REPORT_ACK = auto()
    REPORT_NO_ACK = auto()
    REPORT_LEFT = auto()
    REPORT_REMOTE_BYE = auto()
    REPORT_DEAD = auto()
    RELEASE = auto()


CallTable = dict[tuple[CallState, CallInput], tuple[CallState, tuple[CallAction, ...]]]

_S, _I, _A = CallState, CallInput, CallAction
_REFUSED = (_S.ENDED, (_A.STOP_TIMERS, _A.REPORT_REFUSED, _A.RELEASE))
_TIMED_OUT = (_S.ENDED, (_A.STOP_TIMERS, _A.REPORT_TIMEOUT, _A.RELEASE))
_LOST = (_S.ENDED, (_A.STOP_TIMERS, _A.REPORT_FLOW_LOST, _A.RELEASE))
_PEER_LEFT = (_S.ENDED, (_A.STOP_TIMERS, _A.REPORT_REMOTE_BYE, _A.RELEASE))
_DEAD = (_S.ENDED, (_A.STOP_TIMERS, _A.REPORT_DEAD, _A.RELEASE))
_LATE_ANSWER = (
    _S.LEAVING,
    # RFC 3261 section 9.1: the 200 crossed the CANCEL; the call is up and has to be ended.
    (_A.STOP_TIMERS, _A.OPEN_DIALOG, _A.SEND_ACK, _A.REPORT_TIMEOUT, _A.SEND_BYE),
)

# The caller, RFC 3261 sections 9.1 and 13.2.
OUTGOING: CallTable = {
    (_S.CALLING, _I.PROVISIONAL): (_S.EARLY, (_A.REPORT_PROGRESS,)),
    (_S.CALLING, _I.SUCCESS): (_S.ANSWERED, (_A.OPEN_DIALOG, _A.REPORT_ANSWER)),
    (_S.CALLING, _I.FAILURE): _REFUSED,
    (_S.CALLING, _I.TIMEOUT): _TIMED_OUT,
    (_S.CALLING, _I.FLOW_LOST): _LOST,
    (_S.CALLING, _I.CANCEL): (_S.CANCEL_PENDING, ()),  # 9.1: not before a provisional answer
    (_S.EARLY, _I.PROVISIONAL): (_S.EARLY, (_A.REPORT_PROGRESS,)),
    (_S.EARLY, _I.SUCCESS): (_S.ANSWERED, (_A.OPEN_DIALOG, _A.REPORT_ANSWER)),
    (_S.EARLY, _I.FAILURE): _REFUSED,
    (_S.EARLY, _I.FLOW_LOST): _LOST,
    (_S.EARLY, _I.CANCEL): (_S.CANCELLING, (_A.SEND_CANCEL, _A.START_GIVE_UP)),
    (_S.CANCEL_PENDING, _I.PROVISIONAL): (_S.CANCELLING, (_A.SEND_CANCEL, _A.START_GIVE_UP)),
    (_S.CANCEL_PENDING, _I.SUCCESS): _LATE_ANSWER,
    (_S.CANCEL_PENDING, _I.FAILURE): _REFUSED,
    (_S.CANCEL_PENDING, _I.TIMEOUT): _TIMED_OUT,
    (_S.CANCEL_PENDING, _I.FLOW_LOST): _LOST,
    (_S.CANCEL_PENDING, _I.CANCEL): (_S.CANCEL_PENDING, ()),
    (_S.CANCELLING, _I.PROVISIONAL): (_S.CANCELLING, ()),
    (_S.CANCELLING, _I.SUCCESS): _LATE_ANSWER,
    (_S.CANCELLING, _I.FAILURE): _REFUSED,
    (_S.CANCELLING, _I.FLOW_LOST): _LOST,
    (_S.CANCELLING, _I.CANCEL): (_S.CANCELLING, ()),
    (_S.CANCELLING, _I.GIVE_UP): (
        _S.ENDED,
        (_A.STOP_TIMERS, _A.ABANDON, _A.REPORT_TIMEOUT, _A.RELEASE),  # 9.1: 64 T1 after CANCEL
    ),
    (_S.ANSWERED, _I.SUCCESS): (_S.ANSWERED, ()),  # our user has not acknowledged yet
    (_S.ANSWERED, _I.SEND_ACK): (_S.CONFIRMED, (_A.SEND_ACK,)),
    (_S.ANSWERED, _I.CANCEL): (_S.LEAVING, (_A.SEND_ACK, _A.REPORT_LEFT, _A.SEND_BYE)),
    (_S.ANSWERED, _I.BYE): (_S.LEAVING, (_A.SEND_ACK, _A.REPORT_LEFT, _A.SEND_BYE)),
    (_S.ANSWERED, _I.PEER_BYE): _PEER_LEFT,
    (_S.ANSWERED, _I.DEAD): _DEAD,
    (_S.CONFIRMED, _I.SUCCESS): (_S.CONFIRMED, (_A.REPEAT_ACK,)),  # 13.2.2.4
    (_S.CONFIRMED, _I.BYE): (_S.LEAVING, (_A.REPORT_LEFT, _A.SEND_BYE)),
    (_S.CONFIRMED, _I.PEER_BYE): _PEER_LEFT,
    (_S.CONFIRMED, _I.DEAD): _DEAD,
    (_S.LEAVING, _I.SUCCESS): (_S.LEAVING, (_A.REPEAT_ACK,)),
    (_S.LEAVING, _I.BYE): (_S.LEAVING, ()),
    (_S.LEAVING, _I.CANCEL): (_S.LEAVING, ()),
    (_S.LEAVING, _I.PEER_BYE): (_S.LEAVING, ()),  # both left at once: 200 and no more
    (_S.LEAVING, _I.BYE_DONE): (_S.ENDED, (_A.STOP_TIMERS, _A.RELEASE)),
    (_S.LEAVING, _I.DEAD): (_S.LEAVING, ()),
    (_S.ENDED, _I.SUCCESS): (_S.ENDED, (_A.REPEAT_ACK,)),
    (_S.ENDED, _I.BYE): (_S.ENDED, ()),
    (_S.ENDED, _I.CANCEL): (_S.ENDED, ()),
}

_NOT_ACCEPTED = (_S.ENDED, (_A.STOP_TIMERS, _A.REPORT_CANCELLED, _A.RELEASE))

# The callee, RFC 3261 sections 9.2, 13.3 and 15.
INCOMING: CallTable = {
    (_S.RINGING, _I.SEND_PROVISIONAL): (_S.RINGING, (_A.RESPOND,)),
    (_S.RINGING, _I.SEND_SUCCESS): (
        _S.ACCEPTED,
        (_A.STOP_TIMERS, _A.RESPOND, _A.OPEN_DIALOG, _A.START_REPEAT, _A.START_NO_ACK),
    ),
    (_S.RINGING, _I.SEND_FAILURE): (_S.ENDED, (_A.STOP_TIMERS, _A.RESPOND, _A.RELEASE)),
    (_S.RINGING, _I.PEER_CANCEL): (
        _S.ENDED,
        (_A.STOP_TIMERS, _A.REFUSE_487, _A.REPORT_CANCELLED, _A.RELEASE),
    ),
    (_S.RINGING, _I.UNANSWERED): (
        _S.ENDED,
        (_A.STOP_TIMERS, _A.REFUSE_408, _A.REPORT_CANCELLED, _A.RELEASE),
    ),
    (_S.RINGING, _I.FLOW_LOST): _NOT_ACCEPTED,
    (_S.ACCEPTED, _I.PEER_CANCEL): (_S.ACCEPTED, ()),  # 9.2: too late, no effect
    (_S.ACCEPTED, _I.PEER_ACK): (_S.CONFIRMED, (_A.STOP_TIMERS, _A.REPORT_ACK)),
    (_S.ACCEPTED, _I.REPEAT): (_S.ACCEPTED, (_A.REPEAT_ANSWER, _A.DOUBLE_REPEAT)),  # 13.3.1.4
    (_S.ACCEPTED, _I.NO_ACK): (
        _S.LEAVING,
        (_A.STOP_TIMERS, _A.REPORT_NO_ACK, _A.REPORT_DEAD, _A.SEND_BYE),  # 13.3.1.4
    ),
    (_S.ACCEPTED, _I.PEER_BYE): _PEER_LEFT,
    (_S.ACCEPTED, _I.DEAD): _DEAD,
    # 15: the callee does not send BYE before the ACK came or was given up.
    (_S.ACCEPTED, _I.BYE): (_S.LEAVING_UNACKNOWLEDGED, (_A.REPORT_LEFT,)),
    (_S.LEAVING_UNACKNOWLEDGED, _I.PEER_CANCEL): (_S.LEAVING_UNACKNOWLEDGED, ()),
    (_S.LEAVING_UNACKNOWLEDGED, _I.BYE): (_S.LEAVING_UNACKNOWLEDGED, ()),
    (_S.LEAVING_UNACKNOWLEDGED, _I.DEAD): (_S.LEAVING_UNACKNOWLEDGED, ()),
    (_S.LEAVING_UNACKNOWLEDGED, _I.PEER_ACK): (_S.LEAVING, (_A.STOP_TIMERS, _A.SEND_BYE)),
    (_S.LEAVING_UNACKNOWLEDGED, _I.NO_ACK): (_S.LEAVING, (_A.STOP_TIMERS, _A.SEND_BYE)),
    (_S.LEAVING_UNACKNOWLEDGED, _I.REPEAT): (
        _S.LEAVING_UNACKNOWLEDGED,
        (_A.REPEAT_ANSWER, _A.DOUBLE_REPEAT),
    ),
    (_S.LEAVING_UNACKNOWLEDGED, _I.PEER_BYE): (_S.ENDED, (_A.STOP_TIMERS, _A.RELEASE)),
    (_S.CONFIRMED, _I.PEER_ACK): (_S.CONFIRMED, ()),
    (_S.CONFIRMED, _I.PEER_CANCEL): (_S.CONFIRMED, ()),
    (_S.CONFIRMED, _I.BYE): (_S.LEAVING, (_A.REPORT_LEFT, _A.SEND_BYE)),
    (_S.CONFIRMED, _I.PEER_BYE): _PEER_LEFT,
    (_S.CONFIRMED, _I.DEAD): _DEAD,
    (_S.LEAVING, _I.PEER_ACK): (_S.LEAVING, ()),
    (_S.LEAVING, _I.PEER_CANCEL): (_S.LEAVING, ()),
    (_S.LEAVING, _I.BYE): (_S.LEAVING, ()),
    (_S.LEAVING, _I.PEER_BYE): (_S.LEAVING, ()),
    (_S.LEAVING, _I.BYE_DONE): (_S.ENDED, (_A.STOP_TIMERS, _A.RELEASE)),
    (_S.LEAVING, _I.DEAD): (_S.LEAVING, ()),
    (_S.ENDED, _I.BYE): (_S.ENDED, ()),
}
