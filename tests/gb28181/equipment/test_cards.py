from __future__ import annotations

from gb28181.equipment.cards import Cards, CardSettings


def cards() -> Cards:
    return Cards(
        [CardSettings(name="SD1", capacity=1000, used=400), CardSettings(status="error")],
        format_time=10.0,
    )


def test_a_card_has_the_room_that_is_left() -> None:
    first, second = cards().status(0.0)
    assert (first.id, first.status, first.capacity, first.free_space) == (1, "ok", 1000, 600)
    assert (second.id, second.status, second.free_space) == (2, "error", 0)


def test_formatting_takes_its_time_and_empties_the_card() -> None:
    disk = cards()
    assert disk.format(1, 100.0)
    half = disk.status(105.0)[0]
    assert (half.status, half.format_progress, half.free_space) == ("formatting", 50, 0)
    assert disk.format(1, 106.0)  # under way already: it does not begin again
    done = disk.status(110.0)[0]
    assert (done.status, done.format_progress, done.free_space) == ("ok", None, 1000)


def test_zero_is_all_cards_and_a_broken_one_cannot_be_formatted() -> None:
    disk = cards()
    assert disk.format(0, 0.0)
    assert [card.status for card in disk.status(1.0)] == ["formatting", "error"]
    assert not disk.format(3, 0.0)


def test_a_card_that_loses_power_while_it_is_formatted_is_not_formatted() -> None:
    disk = cards()
    disk.format(1, 0.0)
    disk.restart(5.0)
    assert [card.status for card in disk.status(60.0)] == ["unformatted", "error"]


def test_there_are_at_most_eight() -> None:
    assert len(Cards([CardSettings()] * 20)) == 8
