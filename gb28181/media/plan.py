"""SessionPlan: everything that one INVITE of ours says, decided before it is sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from sip.message import Headers, Request

from ..sdp import MediaTransport, Payload, SessionDescription
from ..ssrc import Ssrc, format_ssrc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sip.flow import Flow

OFFERED = (
    Payload(number=96, name="PS/90000"),
    Payload(number=98, name="H264/90000"),
    Payload(number=100, name="H265/90000"),
)
"""What an INVITE asks for: PS first, as every device sends it (2022 G, C.1)."""


class SessionKind(Enum):
    """What is asked for; the value is the session name ``s=``. Source: 2016 F, 2022 G."""

    LIVE = "Play"
    PLAYBACK = "Playback"
    DOWNLOAD = "Download"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPlan:
    """Everything that one INVITE says, for live, playback and download alike."""

    channel_id: str
    """The camera that is asked."""
    owner_id: str
    """Our own id: From, o= and the receiver part of the Subject."""
    domain: str
    """The host part of our From."""
    target: Flow | str
    """Where the request goes: the flow of the device's registration."""
    peer_host: str
    """The host that the peer's URIs are written with, ``host:port``."""
    ssrc: Ssrc
    """What we ask the sender to use; its answer may name another."""
    mode: str
    """``udp``, ``tcp-passive`` (we listen) or ``tcp-active`` (we connect)."""
    bind_host: str
    """The local address of the media socket."""
    advertised_host: str
    """The address that the peer is told to send to."""
    shared_port: bool = False
    """Whether the media port is that of other sessions, too."""
    kind: SessionKind = SessionKind.LIVE
    start: int = 0
    """Unix seconds where the recording asked for begins; 0 for live."""
    end: int = 0
    record_type: int = 0
    """The type in ``u=``: 0 all, 1 manual, 2 alarm, 3 time."""
    download_speed: int = 1
    """How many times faster than real time a download is asked to be sent."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Further ``a=`` lines: the one that selects the stream."""
    adopt_ssrc: bool = True
    """Whether a sender that uses another SSRC than agreed is accepted on its own port."""
    answer_timeout: float = 15.0
    """Seconds for the final answer; then CANCEL (decision, spec 02 section 7.2)."""
    media_timeout: float = 10.0
    """Seconds from ACK to the first packet; then BYE."""
    key_timeout: float = 20.0
    """Seconds from the first packet to the first key frame; then BYE."""

    @property
    def is_historical(self) -> bool:
        """Whether it asks for a recording."""
        return self.kind is not SessionKind.LIVE

    def offer(self, port: int) -> SessionDescription:
        """The SDP offer for a receiver on ``port``. Source: 2016 F, 2022 G."""
        tcp = self.mode != "udp"
        attributes = dict(self.attributes)
        if self.kind is SessionKind.DOWNLOAD:
            attributes["downloadspeed"] = str(self.download_speed)
        return SessionDescription(
            origin_id=self.owner_id,
            address=self.advertised_host,
            name=self.kind.value,
            uri=f"{self.channel_id}:{self.record_type}" if self.is_historical else None,
            start=self.start,
            end=self.end,
            kind="video",
            port=port,
            transport=MediaTransport.TCP if tcp else MediaTransport.UDP,
            payloads=OFFERED,
            direction="recvonly",
            setup={"tcp-passive": "passive", "tcp-active": "active"}.get(self.mode),
            connection="new" if tcp else None,
            ssrc=self.ssrc,
            attributes=attributes,
        )

    def request(self, body: bytes, contact: str) -> Request:
        """The INVITE itself. Source: 9.2.3, 9.8.3, 9.9.3; Subject 2016 K, 2022 L."""
        serial = format_ssrc(self.ssrc)
        headers = Headers(
            [
                ("From", f"<sip:{self.owner_id}@{self.domain}>"),
                ("To", f"<sip:{self.channel_id}@{self.peer_host}>"),
                ("Contact", contact),
                ("Subject", f"{self.channel_id}:{serial},{self.owner_id}:{serial}"),
                ("Content-Type", "application/sdp"),
            ]
        )
        return Request("INVITE", f"sip:{self.channel_id}@{self.peer_host}", headers, body)


def stream_attribute(name: str, number: int) -> dict[str, str]:
    """The ``a=`` line that selects a stream, as a family of devices spells it.

    Args:
        name: ``Quirks.stream_attribute``.
        number: 0 for the main stream, 1 and up for the others.

    Source: GB/T 28181-2022 Annex G for ``streamnumber``; spec 05 section 1 for the others.
    """
    if name.lower() == "streammode":
        return {name: "SUB" if number else "MAIN"}
    if name == "streamnumber" and number == 0:
        return {}  # the main stream is what everybody sends unasked
    return {name: str(number)}
