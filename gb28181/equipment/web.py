"""What a device fetches and uploads by HTTP: bounded in bytes and in time, never redirected."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..errors import Gb28181Error

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

logger = logging.getLogger("gb28181.device")

_ANSWER_LIMIT = 64 * 1024


class TransferFailed(Gb28181Error):
    """A download or upload came to nothing."""

    def __init__(self, sentence: str, *, code: str) -> None:
        super().__init__(sentence)
        self.code = code
        """``01`` timed out, ``02`` damaged, ``03`` system error, ``99`` other: the words of
        UpgradeFailedReason."""


class Web:
    """Talks HTTP to whom the platform names. Needs the extra ``simulate``."""

    def __init__(self, client: Callable[[], httpx.AsyncClient] | None, *, timeout: float) -> None:
        """Take what makes a client, and the seconds that a transfer may take."""
        self._client = client
        self._timeout = timeout

    def fault(self, url: str) -> str:
        """Say why an address cannot be used; empty when it can."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return f"{url[:80]!r} is not an address"
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return f"{url[:80]!r} is not an http address"
        if self._client is None:
            try:
                import httpx  # noqa: F401
            except ImportError:
                return "transfers need httpx: pip install 'gb28181[simulate]'"
        return ""

    async def fetch(self, url: str, limit: int) -> bytes:
        """Download.

        Raises:
            TransferFailed: It could not be had whole, or has more than ``limit`` bytes.
        """
        body = bytearray()

        async def take(client: httpx.AsyncClient) -> None:
            async with client.stream("GET", url) as response:
                if response.status_code != 200:
                    raise TransferFailed(f"{url}: HTTP {response.status_code}", code="99")
                async for part in response.aiter_bytes():
                    body.extend(part)
                    if len(body) > limit:
                        raise TransferFailed(f"{url}: more than {limit} bytes", code="02")

        await self._within(take, url)
        if not body:
            raise TransferFailed(f"{url}: nothing in it", code="02")
        return bytes(body)

    async def upload(self, url: str, fields: dict[str, str], name: str, picture: bytes) -> None:
        """Send a picture as a form of several parts, as is done in practice (2022 9.14).

        Raises:
            TransferFailed: The server did not take it.
        """

        async def give(client: httpx.AsyncClient) -> None:
            files = {"file": (name, picture, "image/jpeg")}
            async with client.stream("POST", url, data=fields, files=files) as response:
                seen = 0
                async for part in response.aiter_bytes():
                    seen += len(part)
                    if seen > _ANSWER_LIMIT:
                        break
                if response.status_code >= 300:
                    raise TransferFailed(f"{url}: HTTP {response.status_code}", code="99")

        await self._within(give, url)

    async def _within(self, work: Callable[[httpx.AsyncClient], object], url: str) -> None:
        import httpx

        make = self._client or _direct
        try:
            async with asyncio.timeout(self._timeout), make() as client:
                await work(client)  # type: ignore[misc]
        except (TimeoutError, httpx.TimeoutException) as error:
            raise TransferFailed(
                f"{url}: not done within {self._timeout:g} s", code="01"
            ) from error
        except httpx.RemoteProtocolError as error:
            raise TransferFailed(f"{url}: {error}", code="02") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise TransferFailed(f"{url}: {error}", code="99") from error


def _direct() -> httpx.AsyncClient:
    """A client that goes straight to the address, as a camera does."""
    import httpx

    return httpx.AsyncClient(trust_env=False)
