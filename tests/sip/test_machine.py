from enum import Enum, auto

import pytest

from sip.errors import LocalProtocolError
from sip.machine import Machine


class Light(Enum):
    RED = auto()
    GREEN = auto()


class Press(Enum):
    BUTTON = auto()
    LEVER = auto()


class Do(Enum):
    RING = auto()


TABLE: dict[tuple[Light, Press], tuple[Light, tuple[Do, ...]]] = {
    (Light.RED, Press.BUTTON): (Light.GREEN, (Do.RING,))
}


def test_row_moves_the_state_and_names_the_actions() -> None:
    machine = Machine(TABLE, Light.RED)
    assert machine.command(Press.BUTTON) == (Do.RING,)
    assert machine.state is Light.GREEN


def test_missing_row_is_an_error_of_our_user_and_a_shrug_for_the_network() -> None:
    machine = Machine(TABLE, Light.RED)
    assert machine.receive(Press.LEVER) is None
    with pytest.raises(LocalProtocolError, match="LEVER is not possible in RED"):
        machine.command(Press.LEVER)
    assert machine.state is Light.RED
