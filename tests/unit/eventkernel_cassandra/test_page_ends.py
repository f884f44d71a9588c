"""A reader that is at the head learns so from one answer: the event before the page carries the bucket's statics."""

from collections.abc import Sequence
from typing import Any

import pytest

from eventkernel.ids import StreamId
from eventkernel.ports import Appended, Position
from eventkernel.testing.contracts.journal import new_entry, new_stream
from eventkernel_cassandra.event_store import CassandraEventStore
from eventkernel_cassandra.session import Statement, Value
from eventkernel_cassandra.settings import Layout
from eventkernel_cassandra.simulated_session import SimulatedSession, SimulatedStore
from eventkernel_cassandra.statements import statements_of
from eventkernel_memory.clock import ManualClock

SIZE = 128


class Counting(SimulatedSession):
    """Keeps the names of what is read."""

    names: list[str]

    async def read(self, statement: Statement, values: Sequence[Value]) -> Any:
        self.names.append(statement.name)
        return await super().read(statement, values)


async def stored(events: int) -> tuple[CassandraEventStore, Counting, StreamId]:
    clock = ManualClock()
    session = Counting(SimulatedStore(clock))
    session.names = []
    store = CassandraEventStore(session, statements_of("ks"), Layout(bucket_events=SIZE), clock)
    stream, position = new_stream(), Position(0)
    for _ in range(events):
        outcome = await store.append(stream, position, [new_entry(stream)])
        assert isinstance(outcome, Appended)
        position = outcome.position
    session.names.clear()
    return store, session, stream


@pytest.mark.parametrize(("events", "after"), [(5, 5), (5, 4), (5, 1), (200, 200), (200, 195)])
async def test_what_follows_a_known_event_is_one_answer(events: int, after: int) -> None:
    store, session, stream = await stored(events)
    loaded = await store.load(stream, after=after)
    assert [event.version for event in loaded.events] == list(range(after + 1, events + 1))
    assert loaded.position.version == events
    assert session.names == ["select_events"]
    assert isinstance(await store.append(stream, loaded.position, [new_entry(stream)]), Appended)


@pytest.mark.parametrize("after", range(SIZE - 1, SIZE + 3))
async def test_around_the_end_of_a_bucket_nothing_is_left_out_or_given_twice(after: int) -> None:
    for events in (SIZE, SIZE + 1, SIZE + 6):
        store, _, stream = await stored(events)
        for most in (None, 1, 2):
            loaded = await store.load(stream, after=after, events_max=most)
            versions = list(range(after + 1, events + 1))[:most]
            assert [event.version for event in loaded.events] == versions
            assert loaded.position.version == (versions[-1] if versions else min(after, events))


async def test_a_reader_that_knows_more_than_there_is_is_told_the_head() -> None:
    store, _, stream = await stored(5)
    assert (await store.load(stream, after=9)).position.version == 5
