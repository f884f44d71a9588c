"""A store that tells what it has stored keeps the promises of the one below, and tells each event once."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from eventkernel.runtime.telling_event_store import TellingEventStore
from eventkernel.testing.contracts.event_store import EventStoreContract
from eventkernel.testing.contracts.features import Feature
from eventkernel.testing.contracts.journal import Journal
from eventkernel_memory.event_store import MemoryEventStore
from eventkernel_memory.journal import MemoryJournal
from eventkernel_memory.outbox import MemoryOutbox
from eventkernel_memory.stream_directory import MemoryStreamDirectory

if TYPE_CHECKING:
    from eventkernel.envelope import RecordedEvent

SHARDS = 16


@pytest.fixture
async def journal() -> AsyncIterator[Journal]:
    state = MemoryJournal()
    heard: list[RecordedEvent] = []
    store, peer = (TellingEventStore(MemoryEventStore(state), heard.extend) for _ in range(2))
    outbox, rival = MemoryOutbox(state, SHARDS), MemoryOutbox(state, SHARDS)
    yield Journal(store, peer, outbox, rival, MemoryStreamDirectory(state), SHARDS)
    stored = [event for stream in state.streams.values() for event in stream.events]
    assert len(heard) == len(stored)
    assert all(event in stored for event in heard)
    await store.close()


class TestEventStore(EventStoreContract):
    features = frozenset({Feature.ORDERED_OUTBOX, Feature.EXACT_OUTBOX})
