"""RTP, RTCP, RFC 4571 framing and MPEG program streams, without I/O but for ``transport``."""

from __future__ import annotations

from importlib import import_module

DISTRIBUTION = "gb28181"
"""Marks this package as part of gb28181: another distribution named ``rtp`` could replace it."""

_WHERE = {
    "AccessUnit": "access_unit",
    "Codec": "access_unit",
    "Deframer": "framing",
    "FramingLost": "errors",
    "LocalProtocolError": "errors",
    "MediaKind": "access_unit",
    "PacketBatch": "batch",
    "Packetizer": "packetizer",
    "PsDemuxer": "mpegps.demuxer",
    "PsMuxer": "mpegps.muxer",
    "Reception": "reception",
    "RemoteProtocolError": "errors",
    "ReorderBuffer": "reorder",
    "RtpError": "errors",
    "RtpPacket": "packet",
}

__all__ = ["DISTRIBUTION", *_WHERE]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used (PEP 562)."""
    if name in _WHERE:
        return getattr(import_module(f".{_WHERE[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
