"""The errors of the SIP package."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .message import Request, Response


class SipError(Exception):
    """The root of all errors of this package."""


class LocalProtocolError(SipError):
    """The caller asked for what the state or the grammar forbids."""


class RemoteProtocolError(SipError):
    """The peer broke the protocol."""

    def __init__(self, message: str, *, status: int = 400, reason: str = "Bad Request") -> None:
        super().__init__(message)
        self.status = status
        """The status to answer with."""
        self.reason = reason
        """The reason phrase to answer with."""


class MalformedMessage(RemoteProtocolError):
    """Bytes that are not a SIP message, or not one that can be acted on."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        reason: str = "Bad Request",
        request: Request | None = None,
        is_fatal: bool = False,
    ) -> None:
        super().__init__(message, status=status, reason=reason)
        self.request = request
        """The request as far as it was understood, when an answer can be written to it."""
        self.is_fatal = is_fatal
        """The frame boundary of the stream is lost: answer if possible, then close."""
        self.raw = b""
        """What it was read from, in a stream."""


class TransactionTimeout(SipError):
    """No final response within the life of the transaction or the caller's limit."""


class FlowFailed(SipError):
    """The flow could not be opened, broke, or the endpoint was closed."""


class CallRejected(SipError):
    """An INVITE was answered with a final status of 300 or above."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"the call was rejected: {response.status} {response.reason}")
        self.response = response


class SubscriptionRejected(SipError):
    """A SUBSCRIBE was answered with a final status of 300 or above."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"the subscription was rejected: {response.status} {response.reason}")
        self.response = response


class CallCancelled(SipError):
    """The caller took an INVITE back before it was accepted."""


class UnsupportedChallenge(SipError):
    """No challenge of the peer can be answered: scheme, algorithm or qop are unknown here."""
