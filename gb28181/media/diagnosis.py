"""Diagnosis: turns what a session saw into the one reason why it failed, and a sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sip.errors import CallRejected, FlowFailed, TransactionTimeout

from ..errors import (
    Cause,
    MalformedSdp,
    MediaConnectionLost,
    MediaTimeout,
    MediaWorkerLost,
    SessionLost,
)
from .stages import Reason, Stage

if TYPE_CHECKING:
    from sip.message import Response

    from .session import MediaSession

_PERMANENT = frozenset({400, 403, 404, 405, 410, 415, 488, 604, 606})
_LONGEST_WAIT = 300.0
"""Seconds that a peer can make us wait by Retry-After."""
_REPEATS = 2
"""A 2xx that comes so often again says that its sender has no ACK."""

Told = tuple[Reason, str]


def cause_of(session: MediaSession, error: BaseException) -> Cause:
    """Turn what ended a session into a cause, with all that was seen."""
    if isinstance(error, SessionLost):
        return error.cause
    if isinstance(error, CallRejected):
        return refused(session, error.response)
    reason, sentence = _told(session, error)
    return made(session, reason, sentence)


def made(
    session: MediaSession,
    code: str,
    sentence: str,
    *,
    permanent: bool = False,
    retry_after: float | None = None,
    **evidence: str,
) -> Cause:
    """A cause of this session as it stands, with its evidence."""
    return Cause(
        code=str(code),
        sentence=f"{session.channel_id}: {sentence}",
        stage=session.stage.value,
        permanent=permanent,
        retry_after=retry_after,
        evidence=session.evidence() | {name: fact for name, fact in evidence.items() if fact},
    )


def of_both(first: Cause, second: Cause) -> Cause:
    """The cause of a first try, which says the most, with what became of the second."""
    way = second.evidence.get("mode", "the other way")
    return replace(
        first,
        sentence=f"{first.sentence}; then over {way}: {second.code}",
        evidence=first.evidence | {"second try": second.sentence},
    )


def refused(session: MediaSession, response: Response) -> Cause:
    """The INVITE met a final answer of 300 or above."""
    status = response.status
    warning = response.headers.get("Warning") or ""
    sentence = f"refused the INVITE: {status} {response.reason}"
    return made(
        session,
        f"{Reason.REJECTED}-{status}",
        sentence + (f" ({warning})" if warning else "") + _advice(status),
        permanent=status in _PERMANENT or _says_never(warning),
        retry_after=_retry_after(response),
    )


def _advice(status: int) -> str:
    match status:
        case 404:
            return "; it does not know this channel: ask for its catalogue again"
        case 486 | 600:
            return "; all its sessions are in use, or one of an earlier run still stands there"
        case 488 | 606:
            return "; it takes neither the transport nor the codings that were offered"
        case 401 | 403 | 407:
            return "; it does not let us"
        case _ if status >= 500:
            return "; the fault is on its side"
    return ""


def _says_never(warning: str) -> bool:
    """Warn codes 300 to 307 speak of what was offered: it will not do the next time either.

    Source: RFC 3261 section 20.43.
    """
    code = warning.split(" ", 1)[0]
    return code.isascii() and code.isdigit() and 300 <= int(code[:4]) <= 307


def _retry_after(response: Response) -> float | None:
    text = (response.headers.get("Retry-After") or "").split("(")[0].split(";")[0].strip()
    if not (text.isascii() and text.isdigit()):
        return None
    return min(_LONGEST_WAIT, float(text[:6]))


def _told(session: MediaSession, error: BaseException) -> Told:
    match error:
        case TransactionTimeout():
            return Reason.NO_ANSWER, _no_answer(session)
        case FlowFailed():
            return Reason.UNREACHABLE, f"the way to it broke: {error}"
        case MalformedSdp():
            return Reason.BAD_ANSWER, f"the SDP of its answer cannot be used: {error}"
        case MediaConnectionLost():
            return Reason.CONNECTION_LOST, str(error)
        case MediaWorkerLost():
            return Reason.WORKER_LOST, str(error)
        case MediaTimeout() if session.timeline.when(Stage.SSRC) is not None:
            return _stopped(session, error)
        case MediaTimeout():
            return _never_came(session, error)
        case ConnectionRefusedError():
            return Reason.TCP_REFUSED, f"it refused the TCP connection for media: {error}"
        case OSError():
            return Reason.NO_CONNECTION, f"no TCP connection for media: {error}"
    return Reason.FAULT, str(error) or type(error).__name__


def _no_answer(session: MediaSession) -> str:
    within = f"within {session.plan.answer_timeout:g} s"
    if session.last_status:
        return f"no final answer to the INVITE {within}; the last was {session.last_status}"
    return f"no answer to the INVITE {within}, not even 100"


def _stopped(session: MediaSession, error: BaseException) -> Told:
    """Media came once, and no more."""
    seen = session.receiver.statistics
    elsewhere = seen.foreign_source + seen.foreign_ssrc - session.foreign_at_first
    if elsewhere > 0 and seen.foreign_source:
        return (
            Reason.ADDRESS_CHANGED,
            f"media from {_address(seen.source)} stopped, and packets came {seen.last_foreign}",
        )
    return Reason.MEDIA_STOPPED, str(error)


def _never_came(session: MediaSession, error: BaseException) -> Told:
    """The session stands and no packet of it was let in."""
    receiver, mode = session.receiver, session.plan.mode
    seen = receiver.statistics
    port = receiver.local[1]
    if isinstance(error.__cause__, ConnectionRefusedError):
        return Reason.TCP_REFUSED, f"it refused the TCP connection for media: {error}"
    if mode == "tcp-active" and isinstance(error.__cause__, OSError):
        return Reason.NO_CONNECTION, str(error)
    if seen.foreign_ssrc:
        return (
            Reason.WRONG_SSRC,
            f"media came with a wrong SSRC: {seen.foreign_ssrc} packets, the last "
            f"{seen.last_foreign}, and {session.expected_ssrc} was agreed on",
        )
    if seen.foreign_source:
        return (
            Reason.WRONG_SOURCE,
            f"media came from elsewhere than answered: {seen.foreign_source} packets, the last "
            f"{seen.last_foreign}, and {session.expected_host} was said",
        )
    if seen.garbage:
        return Reason.GARBAGE, f"{seen.garbage} packets came to port {port}, and none is RTP"
    if session.ack_repeats >= _REPEATS:
        return (
            Reason.ACK_LOST,
            f"no media, and it repeated its 200 {session.ack_repeats} times: our ACK to "
            f"{session.evidence().get('sip to', 'it')} does not arrive",
        )
    if mode == "tcp-passive" and receiver.contact_at is None:
        return (
            Reason.NO_CONNECTION,
            f"it did not connect to {session.plan.advertised_host}:{port} for media: is the port "
            "open from there?",
        )
    return (
        Reason.NO_PACKET,
        f"no packet came to {session.plan.advertised_host}:{port} ({mode}): is the port open from "
        "there, and is this the address it can reach?",
    )


def _address(source: tuple[str, int] | None) -> str:
    return "its address" if source is None else f"{source[0]}:{source[1]}"
