"""Reading a lagging store through the overlay is reading one that has caught up: every filter, order, page, count and sum."""

import pickle
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventkernel.envelope import Actor, EventMeta, NewEvent, Provenance, RecordedEvent
from eventkernel.filters import All, Eq, Order, Query, Range, Row, sort_key
from eventkernel.ids import StreamId
from eventkernel.ports import Entry, Position, TopicPartition, ViewReading, ViewStore
from eventkernel.runtime.cloudevents import to_message
from eventkernel.runtime.consistency import ViewProgress
from eventkernel.runtime.overlay import Overlay
from eventkernel.runtime.overlay_tail import OverlayTail, OverlayTailSettings
from eventkernel.runtime.projector import Projector
from eventkernel.runtime.row_cache import RowCache
from eventkernel.testing.view_samples import every_type_view, random_filter, random_query, random_row
from eventkernel.view import Column, ColumnType, TableKind, View
from eventkernel_memory.bus_tail import MemoryBusTail
from eventkernel_memory.clock import ManualClock, SystemClock
from eventkernel_memory.event_bus import MemoryBus
from eventkernel_memory.event_publisher import MemoryEventPublisher
from eventkernel_memory.event_store import MemoryEventStore
from eventkernel_memory.event_subscription import MemoryEventSubscription
from eventkernel_memory.journal import MemoryJournal
from eventkernel_memory.view_store import MemoryViewStore
from eventkernel_postgres.settings import PostgresSettings
from eventkernel_postgres.view_store import PostgresViewStore
from eventkernel_sqlite.view_store import SqliteViewStore
from localstack import PostgresServer

TOPIC = "things"
GROUP = "views"
TENANTS = ("north", "south")
META = EventMeta(ManualClock().now(), ManualClock().now(), UUID(int=1), Provenance(Actor("a", "clerk")))
SOON = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class _Pickled:
    def encode(self, state: Any) -> bytes:
        return pickle.dumps(state)

    def decode(self, data: bytes) -> Any:
        return pickle.loads(data)


def _set_rows(state: Any, event: Any, recorded: RecordedEvent) -> Any:
    return event


def _owned(state: Any) -> Iterable[Row]:
    rows: Iterable[Row] = state[0]
    return rows


def _sums(state: Any) -> Iterable[Row]:
    rows: Iterable[Row] = state[1]
    return rows


_PLAIN: View[Any, Any] = every_type_view("things")
OWNED: View[Any, Any] = replace(_PLAIN, initial=((), ()), fold=_set_rows, rows=_owned, codec=_Pickled())
SUMS: View[Any, Any] = replace(
    OWNED,
    name="sums",
    kind=TableKind.SUMMED,
    columns=(
        Column("id", ColumnType.TEXT),
        Column("text", ColumnType.TEXT),
        Column("maybe_text", ColumnType.TEXT),
        Column("count", ColumnType.INTEGER),
        Column("amount", ColumnType.DECIMAL),
    ),
    key=("id", "text", "maybe_text"),
    indexes=(),
    rows=_sums,
)
VIEWS = (OWNED, SUMS)


def _decode(event: RecordedEvent | NewEvent) -> Any:
    return pickle.loads(event.data)


@dataclass
class History:
    """Streams whose every event says which rows the stream has from then on."""

    random: Random
    events: dict[StreamId, list[NewEvent]] = field(default_factory=dict)

    def tell(self) -> "History":
        streams = [StreamId(self.random.choice(TENANTS), f"thing-{n}") for n in range(self.random.randint(1, 12))]
        for stream in streams:
            told = [self._event(stream, version) for version in range(1, self.random.randint(2, 6))]
            self.events[stream] = told
        return self

    def _event(self, stream: StreamId, version: int) -> NewEvent:
        owned = [random_row(self.random, OWNED, f"{stream.id}/{n}") for n in range(3) if self.random.random() < 0.5]
        sums: dict[Any, Row] = {}
        for _ in range(self.random.randint(0, 3)):
            row = {
                "id": self.random.choice("ab"),
                "text": self.random.choice("xyz"),
                "maybe_text": "",
                "count": self.random.randint(0, 2),
                "amount": Decimal(self.random.randint(0, 30)) / 10,
            }
            sums[SUMS.key_of(row)] = row
        data = pickle.dumps((tuple(owned), tuple(sums.values())))
        event_id = UUID(int=self.random.getrandbits(128))
        return NewEvent(event_id, "Set", 1, data, replace(META, command_id=event_id))


@dataclass
class Sides:
    """The same history in two stores: one that has caught up, one that lags, and the bus between."""

    history: History
    lagging: ViewStore
    caught_up: ViewStore
    bus: MemoryBus = field(default_factory=MemoryBus)
    journal: MemoryEventStore = field(default_factory=lambda: MemoryEventStore(MemoryJournal()))

    async def prepare(self) -> None:
        await self.bus.create_topic(TOPIC, 3)
        for store in (self.lagging, self.caught_up):
            await store.prepare(VIEWS)
        self.cache: RowCache[Any] = RowCache(_decode)
        tail_settings = OverlayTailSettings(committed_seconds=0, records_max=7)
        self.tail = OverlayTail(
            MemoryBusTail(self.bus), topic=TOPIC, group=GROUP, clock=SystemClock(), settings=tail_settings
        )
        self.overlay = Overlay(
            self.lagging,
            self.tail,
            self.journal,
            decode=_decode,
            cache=self.cache,
            clock=SystemClock(),
            progress=ViewProgress(),
        )
        self.projectors = {
            id(store): Projector(
                VIEWS,
                MemoryEventSubscription(self.bus, "nobody", [TOPIC]),
                store,
                journal=self.journal,
                decode=_decode,
                clock=SystemClock(),
            )
            for store in (self.lagging, self.caught_up)
        }

    async def write(self) -> None:
        """Everything into the journal, and onto the bus in some order that keeps each stream's, with repeats."""
        random = self.history.random
        recorded: dict[StreamId, list[RecordedEvent]] = {}
        for stream, told in self.history.events.items():
            for version, event in enumerate(told, 1):
                await self.journal.append(stream, Position(version - 1), [Entry(event, event.meta.command_id, b"")])
            recorded[stream] = list((await self.journal.load(stream)).events)
        await self.projectors[id(self.caught_up)].apply(recorded)
        publisher = MemoryEventPublisher(self.bus)
        next_versions = dict.fromkeys(recorded, 0)
        while left := [stream for stream in recorded if next_versions[stream] < len(recorded[stream])]:
            stream = random.choice(left)
            sent = recorded[stream][next_versions[stream]]
            await publisher.publish([to_message(sent, topic=TOPIC, source="t", wire_name=lambda name, _: name)])
            next_versions[stream] = next_versions[stream] + 1 if random.random() < 0.8 else random.randint(0, 1)

    async def lag(self) -> None:
        """Let the lagging store read on somewhat, ahead of what is committed; and be a little ahead of the bus besides."""
        random = self.history.random
        taken: dict[StreamId, list[RecordedEvent]] = {}
        committed = self.bus.group(GROUP).committed
        for number, records in enumerate(self.bus.partitions(TOPIC)):
            source = TopicPartition(TOPIC, number)
            read = random.randint(committed.get(source, 0), len(records))
            committed[source] = random.randint(committed.get(source, 0), read)
            for record in records[:read]:
                stream = StreamId.from_key(record.key.decode())
                version = int(dict(record.headers)["ce_sequence"])
                taken.setdefault(stream, []).append((await self.journal.load(stream)).events[version - 1])
        if random.random() < 0.3:
            stream = random.choice(list(self.history.events))
            taken.setdefault(stream, []).extend((await self.journal.load(stream, up_to=random.randint(1, 5))).events)
        await self.projectors[id(self.lagging)].apply(taken)

    @asynccontextmanager
    async def both(self, wanted: dict[StreamId, int] | None = None) -> AsyncIterator[tuple[ViewReading, ViewReading]]:
        await self.tail.catch_up()
        async with self.caught_up.reading() as plain, self.overlay.reading(OWNED, wanted or {}) as overlaid:
            yield overlaid, plain

    def some_rows(self, view: View[Any, Any]) -> list[Row]:
        return [row for told in self.history.events.values() for event in told for row in view.rows(_decode(event))]


Open = Callable[[], AbstractAsyncContextManager[ViewStore]]


@pytest.fixture(
    scope="session", params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.stack("postgres"))]
)
def lagging(request: pytest.FixtureRequest) -> Open:
    """Opens a store of its own for each example."""
    match request.param:
        case "memory":
            return in_memory
        case "sqlite":
            return in_a_file
        case _:
            return partial(in_a_schema, request.getfixturevalue("postgres_server"))


@asynccontextmanager
async def in_memory() -> AsyncIterator[ViewStore]:
    yield MemoryViewStore()


@asynccontextmanager
async def in_a_file() -> AsyncIterator[ViewStore]:
    with TemporaryDirectory() as folder:
        store = SqliteViewStore(Path(folder) / "views.db")
        try:
            yield store
        finally:
            await store.close()


@asynccontextmanager
async def in_a_schema(server: PostgresServer) -> AsyncIterator[ViewStore]:
    settings = PostgresSettings(server.dsn(), schema=f"overlay_{uuid4().hex[:12]}")
    store = await PostgresViewStore.open(settings)
    try:
        yield store
    finally:
        await store.close()
        async with await psycopg.AsyncConnection.connect(settings.dsn, autocommit=True) as connection:
            await connection.execute(f"DROP SCHEMA {settings.schema} CASCADE".encode())


@asynccontextmanager
async def sides(opened: Open, seed: int) -> AsyncIterator[Sides]:
    async with opened() as store:
        made = Sides(History(Random(seed)).tell(), store, MemoryViewStore())
        await made.prepare()
        await made.write()
        await made.lag()
        yield made


async def values_of(reading: ViewReading, view: View[Any, Any], query: Query) -> list[Row]:
    return [row.values for row in await reading.select(view, query)]


@given(seed=st.integers(0, 2**32))
@SOON
async def test_rows_pages_and_counts_are_those_of_a_store_that_has_caught_up(lagging: Open, seed: int) -> None:
    async with sides(lagging, seed) as made:
        random, rows = made.history.random, made.some_rows(OWNED)
        for _ in range(3):
            async with made.both() as (overlaid, plain):
                for _ in range(6):
                    query = random_query(random, OWNED, random.choice(TENANTS), rows)
                    assert await values_of(overlaid, OWNED, query) == await values_of(plain, OWNED, query), query
                    assert await overlaid.count(OWNED, query) == await plain.count(OWNED, query), query
                for row in rows:
                    for tenant in TENANTS:
                        found = await overlaid.get(OWNED, tenant, (row["id"],))
                        other = await plain.get(OWNED, tenant, (row["id"],))
                        assert (found and (found.values, found.stream)) == (other and (other.values, other.stream))
            await made.lag()


@given(seed=st.integers(0, 2**32))
@SOON
async def test_sums_are_those_of_a_store_that_has_caught_up(lagging: Open, seed: int) -> None:
    async with sides(lagging, seed) as made:
        random, rows = made.history.random, made.some_rows(SUMS)
        key_order = Order(SUMS.key, descending=random.random() < 0.5)
        for _ in range(2):
            async with made.both() as (overlaid, plain):
                for tenant in TENANTS:
                    for _ in range(5):
                        where = random.choice(
                            (
                                All(),
                                Eq("id", random.choice("abc")),
                                Range("count", random.randint(-1, 2), None),
                                random_filter(random, SUMS),
                            )
                        )
                        order = random.choice(
                            (key_order, Order(("amount", *SUMS.key)), Order(("count", *SUMS.key), True))
                        )
                        after = sort_key(order, random.choice(rows)) if rows and random.random() < 0.5 else None
                        query = Query(tenant, where, order, after, limit=random.choice((1, 2, 100)))
                        assert await values_of(overlaid, SUMS, query) == await values_of(plain, SUMS, query), query
                        assert await overlaid.count(SUMS, query) == await plain.count(SUMS, query), query
                    for row in rows:
                        found = await overlaid.get(SUMS, tenant, SUMS.key_of(row))
                        other = await plain.get(SUMS, tenant, SUMS.key_of(row))
                        assert (found and found.values) == (other and other.values)
            await made.lag()


@given(seed=st.integers(0, 2**32))
@SOON
async def test_pages_fit_together_while_the_store_catches_up_between_them(lagging: Open, seed: int) -> None:
    async with sides(lagging, seed) as made:
        random = made.history.random
        asked = random_query(random, OWNED, random.choice(TENANTS), [])
        async with made.caught_up.reading() as plain:
            expected = await values_of(plain, OWNED, replace(asked, after=None, limit=1_000))
        query = replace(asked, after=None, limit=random.randint(1, 4))
        walked: list[Row] = []
        while True:
            if random.random() < 0.3:
                made.cache.clear()
            async with made.both() as (overlaid, _):
                page = await values_of(overlaid, OWNED, query)
            walked += page
            if len(page) < query.limit:
                break
            query = replace(query, after=sort_key(query.order, page[-1]))
            await made.lag()
        assert walked == expected


@given(seed=st.integers(0, 2**32))
@SOON
async def test_a_token_is_reached_with_whatever_is_in_the_cache_on_the_bus_or_in_the_journal(seed: int) -> None:
    async with sides(in_memory, seed) as made:
        random = made.history.random
        made.overlay._settings = replace(made.overlay._settings, bus_seconds=0)
        lost = random.choice(list(made.history.events))
        for records in made.bus.partitions(TOPIC):
            # The relay is behind with this stream: nothing of it has come yet.
            records[:] = [record for record in records if record.key != lost.key.encode()]
        wanted = {stream: random.randint(1, len(told)) for stream, told in made.history.events.items()}
        wanted[lost] = len(made.history.events[lost])
        async with made.both(wanted) as (overlaid, plain):
            for stream, told in made.history.events.items():
                reached = (await overlaid.checkpoints(OWNED, [stream]))[stream]
                assert reached.version >= wanted[stream]
                if reached.version == len(told):
                    where = Eq("stream", stream.name)
                    query = Query(stream.tenant, where, Order(("id",)), limit=100)
                    assert await values_of(overlaid, OWNED, query) == await values_of(plain, OWNED, query)
