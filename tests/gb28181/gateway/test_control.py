from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gb28181.errors import Cause, Gb28181Error, SessionLost
from gb28181.gateway.control import (
    ControlFailed,
    ControlServer,
    Json,
    Progress,
    Verb,
    call,
    converse,
)
from gb28181.supervisor import Supervisor


class Verbs:
    def __init__(self) -> None:
        self.given_up = asyncio.Event()

    async def echo(self, request: Json, progress: Progress) -> Json:
        await progress({"half": 1})
        return {"heard": request["text"]}

    async def wait(self, request: Json, progress: Progress) -> Json:
        try:
            await asyncio.Event().wait()
        finally:
            self.given_up.set()
        return {}

    async def fail(self, request: Json, progress: Progress) -> Json:
        raise Gb28181Error("the camera is asleep")

    async def lose(self, request: Json, progress: Progress) -> Json:
        raise SessionLost(Cause(code="no-media", sentence="nothing came"))


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[Path, Verbs]]:
    supervisor = Supervisor("test")
    await supervisor.start()
    verbs = Verbs()
    table: dict[str, Verb] = {
        "echo": verbs.echo,
        "wait": verbs.wait,
        "fail": verbs.fail,
        "lose": verbs.lose,
    }
    server = ControlServer(tmp_path / "c.sock", table, supervisor)
    await server.start()
    yield tmp_path / "c.sock", verbs
    await server.stop()
    await supervisor.stop()


async def test_a_verb_is_answered(served: tuple[Path, Verbs]) -> None:
    assert await call(served[0], "echo", text="龦") == {"heard": "龦"}


async def test_progress_comes_before_the_result(served: tuple[Path, Verbs]) -> None:
    heard = [message async for message in converse(served[0], "echo", text="a")]
    assert heard == [{"progress": {"half": 1}}, {"result": {"heard": "a"}}]


async def test_only_the_owner_may_open_the_socket(served: tuple[Path, Verbs]) -> None:
    assert stat.S_IMODE(served[0].stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("verb", "code", "sentence"),
    [
        ("fail", "Gb28181Error", "the camera is asleep"),
        ("lose", "no-media", "nothing came"),
        ("dance", "bad-request", "the verbs are"),
    ],
)
async def test_an_error_is_told_in_a_sentence(
    served: tuple[Path, Verbs], verb: str, code: str, sentence: str
) -> None:
    with pytest.raises(ControlFailed, match=sentence) as caught:
        await call(served[0], verb)
    assert caught.value.code == code


async def test_a_client_that_hangs_up_ends_its_verb(served: tuple[Path, Verbs]) -> None:
    path, verbs = served
    _, writer = await asyncio.open_unix_connection(path)
    writer.write(b'{"verb": "wait"}\n')
    await writer.drain()
    writer.close()
    async with asyncio.timeout(5):
        await verbs.given_up.wait()


@pytest.mark.parametrize("line", [b"not json\n", b"[]\n", b"7\n", b'{"verb": 1}\n', b"\xff\xfe\n"])
async def test_what_is_no_request_is_refused_and_the_server_goes_on(
    served: tuple[Path, Verbs], line: bytes
) -> None:
    reader, writer = await asyncio.open_unix_connection(served[0])
    writer.write(line)
    answer = await reader.read()
    writer.close()
    assert b"bad-request" in answer
    assert await call(served[0], "echo", text="b") == {"heard": "b"}


async def test_a_process_that_does_not_run_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(ControlFailed, match="is it running") as caught:
        await call(tmp_path / "none.sock", "status")
    assert caught.value.code == "not-running"


async def test_a_socket_in_use_is_refused_and_a_stale_one_replaced(
    served: tuple[Path, Verbs], tmp_path: Path
) -> None:
    supervisor = Supervisor("second")
    await supervisor.start()
    with pytest.raises(OSError, match="in use"):
        await ControlServer(served[0], {}, supervisor).start()
    stale = tmp_path / "stale.sock"
    server = await asyncio.start_unix_server(lambda r, w: None, stale)
    server.close()
    stale.touch()
    replaced = ControlServer(stale, {}, supervisor)
    await replaced.start()
    await replaced.stop()
    assert not stale.exists()
    await supervisor.stop()
