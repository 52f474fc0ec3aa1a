"""Guard: which sources of a device are armed, which have given alarm, and which must be silent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

DEVICE_ALARM = "2"
"""The method after which a device is silent until it is reset.

Source: GB/T 28181-2022 A.2.5.3.
"""


@dataclass(slots=True)
class Source:
    """One source of alarms: an alarm input, a camera, the device itself."""

    armed: bool
    alarms: frozenset[tuple[str, str]]
    """Method and type of what it gave and nobody has reset."""

    @property
    def duty(self) -> str:
        """``ONDUTY``, ``OFFDUTY`` or ``ALARM``."""
        if self.alarms:
            return "ALARM"
        return "ONDUTY" if self.armed else "OFFDUTY"

    @property
    def is_silenced(self) -> bool:
        """Whether another device alarm has to wait for ResetAlarm."""
        return any(method == DEVICE_ALARM for method, _ in self.alarms)


class Guard:
    """The alarm side of a device.

    A command for the device itself is for all its sources.

    Source: GB/T 28181-2022 A.2.3.1.5, A.2.3.1.6, A.2.5.3, A.2.6.6.
    """

    def __init__(
        self, device_id: str, inputs: Sequence[str], others: Iterable[str], *, armed: bool
    ) -> None:
        """Take the sources.

        Args:
            device_id: The device itself.
            inputs: Alarm inputs: what DeviceStatus tells of.
            others: Cameras.
            armed: Whether all are armed at first.
        """
        self.inputs = tuple(inputs)
        self.sources = {
            one: Source(armed, frozenset()) for one in dict.fromkeys((device_id, *inputs, *others))
        }
        self._device_id = device_id

    def meant(self, source_id: str) -> list[Source]:
        """The sources that a command for this id is for; none when there is no such id."""
        if source_id == self._device_id:
            return list(self.sources.values())
        source = self.sources.get(source_id)
        return [] if source is None else [source]

    def arm(self, source_id: str, armed: bool) -> bool:
        """Arm or disarm; False when there is no such source."""
        meant = self.meant(source_id)
        for source in meant:
            source.armed = armed
        return bool(meant)

    def raise_alarm(self, source_id: str, method: str, alarm_type: str) -> str:
        """Note an alarm; return why it must not be told, empty when it must.

        Raises:
            KeyError: There is no such source.
        """
        source = self.sources[source_id]
        if not source.armed:
            return "disarmed"
        if method == DEVICE_ALARM and source.is_silenced:
            return "silent"
        source.alarms |= {(method, alarm_type)}
        return ""

    def withdraw(self, source_id: str, method: str, alarm_type: str) -> None:
        """Forget an alarm that could not be sent: nobody knows that it is to be reset."""
        self.sources[source_id].alarms -= {(method, alarm_type)}

    def reset(self, source_id: str, methods: str | None, alarm_type: str | None) -> bool:
        """Reset alarms, of some methods or of one type where that is said; False without source.

        Args:
            source_id: Which source, or the device.
            methods: ``2``, several as ``1/2`` or ``12``; all when None or 0.
            alarm_type: One type; all when None.
        """
        wanted = set((methods or "").replace("/", ""))
        every = not wanted or "0" in wanted
        meant = self.meant(source_id)
        for source in meant:
            source.alarms = frozenset(
                (method, kind)
                for method, kind in source.alarms
                if not (every or method in wanted)
                or (alarm_type not in (None, "", "0") and kind != alarm_type)
            )
        return bool(meant)

    def forget(self) -> None:
        """Lose power: nothing is alarmed; what is armed stays so."""
        for source in self.sources.values():
            source.alarms = frozenset()
