"""The control socket: a Unix socket with one JSON object a line, for the command line.

A request is ``{"verb": ..., ...}``. Answers are any number of ``{"progress": ...}`` and one
``{"result": ...}`` or ``{"error": {"code": ..., "sentence": ...}}``; that of a session that failed
has its ``stage`` and ``evidence``, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from ..errors import Gb28181Error, RoleFailed, SessionLost

if TYPE_CHECKING:
    from pathlib import Path

    from ..supervisor import Supervisor

logger = logging.getLogger("gb28181.control")

Json = dict[str, Any]
Progress = Callable[[Json], Awaitable[None]]
Verb = Callable[[Json, Progress], Coroutine[Any, Any, Json]]

_LINE_LIMIT = 1024 * 1024
_ANSWER_LIMIT = 64 * 1024 * 1024
"""Bytes of an answer: the state of a hundred thousand devices is one line."""


class ControlServer:
    """Serves verbs on a Unix socket that only its owner may open."""

    def __init__(self, path: Path, verbs: dict[str, Verb], supervisor: Supervisor) -> None:
        self._path = path
        self._verbs = verbs
        self._supervisor = supervisor
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Open the socket.

        Raises:
            OSError: The path is in use by a living process, or cannot be made.
        """
        if self._path.exists():
            if await _answers(self._path):
                raise OSError(98, f"control socket {self._path} is in use by another process")
            self._path.unlink()
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(
                self._accept, self._path, limit=_LINE_LIMIT
            )
        finally:
            os.umask(before)

    async def stop(self) -> None:
        """Close the socket and remove its path."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self._path.unlink(missing_ok=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self._supervisor.spawn(
                self._serve(reader, writer), name="control connection", on_fault=lambda _: None
            )
        except RoleFailed:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def send(message: Json) -> None:
            writer.write(json.dumps(message, ensure_ascii=False).encode() + b"\n")
            await writer.drain()

        try:
            if line := await reader.readline():
                await send(await self._perform(line, send, reader))
        except (ConnectionError, ValueError) as error:
            logger.debug("control connection ended: %s", error)
        finally:
            writer.close()

    async def _perform(self, line: bytes, send: Progress, reader: asyncio.StreamReader) -> Json:
        try:
            request = json.loads(line)
            verb = self._verbs[request["verb"]]
        except (ValueError, KeyError, TypeError):
            return _error("bad-request", f"the verbs are {', '.join(sorted(self._verbs))}")

        async def progress(message: Json) -> None:
            await send({"progress": message})

        try:
            return {"result": await _while_connected(verb(request, progress), reader)}
        except SessionLost as lost:
            cause = lost.cause
            return _error(
                cause.code, cause.sentence, stage=cause.stage, evidence=dict(cause.evidence)
            )
        except (Gb28181Error, OSError) as error:
            return _error(type(error).__name__, str(error))


async def _while_connected(work: Coroutine[Any, Any, Json], reader: asyncio.StreamReader) -> Json:
    """Do the work, or give it up when the other end hangs up; a connection carries one verb."""
    doing = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(reader.read(1))
    try:
        await asyncio.wait({doing, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise ConnectionResetError("the client hung up")
        return doing.result()
    finally:
        gone.cancel()
        doing.cancel()
        await asyncio.wait({doing, gone})


async def _answers(path: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return False
    writer.close()
    return True


def _error(code: str, sentence: str, **more: object) -> Json:
    return {"error": {"code": code, "sentence": sentence, **more}}


class ControlFailed(Gb28181Error):
    """The gateway answered a verb with an error, or does not run."""

    def __init__(self, code: str, sentence: str, *, evidence: dict[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.code = code
        self.evidence = evidence or {}
        """What was seen of a session that failed."""


async def call(path: Path, verb: str, **arguments: object) -> Json:
    """Ask a running process for the result of a verb; progress is passed over.

    Raises:
        ControlFailed: It answered with an error, or there is no such process.
    """
    result: Json = {}
    async for message in converse(path, verb, **arguments):
        result = message.get("result", result)
    return result


async def converse(path: Path, verb: str, **arguments: object) -> AsyncIterator[Json]:
    """Ask for a verb and yield what comes: ``progress`` lines, then one ``result``.

    Raises:
        ControlFailed: It answered with an error, or there is no such process.
    """
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=_ANSWER_LIMIT)
    except OSError as error:
        raise ControlFailed(
            "not-running", f"no gateway answers at {path} ({error.strerror}); is it running?"
        ) from error
    try:
        writer.write(json.dumps({"verb": verb, **arguments}).encode() + b"\n")
        await writer.drain()
        while line := await reader.readline():
            message = json.loads(line)
            if "error" in message:
                told = message["error"]
                raise ControlFailed(told["code"], told["sentence"], evidence=told.get("evidence"))
            yield message
            if "result" in message:
                return
        raise ControlFailed("hung-up", f"the process at {path} went away")
    except ConnectionError as error:
        raise ControlFailed("hung-up", f"the process at {path} went away") from error
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
