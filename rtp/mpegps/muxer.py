"""Writes access units as a program stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..access_unit import AccessUnit, Codec, MediaKind
from ..errors import LocalProtocolError
from . import syntax

_HEADER: Final = 9
_STAMP: Final = 5


class PsMuxer:
    """Turns each access unit into one pack.

    A key picture's pack has a system header and a stream map before its PES packets; audio goes
    into packs of its own. The map declares exactly the tracks given.

    Source: GB/T 28181-2016 and 2022 Annex C.1.
    """

    def __init__(self, video: Codec | None, audio: Codec | None) -> None:
        self._streams: dict[int, int] = {}
        self._codecs: dict[MediaKind, Codec] = {}
        self._version = -1
        self._headers = b""
        self.set_tracks(video, audio)

    def set_tracks(self, video: Codec | None, audio: Codec | None) -> None:
        """Change the tracks; the next key picture carries a map of the next version.

        Raises:
            LocalProtocolError: There is no track, or a codec of the wrong kind.
        """
        codecs = {}
        for kind, codec in ((MediaKind.VIDEO, video), (MediaKind.AUDIO, audio)):
            if codec is None:
                continue
            if codec.kind is not kind:
                raise LocalProtocolError(f"{codec.value} is not a codec for {kind.value}")
            codecs[kind] = codec
        if not codecs:
            raise LocalProtocolError("a program stream needs a track")
        if codecs == self._codecs:
            return
        self._codecs = codecs
        self._version = self._version + 1 & 0x1F
        ids = {MediaKind.VIDEO: syntax.VIDEO, MediaKind.AUDIO: syntax.AUDIO}
        self._streams = {ids[kind]: syntax.stream_type(codec) for kind, codec in codecs.items()}
        self._headers = syntax.write_system_header(
            has_video=video is not None, has_audio=audio is not None
        ) + syntax.write_map(self._streams, version=self._version)

    def push(self, unit: AccessUnit) -> bytes:
        """Return the pack that carries ``unit``.

        Without video every audio pack carries the headers, so that a reader may start anywhere.

        Raises:
            LocalProtocolError: The unit's codec is not a track of this stream.
        """
        if self._codecs.get(unit.kind) is not unit.codec:
            raise LocalProtocolError(f"{unit.codec.value} is not a track of this stream")
        is_video = unit.kind is MediaKind.VIDEO
        has_headers = unit.is_key if is_video else MediaKind.VIDEO not in self._codecs
        pieces = [syntax.write_pack_header(unit.dts)]
        if has_headers:
            pieces.append(self._headers)
        pieces.extend(_pes_packets(syntax.VIDEO if is_video else syntax.AUDIO, unit))
        return b"".join(pieces)


def _pes_packets(stream_id: int, unit: AccessUnit) -> Iterator[bytes]:
    """Cut a unit; only the first PES packet has time stamps, DTS only when it differs."""
    pts: int | None = unit.pts
    dts = unit.dts if unit.dts != unit.pts else None
    view, place = memoryview(unit.data), 0
    while pts is not None or place < len(view):
        stamps = 0 if pts is None else _STAMP if dts is None else 2 * _STAMP
        end = place + syntax.MAX_PES_LENGTH - (_HEADER - 6) - stamps
        yield syntax.write_pes(stream_id, view[place:end], pts=pts, dts=dts)
        place, pts, dts = end, None, None
