"""What came of a command, and what is remembered of a device."""

from __future__ import annotations

import pytest

from gb28181.commands.outcome import Capabilities, Outcome, Stage
from gb28181.errors import CommandFailed

CAMERA = "34020000001320000001"


def outcome(*stages: Stage) -> Outcome:
    made = Outcome(command="RecordCmd", target=CAMERA)
    for at, stage in enumerate(stages):
        made = made.then(stage, float(at), f"seen {stage.value}")
    return made


@pytest.mark.parametrize(
    ("stages", "worked"),
    [
        ((), False),
        ((Stage.SENT,), False),
        ((Stage.SENT, Stage.ACCEPTED), True),
        ((Stage.SENT, Stage.ACCEPTED, Stage.DONE), True),
        ((Stage.SENT, Stage.ACCEPTED, Stage.REFUSED), False),
        ((Stage.SENT, Stage.ACCEPTED, Stage.NO_ANSWER), False),
        ((Stage.SENT, Stage.ACCEPTED, Stage.DONE, Stage.VERIFIED), True),
        ((Stage.SENT, Stage.ACCEPTED, Stage.DONE, Stage.IGNORED), False),
        ((Stage.UNSUPPORTED,), False),
    ],
)
def test_it_is_true_when_it_worked(stages: tuple[Stage, ...], worked: bool) -> None:
    made = outcome(*stages)
    assert bool(made) is worked
    if worked:
        assert made.require() is made
    else:
        with pytest.raises(CommandFailed, match=made.stage.value):
            made.require()


def test_it_tells_each_step_with_time_and_evidence() -> None:
    made = outcome(Stage.SENT, Stage.ACCEPTED, Stage.REFUSED)
    assert made.evidence == "seen refused"
    assert made.reached(Stage.ACCEPTED)
    assert not made.reached(Stage.DONE)
    assert [(step.at, step.stage) for step in made.steps] == [
        (0.0, Stage.SENT),
        (1.0, Stage.ACCEPTED),
        (2.0, Stage.REFUSED),
    ]


def test_one_clear_refusal_is_remembered_for_a_day() -> None:
    memory = Capabilities()
    memory.refused(CAMERA, "PresetQuery", "405 Method Not Allowed", 100.0)
    lack = memory.lack(CAMERA, "PresetQuery", 100.0 + 86_399)
    assert lack is not None
    assert (lack.evidence, lack.since) == ("405 Method Not Allowed", 100.0)
    assert memory.lack("34020000001320000002", "PresetQuery", 101.0) is None
    assert memory.lack(CAMERA, "PTZPosition", 101.0) is None
    assert memory.lack(CAMERA, "PresetQuery", 100.0 + 86_400) is None
    assert len(memory) == 0


def test_silence_counts_the_second_time() -> None:
    memory = Capabilities()
    memory.failed(CAMERA, "PresetQuery", "no answer", 1.0)
    assert memory.lack(CAMERA, "PresetQuery", 2.0) is None
    memory.failed(CAMERA, "PresetQuery", "no answer", 3.0)
    assert [lack.evidence for lack in memory.lacks(4.0)] == ["no answer, 2 times"]


def test_what_works_between_two_silences_starts_the_count_again() -> None:
    memory = Capabilities()
    memory.failed(CAMERA, "PresetQuery", "no answer", 1.0)
    memory.worked(CAMERA, "PresetQuery")
    memory.failed(CAMERA, "PresetQuery", "no answer", 2.0)
    assert memory.lack(CAMERA, "PresetQuery", 3.0) is None


def test_another_firmware_is_given_another_chance() -> None:
    memory = Capabilities()
    memory.note_firmware("V5.1")
    memory.refused(CAMERA, "PTZPosition", "Result ERROR", 1.0)
    memory.note_firmware("V5.1")
    memory.note_firmware(None)
    assert memory.lack(CAMERA, "PTZPosition", 2.0) is not None
    memory.note_firmware("V5.2")
    assert memory.lack(CAMERA, "PTZPosition", 2.0) is None


def test_a_recorder_with_very_many_channels_fills_no_memory() -> None:
    memory = Capabilities()
    for number in range(3 * Capabilities.KEPT):
        memory.failed(f"{number}", "PresetQuery", "no answer", 1.0)
        memory.refused(f"{number}", "PTZPosition", "no", 1.0)
    assert len(memory) == Capabilities.KEPT
    assert memory.lack("0", "PTZPosition", 2.0) is None
    assert memory.lack(f"{3 * Capabilities.KEPT - 1}", "PTZPosition", 2.0) is not None
