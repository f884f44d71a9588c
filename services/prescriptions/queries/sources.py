"""What queries stand on, and the names they share with the command side."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from eventkernel.envelope import StreamPosition
from eventkernel.filters import Query, sort_key
from eventkernel.ids import StreamId
from eventkernel.ports import Clock, EventStore, StoredRow, StreamDirectory, ViewReading, ViewStore
from eventkernel.runtime.consistency import ViewProgress
from eventkernel.runtime.overlay import Overlay
from eventkernel.view import View
from eventkernel_grpc.pages import PageTokens
from prescriptions.domain.events import Event
from prescriptions.queries.freshness import Freshnesses
from prescriptions.streams import CONTEXT

PAGE_SIZE_DEFAULT: Final = 50
PAGE_SIZE_MAX: Final = 200
PHARMACY_COLUMNS: Final = ("holder_id", "nominated_id", "dispenser_id")
"""Of ``prescription_view``: who holds it, for whom it is meant, who dispensed last; a pharmacy is looked for in any of them."""
SCAN_ROWS_MAX: Final = 1_000
"""Rows read in one statement where all that match are needed."""
LISTS_FROM_LOG_MAX: Final = 2
"""Answers of a server that read a whole tenant's log at the same time; others wait, as long as their deadline allows."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Ports and what is made of them, shared by all queries of a server.

    ``by_role``: the caller's role decides what is shown (``visibility.py``); else everybody sees everything of the tenant.
    """

    views: ViewStore
    events: EventStore
    clock: Clock
    progress: ViewProgress
    freshness: Freshnesses
    pages: PageTokens
    directory: StreamDirectory
    overlay: Overlay[Event] | None = None
    by_role: bool = False
    lists_from_log: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LISTS_FROM_LOG_MAX))


def streams_seen(tenant: str, positions: tuple[StreamPosition, ...]) -> Mapping[StreamId, int]:
    """What a token says about this context; what it says about others is theirs to keep."""
    return {StreamId(tenant, seen.stream): seen.version for seen in positions if seen.context == CONTEXT}


async def every_row(reading: ViewReading, view: View[Any, Any], query: Query) -> AsyncIterator[StoredRow]:
    """All rows that match, read in portions; the query's order must be total."""
    query = replace(query, limit=SCAN_ROWS_MAX)
    while True:
        rows = await reading.select(view, query)
        for row in rows:
            yield row
        if len(rows) < SCAN_ROWS_MAX:
            return
        query = replace(query, after=sort_key(query.order, rows[-1].values))
