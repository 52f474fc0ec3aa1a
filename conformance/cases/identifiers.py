"""Identifiers and URIs. Points GB-ID."""

from __future__ import annotations

from ..case import Level, Role, case, check
from ..peers.platform import PlatformPeer


@case(
    "GB-ID-004",
    roles=(Role.DEVICE,),
    clause="6.1.2",
    level=Level.REQUIRED,
    needs=("GB-REG-001",),
)
async def device_registers_under_its_own_id(peer: PlatformPeer) -> None:
    """A device registers under its own code.

    Demand: the user of From and To is the device's 20-digit code; the user of the Request-URI is
    the platform's.

    Why: the platform finds the password, and later the catalogue, by this code.

    Tested: the REGISTER at the kit.

    Fix: write ``sip:<device code>@<domain>`` into From and To.
    """
    request = (await peer.registered()).request
    for name, address in (("From", request.from_), ("To", request.to)):
        user = address.uri.user
        check(user == peer.target.id, f"the user of {name} must be the device's code", seen=user)
    asked = request.request_uri.user
    check(asked == peer.id, "the user of the Request-URI must be the platform's code", seen=asked)
