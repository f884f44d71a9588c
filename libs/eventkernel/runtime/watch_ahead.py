"""What the bus has ahead of a view, as rows: folded once for all watches that begin at the same time."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eventkernel.errors import Divergence, EventUnreadable
from eventkernel.filters import Filter, Row, matches
from eventkernel.ids import StreamId
from eventkernel.remembered import ByIdentity
from eventkernel.runtime.watch_kept import Place, of_tenant
from eventkernel.runtime.watch_log import TURN_ENTRIES, Positions, StepLog
from eventkernel.view import Key

CONTRIBUTIONS_MAX = 50_000


@dataclass(frozen=True, slots=True)
class RowAhead:
    """A row as the bus has it."""

    key: Key
    row: Row
    version: int


@dataclass(frozen=True, slots=True)
class Ahead:
    """Rows of the ``streams`` that had something on the bus that a view might lack, as of ``ends``.

    ``behind`` is how many records that was about; where it was too many, nothing was folded.
    """

    ends: dict[int, int]
    behind: int
    streams: frozenset[StreamId] = frozenset()
    rows: Mapping[Place, Sequence[RowAhead]] = field(default_factory=dict)

    def matching(self, places: Sequence[Place], where: Filter) -> list[RowAhead]:
        """Those that fit a filter, looked for at the places that it demands."""
        return [found for place in places for found in self.rows.get(place, ()) if matches(where, found.row)]


@dataclass(slots=True, eq=False)
class _Turn:
    """Watches that wait for the same answer, and how far the view was at the least when each of them read it."""

    starts: list[Positions] = field(default_factory=list)
    found: Ahead | None = None


class AheadOfView:
    """Asked after rows of the view were read. Whoever comes while an answer is made shares the next one with all others who do,
    so that no answer is older than the rows that it goes with.
    """

    def __init__(self, log: StepLog, *, behind_max: int) -> None:
        self._log = log
        self._max = behind_max
        self._next = _Turn()
        self._busy = asyncio.Lock()
        self._contribution: ByIdentity[Any, Mapping[Key, Row]] = ByIdentity(
            log.folder.view.contribution, CONTRIBUTIONS_MAX
        )

    async def of(self, start: Positions) -> Ahead:
        """What the bus has from ``start`` on, the positions from before the rows were read."""
        turn = self._next
        turn.starts.append(start)
        async with self._busy:
            if turn.found is None:
                if self._next is turn:
                    self._next = _Turn()
                turn.found = await self._made(turn.starts)
            return turn.found

    async def _made(self, starts: Sequence[Positions]) -> Ahead:
        start = {p: min(one.get(p, 0) for one in starts) for p in {p for one in starts for p in one}}
        ends = await self._log.ends()
        behind = sum(max(0, end - start.get(partition, 0)) for partition, end in ends.items())
        if behind > self._max:
            return Ahead(ends, behind)
        versions, ends = await self._log.ahead(start)
        view, folder = self._log.folder.view, self._log.folder
        streams: set[StreamId] = set()
        rows: dict[Place, list[RowAhead]] = defaultdict(list)
        for number, (stream, version) in enumerate(versions.items(), 1):
            if number % TURN_ENTRIES == 0:
                await asyncio.sleep(0)  # watchers wait for their changes meanwhile
            if stream.category not in view.categories:
                continue
            try:
                state = await folder.state_at(stream, version)
            except (EventUnreadable, Divergence):
                continue  # the view shows the stream as it was before the event that nobody can read, and so does this
            streams.add(stream)
            for key, row in self._contribution(state).items():
                found = RowAhead(key, row, version)
                rows[of_tenant(stream.tenant)].append(found)
                for column in self._log.columns:
                    rows[stream.tenant, column, row[column]].append(found)
        return Ahead(ends, behind, frozenset(streams), rows)
