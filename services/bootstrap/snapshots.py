"""The snapshots of a store: what there is, whether today's programs read it, and doing away with it or making it anew."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from bootstrap.schemas.contexts import EventContext, contexts
from bootstrap.stores import Stores
from eventkernel.ids import StreamId
from eventkernel.runtime.aggregate import AggregateType
from eventkernel.runtime.repository import Repository

AT_ONCE_MAX: Final = 16
"""Streams worked on at the same time."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A stream's newest snapshot. ``usable``: whether today's state codec reads it; ``why`` says what else it is."""

    stream: StreamId
    version: int
    schema: str
    bytes: int
    recorded_at: datetime
    usable: bool
    why: str


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A stream whose snapshot was made anew from its first event."""

    stream: StreamId
    version: int
    bytes: int


class SnapshotsUnknown(Exception):
    """A stream of no registered context; the message names it."""


class Snapshots:
    """Looks after the snapshots of every registered context."""

    def __init__(self, stores: Stores, registered: Sequence[EventContext] | None = None) -> None:
        self._stores = stores
        found = contexts() if registered is None else registered
        self._repositories = {context.category: _repository(context, stores) for context in found}
        self._schemas = {context.category: context.codecs.states.schema for context in found}

    def stream(self, text: str, tenant: str) -> StreamId:
        """A stream by ``tenant/name``, by name, or by the bare id of the only context there is. Raises ``SnapshotsUnknown``."""
        if "/" in text:
            stream = StreamId.from_key(text)
        elif any(text.startswith(f"{category}-") for category in self._repositories):
            stream = StreamId(tenant, text)
        else:
            category = next(iter(self._repositories))
            stream = StreamId(tenant, f"{category}-{text.lower()}")
        if stream.category not in self._repositories:
            raise SnapshotsUnknown(f"{text}: streams are {', '.join(f'{c}-<id>' for c in self._repositories)}")
        return stream

    async def all(self, tenant: str | None) -> AsyncIterator[Kept]:
        """The newest snapshot of every stream that has one."""
        async for page in _pages(self._stores.snapshots.streams(tenant=tenant)):
            for kept in await asyncio.gather(*map(self.of, page)):
                if kept is not None:
                    yield kept

    async def of(self, stream: StreamId) -> Kept | None:
        """The newest snapshot of a stream."""
        snapshot = await self._stores.snapshots.latest(stream)
        if snapshot is None:
            return None
        repository = self._repositories.get(stream.category)
        usable = repository is not None and repository.reads(stream, snapshot)
        if usable:
            why = ""
        elif repository is None:
            why = f"no context has streams called {stream.category}"
        else:
            why = "cannot be read" if snapshot.schema == self._schemas[stream.category] else "another schema"
        facts = (snapshot.version, snapshot.schema, len(snapshot.state), snapshot.recorded_at)
        return Kept(stream, *facts, usable=usable, why=why)

    async def drop(self, stream: StreamId) -> None:
        """Forget a stream's snapshots; the next reader replays it."""
        await self._stores.snapshots.drop(stream)

    async def rebuild(self, stream: StreamId) -> Rebuilt | None:
        """Fold a stream from its first event and keep that alone; None where there is no stream, and then no snapshot."""
        repository = self._repositories.get(stream.category)
        if repository is None:
            raise SnapshotsUnknown(f"{stream.key}: no context has streams called {stream.category}")
        aggregate = await repository.replayed(stream)
        await self._stores.snapshots.drop(stream)
        if aggregate.version == 0:
            return None
        snapshot = repository.snapshot_of(aggregate)
        await self._stores.snapshots.save(stream, snapshot)
        return Rebuilt(stream, snapshot.version, len(snapshot.state))

    async def rebuild_all(self, tenant: str | None, *, events_min: int) -> AsyncIterator[Rebuilt]:
        """Every stream of the journal that has at least so many events."""
        async for page in _pages(self._long_streams(tenant, events_min)):
            for rebuilt in await asyncio.gather(*map(self.rebuild, page)):
                if rebuilt is not None:
                    yield rebuilt

    async def _long_streams(self, tenant: str | None, events_min: int) -> AsyncIterator[StreamId]:
        async for head in self._stores.directory.streams(tenant=tenant):
            if head.head >= events_min and head.stream.category in self._repositories:
                yield head.stream


def _repository(context: EventContext, stores: Stores) -> Repository[Any, Any]:
    """For folding alone: nothing is decided, so facts are never asked for."""

    def no_facts(*_arguments: Any) -> Any:
        raise AssertionError("nothing is decided here")

    kind = AggregateType(
        context=context.name,
        category=context.category,
        decider=context.decider,
        codecs=context.codecs,
        creates=lambda _command: False,
        facts=no_facts,
    )
    return Repository(kind, stores.events, stores.snapshots)


async def _pages(streams: AsyncIterator[StreamId]) -> AsyncIterator[list[StreamId]]:
    page: list[StreamId] = []
    async for stream in streams:
        page.append(stream)
        if len(page) == AT_ONCE_MAX:
            yield page
            page = []
    if page:
        yield page
