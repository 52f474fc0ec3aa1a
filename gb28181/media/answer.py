"""The called side of a session: judge an offer, answer it, and send until somebody ends it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import Gb28181Error, MalformedSdp
from ..sdp import MediaTransport, Payload, SessionDescription, parse_sdp

if TYPE_CHECKING:
    from sip.message import Request

    from ..ssrc import Ssrc


LIVE = frozenset({"play"})
HISTORY = frozenset({"playback", "download"})
"""Kinds of sessions, as ``s=`` names them."""

_STREAM_SELECTORS = ("streamnumber", "stream", "streamprofile", "streammode")
"""The standard's own since 2022, and three of vendors (spec 05 section 1)."""
_SUB_STREAM = 1
_FASTEST_DOWNLOAD = 64
_LAST_SECOND = 1 << 37  # in the year 6325


class Declined(Gb28181Error):
    """An INVITE that cannot be served; ``status`` is what to answer (2022 G note 17)."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The Subject of an INVITE: who sends and who receives, each with a serial.

    Source: 2016 K, 2022 L. Read leniently: missing parts are empty.
    """

    sender_id: str = ""
    sender_serial: str = ""
    receiver_id: str = ""
    receiver_serial: str = ""

    @classmethod
    def parse(cls, text: str | None) -> Subject:
        """Read ``sender:serial,receiver:serial`` with any part missing."""
        sender, _, receiver = (text or "").partition(",")
        sender_id, _, sender_serial = sender.strip().partition(":")
        receiver_id, _, receiver_serial = receiver.strip().partition(":")
        return cls(
            sender_id=sender_id.strip(),
            sender_serial=sender_serial.strip(),
            receiver_id=receiver_id.strip(),
            receiver_serial=receiver_serial.strip(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedOffer:
    """An offer that we can serve, and how."""

    description: SessionDescription
    mode: str
    """Our side: ``udp``, ``tcp-active`` (we connect) or ``tcp-passive`` (we listen)."""
    payload: Payload
    """The payload that we chose."""

    @property
    def remote(self) -> tuple[str, int]:
        """Where the receiver wants the media, or listens for our connection."""
        return (self.description.address, self.description.port)

    @property
    def is_history(self) -> bool:
        """Whether a recording is asked for: a playback or a download."""
        return self.description.session in HISTORY

    @property
    def stream_number(self) -> int:
        """Which stream of the camera: 0 main, 1 and up sub streams. Source: 2022 G."""
        attributes = {name.lower(): one for name, one in self.description.attributes.items()}
        for name in _STREAM_SELECTORS:
            value = attributes.get(name, "").strip().upper()
            if value in ("MAIN", "SUB"):
                return _SUB_STREAM if value == "SUB" else 0
            if value.isascii() and value.isdigit():
                return min(int(value[:4]), 99)
        return 0

    @property
    def download_speed(self) -> float:
        """How many times faster than it was recorded a download may come. Source: 2022 G."""
        text = self.description.attributes.get("downloadspeed", "").strip()
        speed = float(text) if re.fullmatch(r"\d{1,4}(\.\d{1,4})?", text, re.ASCII) else 1.0
        return min(speed, _FASTEST_DOWNLOAD) or 1.0


def judge_offer(request: Request, *, sessions: frozenset[str] = LIVE) -> JudgedOffer:
    """Read the offer of an INVITE and decide how to serve it.

    Args:
        request: The INVITE.
        sessions: The kinds that are served, in lower case.

    Raises:
        Declined: 400 for what is no SDP, 415 for another content type, 488 for what we cannot do.
    """
    if request.content_type not in ("application/sdp", ""):
        raise Declined(415, f"content type {request.content_type} is not SDP")
    try:
        offer = parse_sdp(request.body)
    except MalformedSdp as error:
        raise Declined(400, str(error)) from error
    if offer.session not in sessions:
        raise Declined(488, f"sessions of the kind {offer.name!r} are not served")
    payload = offer.payload("PS")
    if payload is None:
        raise Declined(488, "no payload that we can send: PS is not offered")
    if offer.port == 0 and offer.setup != "active":
        raise Declined(488, "the offer has port 0")
    if offer.session in HISTORY and not 0 < offer.start < offer.end < _LAST_SECOND:
        raise Declined(488, f"a recording from {offer.start} to {offer.end} cannot be played")
    return JudgedOffer(description=offer, mode=_mode(offer), payload=payload)


def answer_to(
    offer: JudgedOffer,
    *,
    origin_id: str,
    host: str,
    port: int,
    ssrc: Ssrc,
    size: int | None = None,
) -> SessionDescription:
    """The answer of a sender: just the chosen payload, and our half of the connection roles.

    Args:
        offer: What is answered.
        origin_id: Our id, or that of the channel.
        host: Where the media comes from.
        port: Its port.
        ssrc: Of our packets.
        size: Bytes of what is downloaded, for the receiver's progress; None when not known.
    """
    tcp = offer.description.transport is MediaTransport.TCP
    return SessionDescription(
        origin_id=origin_id,
        address=host,
        name=offer.description.name or "Play",
        start=offer.description.start,
        end=offer.description.end,
        kind="video",
        port=port,
        transport=offer.description.transport,
        payloads=(offer.payload,),
        direction="sendonly",
        setup=None if not tcp else ("active" if offer.mode == "tcp-active" else "passive"),
        connection="new" if tcp else None,
        ssrc=ssrc,
        attributes={} if size is None else {"filesize": str(size)},
    )


def _mode(offer: SessionDescription) -> str:
    """The sender's side; a TCP offer that names no role wants us to connect (2022 D)."""
    if offer.transport is MediaTransport.UDP:
        return "udp"
    return "tcp-passive" if offer.setup == "active" else "tcp-active"
