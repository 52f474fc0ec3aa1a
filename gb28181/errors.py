"""The errors that the library raises, all children of ``Gb28181Error``, and their causes."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why something ended, for people and for programs."""

    code: str
    """A stable word: ``expired``, ``keepalive-lost``, ``rejected``, ``no-packet``, ..."""
    sentence: str
    """What happened, where, and what to look at."""
    stage: str = ""
    """For a session: how far it had come."""
    permanent: bool = False
    """Whether trying again is useless."""
    retry_after: float | None = None
    """Seconds that the peer asked to wait before the next try."""
    evidence: dict[str, str] = field(default_factory=dict)
    """What was seen: addresses, counters, status lines."""


class Gb28181Error(Exception):
    """The root of all errors of this package."""


class ConfigError(Gb28181Error):
    """A setting is wrong; the sentence names it."""


class InvalidIdentifier(Gb28181Error):
    """A text is not an identifier of the standard."""


class MalformedSdp(Gb28181Error):
    """A session description cannot be used."""


class MalformedCommand(Gb28181Error):
    """A MANSCDP body cannot be read even after repair."""


class SsrcsExhausted(Gb28181Error):
    """All SSRC values of the domain are in use."""


class PortsExhausted(Gb28181Error):
    """All media ports are in use or in quarantine."""


class DeviceNotOnline(Gb28181Error):
    """The device is not registered, or its flow is lost."""

    def __init__(self, device_id: str, sentence: str = "is not registered") -> None:
        super().__init__(f"{device_id} {sentence}")
        self.device_id = device_id


class RequestRejected(Gb28181Error):
    """The peer answered a request with a final status that is not a success."""

    def __init__(self, sentence: str, *, status: int, reason: str) -> None:
        super().__init__(f"{sentence}: {status} {reason}")
        self.status = status
        self.reason = reason


class NoAnswer(Gb28181Error):
    """The peer did not answer in time."""


class AnswerMissing(NoAnswer):
    """The peer took a command, and the answer that the standard demands did not come."""


class NotSupported(Gb28181Error):
    """The device cannot do that: by its edition, or it showed before. Nothing was sent."""

    def __init__(self, device_id: str, feature: str, *, evidence: str) -> None:
        super().__init__(f"{device_id} does not support {feature}: {evidence}")
        self.device_id = device_id
        self.feature = feature
        self.evidence = evidence


class CommandFailed(Gb28181Error):
    """The device answered a command with Result ERROR."""

    def __init__(self, sentence: str, *, result: str) -> None:
        super().__init__(f"{sentence}: {result}")
        self.result = result


class AnswerIncomplete(Gb28181Error):
    """An answer in several parts did not arrive whole."""

    def __init__(self, sentence: str, *, received: int, expected: int) -> None:
        super().__init__(f"{sentence}: {received} of {expected} items")
        self.received = received
        self.expected = expected


class MediaTimeout(Gb28181Error):
    """The session stands but no media arrives."""


class MediaConnectionLost(MediaTimeout):
    """The TCP connection that carried media has broken."""


class MediaWorkerLost(MediaTimeout):
    """The process that the media was in has died; it is started again."""


class SessionLost(Gb28181Error):
    """A media session could not be set up, or has ended without being asked to."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.sentence)
        self.cause = cause


class RoleFailed(Gb28181Error):
    """Something that a role cannot live without has died; the cause is chained."""


class PlatformFailed(RoleFailed):
    """The platform's endpoint has died."""
