"""Tests of deciders in three words, and a walk over every cell of a transition table.

``given(decider, *events).when(command, facts).then(event)``, or ``.refused("REASON")``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

from eventkernel.decider import Decider
from eventkernel.errors import Refusal
from eventkernel.table import Transition, TransitionTable

C = TypeVar("C")
E = TypeVar("E")
S = TypeVar("S")
X = TypeVar("X")
Status = TypeVar("Status", bound=Enum)


def given(decider: Decider[C, E, S, X], *events: E) -> "Given[C, E, S, X]":
    """Start where these events lead."""
    return Given(decider, decider.fold(events))


def given_state(decider: Decider[C, E, S, X], state: S) -> "Given[C, E, S, X]":
    """Start in a state that no events of today lead to."""
    return Given(decider, state)


@dataclass(frozen=True, slots=True)
class Given(Generic[C, E, S, X]):
    """A decider in a state."""

    decider: Decider[C, E, S, X]
    state: S

    def when(self, command: C, facts: X) -> "Outcome[C, E, S, X]":
        """Decide; a refusal is an outcome like another. Any other error is the test's to see."""
        try:
            return Outcome(self, command, self.decider.decide(self.state, command, facts), None)
        except Refusal as refusal:
            return Outcome(self, command, None, refusal)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[C, E, S, X]):
    """What came of a command: the event or the refusal, the other is None."""

    before: Given[C, E, S, X]
    command: C
    decided: E | None
    refusal: Refusal | None

    def then(self, event: E) -> "Given[C, E, S, X]":
        """Expect exactly this event; go on from after it."""
        if self.event != event:
            raise AssertionError(f"expected {event}\n     got {self.event}")
        return self.after

    def refused(self, reason: str) -> Refusal:
        """Expect a refusal with this reason; give it, for a closer look."""
        if self.refusal is None:
            raise AssertionError(f"expected {reason}, got {self.decided}")
        if self.refusal.reason != reason:
            raise AssertionError(f"expected {reason}, got {self.refusal}")
        return self.refusal

    @property
    def event(self) -> E:
        """The event; a refusal fails the test."""
        if self.decided is None:
            raise AssertionError(f"{type(self.command).__name__} was refused: {self.refusal}")
        return self.decided

    @property
    def after(self) -> Given[C, E, S, X]:
        """The decider after the event; a refusal fails the test."""
        return Given(self.before.decider, self.before.decider.evolve(self.before.state, self.event))


@dataclass(frozen=True, slots=True)
class Cell(Generic[Status]):
    """One pair of status and command, with its row, or None where the table forbids it."""

    status: Status
    command: type[Any]
    row: Transition[Status] | None

    def __str__(self) -> str:
        return f"{self.command.__name__}-in-{self.status.name}"


def cells(table: TransitionTable[C, E, S, X, Status]) -> Iterator[Cell[Status]]:
    """Every cell of the table, statuses outside, commands inside, both in the table's order."""
    for status in table.statuses:
        for command in table.commands:
            yield Cell(status, command, table.cell(status, command))
