"""The kit finds what is wrong with a target, and nothing else."""

import re
from collections.abc import Awaitable, Callable

import pytest

from conformance.case import Role, Verdict
from conformance.selftest import CHANNEL_ID, DEVICE_ID
from rtp.access_unit import AccessUnit
from rtp.mpegps.muxer import PsMuxer

Judge = Callable[..., Awaitable[dict[str, Verdict]]]
pytestmark = pytest.mark.slow


def having(verdicts: dict[str, Verdict], verdict: Verdict) -> set[str]:
    return {case_id for case_id, one in verdicts.items() if one is verdict}


def others_pass(verdicts: dict[str, Verdict], *besides: str) -> bool:
    fine = having(verdicts, Verdict.PASS) | having(verdicts, Verdict.NOT_APPLICABLE)
    return fine == set(verdicts) - set(besides)


async def test_platform_that_accepts_a_wrong_password(judge: Judge) -> None:
    def sent(data: bytes) -> bytes:
        if b"REGISTER" in data and DEVICE_ID.encode() in data:
            return data.replace(b"SIP/2.0 403 Forbidden", b"SIP/2.0 200 OK")
        return data

    verdicts = await judge(Role.PLATFORM, ["reg"], sent=sent)
    broken = {"GB-REG-004", "GB-REG-007", "GB-REG-021"}
    assert having(verdicts, Verdict.FAIL) == broken
    assert others_pass(verdicts, *broken)


async def test_platform_that_does_not_challenge(judge: Judge) -> None:
    def sent(data: bytes) -> bytes:
        return data.replace(b"SIP/2.0 401 Unauthorized", b"SIP/2.0 200 OK")

    verdicts = await judge(Role.PLATFORM, ["GB-REG-003", "GB-REG-004"], sent=sent)
    assert verdicts == {
        "GB-REG-002": Verdict.FAIL,
        "GB-REG-003": Verdict.INCONCLUSIVE,
        "GB-REG-004": Verdict.INCONCLUSIVE,
    }


async def test_platform_whose_ssrc_is_of_another_kind(judge: Judge) -> None:
    def sent(data: bytes) -> bytes:
        return data.replace(b"\r\ny=0", b"\r\ny=1")

    only = ["GB-LIV-001", "GB-LIV-002", "GB-LIV-003"]
    verdicts = await judge(Role.PLATFORM, only, sent=sent)
    assert having(verdicts, Verdict.FAIL) == {"GB-LIV-003"}
    assert others_pass(verdicts, "GB-LIV-003")


async def test_platform_that_forgets_to_say_goodbye(judge: Judge) -> None:
    def sent(data: bytes) -> bytes | None:
        return None if data.startswith(b"BYE ") else data

    verdicts = await judge(Role.PLATFORM, ["GB-LIV-014"], sent=sent)
    assert having(verdicts, Verdict.FAIL) == {"GB-LIV-014"}
    assert others_pass(verdicts, "GB-LIV-014")


async def test_device_that_answers_without_num(judge: Judge) -> None:
    def sent(data: bytes) -> bytes:
        return data.replace(b"<DeviceList Num=", b"<DeviceList Nom=")

    verdicts = await judge(Role.DEVICE, ["qry"], sent=sent)
    assert having(verdicts, Verdict.FAIL) == {"GB-QRY-001"}
    assert others_pass(verdicts, "GB-QRY-001")


async def test_device_that_counts_wrong(judge: Judge) -> None:
    def sent(data: bytes) -> bytes:
        return data.replace(b"<SumNum>1<", b"<SumNum>2<")

    verdicts = await judge(Role.DEVICE, ["GB-QRY-001"], sent=sent)
    assert having(verdicts, Verdict.FAIL) == {"GB-QRY-001"}


async def test_device_that_sends_another_ssrc_than_it_says(judge: Judge) -> None:
    verdicts = await judge(
        Role.DEVICE,
        ["GB-LIV-004", "GB-LIV-005", "GB-LIV-018", "GB-LIV-019", "GB-PS-001"],
        received=lambda data: data.replace(b"\r\ny=0", b"\r\ny=1"),
        sent=lambda data: data.replace(b"\r\ny=1", b"\r\ny=0"),
    )
    broken = {"GB-LIV-004", "GB-LIV-018", "GB-LIV-019"}
    assert having(verdicts, Verdict.FAIL) == broken
    assert having(verdicts, Verdict.INCONCLUSIVE) == {"GB-PS-001"}
    assert others_pass(verdicts, *broken, "GB-PS-001")


async def test_device_that_never_sends_a_heartbeat(judge: Judge) -> None:
    def sent(data: bytes) -> bytes | None:
        return None if b"<CmdType>Keepalive<" in data else data

    verdicts = await judge(Role.DEVICE, ["ka", "GB-REG-013"], sent=sent)
    assert verdicts == {
        "GB-REG-001": Verdict.PASS,
        "GB-KA-001": Verdict.FAIL,
        "GB-KA-002": Verdict.INCONCLUSIVE,
        "GB-KA-006": Verdict.INCONCLUSIVE,
        "GB-REG-013": Verdict.PASS,
    }


async def test_device_whose_pictures_have_no_headers(judge: Judge) -> None:
    def muted(self: PsMuxer, unit: AccessUnit) -> bytes:
        pack = push(self, unit)
        if unit.is_key:
            begin = pack.index(b"\0\0\1\xbb")
            return pack[:begin] + pack[pack.index(b"\0\0\1\xe0") :]
        return pack

    push = PsMuxer.push
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PsMuxer, "push", muted)
        verdicts = await judge(Role.DEVICE, ["GB-PS-001", "GB-PS-002", "GB-PS-003", "GB-PS-004"])
    broken = {"GB-PS-001", "GB-PS-003"}
    assert having(verdicts, Verdict.FAIL) == broken
    assert having(verdicts, Verdict.INCONCLUSIVE) == {"GB-PS-004"}
    assert others_pass(verdicts, *broken, "GB-PS-004")


async def test_device_that_does_not_know_its_cameras(judge: Judge) -> None:
    def received(data: bytes) -> bytes:
        other = str(int(CHANNEL_ID) + 7).encode()
        return data.replace(CHANNEL_ID.encode(), other) if data.startswith(b"INVITE") else data

    verdicts = await judge(Role.DEVICE, ["GB-LIV-005", "GB-LIV-008"], received=received)
    assert having(verdicts, Verdict.FAIL) == {"GB-LIV-005"}
    assert others_pass(verdicts, "GB-LIV-005")


async def test_device_that_asks_for_too_little_time(judge: Judge) -> None:
    def sent(data: bytes) -> bytes:
        return re.sub(rb"Expires: 3600", b"Expires: 1800", data)

    verdicts = await judge(Role.DEVICE, ["GB-REG-013", "GB-ID-004"], sent=sent)
    assert having(verdicts, Verdict.FAIL) == {"GB-REG-013"}
    assert others_pass(verdicts, "GB-REG-013")


async def test_device_that_does_not_answer_messages_is_failed_and_not_waited_for(
    judge: Judge,
) -> None:
    def sent(data: bytes) -> bytes | None:
        return None if data.startswith(b"SIP/2.0 200") and b"MESSAGE" in data else data

    verdicts = await judge(Role.DEVICE, ["GB-SIP-004"], sent=sent)
    assert verdicts["GB-SIP-004"] is Verdict.FAIL
