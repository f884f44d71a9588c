"""Watching a view: first the rows that match, then every change, resumable at any point without gap or repeat.

The rows are told as of a position on the bus rather than as of the view: what lies on the bus up to there and not yet in
the view is folded onto them. So a position is all that a resume token needs, however far behind or ahead a projector is.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from eventkernel.envelope import RecordedEvent
from eventkernel.errors import ConsumerTooSlow, InvalidCommand, Overloaded
from eventkernel.filters import Filter, Order, Query, Row
from eventkernel.ports import StoredRow, ViewStore
from eventkernel.runtime.watch_ahead import Ahead, AheadOfView
from eventkernel.runtime.watch_hub import Watcher, WatchHub
from eventkernel.runtime.watch_kept import LogEntry
from eventkernel.runtime.watch_steps import SeenRow, seen
from eventkernel.runtime.watch_token import WatchPosition, WatchTokens, binding_of
from eventkernel.view import Key, TableKind

VIEW_LOOK_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """Named limits: rows told at the beginning; records between view and bus that may be folded onto them; how long to wait
    until there are no more than that.
    """

    rows_max: int = 20_000
    behind_max: int = 20_000
    behind_seconds_max: float = 10.0


@dataclass(frozen=True, slots=True)
class RowTold:
    """A row that matched when the watch began."""

    key: Key
    row: Row
    version: int
    token: bytes


@dataclass(frozen=True, slots=True)
class RowsComplete:
    """All rows have been told; changes follow."""

    token: bytes


@dataclass(frozen=True, slots=True)
class ChangeTold:
    """One event of one stream, and what it did to rows that match or matched."""

    event: RecordedEvent
    rows: tuple[SeenRow, ...]
    token: bytes


@dataclass(frozen=True, slots=True)
class StillHere:
    """Nothing has happened for a while; the token spares a resumed watch the reading of what did not concern it."""

    token: bytes


Told: TypeAlias = RowTold | RowsComplete | ChangeTold | StillHere


class Watch:
    """Watches one view of a hub's topic. ``group`` names what fills the view, to know from where on the bus is ahead of it."""

    def __init__(
        self,
        hub: WatchHub,
        views: ViewStore,
        *,
        group: str,
        tokens: WatchTokens,
        settings: WatchSettings = WatchSettings(),
    ) -> None:
        if hub.log.folder.view.kind is not TableKind.OWNED:
            raise ValueError("only views whose rows belong to one stream can be watched")
        self._hub = hub
        self._log = hub.log
        self._view = hub.log.folder.view
        self._views = views
        self._group = group
        self._tokens = tokens
        self._settings = settings
        self._ahead = AheadOfView(hub.log, behind_max=settings.behind_max)

    async def follow(
        self, tenant: str, where: Filter, *, resume_token: bytes = b"", rows: bool = True
    ) -> AsyncGenerator[Told, None]:
        """Everything that concerns the filter, until the caller has had enough.

        ``rows=False`` begins with changes alone; a resume token says by itself where to go on. Raises ``ConsumerTooSlow``,
        ``Overloaded``, ``InvalidCommand`` and ``Refusal`` for tokens and filters that cannot be.
        """
        binding = binding_of(tenant, self._view.table, self._log.topic, where)
        position = WatchPosition(rows_told=not rows)
        if resume_token:
            position = self._tokens.decode(resume_token, binding, self._hub.clock.now())
        async with self._hub.watcher(tenant, where) as watcher:
            following = _Following(self, watcher, binding, position, resume_token)
            async with aclosing(following.told()) as told:
                async for one in told:
                    yield one

    async def rows_as_of(
        self, tenant: str, where: Filter, after: Key | None
    ) -> tuple[list[tuple[Key, Row, int]], dict[int, int]]:
        """The rows after a key, in the order of keys, each with its version; and the position that they are as of."""
        query = Query(tenant, where, Order(self._view.key), after=after, limit=self._settings.rows_max + 1)
        waited = 0.0
        while True:
            start = await self._log.committed(self._group)
            async with self._views.reading() as reading:
                stored = await reading.select(self._view, query)
            ahead = await self._ahead.of(start)
            if ahead.behind <= self._settings.behind_max:
                return self._merged(stored, ahead, tenant, where, after), dict(ahead.ends)
            if waited >= self._settings.behind_seconds_max:
                raise Overloaded("events between bus and view", at=ahead.behind, retry_after_seconds=1.0)
            await self._hub.clock.sleep(VIEW_LOOK_SECONDS)
            waited += VIEW_LOOK_SECONDS

    def _merged(
        self, stored: Sequence[StoredRow], ahead: Ahead, tenant: str, where: Filter, after: Key | None
    ) -> list[tuple[Key, Row, int]]:
        found = [
            (self._view.key_of(row.values), row.values, row.version)
            for row in stored
            if row.stream not in ahead.streams
        ]
        places = self._log.places(tenant, where)
        found += [(one.key, one.row, one.version) for one in ahead.matching(places, where)]
        if len(found) > self._settings.rows_max:
            rule = f"matches more than {self._settings.rows_max} rows; narrow it, or begin without rows"
            raise InvalidCommand("filter", rule, reason="TOO_MANY_ROWS")
        return sorted((one for one in found if after is None or one[0] > after), key=lambda one: one[0])

    def token(self, position: WatchPosition, binding: bytes) -> bytes:
        """The resume token of a position."""
        return self._tokens.encode(position, binding, self._hub.clock.now())

    @property
    def hub(self) -> WatchHub:
        """Who tells of changes."""
        return self._hub


class _Following:
    """One watcher on its way: rows, what came since, what comes."""

    def __init__(
        self, watch: Watch, watcher: Watcher, binding: bytes, position: WatchPosition, resume_token: bytes
    ) -> None:
        self._watch = watch
        self._hub = watch.hub
        self._log = watch.hub.log
        self._watcher = watcher
        self._binding = binding
        self._position = position
        self._at = dict(position.positions)
        self._last_token = resume_token
        self._places = watch.hub.log.places(watcher.tenant, watcher.where)

    async def told(self) -> AsyncGenerator[Told, None]:
        """Everything, in order."""
        if not self._position.rows_told:
            async with aclosing(self._rows()) as rows:
                async for row in rows:
                    yield row
        elif not self._at:
            self._at = dict(self._log.positions)
            yield RowsComplete(self._token())
        async with aclosing(self._since()) as since:
            async for change in since:
                yield change
        self._hub.attach(self._watcher)
        async with aclosing(self._live()) as live:
            async for one in live:
                yield one

    async def _rows(self) -> AsyncGenerator[Told, None]:
        watcher, after = self._watcher, self._position.after
        rows, ends = await self._watch.rows_as_of(watcher.tenant, watcher.where, after)
        if after is not None:
            # What was told before the cut is as of then: its changes up to now come first, and stay within the told keys.
            await self._reached(ends)
            for partition, end in ends.items():
                async with aclosing(self._entries(partition)) as entries:
                    async for entry in entries:
                        if entry.next_offset > end:
                            break
                        if (change := self._change(entry, up_to=after)) is not None:
                            yield change
        self._at = ends
        for key, row, version in rows:
            self._position = replace(self._position, after=key)
            yield RowTold(key, row, version, self._token())
        self._position = WatchPosition(rows_told=True)
        yield RowsComplete(self._token())

    def _entries(self, partition: int) -> AsyncGenerator[LogEntry, None]:
        return self._log.entries(partition, self._at.get(partition, 0), places=self._places)

    async def _reached(self, ends: dict[int, int]) -> None:
        """Until the log has got as far as the bus was."""
        while any(self._log.positions[partition] < end for partition, end in ends.items()):
            if self._watcher.error is not None:
                raise self._watcher.error
            await self._hub.clock.sleep(self._hub.settings.poll_seconds)

    async def _since(self) -> AsyncGenerator[ChangeTold, None]:
        """From the position up to the log's, which moves on meanwhile; at the end no partition is behind it."""
        while behind := [p for p, offset in self._log.positions.items() if self._at.get(p, 0) < offset]:
            for partition in behind:
                async with aclosing(self._entries(partition)) as entries:
                    async for entry in entries:
                        if (change := self._change(entry)) is not None:
                            yield change
                self._at[partition] = max(self._at.get(partition, 0), self._log.positions[partition])

    async def _live(self) -> AsyncGenerator[Told, None]:
        watcher = self._watcher
        while True:
            watcher.wake.clear()
            while watcher.queue:
                waiting = watcher.queue.popleft()
                entry = waiting.entry
                if entry.next_offset <= self._at.get(entry.partition, 0):
                    continue
                self._at[entry.partition] = entry.next_offset
                if not watcher.queue and not watcher.overflowed:
                    self._caught_up()
                yield ChangeTold(entry.step.event, waiting.rows, self._token())
            if watcher.error is not None:
                raise watcher.error
            if watcher.overflowed:
                raise ConsumerTooSlow("waiting changes", at=self._hub.settings.waiting_max, token=self._last_token)
            if watcher.beat:
                watcher.beat = False
                self._caught_up()
                yield StillHere(self._token())
            else:
                await watcher.wake.wait()

    def _caught_up(self) -> None:
        """Nothing waits: all that the log has given out has been told or did not concern this watcher."""
        for partition, offset in self._log.positions.items():
            self._at[partition] = max(self._at.get(partition, 0), offset)

    def _change(self, entry: LogEntry, *, up_to: Key | None = None) -> ChangeTold | None:
        """What an entry that comes from the log's past tells this watcher; its place is taken either way."""
        if entry.next_offset <= self._at.get(entry.partition, 0):
            return None
        self._at[entry.partition] = entry.next_offset
        if entry.step.event.stream.tenant != self._watcher.tenant:
            return None
        rows = seen(self._watcher.where, entry.step)
        if up_to is not None:
            rows = tuple(row for row in rows if row.key <= up_to)
        return ChangeTold(entry.step.event, rows, self._token()) if rows else None

    def _token(self) -> bytes:
        self._last_token = self._watch.token(replace(self._position, positions=dict(self._at)), self._binding)
        return self._last_token
