"""The bound of ingest in bare Python: epoll, recv, RTP header, sequence, join of a frame, PES walk.

Arguments: PORT STEP STREAMS SECONDS. ``TICK_MS`` in the environment gathers. Does nothing for
robustness: no source lock, no reordering, no repair, and it trusts the marker.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import sys
import time
from collections.abc import Callable

_HEADER = struct.Struct(">BBHII").unpack_from
_LENGTH = struct.Struct(">H").unpack_from


class Stream:
    def __init__(self, port: int) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sock.bind(("127.0.0.1", port))
        self.sock.setblocking(False)
        self.want, self.units, self.lost, self.bytes = -1, 0, 0, 0
        self.parts: list[bytes] = []

    def frame(self) -> None:
        data = b"".join(self.parts)
        self.parts.clear()
        place, end, view, out = 0, len(data), memoryview(data), []
        while place + 6 <= end:
            code = data[place + 3]
            if code == 0xBA:
                place += 14 + (data[place + 13] & 7)
                continue
            length = _LENGTH(data, place + 4)[0]
            if code in (0xE0, 0xC0):
                begin = place + 9 + data[place + 8]
                if data[place + 7] & 0x80:
                    t = data[place + 9 : place + 14]
                    _ = (t[0] >> 1 & 7) << 30 | t[1] << 22 | (t[2] >> 1) << 15 | t[3] << 7
                out.append(view[begin : place + 6 + length])
            place += 6 + length
        self.bytes += len(b"".join(out))
        self.units += 1

    def ready(self) -> None:
        receive, add = self.sock.recv, self.parts.append
        try:
            for _ in range(64):
                packet = receive(2048)
                _, second, number, _, _ = _HEADER(packet)
                if number != self.want and self.want >= 0:
                    self.lost += 1
                self.want = number + 1 & 65535
                add(packet[12:])
                if second & 0x80:
                    self.frame()
                    add = self.parts.append
        except BlockingIOError:
            pass


def main() -> None:
    port, step, number, seconds = map(int, sys.argv[1:5])
    tick = float(os.environ.get("TICK_MS", "0")) / 1e3
    streams = [Stream(port + index * step) for index in range(number)]
    poller, calls = select.epoll(), dict[int, Callable[[], None]]()
    for stream in streams:
        poller.register(stream.sock, select.EPOLLIN)
        calls[stream.sock.fileno()] = stream.ready
    print("ready", flush=True)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for descriptor, _ in poller.poll(0.5):
            calls[descriptor]()
        if tick:
            time.sleep(tick)
    units, lost = sum(one.units for one in streams), sum(one.lost for one in streams)
    print(f"units={units} lost={lost}", flush=True)


if __name__ == "__main__":
    main()
