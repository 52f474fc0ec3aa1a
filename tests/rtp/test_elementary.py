from __future__ import annotations

from rtp.access_unit import Codec
from rtp.elementary import PAYLOAD_TYPES, G711Depacketizer


def test_samples_become_ticks_of_90_khz_over_the_wrap() -> None:
    depacketizer = G711Depacketizer(PAYLOAD_TYPES[8])
    first = depacketizer.push(bytes(160), timestamp=0xFFFFFFFF - 159)
    second = depacketizer.push(memoryview(bytes(160)), timestamp=0, missing=2)
    assert depacketizer.push(b"", timestamp=160) == []
    assert second[0].pts - first[0].pts == 1800
    assert (second[0].codec, second[0].data) == (Codec.PCMA, bytes(160))
    assert [first[0].is_discontinuous, second[0].is_discontinuous] == [False, True]
