"""What a registrar knows of a device, what it answers, and what it reports."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from sip.flow import Flow

from .edition import Edition


class OfflineCause(Enum):
    """Why a device is offline."""

    UNREGISTERED = auto()
    EXPIRED = auto()
    SILENT = auto()
    FLOW_LOST = auto()


# Each REGISTER makes some of the following three. They have constructors of their own, because that
# of a frozen dataclass costs twenty times as much when compiled.


@dataclass(slots=True, init=False)
class Binding:
    """One registered device."""

    device_id: Final[str]
    flow: Final[Flow]
    """Where its last trusted message came from, and where requests to it go."""
    contact: Final[str]
    """Its Contact as it wrote it, without parameters of the header field."""
    call_id: Final[str]
    expires: Final[int]
    """What was granted."""
    expires_at: Final[float]
    edition: Final[Edition | None]
    """From X-GB-Ver; None when it sent none."""
    user_agent: Final[str]
    registered_at: Final[float]
    last_seen: Final[float]
    keepalive_interval: Final[float]
    keepalive_count: Final[int]
    online: Final[bool]
    """False between the loss of its heartbeats and its next trusted message."""
    flow_lost_at: Final[float | None]
    """When its TCP connection broke, until it registers again."""

    def __init__(
        self,
        *,
        device_id: str,
        flow: Flow,
        contact: str,
        call_id: str,
        expires: int,
        expires_at: float,
        edition: Edition | None,
        user_agent: str,
        registered_at: float,
        last_seen: float,
        keepalive_interval: float,
        keepalive_count: int,
        online: bool = True,
        flow_lost_at: float | None = None,
    ) -> None:
        self.device_id = device_id
        self.flow = flow
        self.contact = contact
        self.call_id = call_id
        self.expires = expires
        self.expires_at = expires_at
        self.edition = edition
        self.user_agent = user_agent
        self.registered_at = registered_at
        self.last_seen = last_seen
        self.keepalive_interval = keepalive_interval
        self.keepalive_count = keepalive_count
        self.online = online
        self.flow_lost_at = flow_lost_at

    def heard(self, flow: Flow, now: float, lost: float | None) -> Binding:
        """Return the binding after a message; ``replace`` would cost a heartbeat too much."""
        return Binding(
            device_id=self.device_id,
            flow=flow,
            contact=self.contact,
            call_id=self.call_id,
            expires=self.expires,
            expires_at=self.expires_at,
            edition=self.edition,
            user_agent=self.user_agent,
            registered_at=self.registered_at,
            last_seen=now,
            keepalive_interval=self.keepalive_interval,
            keepalive_count=self.keepalive_count,
            flow_lost_at=lost,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A device has come; with ``previous`` from another address, whose sessions end."""

    binding: Binding
    previous: Binding | None = None


@dataclass(slots=True, init=False)
class Refreshed:
    """A device has registered again at the address it was at; sessions go on."""

    binding: Final[Binding]
    previous: Final[Binding]

    def __init__(self, *, binding: Binding, previous: Binding) -> None:
        self.binding = binding
        self.previous = previous


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A message showed that the device's address translation has another port now."""

    binding: Binding
    previous: Binding


@dataclass(frozen=True, slots=True, kw_only=True)
class Revived:
    """A device that was offline for lost heartbeats is heard again within its registration."""

    binding: Binding
    previous: Binding


@dataclass(frozen=True, slots=True, kw_only=True)
class Offline:
    """A device is offline; its sessions end."""

    binding: Binding
    cause: OfflineCause
    sentence: str


RegistrarEvent = Registered | Refreshed | Moved | Revived | Offline


@dataclass(slots=True, init=False)
class RegisterResult:
    """The answer to a REGISTER, and what it changed."""

    status: Final[int]
    reason: Final[str]
    headers: Final[tuple[tuple[str, str], ...]]
    event: Final[RegistrarEvent | None]
    refusal: Final[str]
    """For the log and the audit: why, in a sentence. Empty for 200 and a first challenge."""

    def __init__(
        self,
        *,
        status: int,
        reason: str,
        headers: tuple[tuple[str, str], ...] = (),
        event: RegistrarEvent | None = None,
        refusal: str = "",
    ) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self.event = event
        self.refusal = refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepaliveResult:
    """Whether a message is from a registered device: answer it, or refuse it with ``status``."""

    status: int
    event: Moved | Revived | None = None
