"""Wireshark's reader finds SIP in the pcapng files that the trace writes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sip.flow import Flow
from sip.message import Headers, Request, make_response
from sip.trace import PcapngWriter, make_record

pytestmark = pytest.mark.interop

FLOWS = [
    Flow("udp", ("192.0.2.1", 5060), ("192.0.2.10", 5060)),
    Flow("udp", ("2001:db8::1", 5060), ("2001:db8::10", 5062)),
    Flow("tcp", ("192.0.2.1", 5060), ("192.0.2.10", 40_000)),
    Flow("tcp", ("2001:db8::1", 5060), ("2001:db8::10", 40_001)),
]


def message(number: int) -> Request:
    return Request(
        "MESSAGE",
        "sip:34020000002000000001@3402000000",
        Headers(
            [
                ("Via", f"SIP/2.0/UDP 192.0.2.10:5060;rport;branch=z9hG4bK{number}"),
                ("From", "<sip:34020000001320000001@3402000000>;tag=1"),
                ("To", "<sip:34020000002000000001@3402000000>"),
                ("Call-ID", f"call-{number}"),
                ("CSeq", "20 MESSAGE"),
                ("Max-Forwards", "70"),
                ("Content-Type", "Application/MANSCDP+xml"),
            ]
        ),
        b"<Notify>" + b"x" * 3000 + b"</Notify>",
    )


def test_tshark_reads_the_messages_and_complains_of_nothing(
    program: Callable[[str], str], tmp_path: Path
) -> None:
    tshark = program("tshark")
    path = tmp_path / "trace.pcapng"
    writer = PcapngWriter()
    data = writer.header
    for number, flow in enumerate(FLOWS):
        request = message(number)
        answer = make_response(request, 200, to_tag="2")
        data += writer.packet(make_record(number, "in", flow, request.to_bytes()), epoch=1.7e9)
        data += writer.packet(make_record(number, "out", flow, answer.to_bytes()), epoch=1.7e9)
    path.write_bytes(data)
    columns = ["frame.time_epoch", "sip.Request-Line", "sip.Status-Code", "sip.Call-ID"]
    command = [tshark, "-r", str(path), "-n", "-Y", "sip", "-T", "fields", "-E", "separator=|"]
    command += ["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"]
    command += ["-o", "tcp.check_checksum:TRUE"]
    for column in [*columns, "_ws.expert.message"]:
        command += ["-e", column]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [line.split("|") for line in output.splitlines()]
    assert [(line[1], line[2], line[3]) for line in lines] == [
        row
        for number in range(len(FLOWS))
        for row in (
            ("MESSAGE sip:34020000002000000001@3402000000 SIP/2.0", "", f"call-{number}"),
            ("", "200", f"call-{number}"),
        )
    ]
    assert float(lines[2][0]) == pytest.approx(1.7e9 + 1)
    assert not [line[4] for line in lines if "checksum" in line[4].lower()]
    assert not [line[4] for line in lines if "malformed" in line[4].lower()]
