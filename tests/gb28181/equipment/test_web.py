"""Transfers by HTTP against a real server on the loopback."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gb28181.equipment.web import TransferFailed, Web


@asynccontextmanager
async def server(*pieces: bytes, hangs: bool = False) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that answers anything with these bytes; what it was told is in the list."""
    told: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (
                    int(x.split(b":")[1])
                    for x in head.split(b"\r\n")
                    if x.lower()[:15] == b"content-length:"
                ),
                0,
            )
            told.append(head + await reader.readexactly(length))
            for piece in pieces:
                writer.write(piece)
            await writer.drain()
            if hangs:
                await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/x", told
    finally:
        listening.close()
        await listening.wait_closed()


def answer(body: bytes, status: str = "200 OK", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\n\r\n".encode() + body


async def code_of(web: Web, url: str, limit: int = 1000) -> str:
    with pytest.raises(TransferFailed) as told:
        await web.fetch(url, limit)
    return told.value.code


async def test_a_package_is_fetched_whole() -> None:
    async with server(answer(b"firmware")) as (url, told):
        assert await Web(None, timeout=5.0).fetch(url, 1000) == b"firmware"
        assert told[0].startswith(b"GET /x ")


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (answer(b"x" * 2000), "02"),
        (answer(b""), "02"),
        (answer(b"half", length=100), "02"),
        (answer(b"no", "404 Not Found"), "99"),
        (answer(b"", "302 Found\r\nLocation: http://192.0.2.1/"), "99"),
        (b"rubbish\r\n\r\n", "02"),
    ],
)
async def test_what_is_not_the_package_is_a_failure_with_its_reason(said: bytes, code: str) -> None:
    async with server(said) as (url, _):
        assert await code_of(Web(None, timeout=5.0), url) == code


async def test_a_server_that_never_ends_is_left_in_time() -> None:
    async with server(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", hangs=True) as (url, _):
        assert await code_of(Web(None, timeout=0.2), url) == "01"


async def test_nobody_listens() -> None:
    async with server() as (url, _):
        pass
    assert await code_of(Web(None, timeout=5.0), url) == "99"


async def test_a_picture_is_a_part_of_a_form() -> None:
    async with server(answer(b"thanks")) as (url, told):
        fields = {"SessionID": "s1"}
        await Web(None, timeout=5.0).upload(url, fields, "a.jpg", b"\xff\xd8picture")
    assert told[0].startswith(b"POST /x ")
    assert b"multipart/form-data" in told[0]
    assert b'name="SessionID"\r\n\r\ns1\r\n' in told[0]
    assert b'filename="a.jpg"' in told[0]
    assert b"image/jpeg\r\n\r\n\xff\xd8picture\r\n" in told[0]


async def test_a_server_that_does_not_want_the_picture() -> None:
    async with server(answer(b"", "507 Insufficient Storage")) as (url, _):
        with pytest.raises(TransferFailed, match="507"):
            await Web(None, timeout=5.0).upload(url, {}, "a.jpg", b"x")


@pytest.mark.parametrize(
    "url", ["", "ftp://192.0.2.1/a", "http://", "file:///etc/passwd", "http://["]
)
def test_only_http_addresses_are_used(url: str) -> None:
    assert "is not an" in Web(None, timeout=1.0).fault(url)


def test_without_httpx_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    assert "gb28181[simulate]" in Web(None, timeout=1.0).fault("http://192.0.2.1/a")
