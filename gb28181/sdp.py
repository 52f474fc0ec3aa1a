"""Session descriptions as the standard writes them: SDP with the lines ``y=`` and ``f=``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import ip_address
from types import MappingProxyType

from .errors import InvalidIdentifier, MalformedSdp
from .ssrc import Ssrc, format_ssrc, parse_ssrc

MAX_SIZE = 64 * 1024
"""A description longer than this is refused."""

# Seconds from 1900 to 1970. RFC 4566 counts t= from 1900, the standard's senders from 1970.
_NTP_OFFSET = 2_208_988_800
_NTP_FLOOR = _NTP_OFFSET + 1_000_000_000

_DIRECTIONS = frozenset({"recvonly", "sendonly", "sendrecv", "inactive"})
_ENCODINGS = MappingProxyType(
    {0: "PCMU", 4: "G723", 8: "PCMA", 9: "G722", 18: "G729", 20: "SVACA", 96: "PS"}
)
_TRANSPORT = re.compile(r"(?:(TCP/)|UDP/)?RTP(?:/S?AVPF?)?(?:(/TCP)|/UDP)?\Z", re.IGNORECASE)
# A name of another shape cannot be resolved: the resolver raises what is no OSError.
_NAME = re.compile(r"(?:[0-9A-Za-z_-]{1,63}\.)*[0-9A-Za-z_-]{1,63}\.?\Z")
_FORMAT = re.compile(r"(?:v/?([^a]*))?(?:a/?(.*))?\Z", re.IGNORECASE)


class MediaTransport(Enum):
    """What carries the RTP packets."""

    UDP = "RTP/AVP"
    TCP = "TCP/RTP/AVP"


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """One payload type of the ``m=`` line.

    Source: GB/T 28181-2022 Annex C, Annex G.
    """

    number: int
    name: str = ""
    """The value of ``a=rtpmap``, such as ``PS/90000``; empty when there is none."""
    parameters: str = ""
    """The value of ``a=fmtp``."""

    @property
    def encoding(self) -> str:
        """The encoding in capitals: ``PS``, ``H264``, ``PCMA``; empty when it is not known.

        99 has no default: SVAC in the standard, H.265 in practice.
        """
        name = self.name.partition("/")[0].strip().upper()
        return name or _ENCODINGS.get(self.number, "")


PS = Payload(number=96, name="PS/90000")
PCMA = Payload(number=8, name="PCMA/8000")


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaFormat:
    """The ``f=`` line: wishes in an offer, facts in an answer. Empty text: not stated.

    Source: GB/T 28181-2022 Annex G, 2016 Annex F.
    """

    video_codec: str = ""
    """1 MPEG-4, 2 H.264, 3 SVAC, 4 3GP, 5 H.265."""
    resolution: str = ""
    """1 QCIF, 2 CIF, 3 4CIF, 4 D1, 5 720P, 6 1080P, else width x height."""
    frame_rate: str = ""
    bit_rate_type: str = ""
    """1 constant, 2 variable."""
    bit_rate: str = ""
    """Kilobits per second."""
    audio_codec: str = ""
    """1 G.711, 2 G.723.1, 3 G.729, 4 G.722.1, 5 SVAC, 6 AAC."""
    audio_bit_rate: str = ""
    audio_sampling: str = ""

    @classmethod
    def parse(cls, text: str) -> MediaFormat | None:
        """Read the value of an ``f=`` line; parts may be missing. ``None`` when it is no format."""
        match = _FORMAT.match("".join(text.split()))
        if match is None or not any(match.groups()):
            return None
        video = (*(match[1] or "").split("/"), *[""] * 5)[:5]
        audio = (*(match[2] or "").split("/"), *[""] * 3)[:3]
        return cls(
            video_codec=video[0],
            resolution=video[1],
            frame_rate=video[2],
            bit_rate_type=video[3],
            bit_rate=video[4],
            audio_codec=audio[0],
            audio_bit_rate=audio[1],
            audio_sampling=audio[2],
        )

    def __str__(self) -> str:
        video = (
            self.video_codec,
            self.resolution,
            self.frame_rate,
            self.bit_rate_type,
            self.bit_rate,
        )
        audio = (self.audio_codec, self.audio_bit_rate, self.audio_sampling)
        return f"v/{'/'.join(video)}a/{'/'.join(audio)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDescription:
    """An offer or an answer with its one media line.

    Source: GB/T 28181-2022 Annex G, 2016 Annex F; RFC 4566.
    """

    origin_id: str
    """The author's own device code. Some platforms write the channel's."""
    address: str
    """Where media goes: the media's own ``c=``, else the session's, else the address of ``o=``."""
    port: int
    """0 declines the media."""
    name: str = "Play"
    """``Play``, ``Playback``, ``Download``, ``Talk``. Answers carry any text."""
    uri: str | None = None
    """``u=``: channel code and record type, for playback and download."""
    start: int = 0
    """Unix seconds; 0 in live sessions."""
    end: int = 0
    kind: str = "video"
    """``video`` (also for mixed media in PS) or ``audio``."""
    transport: MediaTransport = MediaTransport.UDP
    payloads: tuple[Payload, ...] = (PS,)
    direction: str | None = None
    setup: str | None = None
    """The role of this description's author in TCP: ``active`` or ``passive``."""
    connection: str | None = None
    ssrc: Ssrc | None = None
    format: MediaFormat | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Other ``a=`` lines by name; the value is empty where the line has none."""

    @property
    def session(self) -> str:
        """The session name in lower case and without blanks around it, to compare."""
        return self.name.strip().lower()

    @property
    def channel_id(self) -> str | None:
        """The channel of ``u=``; ``None`` without one, or when it is a file's address."""
        if self.uri is None or "//" in self.uri:
            return None
        return self.uri.partition(":")[0].strip() or None

    @property
    def record_type(self) -> int:
        """The type of ``u=``: 0 all, 1 manual, 2 alarm, 3 time. 0 where it is not said."""
        suffix = (self.uri or "").rpartition(":")[2].strip()
        return int(suffix) if self.channel_id and suffix in {"0", "1", "2", "3"} else 0

    def payload(self, encoding: str) -> Payload | None:
        """Find the payload type of an encoding (``PS``, ``PCMA``); ``None`` when not there."""
        return next((p for p in self.payloads if p.encoding == encoding.upper()), None)

    def to_bytes(self) -> bytes:
        """Write the description in the order of the standard's grammar.

        Raises:
            MalformedSdp: A value contains a line break.
        """
        family = "IP6" if ":" in self.address else "IP4"
        numbers = " ".join(str(payload.number) for payload in self.payloads)
        lines = [
            "v=0",
            f"o={self.origin_id} 0 0 IN {family} {self.address}",
            f"s={self.name}",
            *([] if self.uri is None else [f"u={self.uri}"]),
            f"c=IN {family} {self.address}",
            f"t={self.start} {self.end}",
            f"m={self.kind} {self.port} {self.transport.value} {numbers}",
            *(f"a={line}" for line in self._attribute_lines()),
            *([] if self.ssrc is None else [f"y={format_ssrc(self.ssrc)}"]),
            *([] if self.format is None else [f"f={self.format}"]),
        ]
        if any("\r" in line or "\n" in line for line in lines):
            raise MalformedSdp("a value of the description contains a line break")
        return ("\r\n".join(lines) + "\r\n").encode("utf-8", "replace")

    def _attribute_lines(self) -> Iterable[str]:
        if self.direction is not None:
            yield self.direction
        for payload in self.payloads:
            if payload.name:
                yield f"rtpmap:{payload.number} {payload.name}"
            if payload.parameters:
                yield f"fmtp:{payload.number} {payload.parameters}"
        if self.setup is not None:
            yield f"setup:{self.setup}"
        if self.connection is not None:
            yield f"connection:{self.connection}"
        for name, value in self.attributes.items():
            yield f"{name}:{value}" if value else name


def parse_sdp(body: bytes, *, host: str = "") -> SessionDescription:
    """Read a description tolerantly.

    Bare LF is taken for a line end, unknown lines are skipped, ``y=`` and ``f=`` may stand
    anywhere. Of several media over RTP the first video that is not declined is read, else the first
    of all, with its attributes and the session's. An unreadable ``y=`` or ``f=`` counts as absent.
    NTP times become Unix seconds.

    Args:
        body: The description.
        host: The address where the description names none that can be used.

    Raises:
        MalformedSdp: There is no media line, its port or transport cannot be used, or there is no
            address.
    """
    if len(body) > MAX_SIZE:
        raise MalformedSdp(f"the description has {len(body)} bytes, more than {MAX_SIZE}")
    session, medias = _split(_decode(body))
    if not medias:
        raise MalformedSdp("the description has no m= line")
    medias = [m for m in medias if m.transport is not None] or medias
    open_ones = [m for m in medias if m.port] or medias
    media = next((m for m in open_ones if m.kind == "video"), open_ones[0])
    if media.transport is None:
        raise MalformedSdp(f"{media.carrier[:40]} is not a transport of the standard")
    lines = [*session, *(line for m in medias for line in m.lines if line[0] in "yf")]
    origin_id, origin_address = _origin(_first(session, "o"))
    start, end = _times(_first(session, "t"))
    attributes = _Attributes([*media.lines, *session])
    written = (_address(_first(media.lines, "c")), _address(_first(session, "c")), origin_address)
    address = next((one for one in written if one), host)
    if not address:
        raise MalformedSdp("the description has no address")
    return SessionDescription(
        origin_id=origin_id,
        address=address,
        port=media.port,
        name=_first(session, "s").strip(),
        uri=_first(session, "u").strip() or None,
        start=start,
        end=end,
        kind=media.kind,
        transport=media.transport,
        payloads=attributes.payloads(media.numbers),
        direction=attributes.direction,
        setup=attributes.take("setup"),
        connection=attributes.take("connection"),
        ssrc=_ssrc(_first(lines, "y")),
        format=MediaFormat.parse(_first(lines, "f")),
        attributes=attributes.rest,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Media:
    kind: str
    port: int
    carrier: str
    transport: MediaTransport | None
    """``None``: not RTP, so that only another media can be taken."""
    numbers: tuple[int, ...]
    lines: list[tuple[str, str]]


class _Attributes:
    """The ``a=`` lines of a description: the first of a name counts, the media's before others."""

    def __init__(self, lines: Iterable[tuple[str, str]]) -> None:
        self.direction: str | None = None
        self.rest: dict[str, str] = {}
        self._maps: dict[tuple[str, int], str] = {}
        for key, value in lines:
            if key == "a":
                # Small vendors write ``a=rtpmap 96 PS/90000``.
                sign = ":" if ":" in value else " "
                self._add(*(part.strip() for part in value.strip().partition(sign)[::2]))

    def _add(self, name: str, value: str) -> None:
        lower = name.lower()
        if lower in _DIRECTIONS and not value:
            self.direction = self.direction or lower
        elif lower in {"rtpmap", "fmtp"}:
            number, _, text = value.partition(" ")
            if number.isascii() and number.isdigit() and len(number) <= 3:
                self._maps.setdefault((lower, int(number)), text.strip())
        elif name:
            self.rest.setdefault(name, value)

    def take(self, name: str) -> str | None:
        """Remove an attribute, in any case, and return its value in lower case."""
        key = next((key for key in self.rest if key.lower() == name), None)
        return None if key is None else (self.rest.pop(key).lower() or None)

    def payloads(self, numbers: Iterable[int]) -> tuple[Payload, ...]:
        return tuple(
            Payload(
                number=number,
                name=self._maps.get(("rtpmap", number), ""),
                parameters=self._maps.get(("fmtp", number), ""),
            )
            for number in numbers
        )


def _decode(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return body.decode("gb18030", "replace")


def _split(text: str) -> tuple[list[tuple[str, str]], list[_Media]]:
    session: list[tuple[str, str]] = []
    medias: list[_Media] = []
    lines = session
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        key, equals, value = line.strip(" \t\0").partition("=")
        key = key.strip().lower()
        if not equals or len(key) != 1:
            continue
        if key == "m":
            medias.append(_media(value))
            lines = medias[-1].lines
        else:
            lines.append((key, value.strip()))
    return session, medias


def _media(value: str) -> _Media:
    words = value.split()
    if len(words) < 3:
        raise MalformedSdp(f"the line m={value[:80]} is not complete")
    port = words[1].partition("/")[0]
    if not (port.isascii() and port.isdigit()) or len(port) > 5 or int(port) > 65535:
        raise MalformedSdp(f"the line m={value[:80]} has no usable port")
    return _Media(
        kind=words[0].lower(),
        port=int(port),
        carrier=words[2],
        transport=_transport(words[2]),
        numbers=tuple(
            dict.fromkeys(
                int(w) for w in words[3:] if w.isascii() and w.isdigit() and int(w[:4]) <= 127
            )
        ),
        lines=[],
    )


def _transport(text: str) -> MediaTransport | None:
    matched = _TRANSPORT.match(text)
    if matched is None:
        return None
    return MediaTransport.TCP if matched[1] or matched[2] else MediaTransport.UDP


def _first(lines: Iterable[tuple[str, str]], key: str) -> str:
    return next((value for name, value in lines if name == key), "")


def _origin(value: str) -> tuple[str, str]:
    words = value.split()
    return (words[0] if words else ""), (_host(words[-1]) if len(words) >= 6 else "")


def _address(value: str) -> str:
    words = value.split()
    if len(words) < 3:
        return ""
    return _host(words[2].partition("/")[0].strip("[]"))


def _host(text: str) -> str:
    """Return an address or a name that can be resolved; empty for what is neither."""
    if text.count(":") == 1:  # platforms write the port of their media server behind its address
        text = text.partition(":")[0]
    if _NAME.match(text) and len(text) <= 253:
        return text
    try:
        ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    return text


def _times(value: str) -> tuple[int, int]:
    numbers = [_seconds(word) for word in value.split()[:2]]
    return (*numbers, 0, 0)[0], (*numbers, 0, 0)[1]


def _seconds(word: str) -> int:
    if not (word.isascii() and word.isdigit()) or len(word) > 15:
        return 0
    value = int(word)
    return value - _NTP_OFFSET if value > _NTP_FLOOR else value


def _ssrc(value: str) -> Ssrc | None:
    digits = re.match(r"\d*", value, re.ASCII)
    try:
        return parse_ssrc(digits[0] if digits else "")
    except InvalidIdentifier:
        return None
