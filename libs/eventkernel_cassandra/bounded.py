"""Many calls at once, within a named limit."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def each(limit: int, call: Callable[[T], Awaitable[R]], items: Iterable[T]) -> list[R]:
    """Call for every item, at most ``limit`` at once; answers in the order of the items.

    All of them end before this returns; then the first error, in the order of the items, is raised.
    """
    waiting = list(enumerate(items))
    if not waiting:
        return []
    answers: list[R | BaseException | None] = [None] * len(waiting)
    waiting.reverse()

    async def work() -> None:
        while waiting:
            index, item = waiting.pop()
            try:
                answers[index] = await call(item)
            except Exception as error:  # noqa: BLE001 - kept, and raised below when all have ended
                answers[index] = error

    await asyncio.gather(*(work() for _ in range(min(limit, len(waiting)))))
    done: list[R] = []
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
        done.append(answer)  # type: ignore[arg-type]  # every index has been answered
    return done


def chunks(items: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    """The items, so many at a time."""
    return (items[begin : begin + size] for begin in range(0, len(items), size))
