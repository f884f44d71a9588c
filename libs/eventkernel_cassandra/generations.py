"""What a pending row means, judged by its generation and nothing else.

A stream's generation (a static column changed by conditional writes alone) is odd while it may have unpublished events,
even while it may not. Whoever makes it odd has first written a pending row of that odd number, and every append is
conditioned on the generation its writer read.

Warning: it is tempting to delete a pending row because nothing is pending. A writer reads, writes its row, and is slow; a
relay sees the row, finds nothing, and the append lands; then the relay deletes the row, and the event is lost for ever. A
row may go only when the generation has passed it, for then no append under it can land any more.
"""

from collections.abc import Callable
from enum import Enum
from typing import TypeAlias

from eventkernel_cassandra.buckets import Statics


class Meaning(Enum):
    """What to do about a pending row."""

    STALE = "the generation has passed it: delete it"
    LATE = "its writer died or is late: after a grace, pass the generation by it, so that a late append is refused"
    ACTIVE = "the stream is under this row: publish, and retire it when it rests"
    AHEAD = "the row is newer than what was read of the stream: read again"


Judge: TypeAlias = Callable[[Statics, int], Meaning]


def judge(found: Statics, row_generation: int) -> Meaning:
    """The meaning of a pending row beside the statics of its stream."""
    if found.generation > row_generation:
        return Meaning.STALE
    if found.generation == row_generation:
        return Meaning.ACTIVE
    return Meaning.LATE if found.generation == row_generation - 1 else Meaning.AHEAD


def is_active(generation: int) -> bool:
    """Whether a pending row of this generation stands behind the stream already."""
    return generation % 2 == 1


def announced(generation: int) -> int:
    """The generation under which an append goes: the same while active, else the next, whose row must be written first."""
    return generation if is_active(generation) else generation + 1
