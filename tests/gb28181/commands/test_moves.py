"""The commands of Ptz against the worked examples of A.3."""

from __future__ import annotations

import pytest

from gb28181.commands.moves import Ptz
from gb28181.errors import ConfigError
from gb28181.ptz import Focus, Iris, Motion, Pan, PtzCommand, Tilt, Zoom, decode_ptz, encode_ptz


@pytest.mark.parametrize(
    ("command", "bytes_"),
    [
        (Ptz.stop(), "A50F0000000000B4"),
        (Ptz.move(pan=Pan.RIGHT, tilt=Tilt.UP, speed=0x64), "A50F000964640085"),
        (Ptz.zoom_in(15), "A50F00100000F0B4"),
        (Ptz.zoom_out(1), "A50F0020000010E4"),
        (Ptz.lens_stop(), "A50F0040000000F4"),
        (Ptz.focus(Focus.FAR, 0x50), "A50F004150000045"),
        (Ptz.iris(Iris.CLOSE, 0x50), "A50F00480050004C"),
        (Ptz.set_preset(1), "A50F008100010036"),
        (Ptz.call_preset(255), "A50F008200FF0035"),
        (Ptz.delete_preset(1), "A50F008300010038"),
        (Ptz.add_cruise_point(1, 3), "A50F00840103003C"),
        (Ptz.delete_cruise_point(1, 3), "A50F00850103003D"),
        (Ptz.delete_cruise(1), "A50F00850100003A"),
        (Ptz.cruise_speed(1, 0x123), "A50F00860123106E"),
        (Ptz.cruise_dwell(1, 300), "A50F0087012C1078"),
        (Ptz.start_cruise(1), "A50F00880100003D"),
        (Ptz.start_scan(1), "A50F00890100003E"),
        (Ptz.scan_left_edge(1), "A50F00890101003F"),
        (Ptz.scan_right_edge(1), "A50F008901020040"),
        (Ptz.scan_speed(1, 0x123), "A50F008A01231072"),
        (Ptz.wiper(on=True), "A50F008C01000041"),
        (Ptz.wiper(on=False), "A50F008D01000042"),
        (Ptz.switch(5, on=True), "A50F008C05000045"),
    ],
)
def test_the_bytes_are_those_of_the_standard(command: PtzCommand, bytes_: str) -> None:
    assert encode_ptz(command) == bytes_


@pytest.mark.parametrize(
    ("command", "direction"),
    [
        (Ptz.up(7), Tilt.UP),
        (Ptz.down(7), Tilt.DOWN),
        (Ptz.left(7), Pan.LEFT),
        (Ptz.right(7), Pan.RIGHT),
        (Ptz.zoom_in(7), Zoom.IN),
    ],
)
def test_one_direction_moves_one_axis(command: PtzCommand, direction: Pan | Tilt | Zoom) -> None:
    read = decode_ptz(encode_ptz(command)).command
    assert isinstance(read, Motion)
    assert read == command
    assert [one for one in (read.pan, read.tilt, read.zoom) if one] == [direction]


def test_a_turn_has_both_speeds() -> None:
    """The examples of 2016 have the two bytes the other way round."""
    assert (Ptz.up(64).pan_speed, Ptz.up(64).tilt_speed) == (64, 64)


def test_a_speed_out_of_range_is_said_when_it_is_sent() -> None:
    with pytest.raises(ConfigError, match="zoom_speed is 16"):
        encode_ptz(Ptz.zoom_in(16))
