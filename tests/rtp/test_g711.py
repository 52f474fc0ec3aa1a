from rtp.g711 import ALAW, MULAW, alaw_as_mulaw, mulaw_as_alaw, to_alaw, to_mulaw


def test_each_byte_is_coded_as_itself() -> None:
    assert to_alaw(ALAW) == bytes(range(256))
    # µ-law has two zeros.
    assert [MULAW[code] for code in to_mulaw(MULAW)] == list(MULAW)


def test_what_is_too_loud_is_clipped() -> None:
    loudest = to_alaw([100_000, -100_000])
    assert [ALAW[code] for code in loudest] == [max(ALAW), min(ALAW)]


def test_there_and_back_changes_a_sample_by_less_than_a_step() -> None:
    for code, back in enumerate(mulaw_as_alaw(alaw_as_mulaw(bytes(range(256))))):
        assert abs(ALAW[code] - ALAW[back]) <= max(16, abs(ALAW[code]) // 16)
