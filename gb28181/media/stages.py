"""Stages: how far a media session has come, when it came there, and the reasons why it ends."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

_MOST = 64
"""Entries kept of one session: a viewer may pause and go on as often as he likes."""


class Stage(Enum):
    """How far a session has come, in the order in which a good one passes them."""

    OPENING = "opening"
    """A media port is being opened; nothing was sent."""
    ASKED = "asked"
    """The INVITE was sent."""
    TRYING = "trying"
    """100 came: somebody has it."""
    RINGING = "ringing"
    """Another provisional answer came."""
    ANSWERED = "answered"
    """200 came."""
    ACKNOWLEDGED = "acknowledged"
    """ACK was sent; media is due."""
    TRANSPORT = "transport up"
    """The TCP connection for media stands, or a first packet came, right or wrong."""
    SSRC = "SSRC right"
    """A packet was let in: it has the SSRC agreed on, or one that is accepted in its place."""
    UNDERSTOOD = "stream understood"
    """The coding is known and a first unit was put together."""
    KEY = "first key frame"
    FLOWING = "flowing"
    PAUSED = "paused"
    """A playback that the viewer has stopped for a while."""
    ENDING = "ending"
    """BYE was sent, or came."""
    ENDED = "ended"


class Reason(StrEnum):
    """Why a session ended, or never stood: the codes of its causes."""

    UNKNOWN_CHANNEL = "unknown-channel"
    OFFLINE = "offline"
    NO_RESOURCES = "no-resources"
    NO_ANSWER = "no-answer"
    REJECTED = "rejected"
    """With ``-`` and the status."""
    UNREACHABLE = "unreachable"
    BAD_ANSWER = "bad-answer"
    TRANSPORT_MISMATCH = "transport-mismatch"
    TCP_REFUSED = "tcp-refused"
    NO_CONNECTION = "no-connection"
    ACK_LOST = "ack-lost"
    NO_PACKET = "no-packet"
    WRONG_SSRC = "wrong-ssrc"
    WRONG_SOURCE = "wrong-source"
    GARBAGE = "garbage"
    NOT_UNDERSTOOD = "not-understood"
    NO_KEY_FRAME = "no-key-frame"
    MEDIA_STOPPED = "media-stopped"
    ADDRESS_CHANGED = "address-changed"
    CONNECTION_LOST = "media-connection-lost"
    WORKER_LOST = "media-worker-lost"
    BYE = "bye"
    DIALOG_LOST = "dialog-lost"
    REGISTERED_ELSEWHERE = "registered-elsewhere"
    END_OF_RECORDING = "end-of-recording"
    NO_READER = "no-reader"
    CANCELLED = "cancelled"
    SHUTDOWN = "shutdown"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Reached:
    """One entry of a timeline."""

    stage: Stage
    time: float
    """By the loop's clock."""
    detail: str = ""


class Timeline:
    """The stages of one session, each with its time; what logs, status pages and causes show."""

    def __init__(self, now: float) -> None:
        self.entries: list[Reached] = [Reached(Stage.OPENING, now)]

    @property
    def stage(self) -> Stage:
        """The last stage reached."""
        return self.entries[-1].stage

    def reach(self, stage: Stage, now: float, detail: str = "") -> None:
        """Note a stage. The one reached already is not noted again."""
        if stage is self.stage:
            return
        if len(self.entries) >= _MOST:
            del self.entries[_MOST // 2]  # the beginning and the end say the most
        self.entries.append(Reached(stage, now, detail))

    def when(self, stage: Stage) -> float | None:
        """When a stage was first reached."""
        return next((entry.time for entry in self.entries if entry.stage is stage), None)

    def since_asked(self) -> list[tuple[str, float, str]]:
        """Stage, seconds since the INVITE, and detail of each entry."""
        asked = self.when(Stage.ASKED)
        start = self.entries[0].time if asked is None else asked
        return [(one.stage.value, round(one.time - start, 3), one.detail) for one in self.entries]

    def __str__(self) -> str:
        return ", ".join(
            f"{stage} {after:.3f}" + (f" ({detail})" if detail else "")
            for stage, after, detail in self.since_asked()
        )
