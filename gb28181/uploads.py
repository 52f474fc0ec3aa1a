"""Uploads: takes the pictures that devices are ordered to upload (2022), as an ASGI application."""

from __future__ import annotations

import asyncio
import logging
import secrets
from email.parser import BytesParser
from email.policy import HTTP
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from .errors import NoAnswer
from .manscdp.config import SnapShotConfig

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from .channel import Channel

logger = logging.getLogger("gb28181.uploads")

_JPEG = b"\xff\xd8\xff"
_MOST = 10
"""Pictures of one order (A.2.3.2.12)."""


class Uploads:
    """The address that ordered pictures are uploaded to; mount it in any ASGI server.

    ``app.mount("/snapshots", uploads)`` in FastAPI, or ``uvicorn.run(uploads)``. Every order has an
    address of its own that cannot be guessed, is good for that order alone, and ends with it;
    everything else gets 404. The standard defines neither the method nor the field, so POST and
    PUT are taken, with a bare JPEG or with form data of any names.

    Source: GB/T 28181-2022 9.14, A.2.3.2.12.
    """

    def __init__(self, url: str, *, max_bytes: int = 10 << 20) -> None:
        """Say where it can be reached.

        Args:
            url: As devices reach it, ``http://203.0.113.9:8080/snapshots``.
            max_bytes: Of one picture with what is around it.
        """
        self.refused = 0
        """Uploads that nobody had ordered, or that were no picture."""
        self._url = url.rstrip("/")
        self._max_bytes = max_bytes
        self._orders: dict[str, asyncio.Queue[bytes]] = {}

    async def order(
        self, channel: Channel, *, count: int = 1, interval: int = 1, timeout: float = 30.0
    ) -> list[bytes]:
        """Order pictures of a camera and wait for them.

        Args:
            channel: The camera.
            count: 1 to 10.
            interval: Seconds between them.
            timeout: Seconds for all of them, beyond the intervals.

        Returns:
            JPEG files in the order of their arrival; fewer when not all arrived.

        Raises:
            DeviceNotOnline: It is not registered.
            NoAnswer: No picture arrived.
            CommandFailed: It refused the order, or speaks an edition without it.
        """
        token = secrets.token_hex(24)
        pictures: asyncio.Queue[bytes] = asyncio.Queue(_MOST)
        self._orders[token] = pictures
        found: list[bytes] = []
        try:
            config = SnapShotConfig(
                snap_num=count,
                interval=interval,
                upload_url=f"{self._url}/{token}/",
                session_id=token,
            )
            (await channel.take_snapshots(config)).require()
            async with asyncio.timeout(timeout + (count - 1) * interval):
                while len(found) < count:
                    found.append(await pictures.get())
        except TimeoutError:
            if not found:
                sentence = f"{channel.id} took the order, but uploaded nothing in {timeout:g} s"
                raise NoAnswer(sentence) from None
        finally:
            del self._orders[token]
        return found

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        """Serve one request. ASGI."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] != "http":
            return
        status = await self._take(scope, receive)
        if status >= 400:
            self.refused += 1
            logger.info("upload to %.80s refused with %d", scope.get("path", ""), status)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def _take(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    ) -> int:
        if scope.get("method") not in ("POST", "PUT"):
            return 405
        parts = unquote(str(scope.get("path", ""))).split("/")
        pictures = next((self._orders[part] for part in parts if part in self._orders), None)
        if pictures is None:
            return 404
        body = await self._body(receive)
        if body is None:
            return 413
        kind = next(
            (value for name, value in scope["headers"] if name.lower() == b"content-type"), b""
        )
        picture = _picture(kind, body)
        if picture is None:
            return 415
        try:
            pictures.put_nowait(picture)
        except asyncio.QueueFull:
            return 409
        return 200

    async def _body(
        self, receive: Callable[[], Awaitable[MutableMapping[str, Any]]]
    ) -> bytes | None:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > self._max_bytes:
                return None
            if not message.get("more_body"):
                return bytes(body)


def _picture(content_type: bytes, body: bytes) -> bytes | None:
    """The JPEG of an upload: the body itself, or the first part of a form that is one."""
    if body.startswith(_JPEG):
        return body
    if not content_type.lower().startswith(b"multipart/"):
        return None
    head = b"Content-Type: " + content_type + b"\r\n\r\n"
    form = BytesParser(policy=HTTP).parsebytes(head + body)
    for part in form.iter_parts() if form.is_multipart() else ():
        payload = part.get_payload(decode=True)
        if isinstance(payload, bytes) and payload.startswith(_JPEG):
            return payload
    return None


async def _live(
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
