"""PTZCmd both ways; the examples are those of the standard's tables, worked by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gb28181.errors import ConfigError, MalformedCommand
from gb28181.ptz import (
    CruiseAction,
    CruiseCommand,
    Focus,
    Iris,
    LensMotion,
    Motion,
    Pan,
    PresetAction,
    PresetCommand,
    ScanAction,
    ScanCommand,
    SwitchAction,
    SwitchCommand,
    Tilt,
    UnknownPtzCommand,
    Zoom,
    decode_ptz,
    encode_ptz,
)

EXAMPLES = [
    (Motion(), "A50F0000000000B4"),
    (Motion(pan=Pan.RIGHT, pan_speed=0x1F), "A50F00011F0000D4"),
    (Motion(pan=Pan.LEFT, pan_speed=0x1F), "A50F00021F0000D5"),
    (Motion(tilt=Tilt.DOWN, tilt_speed=0x1F), "A50F0004001F00D7"),
    (Motion(tilt=Tilt.UP, tilt_speed=0x1F), "A50F0008001F00DB"),
    (Motion(pan=Pan.RIGHT, tilt=Tilt.UP, pan_speed=0x64, tilt_speed=0x64), "A50F000964640085"),
    (Motion(pan=Pan.LEFT, tilt=Tilt.UP, pan_speed=0x64, tilt_speed=0x64), "A50F000A64640086"),
    (Motion(pan=Pan.RIGHT, tilt=Tilt.DOWN, pan_speed=0x64, tilt_speed=0x64), "A50F000564640081"),
    (Motion(pan=Pan.LEFT, tilt=Tilt.DOWN, pan_speed=0x64, tilt_speed=0x64), "A50F000664640082"),
    (Motion(zoom=Zoom.IN, zoom_speed=0xF), "A50F00100000F0B4"),
    (Motion(zoom=Zoom.OUT, zoom_speed=1), "A50F0020000010E4"),
    (
        Motion(
            pan=Pan.RIGHT,
            tilt=Tilt.UP,
            zoom=Zoom.OUT,
            pan_speed=0x20,
            tilt_speed=0x40,
            zoom_speed=5,
        ),
        "A50F00292040508D",
    ),
    (LensMotion(), "A50F0040000000F4"),
    (LensMotion(focus=Focus.FAR, focus_speed=0x50), "A50F004150000045"),
    (LensMotion(focus=Focus.NEAR, focus_speed=0x50), "A50F004250000046"),
    (LensMotion(iris=Iris.OPEN, iris_speed=0x50), "A50F004400500048"),
    (LensMotion(iris=Iris.CLOSE, iris_speed=0x50), "A50F00480050004C"),
    (
        LensMotion(iris=Iris.CLOSE, focus=Focus.FAR, iris_speed=0x30, focus_speed=0x20),
        "A50F00492030004D",
    ),
    (PresetCommand(action=PresetAction.SET, preset=1), "A50F008100010036"),
    (PresetCommand(action=PresetAction.CALL, preset=1), "A50F008200010037"),
    (PresetCommand(action=PresetAction.DELETE, preset=1), "A50F008300010038"),
    (PresetCommand(action=PresetAction.CALL, preset=255), "A50F008200FF0035"),
    (CruiseCommand(action=CruiseAction.ADD_POINT, cruise=1, value=3), "A50F00840103003C"),
    (CruiseCommand(action=CruiseAction.DELETE_POINT, cruise=1, value=3), "A50F00850103003D"),
    (CruiseCommand(action=CruiseAction.DELETE_POINT, cruise=1), "A50F00850100003A"),
    (CruiseCommand(action=CruiseAction.SPEED, cruise=1, value=0x123), "A50F00860123106E"),
    (CruiseCommand(action=CruiseAction.DWELL, cruise=1, value=300), "A50F0087012C1078"),
    (CruiseCommand(action=CruiseAction.START, cruise=1), "A50F00880100003D"),
    (ScanCommand(action=ScanAction.START, scan=1), "A50F00890100003E"),
    (ScanCommand(action=ScanAction.LEFT_EDGE, scan=1), "A50F00890101003F"),
    (ScanCommand(action=ScanAction.RIGHT_EDGE, scan=1), "A50F008901020040"),
    (ScanCommand(action=ScanAction.SPEED, scan=1, speed=0x123), "A50F008A01231072"),
    (SwitchCommand(action=SwitchAction.ON, switch=1), "A50F008C01000041"),
    (SwitchCommand(action=SwitchAction.OFF, switch=1), "A50F008D01000042"),
    (SwitchCommand(action=SwitchAction.ON, switch=5), "A50F008C05000045"),
]

BYTE = st.integers(0, 0xFF)
COMMANDS: st.SearchStrategy[Any] = st.one_of(
    st.builds(
        Motion,
        pan=st.none() | st.sampled_from(Pan),
        tilt=st.none() | st.sampled_from(Tilt),
        zoom=st.none() | st.sampled_from(Zoom),
        pan_speed=BYTE,
        tilt_speed=BYTE,
        zoom_speed=st.integers(0, 0xF),
    ),
    st.builds(
        LensMotion,
        focus=st.none() | st.sampled_from(Focus),
        iris=st.none() | st.sampled_from(Iris),
        focus_speed=BYTE,
        iris_speed=BYTE,
    ),
    st.builds(PresetCommand, action=st.sampled_from(PresetAction), preset=st.integers(1, 0xFF)),
    st.builds(
        CruiseCommand,
        action=st.sampled_from([CruiseAction.ADD_POINT, CruiseAction.DELETE_POINT]),
        cruise=BYTE,
        value=st.integers(1, 0xFF),
    ),
    st.builds(
        CruiseCommand,
        action=st.sampled_from([CruiseAction.SPEED, CruiseAction.DWELL]),
        cruise=BYTE,
        value=st.integers(0, 0xFFF),
    ),
    st.builds(
        CruiseCommand,
        action=st.sampled_from([CruiseAction.DELETE_POINT, CruiseAction.START]),
        cruise=BYTE,
    ),
    st.builds(
        ScanCommand,
        action=st.sampled_from([ScanAction.START, ScanAction.LEFT_EDGE, ScanAction.RIGHT_EDGE]),
        scan=BYTE,
    ),
    st.builds(
        ScanCommand, action=st.just(ScanAction.SPEED), scan=BYTE, speed=st.integers(0, 0xFFF)
    ),
    st.builds(SwitchCommand, action=st.sampled_from(SwitchAction), switch=BYTE),
    st.builds(
        UnknownPtzCommand,
        code=st.sampled_from([0x50, 0x80, 0x8B, 0x8E, 0xFF]),
        data1=BYTE,
        data2=BYTE,
        data3=st.integers(0, 0xF),
    ),
)


def framed(*data: int) -> str:
    return bytes([*data, sum(data) & 0xFF]).hex()


@pytest.mark.parametrize(("command", "text"), EXAMPLES, ids=[text for _, text in EXAMPLES])
def test_an_example_is_written_and_read(command: Any, text: str) -> None:
    assert encode_ptz(command) == text
    decoded = decode_ptz(text)
    assert decoded.command == command
    assert (decoded.address, decoded.remarks) == (0, ())


@given(COMMANDS, st.integers(0, 0xFFF))
def test_what_is_written_is_read_again(command: Any, address: int) -> None:
    decoded = decode_ptz(encode_ptz(command, address=address))
    assert decoded.command == command
    assert (decoded.address, decoded.remarks) == (address, ())


@given(st.lists(BYTE, min_size=3, max_size=3), BYTE)
def test_every_code_means_something(data: list[int], code: int) -> None:
    text = framed(0xA5, 0x0F, 0, code, *data)
    assert decode_ptz(text).command is not None


def test_an_address_is_no_matter() -> None:
    command = Motion(pan=Pan.RIGHT, pan_speed=0x1F)
    assert encode_ptz(command, address=0x123) == "A50F23011F0001F8"
    assert decode_ptz("A50F23011F0001F8").command == command


def test_a_sender_that_writes_address_one_and_all_speeds_is_understood() -> None:
    assert decode_ptz("A50F01081E1E1009").command == Motion(
        tilt=Tilt.UP, pan_speed=0x1E, tilt_speed=0x1E, zoom_speed=1
    )


def test_small_letters_and_blanks_around_are_accepted() -> None:
    assert decode_ptz(" a50f00021f0000d5\r\n").command == Motion(pan=Pan.LEFT, pan_speed=0x1F)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A50F00011F0000D",
        "A50F00011F0000D4D4",
        "A50F00011F0000G4",
        "A5 0F 00 01 1F 00",
        "A4" + "0F00011F0000D3",
        "A50F00011F0000D5",
    ],
)
def test_what_is_no_command_is_refused(text: str) -> None:
    with pytest.raises(MalformedCommand):
        decode_ptz(text)


def test_a_wrong_check_of_byte_two_is_remarked_and_obeyed() -> None:
    decoded = decode_ptz(framed(0xA5, 0x00, 0, 0x01, 9, 0, 0))
    assert decoded.command == Motion(pan=Pan.RIGHT, pan_speed=9)
    assert decoded.remarks == ("the check of byte 2 is wrong: 00",)


def test_another_version_has_another_check() -> None:
    assert decode_ptz(framed(0xA5, 0x10, 0, 0x01, 9, 0, 0)).remarks == ()


def test_an_axis_in_both_directions_stops() -> None:
    decoded = decode_ptz(framed(0xA5, 0x0F, 0, 0x0B, 9, 9, 0))
    assert decoded.command == Motion(tilt=Tilt.UP, pan_speed=9, tilt_speed=9)
    assert decoded.remarks == ("Pan in both directions at once: it stops",)


@pytest.mark.parametrize("data", [(0x81, 0, 0), (0x84, 1, 0), (0x89, 1, 3)])
def test_a_number_that_a_command_cannot_have_makes_it_unknown(data: tuple[int, ...]) -> None:
    code, data1, data2 = data
    expected = UnknownPtzCommand(code=code, data1=data1, data2=data2)
    assert decode_ptz(framed(0xA5, 0x0F, 0, *data, 0)).command == expected


@pytest.mark.parametrize(
    "command",
    [
        Motion(pan_speed=256),
        Motion(zoom_speed=16),
        LensMotion(iris_speed=-1),
        PresetCommand(action=PresetAction.SET, preset=0),
        CruiseCommand(action=CruiseAction.ADD_POINT, cruise=1, value=0),
        CruiseCommand(action=CruiseAction.DWELL, cruise=1, value=4096),
        CruiseCommand(action=CruiseAction.START, cruise=1, value=1),
        ScanCommand(action=ScanAction.START, scan=1, speed=1),
        SwitchCommand(action=SwitchAction.ON, switch=256),
        UnknownPtzCommand(code=0x8B, data3=16),
    ],
)
def test_a_number_out_of_range_is_refused(command: Any) -> None:
    with pytest.raises(ConfigError):
        encode_ptz(command)


@pytest.mark.parametrize(
    "text", ["A5 0F 01 1F 00 00 00 D4", "a5-0f-01-1f-00-00-00-d4", "0xA50F011F000000D4"]
)
def test_signs_between_the_bytes_do_not_matter(text: str) -> None:
    assert decode_ptz(text) == decode_ptz("A50F011F000000D4")
