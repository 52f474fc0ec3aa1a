"""Families: how the simulated devices present themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..device import Nameplate


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One kind of device; platforms find its quirks by what the nameplate says."""

    type_code: str
    """Digits 11 to 13 of its id."""
    nameplate: Nameplate


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "plain": Family(type_code="118", nameplate=Nameplate()),
        "dahua-nvr": Family(
            type_code="118",
            nameplate=Nameplate(name="NVR", manufacturer="Dahua", model="NVR", firmware="4.0"),
        ),
        "hikvision-nvr": Family(
            type_code="118",
            nameplate=Nameplate(name="NVR", manufacturer="Hikvision", model="NVR", firmware="4.0"),
        ),
    }
)
