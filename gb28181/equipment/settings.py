"""What a device is made of, as its owner orders it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from .cards import CardSettings
from .head import Reach

if TYPE_CHECKING:
    import httpx

MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledAlarm:
    """An alarm that a device gives again and again."""

    every: float
    """Seconds."""
    source_id: str | None = None
    """The first alarm input when None."""
    method: str = "5"
    """1 phone, 2 device, 3 SMS, 4 GPS, 5 video, 6 device fault, 7 other."""
    alarm_type: str | None = "2"
    """What happened; its numbers depend on the method."""
    priority: str = "4"
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EquipmentSettings:
    """The equipment of one device; as it is, an ordinary dome with a card and an alarm input."""

    reach: Reach = field(default_factory=Reach)
    """What its heads can do. A channel whose PTZType is 3, fixed, has none."""
    cards: tuple[CardSettings, ...] = field(
        default_factory=lambda: (CardSettings(name="SD1", used=65_536),)
    )
    format_time: float = 30.0
    """Seconds that a card takes to be formatted."""
    alarm_inputs: tuple[str, ...] | None = None
    """Ids of type 134; one of its own when None."""
    armed: bool = True
    """Whether it reports alarms before anybody has armed it."""
    schedule: tuple[ScheduledAlarm, ...] = ()
    """Alarms that it gives by itself."""
    route: tuple[tuple[float, float], ...] = (
        (118.3700, 31.3300),
        (118.3800, 31.3300),
        (118.3800, 31.3380),
        (118.3700, 31.3380),
    )
    """Longitudes and latitudes of its round when it is a vehicle; one point: it stands there."""
    vehicle_speed: float = 36.0
    """Kilometres per hour."""
    boot_time: float = 5.0
    """Seconds that a restart takes."""
    max_firmware: int = 64 * MEGABYTE
    """A larger package is not taken."""
    transfer_time: float = 60.0
    """Seconds for one download or upload."""
    acknowledged_within: float = 10.0
    """Seconds to wait for Response/Alarm; then the alarm is sent again, three times at most."""
    clock: Callable[[], datetime] | None = None
    """Its time of day, aware; the computer's when None."""
    takes_date: bool = True
    """Whether it sets its time of day by the Date of the platform (9.10.1)."""
    web: Callable[[], httpx.AsyncClient] | None = None
    """Makes the client for uploads and downloads; an ordinary one when None."""
