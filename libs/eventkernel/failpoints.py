"""Named places at which a test may stop the process, exactly there and nowhere else.

They do nothing: a call of an empty function. No setting and no variable of the program reaches them; a test program puts
functions of its own in the place of ``reached`` and ``under_way`` (``eventkernel.testing.failing``). So modules call them
through this module, ``failpoints.reached("...")``, and never import the functions themselves.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar

T = TypeVar("T")

NAMES: Final = {
    "after-pending-insert": "the pending row is written, the append not sent",
    "append-sent-reply-lost": "the conditional batch is sent, its answer not read",
    "appended-reply-to-caller-lost": "the append is known to be applied, the caller not told",
    "relay-frozen-past-lease": "events are read from the outbox, nothing is published",
    "produced-not-acknowledged": "events are on their way to the bus, no acknowledgement is read",
    "acknowledged-cursor-not-moved": "the bus has acknowledged everything, the cursor is where it was",
    "cursor-outcome-unknown": "the cursor's write is sent, its answer not read",
    "retired-pending-row-left": "the generation has passed a pending row, the row is not deleted",
    "topic-tail-lost": "the cursor has moved, and no projector may have seen the events",
    "two-consumers-in-rebalance": "a projector holds records it has not folded, and another may get them",
    "postgres-committed-offset-not": "rows and checkpoints are committed, the group's offsets are not",
    "sqlite-before-commit": "a transaction has done all its work and is not committed",
    "sqlite-after-commit": "a transaction is committed, and nobody is told",
}
"""Every place, by what is done there and what is not."""


def _pass_by(_name: str) -> None:
    """Nobody has asked for anything."""


def _as_it_is(_name: str, awaitable: Awaitable[Any]) -> Awaitable[Any]:
    """Nobody has asked for anything."""
    return awaitable


reached: Callable[[str], None] = _pass_by
"""The process is at this place now."""

under_way: "UnderWay" = _as_it_is
"""The process is between the beginning of what is awaited and its answer; gives what to await."""


class UnderWay(Protocol):
    """Keeps the type of what is awaited."""

    def __call__(self, name: str, awaitable: Awaitable[T], /) -> Awaitable[T]:
        """What to await in its place."""
