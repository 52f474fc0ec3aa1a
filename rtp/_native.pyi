"""What ``_native.c`` offers; there only in a compiled build."""

from .strides import Facts

def scan(data: bytearray, start: int, stride: int, count: int, /) -> Facts: ...
def join(
    data: bytearray,
    start: int,
    stride: int,
    lengths: list[int],
    bounds: list[tuple[int, int]] | None,
    first: int,
    /,
) -> tuple[bytes, int, int, bool]: ...
def rewrite(
    data: bytearray,
    start: int,
    stride: int,
    count: int,
    ssrc: int,
    sequence_offset: int,
    timestamp_offset: int,
    payload_type: int,
    /,
) -> None: ...
def receive(headers: bytearray, most: int, descriptor: int, /) -> int: ...
def lengths(headers: bytearray, count: int, shortest: int, longest: int, /) -> list[int] | None: ...
def send(
    descriptor: int, data: bytearray, begin: int, end: int, segment: int, address: bytes, /
) -> int: ...
