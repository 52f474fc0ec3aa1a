from __future__ import annotations

import pytest

from gb28181.manscdp.codec import encode
from gb28181.manscdp.device_info import DeviceInfoQuery
from gb28181.manscdp.unknown import UnknownCommand
from gb28181.testing.simulation import Simulation
from sip.message import Headers, Request


async def said(gb: Simulation, content_type: str, body: bytes) -> int:
    """What a registered device answers to a MESSAGE of its platform."""
    platform = await gb.platform()
    device = await gb.device("plain")
    await device.registered()
    binding = platform.device(device.id).require_binding()
    headers = Headers(
        [
            ("From", f"<sip:{platform.id}@{platform.domain}>"),
            ("To", f"<sip:{device.id}@{platform.domain}>"),
            ("Content-Type", content_type),
        ]
    )
    uri = f"sip:{device.id}@{platform.domain}"
    response = await platform.station.endpoint.request(
        Request("MESSAGE", uri, headers, body), binding.flow
    )
    return response.status


QUERY = DeviceInfoQuery(sn="7", device_id="34020000001320000001")


@pytest.mark.parametrize(
    "content_type",
    ["Application/MANSCDP+xml", "APPLICATION/MANSCDP+XML; charset=gb2312", "MANSCDP+xml"],
)
async def test_a_command_is_received_under_every_name_of_its_type(
    gb: Simulation, content_type: str
) -> None:
    from gb28181.edition import Edition

    assert await said(gb, content_type, encode(QUERY, Edition.GB2016)) == 200


async def test_another_content_type_is_refused(gb: Simulation) -> None:
    assert await said(gb, "text/plain", b"hello") == 415


async def test_what_is_no_command_is_refused(gb: Simulation) -> None:
    assert await said(gb, "Application/MANSCDP+xml", b"<Query><SN>1</SN>") == 400


async def test_an_unknown_command_is_received_and_counted_once_logged(
    gb: Simulation, caplog: pytest.LogCaptureFixture
) -> None:
    platform = await gb.platform()
    device = await gb.device("plain")
    await device.registered()
    remote = platform.device(device.id)
    caplog.set_level("INFO", "gb28181.answers")
    for sn in ("1", "2"):
        command = UnknownCommand(root="Query", cmd_type="Weather", sn=sn, device_id=device.id)
        await platform.commands.send(remote, command)
    assert device.role.answers.unknown == {"Query/Weather": 2}
    told = [record for record in caplog.records if "not served" in record.getMessage()]
    assert len(told) == 1
