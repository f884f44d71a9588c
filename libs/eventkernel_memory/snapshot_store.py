"""The snapshot store in memory."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from eventkernel.ids import StreamId
from eventkernel.ports.snapshot_store import Snapshot, SnapshotStore


class MemorySnapshotStore:
    """Snapshots by stream and version."""

    def __init__(self) -> None:
        self._snapshots: dict[StreamId, dict[int, Snapshot]] = {}

    async def latest(self, stream: StreamId, *, up_to: int | None = None) -> Snapshot | None:
        """The highest version that is not above the bound."""
        kept = self._snapshots.get(stream, {})
        return kept.get(max((version for version in kept if up_to is None or version <= up_to), default=0))

    async def save(self, stream: StreamId, snapshot: Snapshot) -> None:
        """Keep it under its version."""
        self._snapshots.setdefault(stream, {})[snapshot.version] = snapshot

    async def streams(self, *, tenant: str | None = None) -> AsyncIterator[StreamId]:
        """As they were when it began."""
        for stream in list(self._snapshots):
            if tenant in (None, stream.tenant):
                yield stream

    async def prune(self, stream: StreamId, newest: int, *, above: int = 0) -> None:
        """Forget the lower versions."""
        kept = self._snapshots.get(stream, {})
        for version in sorted(kept)[:-newest]:
            if version > above:
                del kept[version]

    async def drop(self, stream: StreamId) -> None:
        """Forget the stream's."""
        self._snapshots.pop(stream, None)


if TYPE_CHECKING:
    _: type[SnapshotStore] = MemorySnapshotStore
