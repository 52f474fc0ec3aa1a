"""The errors of the media packages."""

from __future__ import annotations


class RtpError(Exception):
    """The root of all errors of this package."""


class LocalProtocolError(RtpError):
    """The caller asked for what the state or the format forbids."""


class RemoteProtocolError(RtpError):
    """The peer broke the protocol."""


class FramingLost(RemoteProtocolError):
    """The frame boundary of a TCP stream was lost and not found again."""
