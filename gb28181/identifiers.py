"""The identifiers of the standard: 20-digit codes and civil codes, and the kinds they name."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NewType

from .errors import InvalidIdentifier

DeviceId = NewType("DeviceId", str)
ChannelId = NewType("ChannelId", str)

AREA_LENGTHS = frozenset({2, 4, 6, 8})


class IdKind(Enum):
    """What a code names, by its type digits.

    Source: GB/T 28181-2022 Annex E table E.1; 2016 Annex D.
    """

    AREA = "area"
    DEVICE = "device"
    CHANNEL = "channel"
    ALARM_INPUT = "alarm input"
    ALARM_OUTPUT = "alarm output"
    VOICE_INPUT = "voice input"
    VOICE_OUTPUT = "voice output"
    PERIPHERAL = "peripheral"
    SYSTEM = "system"
    SERVER = "server"
    GROUP = "business group"
    ORGANISATION = "virtual organisation"
    USER = "user"
    EXTERNAL = "external server"
    EXTENSION = "extension"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identifier:
    """A 20-digit code, split into its fields.

    Source: GB/T 28181-2022 Annex E; 2016 Annex D rule A.
    """

    centre: str
    """Digits 1-8: province, city, county, grass-roots unit; ``00`` where unused."""
    industry: str
    """Digits 9-10."""
    type_code: str
    """Digits 11-13."""
    network: str
    """Digit 14."""
    sequence: str
    """Digits 15-20."""

    @property
    def kind(self) -> IdKind:
        """What the code names."""
        return _kind_of_type(int(self.type_code))

    @property
    def domain(self) -> str:
        """The first ten digits: the SIP domain that the code belongs to."""
        return self.centre + self.industry

    def __str__(self) -> str:
        return self.centre + self.industry + self.type_code + self.network + self.sequence


def parse_id(text: str) -> Identifier:
    """Split a 20-digit code.

    Raises:
        InvalidIdentifier: The text is not 20 ASCII digits. Input from a peer that may be
            anything goes to ``kind_of``, which takes it as it is.
    """
    if not _is_digits(text) or len(text) != 20:
        raise InvalidIdentifier(f"{text[:40]!r} is not a code of 20 digits")
    return Identifier(
        centre=text[:8],
        industry=text[8:10],
        type_code=text[10:13],
        network=text[13],
        sequence=text[14:],
    )


def kind_of(text: str) -> IdKind:
    """Tell what a code of any quality names; never raises.

    A hint only: cameras come with types 131, 132 and sometimes 134, and devices with 200.
    """
    if not _is_digits(text):
        return IdKind.UNKNOWN
    if len(text) in AREA_LENGTHS:
        return IdKind.AREA
    return _kind_of_type(int(text[10:13])) if len(text) == 20 else IdKind.UNKNOWN


def is_area(text: str) -> bool:
    """Tell whether the text is a civil code of 2, 4, 6 or 8 digits.

    Source: GB/T 28181-2022 A.2.1.2.
    """
    return len(text) in AREA_LENGTHS and _is_digits(text)


def parent_area(code: str) -> str | None:
    """Return the area that an area lies in; ``None`` for a province."""
    return code[:-2] if len(code) > 2 else None


def area_of(civil_code: str | None, device_id: str) -> str | None:
    """Return the area of a catalogue item.

    ``civil_code`` counts when it is 2, 4, 6 or 8 digits. Otherwise (empty, ``null``, 20 digits)
    the area comes from the first six or eight digits of the item's own code.
    """
    code = (civil_code or "").strip()
    if is_area(code):
        return code
    if len(device_id) != 20 or not _is_digits(device_id):
        return None
    centre = device_id[:8]
    return centre[:6] if centre.endswith("00") else centre


def domain_of(platform_id: str) -> str:
    """Return the domain code of a platform: the first ten digits of its identifier."""
    return platform_id[:10]


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


_SINGLE_KINDS = {
    131: IdKind.CHANNEL,
    132: IdKind.CHANNEL,
    134: IdKind.ALARM_INPUT,
    135: IdKind.ALARM_OUTPUT,
    136: IdKind.VOICE_INPUT,
    137: IdKind.VOICE_OUTPUT,
    140: IdKind.ALARM_OUTPUT,
    200: IdKind.SYSTEM,
    215: IdKind.GROUP,
    216: IdKind.ORGANISATION,
}

_KIND_RANGES = (
    (range(111, 131), IdKind.DEVICE),
    (range(131, 200), IdKind.PERIPHERAL),
    (range(200, 300), IdKind.SERVER),
    (range(300, 500), IdKind.USER),
    (range(500, 600), IdKind.EXTERNAL),
    (range(600, 1000), IdKind.EXTENSION),
)


def _kind_of_type(code: int) -> IdKind:
    single = _SINGLE_KINDS.get(code)
    if single is not None:
        return single
    return next((kind for codes, kind in _KIND_RANGES if code in codes), IdKind.UNKNOWN)
