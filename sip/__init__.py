"""SIP for UDP, TCP and TLS, without I/O below ``sip.transport``. Knows nothing of GB/T 28181.

Hop by hop between known addresses: no DNS procedures (RFC 3263), no forking, no proxy.
"""

from __future__ import annotations

import importlib

# Tells this package from a foreign one of the same name; gb28181 checks it.
DISTRIBUTION = "gb28181"

# Modules are loaded when one of their names is first used (PEP 562), so that the pure part can
# be had without asyncio. Inside the project one imports from the module.
_MODULES = {
    "auth": ("DigestServer", "Ha1", "Verdict", "answer"),
    "dialog": ("Dialog",),
    "endpoint": (
        "Call",
        "IncomingCall",
        "IncomingInvite",
        "IncomingRequest",
        "OutgoingCall",
        "SipEndpoint",
    ),
    "errors": (
        "CallCancelled",
        "CallRejected",
        "FlowFailed",
        "LocalProtocolError",
        "MalformedMessage",
        "RemoteProtocolError",
        "SipError",
        "TransactionTimeout",
        "UnsupportedChallenge",
    ),
    "flow": ("Address", "Flow"),
    "headers": ("CSeq", "Challenge", "Credentials", "NameAddr", "Via"),
    "message": ("Headers", "Request", "Response", "make_response"),
    "parser": ("KeepAlive", "Limits", "StreamParser", "parse_datagram"),
    "stack": ("SipStack",),
    "timers": ("Timers",),
    "trace": ("TraceRecord", "TraceRing"),
    "transport": ("Network",),
    "uri": ("SipUri",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "DISTRIBUTION",
    "Address",
    "CSeq",
    "Call",
    "CallCancelled",
    "CallRejected",
    "Challenge",
    "Credentials",
    "Dialog",
    "DigestServer",
    "Flow",
    "FlowFailed",
    "Ha1",
    "Headers",
    "IncomingCall",
    "IncomingInvite",
    "IncomingRequest",
    "KeepAlive",
    "Limits",
    "LocalProtocolError",
    "MalformedMessage",
    "NameAddr",
    "Network",
    "OutgoingCall",
    "RemoteProtocolError",
    "Request",
    "Response",
    "SipEndpoint",
    "SipError",
    "SipStack",
    "SipUri",
    "StreamParser",
    "Timers",
    "TraceRecord",
    "TraceRing",
    "TransactionTimeout",
    "UnsupportedChallenge",
    "Verdict",
    "Via",
    "answer",
    "make_response",
    "parse_datagram",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
