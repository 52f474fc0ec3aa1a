"""Playback control as text: the requests and answers that INFO carries within a dialog."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from .errors import Gb28181Error

CONTENT_TYPE = "Application/MANSRTSP"
"""What the standard calls such a body. Source: 2022 9.8.2, Annex B."""
MAX_SIZE = 8 * 1024
"""A body longer than this is refused."""
MAX_SCALE = 256.0
"""A speed beyond this, either way, is no speed."""

OK = 200
BAD_REQUEST = 400
INVALID_RANGE = 457
"""The Range is not within the recording. Source: RFC 2326 section 11.3.8."""
NOT_VALID_NOW = 455
"""The method is not valid in this state. Source: RFC 2326 section 11.3.6."""
NOT_IMPLEMENTED = 501

_REASONS = {
    OK: "OK",
    BAD_REQUEST: "Bad Request",
    NOT_VALID_NOW: "Method Not Valid in This State",
    INVALID_RANGE: "Invalid Range",
    NOT_IMPLEMENTED: "Not Implemented",
}
_RTSP = "RTSP/1.0"
_LONGEST = 10 * 365 * 86_400.0  # seconds; no recording is ten years long
_SMPTE_RATE = 30


class Now(Enum):
    """The start of a range that begins where playback stands."""

    NOW = "now"


NOW = Now.NOW

Moment = float | datetime
"""A place in a recording: seconds from its start, or an absolute time with its zone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """Go on: here, from somewhere else, or at another speed.

    Source: GB/T 28181-2016 B.2.1 to B.2.4, GB/T 28181-2022 B.2.8 (reverse).
    """

    range_start: Moment | Now | None = None
    """Seconds from the start of the recording that was asked for; ``NOW`` after a pause; None
    without a Range."""
    range_end: Moment | None = None
    """Where to stop; before the start when playing in reverse. None: at the end."""
    scale: float | None = None
    """Speed, negative for reverse; None leaves it as it is."""
    cseq: int | None = None
    version: str = _RTSP
    """``RTSP/1.0``, or ``MANSRTSP/1.0`` of 1.0-era peers; answers repeat it."""

    def to_bytes(self) -> bytes:
        """Write the request."""
        lines = _heading("PLAY", self)
        if self.scale is not None:
            lines.append(f"Scale: {_scale_text(self.scale)}")
        if self.range_start is not None:
            lines.append(f"Range: {_range_text(self.range_start, self.range_end)}")
        return _text(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Stop sending and keep everything. Source: 2016 B.2.2."""

    cseq: int | None = None
    version: str = _RTSP

    def to_bytes(self) -> bytes:
        """Write the request."""
        return _text([*_heading("PAUSE", self), "PauseTime: now"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Teardown:
    """Stop and end; the BYE still follows. Source: 2016 B.2.5."""

    cseq: int | None = None
    version: str = _RTSP

    def to_bytes(self) -> bytes:
        """Write the request."""
        return _text(_heading("TEARDOWN", self))


Control = Play | Pause | Teardown


@dataclass(frozen=True, slots=True, kw_only=True)
class RtpInfo:
    """The first packet after a jump. Source: RFC 2326 section 12.33, 2022 B.2.1."""

    sequence_number: int
    timestamp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a request; the body is optional in the SIP answer."""

    status: int = OK
    reason: str = ""
    """The usual text of the status when empty."""
    cseq: int | None = None
    range_start: Moment | None = None
    """Where playback stands now."""
    range_end: Moment | None = None
    scale: float | None = None
    """The speed that was really taken."""
    rtp_info: RtpInfo | None = None
    version: str = _RTSP

    def to_bytes(self) -> bytes:
        """Write the answer."""
        reason = self.reason or _REASONS.get(self.status, "Error")
        lines = [f"{self.version} {self.status} {reason}"]
        if self.cseq is not None:
            lines.append(f"CSeq: {self.cseq}")
        if self.scale is not None:
            lines.append(f"Scale: {_scale_text(self.scale)}")
        if self.range_start is not None:
            lines.append(f"Range: {_range_text(self.range_start, self.range_end)}")
        if self.rtp_info is not None:
            info = self.rtp_info
            lines.append(f"RTP-Info: seq={info.sequence_number};rtptime={info.timestamp}")
        return _text(lines)


class MalformedMansrtsp(Gb28181Error):
    """A body that is no playback control, or asks for what does not exist.

    Attributes:
        answer: What to answer when the request was understood so far; None when it was not, so
            that the INFO itself is to be refused.
    """

    def __init__(self, sentence: str, answer: Answer | None = None) -> None:
        super().__init__(sentence)
        self.answer = answer


def parse_control(body: bytes) -> Control:
    """Read a request in any dialect that was seen.

    Bare LF, lower case, a URI in the request line, ``MANSRTSP/1.0``, ``ntp=`` for ``npt=``, hours
    and minutes, SMPTE and absolute times are taken; unknown headers are skipped.

    Raises:
        MalformedMansrtsp: It is none; ``answer`` says whether the method was understood.
    """
    first, headers = _split(body)
    words = first.split()
    version = words[-1].upper()
    if not _VERSION.fullmatch(version):
        if words[-1].upper() not in _METHODS:
            raise MalformedMansrtsp(f"{first[:60]!r} is no request line")
        version = _RTSP
    cseq = _cseq(headers.get("cseq"))
    method = words[0].upper()
    if method == "PAUSE":
        return Pause(cseq=cseq, version=version)
    if method == "TEARDOWN":
        return Teardown(cseq=cseq, version=version)
    if method != "PLAY":
        refusal = Answer(status=NOT_IMPLEMENTED, cseq=cseq, version=version)
        raise MalformedMansrtsp(f"the method {method[:20]} is not known", refusal)
    return _play(headers, cseq, version)


def parse_answer(body: bytes) -> Answer:
    """Read an answer; what cannot be read of its headers counts as absent.

    Raises:
        MalformedMansrtsp: It does not begin with a status line.
    """
    first, headers = _split(body)
    match = _STATUS_LINE.fullmatch(first)
    if match is None:
        raise MalformedMansrtsp(f"{first[:60]!r} is no status line")
    start: Moment | Now | None = None
    end: Moment | None = None
    scale: float | None = None
    with suppress(ValueError):
        start, end = _range(headers.get("range"))
    with suppress(ValueError):
        scale = _scale(headers.get("scale"))
    return Answer(
        status=int(match[2]),
        reason=(match[3] or "").strip(),
        cseq=_cseq(headers.get("cseq")),
        range_start=None if isinstance(start, Now) else start,
        range_end=end,
        scale=scale,
        rtp_info=_rtp_info(headers.get("rtp-info", "")),
        version=match[1].upper(),
    )


_METHODS = frozenset({"PLAY", "PAUSE", "TEARDOWN"})
_VERSION = re.compile(r"(?:MANS)?RTSP/\d\.\d")
_STATUS_LINE = re.compile(r"((?:MANS)?RTSP/\d\.\d) +([1-5]\d\d)(?: +(.*))?", re.IGNORECASE)
_NUMBER = re.compile(r"\d{1,12}(?:\.\d{0,9})?", re.ASCII)
_SIGNED = re.compile(r"[+-]?\d{1,6}(?:\.\d{0,9})?", re.ASCII)
_HOURS = re.compile(r"(\d{1,5}):(\d{1,2}):(\d{1,2})(\.\d{0,9})?", re.ASCII)
_FRAMES = re.compile(r"(\d{1,5}):(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.\d{0,2})?)?", re.ASCII)
_CLOCK = re.compile(r"(\d{8})T(\d{6})(\.\d{1,6})?\d*Z?", re.ASCII | re.IGNORECASE)
_SEQUENCE = re.compile(r"\bseq *= *(\d{1,5})\b", re.ASCII | re.IGNORECASE)
_TIMESTAMP = re.compile(r"\brtptime *= *(\d{1,10})\b", re.ASCII | re.IGNORECASE)


def _heading(method: str, request: Control) -> list[str]:
    lines = [f"{method} {request.version}"]
    if request.cseq is not None:
        lines.append(f"CSeq: {request.cseq}")
    return lines


def _text(lines: list[str]) -> bytes:
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "replace")


def _scale_text(scale: float) -> str:
    return f"{scale:.6f}".rstrip("0") + ("0" if scale == int(scale) else "")


def _range_text(start: Moment | Now, end: Moment | None) -> str:
    if isinstance(start, datetime):
        return f"clock={_moment_text(start)}-{_moment_text(end)}"
    return f"npt={'now' if isinstance(start, Now) else _moment_text(start)}-{_moment_text(end)}"


def _moment_text(moment: Moment | None) -> str:
    if moment is None:
        return ""
    if isinstance(moment, datetime):
        text = moment.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%f").rstrip("0").rstrip(".")
        return f"{text}Z"
    return f"{moment:.3f}".rstrip("0").rstrip(".")


def _split(body: bytes) -> tuple[str, dict[str, str]]:
    """The first line, and the headers by lower-case name; the first of a name counts."""
    if len(body) > MAX_SIZE:
        raise MalformedMansrtsp(f"the body has {len(body)} bytes, more than {MAX_SIZE}")
    text = body.decode("utf-8", "replace").replace("\r", "\n").replace("\0", "")
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if not lines:
        raise MalformedMansrtsp("the body is empty")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers.setdefault(name.strip().lower(), value.strip())
    return lines[0], headers


def _play(headers: dict[str, str], cseq: int | None, version: str) -> Play:
    try:
        scale = _scale(headers.get("scale"))
    except ValueError as error:
        refusal = Answer(status=BAD_REQUEST, cseq=cseq, version=version)
        raise MalformedMansrtsp(str(error), refusal) from None
    try:
        start, end = _range(headers.get("range"))
    except ValueError as error:
        refusal = Answer(status=INVALID_RANGE, cseq=cseq, version=version)
        raise MalformedMansrtsp(str(error), refusal) from None
    return Play(range_start=start, range_end=end, scale=scale, cseq=cseq, version=version)


def _cseq(text: str | None) -> int | None:
    digits = (text or "").split(" ")[0]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 10 else None


def _scale(text: str | None) -> float | None:
    if text is None:
        return None
    value = float(text) if _SIGNED.fullmatch(text) else 0.0
    if not 0.0 < abs(value) <= MAX_SCALE:
        raise ValueError(f"{text[:40]!r} is no speed")
    return value


def _range(text: str | None) -> tuple[Moment | Now | None, Moment | None]:
    """Read a Range: ``npt=``, ``ntp=``, ``smpte=``, ``clock=``, or without a unit."""
    if text is None:
        return None, None
    unit, equals, span = text.partition(";")[0].rpartition("=")
    first, dash, last = span.replace(" ", "").partition("-")
    if not dash and not first:
        raise ValueError(f"{text[:40]!r} is no range")
    read = _UNITS.get(unit.strip().lower().split("-")[0] if equals else "npt")
    if read is None:
        raise ValueError(f"ranges in {unit[:20]!r} are not known")
    start: Moment | Now = NOW if first.lower() in ("now", "") else read(first)
    return start, read(last) if last else None


def _seconds(text: str) -> float:
    """Source: RFC 2326 section 3.6 (npt-sec, npt-hhmmss)."""
    hours = _HOURS.fullmatch(text)
    if hours is not None:
        return _bounded(_clockwise(hours) + float(f"0{hours[4] or '.0'}0"))
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no number of seconds")
    return _bounded(float(text))


def _smpte(text: str) -> float:
    """Source: RFC 2326 section 3.5; frames count as thirtieths."""
    match = _FRAMES.fullmatch(text)
    if match is None:
        return _seconds(text)
    return _bounded(_clockwise(match) + int(match[4] or 0) / _SMPTE_RATE)


def _clock(text: str) -> datetime:
    """Source: RFC 2326 section 3.7; always UTC."""
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is no absolute time")
    moment = datetime.strptime(match[1] + match[2], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    return moment.replace(microsecond=int((match[3] or ".0")[1:].ljust(6, "0")))


_UNITS: dict[str, Callable[[str], Moment]] = {
    "npt": _seconds,
    "ntp": _seconds,
    "smpte": _smpte,
    "clock": _clock,
}


def _clockwise(match: re.Match[str]) -> float:
    return int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3])


def _bounded(seconds: float) -> float:
    if seconds > _LONGEST:
        raise ValueError(f"{seconds:.0f} s is longer than any recording")
    return seconds


def _rtp_info(text: str) -> RtpInfo | None:
    number, ticks = _SEQUENCE.search(text), _TIMESTAMP.search(text)
    if number is None or ticks is None:
        return None
    return RtpInfo(sequence_number=int(number[1]) & 0xFFFF, timestamp=int(ticks[1]) & 0xFFFF_FFFF)
