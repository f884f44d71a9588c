"""Which table of a view answers, what lies in its lanes, and what people and processes have noted about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from eventkernel.ids import StreamId
from eventkernel.view import View

CORRECTIONS_KIND = "correction"
CORRECTIONS_KEY = "rows"
"""The note whose body, a number in digits, ``ViewReading.corrections`` gives."""


@dataclass(frozen=True, slots=True)
class LaneHead:
    """A lane at a glance: how many events from which version to which; the error of the first, which the others wait for."""

    stream: StreamId
    first_version: int
    last_version: int
    events: int
    error: str
    parked_at: datetime


class ViewCatalogue(Protocol):
    """Generations of a view's table and their lanes, inside one view transaction.

    A transaction that has asked ``active``, or used a view without a generation, keeps that generation active until it ends;
    ``activate`` waits for such transactions, and they for it. So nothing is written to a generation after it has been left,
    and a switch with all that belongs to it is one transaction. Readings see the generation of their snapshot.
    """

    async def active(self, view: View[Any, Any]) -> int:
        """The generation that answers; 0 where none was ever activated."""

    async def activate(self, view: View[Any, Any], generation: int) -> None:
        """Let this generation answer from the end of the transaction on. Its tables must be there."""

    async def behind(self, ahead: View[Any, Any], view: View[Any, Any], streams_max: int) -> Sequence[StreamId]:
        """Streams of which ``ahead`` has folded, or keeps in a lane, a version that ``view`` neither has nor keeps.

        Both name their generation. At most so many, in sorted order.
        """

    async def lanes(self, view: View[Any, Any], tenant: str, after: str, lanes_max: int) -> Sequence[LaneHead]:
        """A tenant's lanes by name of the stream, behind the name ``after``."""

    async def drop(self, view: View[Any, Any]) -> None:
        """Remove one generation's tables, checkpoints and lanes. ``ValueError`` for the one that answers."""


class ViewNotes(Protocol):
    """Small documents kept with a view, by kind and key, whatever its generation; inside one view transaction.

    ``all`` locks what it finds until the end of the transaction, so that what rests on it is not overtaken.
    """

    async def put(self, view: View[Any, Any], kind: str, key: str, body: bytes) -> None:
        """Keep a document in the place of the one under this key."""

    async def all(self, view: View[Any, Any], kind: str) -> Mapping[str, bytes]:
        """Every document of a kind, by key, in the order of keys."""
