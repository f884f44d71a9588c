"""One reader of the bus a process, whose steps go to every watcher that they concern.

Watchers with one filter are asked once. Filters that demand a value of a column are found by that value, so that a
thousand watchers of a thousand patients cost a step no more than one.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

from eventkernel.errors import KernelError, Overloaded
from eventkernel.filters import Filter
from eventkernel.ports import Clock
from eventkernel.runtime.waiting import BACKOFF_SECONDS_MAX, FIRST_BACKOFF_SECONDS
from eventkernel.runtime.watch_kept import LogEntry, Place, demanded
from eventkernel.runtime.watch_log import StepLog
from eventkernel.runtime.watch_steps import SeenRow, Step, seen

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HubSettings:
    """Named limits: watchers of a process, entries that wait for one of them; how often to look, and to say "still here"."""

    watchers_max: int = 5_000
    waiting_max: int = 1_000
    poll_seconds: float = 0.02
    heartbeat_seconds: float = 15.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """An entry and what a watcher's filter lets through of it."""

    entry: LogEntry
    rows: tuple[SeenRow, ...]


@dataclass(slots=True, eq=False)
class Watcher:
    """One who follows. ``overflowed`` once more entries wait than may; what waited is dropped then."""

    tenant: str
    where: Filter
    queue: deque[Waiting] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    overflowed: bool = False
    beat: bool = False
    error: BaseException | None = None


@dataclass(slots=True, eq=False)
class _Interest:
    """The watchers of one tenant with one filter."""

    where: Filter
    watchers: dict[Watcher, None] = field(default_factory=dict)


class WatchHub:
    """Follows while anybody watches; the first to come starts it, the last to leave ends it."""

    def __init__(self, log: StepLog, clock: Clock, *, settings: HubSettings = HubSettings()) -> None:
        self.log = log
        self.clock = clock
        self.settings = settings
        self._watchers: set[Watcher] = set()
        self._interests: dict[tuple[str, Filter], _Interest] = {}
        self._by_value: dict[Place, dict[_Interest, None]] = {}
        self._columns: dict[str, dict[str, int]] = {}
        self._others: dict[str, dict[_Interest, None]] = {}
        self._task: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    @property
    def watching(self) -> int:
        """How many watch."""
        return len(self._watchers)

    @asynccontextmanager
    async def watcher(self, tenant: str, where: Filter) -> AsyncIterator[Watcher]:
        """A place among the watchers; nothing reaches it before ``attach``. Raises ``Overloaded`` where all are taken."""
        if len(self._watchers) >= self.settings.watchers_max:
            raise Overloaded("watchers", at=self.settings.watchers_max, retry_after_seconds=5.0)
        watcher = Watcher(tenant, where)
        self._watchers.add(watcher)
        try:
            await self._started()
            yield watcher
        finally:
            self._watchers.discard(watcher)
            self._detach(watcher)
            if not self._watchers:
                await self._ended()

    def attach(self, watcher: Watcher) -> None:
        """From the log's position of this moment on, everything that concerns it reaches the watcher's queue."""
        tenant, where = watcher.tenant, watcher.where
        interest = self._interests.get((tenant, where))
        if interest is None:
            interest = self._interests[tenant, where] = _Interest(where)
            for place in self._places(tenant, where):
                self._by_value.setdefault(place, {})[interest] = None
                columns = self._columns.setdefault(tenant, {})
                columns[place[1]] = columns.get(place[1], 0) + 1
            if not self._places(tenant, where):
                self._others.setdefault(tenant, {})[interest] = None
        interest.watchers[watcher] = None

    def _detach(self, watcher: Watcher) -> None:
        tenant, where = watcher.tenant, watcher.where
        interest = self._interests.get((tenant, where))
        if interest is None or watcher not in interest.watchers:
            return
        del interest.watchers[watcher]
        if interest.watchers:
            return
        del self._interests[tenant, where]
        for place in self._places(tenant, where):
            found = self._by_value[place]
            del found[interest]
            if not found:
                del self._by_value[place]
            columns = self._columns[tenant]
            columns[place[1]] -= 1
            if not columns[place[1]]:
                del columns[place[1]]
        self._others.get(tenant, {}).pop(interest, None)

    @staticmethod
    def _places(tenant: str, where: Filter) -> list[Place]:
        found = demanded(where)
        return [] if found is None else [(tenant, found[0], value) for value in found[1]]

    def _tell(self, entry: LogEntry) -> None:
        step = entry.step
        for interest in list(self._concerned(step)):
            rows = seen(interest.where, step)
            if rows:
                waiting = Waiting(entry, rows)
                for watcher in list(interest.watchers):
                    self._give(watcher, waiting)

    def _concerned(self, step: Step) -> Iterable[_Interest]:
        tenant = step.event.stream.tenant
        found = dict(self._others.get(tenant, {}))
        for column in self._columns.get(tenant, {}):
            for change in step.changes:
                for row in (change.before, change.after):
                    if row is not None:
                        found |= self._by_value.get((tenant, column, row[column]), {})
        return found

    def _give(self, watcher: Watcher, waiting: Waiting) -> None:
        if len(watcher.queue) >= self.settings.waiting_max:
            watcher.overflowed = True
            watcher.queue.clear()
            self._detach(watcher)
        else:
            watcher.queue.append(waiting)
        watcher.wake.set()

    async def _started(self) -> None:
        async with self._starting:
            if self._task is None:
                await self.log.start()
                self._task = asyncio.create_task(self._follow(), name="watch hub")
                self._task.add_done_callback(self._failed)

    async def _ended(self) -> None:
        async with self._starting:
            task = self._task
            if self._watchers or task is None:
                return
            self._task = None
            task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait({task})

    def _failed(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled():
            error = task.exception()
            _log.error("following the bus ended", exc_info=error)
            self._task = None
            for watcher in self._watchers:
                watcher.error = error
                watcher.wake.set()

    async def _follow(self) -> None:
        backoff = 0.0
        beat_at = self.clock.now() + timedelta(seconds=self.settings.heartbeat_seconds)
        while True:
            try:
                async with aclosing(self.log.read_on()) as entries:
                    async for entry in entries:
                        self._tell(entry)
                backoff = 0.0
            except KernelError as error:
                if not error.retriable:
                    raise
                _log.warning("following the bus waits: %s", error)
                backoff = min(BACKOFF_SECONDS_MAX, backoff * 2 or FIRST_BACKOFF_SECONDS)
            if self.clock.now() >= beat_at:
                beat_at = self.clock.now() + timedelta(seconds=self.settings.heartbeat_seconds)
                for watcher in self._watchers:
                    watcher.beat = True
                    watcher.wake.set()
            await self.clock.sleep(backoff or self.settings.poll_seconds)
