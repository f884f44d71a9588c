"""What watches share: steps found by value, versions known by place, blocks of the past, rows ahead of the view."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any
from uuid import uuid4

import pytest

from eventkernel.envelope import Actor, EventMeta, Provenance, RecordedEvent
from eventkernel.errors import StoreUnavailable
from eventkernel.filters import All, Eq, In, Range
from eventkernel.ids import StreamId
from eventkernel.runtime.cloudevents import to_message
from eventkernel.runtime.watch_ahead import AheadOfView
from eventkernel.runtime.watch_kept import KeptSteps, LogEntry, demanded, indexed_columns, of_tenant
from eventkernel.runtime.watch_known import KnownVersions
from eventkernel.runtime.watch_log import LogSettings, StepLog
from eventkernel.runtime.watch_past import Block, PastSteps
from eventkernel.runtime.watch_steps import Step, StepFolder
from eventkernel.testing.counter import CODEC, COUNTER_VIEW, Add, Open, decode, new_counter, request
from eventkernel.view import Change, Index
from eventkernel_memory.bus_tail import MemoryBusTail
from eventkernel_memory.event_publisher import MemoryEventPublisher

TOPIC = "counters"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
COLUMNS = frozenset({"status"})
BY_STATUS = replace(COUNTER_VIEW, indexes=(Index(("status", "id")), Index(("total", "id"))))


def entry(next_offset: int, before: str | None, after: str | None, tenant: str = "default") -> LogEntry:
    meta = EventMeta(NOW, NOW, uuid4(), Provenance(Actor("a", "system")))
    event = RecordedEvent(StreamId(tenant, "counter-1"), next_offset, uuid4(), "Added", 1, b"", meta)
    rows = [None if status is None else {"id": "1", "status": status} for status in (before, after)]
    return LogEntry(0, next_offset, Step(event, (Change(("1",), *rows),)))


def statuses(one: LogEntry) -> set[str]:
    (change,) = one.step.changes
    return {row["status"] for row in (change.before, change.after) if row is not None}


def offsets(entries: list[LogEntry]) -> list[int]:
    return [one.next_offset for one in entries]


def test_steps_are_found_by_the_value_before_and_the_value_after() -> None:
    kept = KeptSteps(COLUMNS)
    for one in (entry(1, None, "OPEN"), entry(2, "OPEN", "CLOSED"), entry(3, "CLOSED", "CLOSED")):
        kept.add(one)
    assert offsets(kept.after(0, [("default", "status", "OPEN")])) == [1, 2]
    assert offsets(kept.after(0, [("default", "status", "CLOSED")])) == [2, 3]
    assert offsets(kept.after(1, [("default", "status", "OPEN")])) == [2]
    assert offsets(kept.after(0, [("default", "status", "NONE")])) == []


def test_a_step_at_two_of_the_places_is_found_once() -> None:
    kept = KeptSteps(COLUMNS)
    for one in (entry(1, None, "OPEN"), entry(2, "OPEN", "CLOSED"), entry(5, "CLOSED", "OPEN")):
        kept.add(one)
    places = [("default", "status", value) for value in ("CLOSED", "OPEN")]
    assert offsets(kept.after(0, places)) == [1, 2, 5]


def test_steps_of_a_tenant_are_found_without_a_value() -> None:
    kept = KeptSteps(COLUMNS)
    for one in (entry(1, None, "OPEN", "mine"), entry(2, None, "OPEN", "theirs")):
        kept.add(one)
    assert offsets(kept.after(0, [of_tenant("mine")])) == [1]
    assert offsets(kept.after(0)) == [1, 2]


def test_what_was_dropped_is_found_nowhere_and_the_rest_still_is() -> None:
    """Seeded: any run of additions and drops leaves what a plain list would."""
    random, kept, plain = Random(3), KeptSteps(COLUMNS), list[LogEntry]()
    for offset in range(1, 400):
        if plain and random.random() < 0.45:
            assert kept.drop() is plain.pop(0)
        plain.append(entry(offset, random.choice(["OPEN", "CLOSED"]), random.choice(["OPEN", "CLOSED"])))
        kept.add(plain[-1])
        after = random.randint(0, offset)
        assert kept.after(after) == [one for one in plain if one.next_offset > after]
        is_open = [one for one in plain if "OPEN" in statuses(one)]
        assert kept.after(after, [("default", "status", "OPEN")]) == [o for o in is_open if o.next_offset > after]
    assert len(kept) == len(plain)


def test_columns_that_steps_are_found_by_are_texts_that_lead_an_index() -> None:
    assert indexed_columns(BY_STATUS) == {"status"}
    where = All((Eq("total", 3), In("status", ("OPEN", "CLOSED")), Range("total", at_least=1)))
    assert demanded(where) == ("total", (3,))
    assert demanded(where, COLUMNS) == ("status", ("OPEN", "CLOSED"))


def test_versions_since_an_offset_are_those_of_streams_met_there() -> None:
    known = KnownVersions(covers_from=10, streams_max=2)
    a, b, c = (StreamId("default", f"counter-{name}") for name in "abc")
    for stream, version, next_offset in ((a, 1, 11), (b, 1, 12), (a, 2, 13)):
        known.remember(stream, version, next_offset)
    assert dict(known.since(10)) == {a: 2, b: 1}
    assert dict(known.since(12)) == {a: 2}
    assert known.covers_from == 10
    known.remember(c, 7, 14)
    assert (known.version(b), known.version(c), known.covers_from) == (0, 7, 12)


async def test_who_asks_for_a_block_while_it_is_read_shares_it() -> None:
    reads, begun, go_on = list[tuple[int, int]](), asyncio.Event(), asyncio.Event()

    async def read(partition: int, begins: int) -> Block:
        reads.append((partition, begins))
        begun.set()
        await go_on.wait()
        return Block(KeptSteps(COLUMNS), begins + 500, whole=True)

    past = PastSteps(read, blocks_max=2)
    asking = [asyncio.create_task(past.block(0, 500)) for _ in range(5)]
    await begun.wait()
    asking[0].cancel()  # who reads it goes away: the next one does it
    go_on.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert len({id(block) for block in found[1:]}) == 1
    assert reads == [(0, 500)] * 2
    for begins in (1_000, 1_500, 500):
        await past.block(0, begins)
    assert reads[2:] == [(0, 1_000), (0, 1_500), (0, 500)], "blocks beyond the bound were kept"


async def test_a_block_to_which_something_may_be_added_is_read_again() -> None:
    reads = 0

    async def read(_partition: int, begins: int) -> Block:
        nonlocal reads
        reads += 1
        return Block(KeptSteps(COLUMNS), begins + 1, whole=False)

    past = PastSteps(read, blocks_max=2)
    await past.block(0, 0)
    await past.block(0, 0)
    assert reads == 2


class CountingTail(MemoryBusTail):
    """Counts readings, lets others go on meanwhile as a real bus does, and fails while ``broken``."""

    reads = 0
    broken = False

    async def end_offsets(self, topic: str) -> Any:
        await asyncio.sleep(0)
        return await super().end_offsets(topic)

    async def read(self, *arguments: Any) -> Any:
        self.reads += 1
        if self.broken:
            raise StoreUnavailable("bus", "away")
        return await super().read(*arguments)


@pytest.fixture
async def log(world: Any) -> StepLog:
    tail = CountingTail(world.bus)
    made = StepLog(
        tail, TOPIC, StepFolder(BY_STATUS, world.store, decode), settings=LogSettings(steps_max=30, records_max=5)
    )
    await made.start()
    return made


async def happen(world: Any, count: int) -> list[StreamId]:
    """As many counters, opened and added to, on the bus."""
    streams = [new_counter() for _ in range(count)]
    publisher = MemoryEventPublisher(world.bus)
    for stream in streams:
        for command in (Open(), Add(1)):
            await world.handler().handle(request(stream, command))
        events = world.stored(stream)
        await publisher.publish([to_message(e, topic=TOPIC, source="shop", wire_name=CODEC.wire_name) for e in events])
    return streams


async def read_on(log: StepLog) -> None:
    async for _ in log.read_on():
        pass


async def test_those_who_go_the_same_way_through_the_past_read_and_fold_it_once(world: Any, log: StepLog) -> None:
    streams = await happen(world, 60)
    await read_on(log)

    async def everything() -> list[tuple[StreamId, int]]:
        places = log.places("default", Eq("status", "OPEN"))
        events = [one.step.event for p in log.positions async for one in log.entries(p, 0, places=places)]
        return [(event.stream, event.version) for event in events]

    first = await everything()
    assert sorted(first) == sorted((stream, version) for stream in streams for version in (1, 2))
    tail = log._tail
    assert isinstance(tail, CountingTail)
    before = tail.reads
    again = await asyncio.gather(*(everything() for _ in range(20)))
    assert all(sorted(one) == sorted(first) for one in again)
    assert tail.reads == before


async def test_rows_ahead_of_the_view_are_made_once_for_all_who_come_meanwhile(world: Any, log: StepLog) -> None:
    streams = await happen(world, 30)
    await read_on(log)
    ahead = AheadOfView(log, behind_max=1_000)
    start = dict.fromkeys(log.positions, 0)
    found = await asyncio.gather(*(ahead.of(start) for _ in range(10)))
    assert len({id(one) for one in found}) == 2, "the first makes one, the others share the next"
    rows = found[0].matching(log.places("default", Eq("status", "OPEN")), Eq("status", "OPEN"))
    assert {(row.row["id"], row.version) for row in rows} == {(stream.id, 2) for stream in streams}
    assert found[0].streams == set(streams)
    assert found[0].matching(log.places("other", All()), All()) == []


async def test_too_much_ahead_of_the_view_is_told_and_not_folded(world: Any, log: StepLog) -> None:
    await happen(world, 10)
    found = await AheadOfView(log, behind_max=19).of(dict.fromkeys(log.positions, 0))
    assert (found.behind, found.streams) == (20, frozenset())


async def test_who_waits_for_rows_tries_himself_where_the_one_before_failed(world: Any, log: StepLog) -> None:
    await happen(world, 3)
    tail = log._tail
    assert isinstance(tail, CountingTail)
    ahead = AheadOfView(log, behind_max=100)
    tail.broken = True
    start = dict.fromkeys(log.positions, 0)
    failed = await asyncio.gather(*(ahead.of(start) for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in failed] == [StoreUnavailable] * 3
    tail.broken = False
    assert len((await ahead.of(start)).streams) == 3
