"""SIP for UDP, TCP and TLS, without I/O below ``sip.transport``. Knows nothing of GB/T 28181.

Hop by hop between known addresses: no DNS procedures (RFC 3263; a host name is simply resolved),
no forking, no proxy. A request over 1,300 bytes goes over TCP when the peer is reached over TCP, or
when ``SipEndpoint(prefers_tcp=...)`` says that it takes such requests there; otherwise UDP carries
it in fragments. ``rport`` (RFC 3581) and connection reuse are there.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .auth import DigestServer as DigestServer
    from .auth import Ha1 as Ha1
    from .auth import Verdict as Verdict
    from .auth import answer as answer
    from .conversation import Call as Call
    from .conversation import IncomingCall as IncomingCall
    from .conversation import IncomingInvite as IncomingInvite
    from .conversation import IncomingRequest as IncomingRequest
    from .conversation import OutgoingCall as OutgoingCall
    from .dialog import Dialog as Dialog
    from .endpoint import SipEndpoint as SipEndpoint
    from .errors import CallCancelled as CallCancelled
    from .errors import CallRejected as CallRejected
    from .errors import FlowFailed as FlowFailed
    from .errors import LocalProtocolError as LocalProtocolError
    from .errors import MalformedMessage as MalformedMessage
    from .errors import RemoteProtocolError as RemoteProtocolError
    from .errors import SipError as SipError
    from .errors import SubscriptionRejected as SubscriptionRejected
    from .errors import TransactionTimeout as TransactionTimeout
    from .errors import UnsupportedChallenge as UnsupportedChallenge
    from .flow import Address as Address
    from .flow import Flow as Flow
    from .headers import Challenge as Challenge
    from .headers import Credentials as Credentials
    from .headers import CSeq as CSeq
    from .headers import NameAddr as NameAddr
    from .headers import Via as Via
    from .message import Headers as Headers
    from .message import Request as Request
    from .message import Response as Response
    from .message import make_response as make_response
    from .notification import IncomingSubscribe as IncomingSubscribe
    from .notification import IncomingSubscription as IncomingSubscription
    from .notification import Notification as Notification
    from .notification import OutgoingSubscription as OutgoingSubscription
    from .overload import OverloadLimits as OverloadLimits
    from .overload import StackLimits as StackLimits
    from .parser import KeepAlive as KeepAlive
    from .parser import Limits as Limits
    from .parser import StreamParser as StreamParser
    from .parser import parse_datagram as parse_datagram
    from .stack import SipStack as SipStack
    from .timers import Timers as Timers
    from .tls import TlsSettings as TlsSettings
    from .trace import TraceRecord as TraceRecord
    from .trace import TraceRing as TraceRing
    from .transport import Network as Network
    from .uri import SipUri as SipUri

# Tells this package from a foreign one of the same name; gb28181 checks it.
DISTRIBUTION = "gb28181"

# Modules are loaded when one of their names is first used (PEP 562), so that the pure part can
# be had without asyncio. Inside the project one imports from the module.
_MODULES = {
    "auth": ("DigestServer", "Ha1", "Verdict", "answer"),
    "dialog": ("Dialog",),
    "conversation": ("Call", "IncomingCall", "IncomingInvite", "IncomingRequest", "OutgoingCall"),
    "endpoint": ("SipEndpoint",),
    "errors": (
        "CallCancelled",
        "CallRejected",
        "FlowFailed",
        "LocalProtocolError",
        "MalformedMessage",
        "RemoteProtocolError",
        "SipError",
        "SubscriptionRejected",
        "TransactionTimeout",
        "UnsupportedChallenge",
    ),
    "flow": ("Address", "Flow"),
    "headers": ("CSeq", "Challenge", "Credentials", "NameAddr", "Via"),
    "message": ("Headers", "Request", "Response", "make_response"),
    "notification": (
        "IncomingSubscribe",
        "IncomingSubscription",
        "Notification",
        "OutgoingSubscription",
    ),
    "overload": ("OverloadLimits", "StackLimits"),
    "parser": ("KeepAlive", "Limits", "StreamParser", "parse_datagram"),
    "stack": ("SipStack",),
    "timers": ("Timers",),
    "tls": ("TlsSettings",),
    "trace": ("TraceRecord", "TraceRing"),
    "transport": ("Network",),
    "uri": ("SipUri",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted([*_HOMES, "DISTRIBUTION"])


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
