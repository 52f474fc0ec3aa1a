"""A state machine that walks a transition table."""

from enum import Enum
from typing import Generic, TypeVar

from .errors import LocalProtocolError

S = TypeVar("S", bound=Enum)
I = TypeVar("I", bound=Enum)  # noqa: E741 - state, input, action are S, I, A everywhere
A = TypeVar("A", bound=Enum)


class Machine(Generic[S, I, A]):
    """One walk through a table from ``(state, input)`` to ``(next state, actions)``.

    The machine changes its state and hands back the actions; performing them is the owner's part.
    """

    __slots__ = ("_table", "state")

    def __init__(self, table: dict[tuple[S, I], tuple[S, tuple[A, ...]]], state: S) -> None:
        self._table = table
        self.state = state

    def command(self, given: I) -> tuple[A, ...]:
        """Take an input of our own user; return the actions of its row.

        Raises:
            LocalProtocolError: The table has no row: the state forbids what was asked for.
        """
        actions = self.receive(given)
        if actions is None:
            raise LocalProtocolError(f"{given.name} is not possible in {self.state.name}")
        return actions

    def receive(self, given: I) -> tuple[A, ...] | None:
        """Take an input of the network or a timer; None when the table has no row for it."""
        row = self._table.get((self.state, given))
        if row is None:
            return None
        self.state = row[0]
        return row[1]
