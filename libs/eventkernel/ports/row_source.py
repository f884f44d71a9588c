"""Rows and versions by key, each as it is now, for whoever needs nothing else of the same snapshot."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol, cast, runtime_checkable

from eventkernel.ids import StreamId
from eventkernel.ports.view_store import StoredRow, ViewStore
from eventkernel.view import Key, View


@runtime_checkable
class RowSource(Protocol):
    """What a ``ViewStore`` may have besides: answers by key that cost less than a reading of their own.

    Each is of a snapshot that is taken after the call began, of the generation that is active in it. Errors are those of a
    reading.
    """

    async def row(self, view: View[Any, Any], tenant: str, key: Key) -> StoredRow | None:
        """The row under this key."""

    async def versions(self, view: View[Any, Any], streams: Sequence[StreamId]) -> Mapping[StreamId, int]:
        """How far the view has folded these streams; unknown streams have version 0."""


async def current_row(store: ViewStore, view: View[Any, Any], tenant: str, key: Key) -> StoredRow | None:
    """The row under this key, by the cheapest way that the store has."""
    if _has_rows(type(store)):
        return await cast("RowSource", store).row(view, tenant, key)
    async with store.reading() as reading:
        return await reading.get(view, tenant, key)


async def current_versions(
    store: ViewStore, view: View[Any, Any], streams: Sequence[StreamId]
) -> Mapping[StreamId, int]:
    """How far the view has folded these streams, by the cheapest way that the store has."""
    if _has_rows(type(store)):
        return await cast("RowSource", store).versions(view, streams)
    async with store.reading() as reading:
        checkpoints = await reading.checkpoints(view, streams)
    return {stream: checkpoints[stream].version for stream in streams}


@lru_cache(64)
def _has_rows(kind: type) -> bool:
    return issubclass(kind, RowSource)
