"""The stream directory in memory."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from eventkernel.ids import StreamId
from eventkernel.ports.stream_directory import StreamDirectory, StreamHead
from eventkernel_memory.journal import MemoryJournal, MemoryStream


class MemoryStreamDirectory:
    """Enumerates the journal's dictionary."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._journal = journal

    async def streams(self, *, tenant: str | None = None, category: str | None = None) -> AsyncIterator[StreamHead]:
        """Every stream there is when it begins."""
        for stream in list(self._journal.streams):
            if tenant in (None, stream.tenant) and category in (None, stream.category):
                yield self._head(stream)

    async def heads(self, streams: list[StreamId]) -> list[StreamHead]:
        """In the order asked for."""
        return [self._head(stream) for stream in streams]

    def _head(self, stream: StreamId) -> StreamHead:
        stored = self._journal.streams.get(stream) or MemoryStream()
        return StreamHead(stream, stored.head, stored.published)


if TYPE_CHECKING:
    _: type[StreamDirectory] = MemoryStreamDirectory
