"""Playback control: every dialect that was seen, and junk."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gb28181.mansrtsp import (
    NOW,
    Answer,
    Control,
    MalformedMansrtsp,
    Pause,
    Play,
    RtpInfo,
    Teardown,
    parse_answer,
    parse_control,
)

EIGHT = datetime(2024, 5, 1, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "PLAY RTSP/1.0\r\nCSeq: 4\r\nRange: npt=100-\r\n\r\n",
            Play(cseq=4, range_start=100.0),
        ),
        (
            "PLAY MANSRTSP/1.0\r\nCSeq: 4\r\nScale: 2.0\r\n\r\n",
            Play(cseq=4, scale=2.0, version="MANSRTSP/1.0"),
        ),
        ("PLAY rtsp://10.0.0.1/x RTSP/1.0\r\nRange: npt=now-\r\n", Play(range_start=NOW)),
        ("play rtsp/1.0\ncseq: 7\nrange: ntp=now-\n", Play(cseq=7, range_start=NOW)),
        ("PLAY RTSP/1.0\nRange:npt=600-120\nScale:-1", Play(range_start=600.0, range_end=120.0,
                                                            scale=-1.0)),
        ("PLAY RTSP/1.0\r\nRange: smpte=0:01:40-\r\n", Play(range_start=100.0)),
        ("PLAY RTSP/1.0\r\nRange: smpte-30-drop=0:01:40:15.00-\r\n", Play(range_start=100.5)),
        ("PLAY RTSP/1.0\r\nRange: npt=0:01:40.5-\r\n", Play(range_start=100.5)),
        ("PLAY RTSP/1.0\r\nRange: 12.25-\r\n", Play(range_start=12.25)),
        ("PLAY RTSP/1.0\r\nRange: npt=-30\r\n", Play(range_start=NOW, range_end=30.0)),
        ("PLAY RTSP/1.0\r\nRange: npt=5\r\n", Play(range_start=5.0)),
        ("PLAY RTSP/1.0\r\nRange: npt=5-;time=1\r\n", Play(range_start=5.0)),
        ("PLAY RTSP/1.0\r\nRange: clock=20240501T080000Z-\r\n", Play(range_start=EIGHT)),
        (
            "PLAY RTSP/1.0\r\nRange: clock=20240501T080000.25Z-20240501T080000Z\r\n",
            Play(range_start=EIGHT.replace(microsecond=250_000), range_end=EIGHT),
        ),
        ("PLAY RTSP/1.0\r\nScale: -0.25\r\n", Play(scale=-0.25)),
        ("PLAY RTSP/1.0\r\nScale: +4\r\n", Play(scale=4.0)),
        ("PLAY", Play()),
        ("PLAY RTSP/1.0\r\nCSeq: four\r\n", Play()),
        ("\r\n\r\nPAUSE RTSP/1.0\r\nCSeq: 5\r\nPauseTime: now\r\n\r\n", Pause(cseq=5)),
        ("TEARDOWN MANSRTSP/1.0\r\nCSeq: 6 TEARDOWN\r\n\0", Teardown(cseq=6,
                                                                     version="MANSRTSP/1.0")),
    ],
)  # fmt: skip
def test_a_request_is_read_in_every_dialect(text: str, expected: Control) -> None:
    assert parse_control(text.encode()) == expected


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("", None),
        ("\r\n\r\n", None),
        ("hello", None),
        ("<?xml version='1.0'?><Query/>", None),
        ("PLAY RTSP/1.0\r\n" + "x" * 9000, None),
        ("RECORD RTSP/1.0\r\nCSeq: 9\r\n", 501),
        ("PLAY RTSP/1.0\r\nCSeq: 9\r\nScale: fast\r\n", 400),
        ("PLAY RTSP/1.0\r\nCSeq: 9\r\nScale: 0\r\n", 400),
        ("PLAY RTSP/1.0\r\nCSeq: 9\r\nScale: 999999\r\n", 400),
        ("PLAY RTSP/1.0\r\nCSeq: 9\r\nScale: nan\r\n", 400),
        ("PLAY RTSP/1.0\r\nCSeq: 9\r\nRange: npt=-5-\r\n", 457),
        ("PLAY RTSP/1.0\r\nCSeq: 9\r\nRange: npt=ten-\r\n", 457),
        ("PLAY RTSP/1.0\r\nCSeq: 9\r\nRange: npt=999999999999-\r\n", 457),
        ("PLAY RTSP/1.0\r\nCSeq: 9\r\nRange: bytes=1-\r\n", 457),
        ("PLAY RTSP/1.0\r\nCSeq: 9\r\nRange: clock=20241301T080000Z-\r\n", 457),
        ("PLAY RTSP/1.0\r\nCSeq: 9\r\nRange: clock=tomorrow-\r\n", 457),
        ("PLAY RTSP/1.0\r\nCSeq: 9\r\nRange: npt=\r\n", 457),
    ],
)
def test_what_cannot_be_done_says_what_to_answer(text: str, status: int | None) -> None:
    with pytest.raises(MalformedMansrtsp) as told:
        parse_control(text.encode())
    answer = told.value.answer
    assert (answer and answer.status) == status
    if answer is not None:
        assert answer.cseq == 9


def test_an_answer_is_read() -> None:
    answer = parse_answer(
        b"RTSP/1.0 200 OK\r\nCSeq: 4\r\nRange: npt=100-\r\n"
        b"RTP-Info: url=rtsp://x/1;seq=51;rtptime=4000000000,url=rtsp://x/2;seq=1;rtptime=2\r\n\r\n"
    )
    assert answer == Answer(
        reason="OK",
        cseq=4,
        range_start=100.0,
        rtp_info=RtpInfo(sequence_number=51, timestamp=4_000_000_000),
    )


@pytest.mark.parametrize(
    "headers",
    ["Range: npt=now-", "Range: gone", "Scale: fast", "RTP-Info: seq=1", "RTP-Info: rtptime=x"],
)
def test_what_an_answer_says_wrongly_counts_as_unsaid(headers: str) -> None:
    answer = parse_answer(f"MANSRTSP/1.0 457\n{headers}\n".encode())
    assert answer == Answer(status=457, version="MANSRTSP/1.0")


def test_a_request_is_no_answer() -> None:
    with pytest.raises(MalformedMansrtsp):
        parse_answer(Pause(cseq=1).to_bytes())


def test_the_text_of_the_standard() -> None:
    assert Play(cseq=4, range_start=100.0).to_bytes() == (
        b"PLAY RTSP/1.0\r\nCSeq: 4\r\nRange: npt=100-\r\n\r\n"
    )
    assert Play(cseq=4, scale=2.0).to_bytes() == b"PLAY RTSP/1.0\r\nCSeq: 4\r\nScale: 2.0\r\n\r\n"
    assert Pause(cseq=4).to_bytes() == b"PAUSE RTSP/1.0\r\nCSeq: 4\r\nPauseTime: now\r\n\r\n"
    assert Answer(status=457, cseq=4).to_bytes() == b"RTSP/1.0 457 Invalid Range\r\nCSeq: 4\r\n\r\n"


cseqs = st.none() | st.integers(0, 2**31 - 1)
versions = st.sampled_from(["RTSP/1.0", "MANSRTSP/1.0"])
seconds = st.integers(0, 10**8).map(lambda thousandths: thousandths / 1000)
moments = seconds | st.datetimes(
    min_value=datetime(1970, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)
)
scales = st.integers(-256_000, 256_000).filter(bool).map(lambda thousandths: thousandths / 1000)


@st.composite
def ranges(draw: st.DrawFn) -> dict[str, object]:
    start = draw(st.none() | moments)
    if start is None:
        return {}
    kind = (
        seconds if isinstance(start, float) else moments.filter(lambda m: not isinstance(m, float))
    )
    return {"range_start": start, "range_end": draw(st.none() | kind)}


controls = (
    st.builds(
        lambda span, **rest: Play(**span, **rest),
        ranges() | st.just({"range_start": NOW}),
        scale=st.none() | scales,
        cseq=cseqs,
        version=versions,
    )
    | st.builds(Pause, cseq=cseqs, version=versions)
    | st.builds(Teardown, cseq=cseqs, version=versions)
)
answers = st.builds(
    lambda span, **rest: Answer(**span, **rest),
    ranges(),
    status=st.integers(100, 599),
    reason=st.sampled_from(["OK", "Invalid Range"]),
    cseq=cseqs,
    scale=st.none() | scales,
    rtp_info=st.none()
    | st.builds(
        RtpInfo, sequence_number=st.integers(0, 0xFFFF), timestamp=st.integers(0, 0xFFFF_FFFF)
    ),
    version=versions,
)


@given(controls)
def test_a_request_survives_the_wire(control: Control) -> None:
    assert parse_control(control.to_bytes()) == control


@given(answers)
def test_an_answer_survives_the_wire(answer: Answer) -> None:
    assert parse_answer(answer.to_bytes()) == answer


@given(st.binary(max_size=200) | st.text(alphabet="PLAY RTSP/1.0\nange:=-nptowScl259", max_size=80)
       .map(lambda text: f"PLAY RTSP/1.0\n{text}".encode()))  # fmt: skip
def test_junk_is_told_apart_without_another_error(body: bytes) -> None:
    for parse in (parse_control, parse_answer):
        with suppress(MalformedMansrtsp):
            assert parse(body)
