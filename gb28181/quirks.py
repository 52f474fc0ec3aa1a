"""What families of devices do otherwise than their edition says: data, no code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """The habits of one peer. The defaults suit a peer that follows the standard.

    Reading is tolerant for everybody; a field here changes what is sent, or says which of two
    readings of the standard a peer follows.
    """

    charset: str | None = None
    """The charset of XML sent to the peer: ``UTF-8``, ``GBK``, ... ``None``: the edition's.

    Seen: devices with an Android system, small vendors.
    """
    adopt_ssrc: bool = True
    """Take the stream that arrives on a session's own port also under a wrong SSRC.

    Seen: Dahua sends 0; Hikvision firmware of 2022 chooses its own (ossrs/srs issues 2047, 4561).
    """
    symmetric: bool = True
    """Send signalling to where the peer's last request came from, not to its Contact.

    Seen: all devices behind address translation (wvp-GB28181-pro has the same switch).
    """
    date_header: bool = True
    """Write ``Date`` as local time into the answer to REGISTER.

    Seen: most devices set their clock by it; a few break on it (wvp-GB28181-pro, LiveGBS).
    """
    record_type_all: bool = True
    """Always write ``Type`` into a RecordInfo query.

    Seen: Dahua recorders do not answer without (comment in wvp-GB28181-pro).
    """
    stream_attribute: str = "streamnumber"
    """The ``a=`` line of an offer that selects the stream; the 2022 edition's own by default.

    Seen: ``stream`` (older devices), ``streamprofile`` (Dahua), ``streamMode`` with ``MAIN`` and
    ``SUB`` (TP-LINK, Mercury); all listed in wvp-GB28181-pro.
    """
    config_target: str = "device"
    """Whose code a configuration command carries: ``device`` or ``channel``.

    Seen: Dahua needs the device's; Uniview logs out at the channel's (wvp-GB28181-pro).
    """
    control_target: str = "channel"
    """Whose code is in To of a control command for a camera: ``channel`` or ``device``.

    Seen: wvp-GB28181-pro always writes the device's, so some devices may know no other.
    """
    outlives_expiry: bool = False
    """A heartbeat prolongs the registration: the device never registers again.

    Seen: Huawei recorders (wvp-GB28181-pro issue 861).
    """
    follows_address: bool = False
    """Follow the device to any address that its messages come from, without credentials.

    Seen: 4G cameras and recorders that never register again (wvp-GB28181-pro pull request 2235).
    """
    asks_the_silent: bool = False
    """Ask a device whose heartbeats stop by OPTIONS before it counts as offline.

    The standard knows of no second chance (9.6). Seen: Hikvision firmware of 2022 registers at a
    platform of 2016 and sends no heartbeat (wvp-GB28181-pro issue 2006).
    """
    voice_targets: tuple[str, ...] = ("output", "channel", "device")
    """Whom a Broadcast names, in order of trying: a voice output, the camera, the device.

    Seen: cameras without an output in the catalogue; some serve the device's id alone (WVP 1514).
    """
    voice_packet: float = 0.04
    """Seconds of sound in a packet.

    Seen: Hikvision plays 20 ms with noise and 100 ms well (ZLMediaKit issue 3316).
    """
    voice_framed: bool = True
    """Whether voice over TCP has the two-byte lengths of RFC 4571.

    Seen: Hikvision expects bare RTP packets (ZLMediaKit issue 3316).
    """
    voice_starts_on: str = "ack"
    """When voice is sent: after the ``ack`` of our answer, or with the ``200`` itself.

    Seen: some Dahua firmware connects and waits before its ACK (wvp-GB28181-pro).
    """


_FAMILIES: Mapping[str, Quirks] = MappingProxyType(
    {
        "dahua": Quirks(stream_attribute="streamprofile"),
        "hikvision": Quirks(stream_attribute="stream", asks_the_silent=True),
        "huawei": Quirks(outlives_expiry=True, follows_address=True),
        "mercury": Quirks(stream_attribute="streamMode"),
        "tp-link": Quirks(stream_attribute="streamMode"),
    }
)

# What DeviceInfo, catalogue items and User-Agent call the families, in lower case.
_NAMES = (
    ("hikvision", "hikvision"),
    ("海康", "hikvision"),
    ("embedded net d", "hikvision"),
    ("dahua", "dahua"),
    ("大华", "dahua"),
    ("huawei", "huawei"),
    ("tp-link", "tp-link"),
    ("tplink", "tp-link"),
    ("mercury", "mercury"),
)


def families() -> Mapping[str, Quirks]:
    """Return the known families by their name in lower case."""
    return _FAMILIES


def quirks_for(manufacturer: str) -> Quirks:
    """Find the habits by what a peer calls itself, in Manufacturer or User-Agent.

    Returns:
        The family's habits; those of a peer that follows the standard when nobody is known.
    """
    text = manufacturer.lower()
    family = next((family for name, family in _NAMES if name in text), None)
    return Quirks() if family is None else _FAMILIES[family]


def learnt(known: Quirks, said: str) -> Quirks:
    """The habits of a peer that says what it is, in Manufacturer or User-Agent.

    Habits that somebody has set stay as they are. What loosens a check of the registrar is never
    learnt: a peer's own word must not change how far it is trusted.
    """
    if known != Quirks():
        return known
    return replace(quirks_for(said), follows_address=False, outlives_expiry=False)
