"""A flood of failures is dammed at its source; good devices behind the same address are not."""

from __future__ import annotations

from gb28181.testing.simulation import Simulation
from sip.auth import answer
from sip.endpoint import SipEndpoint
from sip.message import Headers, Request


def register(device_id: str, *, cseq: int, authorization: str | None = None) -> Request:
    own = f"<sip:{device_id}@3402000000>"
    headers = Headers(
        [
            ("From", f"{own};tag=1"),
            ("To", own),
            ("Call-ID", device_id),
            ("CSeq", f"{cseq} REGISTER"),
        ]
    )
    if authorization:
        headers.set("Authorization", authorization)
    return Request("REGISTER", "sip:34020000002000000001@3402000000", headers)


async def test_guessing_passwords_is_slowed_down_and_a_good_device_goes_on(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device("plain")
    await camera.registered()
    guesser = SipEndpoint(listen=["udp://:6000"], network=camera.host)
    await guesser.start()
    server = platform.station.endpoint.listening[0][1]
    target = f"udp://{gb.host_of(platform).address}:{server[1]}"
    seen = []
    for attempt in range(400):
        first = await guesser.request(register("34020000001329999999", cseq=1), target)
        seen.append(first.status)
        if first.status != 401:
            continue
        guess = answer(
            first.headers.get_all("WWW-Authenticate"), username="34020000001329999999",
            password=f"guess {attempt}", method="REGISTER",
            uri="sip:34020000002000000001@3402000000", cnonce="1",
        )  # fmt: skip
        second = await guesser.request(
            register("34020000001329999999", cseq=2, authorization=guess), target
        )
        seen.append(second.status)
    assert 403 in seen
    assert 503 in seen
    assert seen[-1] == 503
    info = await platform.device(camera.id).device_info()
    assert info.device_id == camera.id
    await gb.advance(minutes=4)
    assert platform.device(camera.id).is_online
    await guesser.aclose()
