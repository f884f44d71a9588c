import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from eventkernel.testing.contracts.event_store_model import walk
from eventkernel_memory.event_store import MemoryEventStore
from eventkernel_memory.journal import MemoryJournal
from eventkernel_sqlite.database import Database
from eventkernel_sqlite.event_store import SqliteEventStore
from eventkernel_sqlite.journal_schema import JOURNAL


@settings(max_examples=60)
@given(data=st.data(), steps=st.integers(1, 25))
def test_the_store_in_memory_answers_as_lists_of_events_would(data: st.DataObject, steps: int) -> None:
    journal = MemoryJournal()
    stores = [MemoryEventStore(journal), MemoryEventStore(journal)]
    asyncio.run(walk(stores, lambda below: data.draw(st.integers(0, below - 1)), steps))


@settings(max_examples=30)
@given(data=st.data(), steps=st.integers(1, 25))
def test_the_store_in_a_file_answers_as_lists_of_events_would(data: st.DataObject, steps: int) -> None:
    async def check(path: Path) -> None:
        stores = [SqliteEventStore(Database(path, JOURNAL)) for _ in range(2)]
        try:
            await walk(stores, lambda below: data.draw(st.integers(0, below - 1)), steps)
        finally:
            for store in stores:
                await store.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(check(Path(folder) / "journal.db"))
