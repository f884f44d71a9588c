"""All streams there are: for audits, rebuilds and counts."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from eventkernel.ids import StreamId


@dataclass(frozen=True, slots=True)
class StreamHead:
    """A stream's last version, and up to which version it is known to be on the bus."""

    stream: StreamId
    head: int
    published: int


class StreamDirectory(Protocol):
    """Enumerates streams. A stream created while it runs may be left out; one that existed before is always given, once."""

    def streams(self, *, tenant: str | None = None, category: str | None = None) -> AsyncIterator[StreamHead]:
        """Every stream (of a tenant, of a category), in an order of the store's own."""

    async def heads(self, streams: list[StreamId]) -> list[StreamHead]:
        """The heads of these streams; absent ones have head 0."""
