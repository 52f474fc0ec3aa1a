"""The server that ``signalling.py`` measures: endpoint, stack, digest and registrar, no more."""

from __future__ import annotations

import argparse
import asyncio
import gc
import secrets
import signal
from functools import partial

from gb28181.gateway.commandline import fast_loop
from gb28181.manscdp.codec import decode
from gb28181.registrar import Registrar, RegistrarConfig
from sip.auth import DigestServer
from sip.endpoint import IncomingRequest, SipEndpoint
from sip.flow import Flow
from sip.message import Headers, Request

PLATFORM, DOMAIN, PASSWORD = "34020000002000000001", "3402000000", "12345678"


async def serve(port: int, peers: int, *, reads_bodies: bool) -> None:
    loop = asyncio.get_running_loop()
    endpoint = SipEndpoint(listen=[f"udp://127.0.0.1:{port}"], user=PLATFORM, inbox=20_000)
    registrar = Registrar(
        RegistrarConfig(server_id=PLATFORM), DigestServer(DOMAIN, secrets.token_bytes(32))
    )
    fill(registrar, peers, loop.time())
    await endpoint.start()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)  # docs/how-to/compiled-build.md says why
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    serving = asyncio.create_task(
        endpoint.serve(partial(answer, endpoint, registrar, reads_bodies))
    )
    await stop.wait()
    serving.cancel()
    await endpoint.aclose()


def fill(registrar: Registrar, peers: int, now: float) -> None:
    """Register peers that stay silent, through the registrar's own door."""
    for number in range(peers):
        device = f"3402000000118{number:07d}"
        flow = Flow("udp", ("127.0.0.1", 5060), ("127.0.0.2", 1024 + number % 60_000))
        request = Request(
            "REGISTER", f"sip:{PLATFORM}@{DOMAIN}",
            Headers([
                ("Via", f"SIP/2.0/UDP 127.0.0.2:5060;branch=z9hG4bK{number}"),
                ("From", f"<sip:{device}@{DOMAIN}>;tag=1"), ("To", f"<sip:{device}@{DOMAIN}>"),
                ("Call-ID", str(number)), ("CSeq", "1 REGISTER"),
                ("Contact", f"<sip:{device}@127.0.0.2>"), ("Expires", "3600"),
            ]),
        )  # fmt: skip
        challenge = registrar.register(request, flow, PASSWORD, now)
        request.headers.set("Authorization", credentials(dict(challenge.headers), device))
        registrar.register(request, flow, PASSWORD, now)


def credentials(headers: dict[str, str], device: str) -> str:
    from sip.auth import answer as answer_challenge

    return answer_challenge(
        [headers["WWW-Authenticate"]], username=device, password=PASSWORD, method="REGISTER",
        uri=f"sip:{PLATFORM}@{DOMAIN}", cnonce="1",
    )  # fmt: skip


def answer(
    endpoint: SipEndpoint, registrar: Registrar, reads_bodies: bool, incoming: IncomingRequest
) -> None:
    request = incoming.request
    if request.method == "REGISTER":
        registrar.identify(request)
        result = registrar.register(request, incoming.flow, PASSWORD, endpoint.now())
        incoming.respond(result.status, result.reason, headers=result.headers)
    else:
        if reads_bodies:
            decode(request.body)
        incoming.respond(200)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--peers", type=int, default=0)
    parser.add_argument("--decode", action="store_true", help="read the body of each MESSAGE")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=fast_loop()) as runner:
        runner.run(serve(options.port, options.peers, reads_bodies=options.decode))


if __name__ == "__main__":
    main()
