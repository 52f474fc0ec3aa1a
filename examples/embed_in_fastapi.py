"""Embed a platform in a FastAPI application: its lifespan, its devices, and an honest /health.

Run it: ``python examples/embed_in_fastapi.py PASSWORD``
Needs ``fastapi`` and ``uvicorn``, which are in the extra ``gateway``.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from gb28181 import Platform, PlatformFailed

PLATFORM_ID = "34020000002000000001"


def create_app(platform: Platform) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with platform:
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/health")
    async def health() -> JSONResponse:
        # A platform that died does not end the application: whoever watches /health restarts it.
        try:
            return JSONResponse(platform.health())
        except PlatformFailed as failure:
            return JSONResponse({"cause": str(failure)}, status_code=503)

    @app.get("/devices")
    async def devices() -> list[dict[str, object]]:
        return [
            {"id": one.id, "online": one.is_online, "channels": len(one.channels)}
            for one in platform.devices.values()
        ]

    return app


if __name__ == "__main__":
    import uvicorn

    # No socket, no task and no loop yet: the application's lifespan opens them.
    uvicorn.run(create_app(Platform(PLATFORM_ID, password_for=lambda _: sys.argv[1])))
