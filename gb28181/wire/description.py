"""Bends the SDP answer of a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..habits import Habits

_OTHER_Y = "0987654321"


def bend_answer(body: bytes, habits: Habits) -> bytes:
    """Write an SDP answer as a device of these habits would."""
    bent = [
        line for old in body.decode("utf-8", "replace").split("\r\n") for line in _line(old, habits)
    ]
    if habits.answer_filesize and bent:
        bent.insert(len(bent) - 1, "a=filesize:-1")
    return "\r\n".join(bent).encode()


def _line(line: str, habits: Habits) -> list[str]:
    match line[:2]:
        case "y=" if habits.answer_y is not None:
            value = _OTHER_Y if habits.answer_y == "own" else habits.answer_y
            return [f"y={value}"] if value else []
        case "c=" if habits.answer_host:
            return [f"c=IN IP4 {habits.answer_host}"]
        case "m=":
            return _media(line, habits)
    return [line]


def _media(line: str, habits: Habits) -> list[str]:
    if habits.answer_udp:
        line = line.replace("TCP/RTP/AVP", "RTP/AVP")
    if habits.answer_payloads:
        return [f"{line} 98 97 8", "a=rtpmap:98 H264/90000", "a=rtpmap:97 MPEG4/90000"]
    return [line]
