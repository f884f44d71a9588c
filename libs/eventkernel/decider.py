"""The decider: a business rule as three values (Chassaing, "Functional Event Sourcing Decider", 2021)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Generic, TypeVar

C = TypeVar("C")
E = TypeVar("E")
S = TypeVar("S")
X = TypeVar("X")


@dataclass(frozen=True, slots=True)
class Decider(Generic[C, E, S, X]):
    """``decide(state, command, facts)`` gives exactly one event or raises a ``Refusal``; ``evolve`` never refuses.

    ``facts`` is everything else a decision rests on: the effective time, the actor, the policy profile. All three are pure.
    """

    initial: S
    decide: Callable[[S, C, X], E]
    evolve: Callable[[S, E], S]

    def fold(self, events: Iterable[E], state: S | None = None) -> S:
        """The state after ``events``, from ``state`` or else from the initial one."""
        return reduce(self.evolve, events, self.initial if state is None else state)
