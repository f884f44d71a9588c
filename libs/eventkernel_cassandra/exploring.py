"""Walking through every history: all choices of a run are asked of one place, which takes them in every combination."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from eventkernel_cassandra.session import Statement, Value

TURNS_TO_REST = 40
"""Turns of the loop after which tasks that wait for nothing but one another have come to rest."""


class Choices:
    """The choices of one run: a prefix that is given, then always the first."""

    def __init__(self, prefix: Sequence[int] = ()) -> None:
        self._prefix = prefix
        self.taken: list[tuple[int, int]] = []

    def pick(self, options: int) -> int:
        """One of 0 … options - 1."""
        place = len(self.taken)
        choice = self._prefix[place] if place < len(self._prefix) else 0
        self.taken.append((choice, options))
        return choice

    def following(self) -> list[int] | None:
        """The prefix of the next run, depth first; None after the last."""
        taken = list(self.taken)
        while taken and taken[-1][0] + 1 == taken[-1][1]:
            taken.pop()
        return [choice for choice, _ in taken[:-1]] + [taken[-1][0] + 1] if taken else None


def every_history() -> Iterator[Choices]:
    """Choices for run after run until every combination was had. The runs must depend on nothing but their choices."""
    prefix: list[int] | None = []
    while prefix is not None:
        choices = Choices(prefix)
        yield choices
        prefix = choices.following()


class Interleaving:
    """Lets several tasks take their steps one at a time, in an order that is chosen.

    Give each task's session ``gate(name)`` as its ``before_each``: a step ends where the task asks for its next statement.
    """

    def __init__(self, choices: Choices) -> None:
        self._choices = choices
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self.order: list[str] = []

    def gate(self, name: str) -> Callable[[Statement, Sequence[Value]], Awaitable[None]]:
        """What holds the named task back until its turn."""

        async def hold(statement: Statement, _values: Sequence[Value]) -> None:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(name, []).append(turn)
            await turn
            self.order.append(f"{name}: {statement.name}")

        return hold

    async def run(self, *tasks: Awaitable[Any]) -> list[Any]:
        """Run all to their ends; their results, or errors, in order."""
        running = [asyncio.ensure_future(task) for task in tasks]
        while True:
            for _ in range(TURNS_TO_REST):
                await asyncio.sleep(0)
            names = sorted(name for name, turns in self._waiting.items() if turns)
            if not names:
                return list(await asyncio.gather(*running, return_exceptions=True))
            name = names[self._choices.pick(len(names))]
            self._waiting[name].pop(0).set_result(None)
