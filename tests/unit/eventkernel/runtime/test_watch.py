"""Watching: rows, then every change once and in order, whatever is cut, repeated or behind."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from eventkernel.errors import ConsumerTooSlow, InvalidCommand, Overloaded, Refusal, StoreUnavailable
from eventkernel.filters import All, Eq, Filter, In, Order, Query, Range, matches
from eventkernel.ids import StreamId
from eventkernel.runtime.cloudevents import to_message
from eventkernel.runtime.watch import ChangeTold, RowsComplete, RowTold, StillHere, Told, Watch, WatchSettings
from eventkernel.runtime.watch_hub import HubSettings, WatchHub
from eventkernel.runtime.watch_log import LogSettings, StepLog
from eventkernel.runtime.watch_steps import StepFolder
from eventkernel.runtime.watch_token import WatchTokens, binding_of
from eventkernel.testing.counter import (
    CODEC,
    COUNTER_SUMS,
    COUNTER_VIEW,
    Add,
    Close,
    Command,
    Open,
    decode,
    new_counter,
    request,
)
from eventkernel.view import Index
from eventkernel_memory.bus_tail import MemoryBusTail
from eventkernel_memory.clock import SystemClock
from eventkernel_memory.event_publisher import MemoryEventPublisher

TOPIC = "counters"
GROUP = "views"
KEY = b"a key of sixteen bytes or more"
SECONDS = 20.0
OPEN: Filter = Eq("status", "OPEN")
EVERYTHING: Filter = All()
BIG: Filter = All((Eq("status", "OPEN"), Range("total", at_least=3)))
BY_STATUS = replace(COUNTER_VIEW, indexes=(Index(("status", "id")),))
"""The view whose steps are found by a counter's status."""


class Shop:
    """Counters that are written, published and projected when a test says so."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.clock = SystemClock()
        self.tail = MemoryBusTail(world.bus)
        self.publisher = MemoryEventPublisher(world.bus)
        self.handler = world.handler()
        self.projector = world.projector(subscription=world.subscription(GROUP), records_max=5)
        self.published: dict[StreamId, int] = {}

    def hub(self, *, clock: Any = None, steps_max: int = 1_000, **settings: Any) -> WatchHub:
        folder = StepFolder(BY_STATUS, self.world.store, decode)
        log = StepLog(self.tail, TOPIC, folder, settings=LogSettings(steps_max=steps_max, records_max=3))
        limits = HubSettings(**{"poll_seconds": 0.001, "heartbeat_seconds": 3_600.0, **settings})
        return WatchHub(log, clock or self.clock, settings=limits)

    def watch(self, hub: WatchHub | None = None, **settings: Any) -> Watch:
        tokens = WatchTokens(KEY, age_seconds_max=3_600)
        return Watch(
            hub or self.hub(), self.world.views, group=GROUP, tokens=tokens, settings=WatchSettings(**settings)
        )

    async def write(self, stream: StreamId, *commands: Command) -> None:
        for command in commands:
            await self.handler.handle(request(stream, command))

    async def publish(self, stream: StreamId, *, again: int = 0) -> None:
        """Put what is new on the bus, and the last ``again`` events of what was there once more."""
        events = self.world.stored(stream)
        start = max(0, self.published.get(stream, 0) - again)
        messages = [
            to_message(event, topic=TOPIC, source="shop", wire_name=CODEC.wire_name) for event in events[start:]
        ]
        if messages:
            await self.publisher.publish(messages)
        self.published[stream] = len(events)

    async def happen(self, stream: StreamId, *commands: Command) -> None:
        await self.write(stream, *commands)
        await self.publish(stream)

    def has_told_everything(self, client: "Client") -> Callable[[], bool]:
        """Whether the client's last token stands at the end of the bus."""
        binding = binding_of(client.tenant, COUNTER_VIEW.table, TOPIC, client.where)

        def told() -> bool:
            if not client.complete:
                return False
            position = WatchTokens(KEY).decode(client.token, binding, self.clock.now())
            ends = {place: len(records) for place, records in enumerate(self.world.bus.partitions(TOPIC))}
            return position.rows_told and position.positions == ends

        return told

    async def project(self) -> None:
        while await self.projector.run_once():
            pass


@dataclass
class Client:
    """Takes what a watch tells, checks the rules that hold for any watch, and remembers."""

    where: Filter
    tenant: str = "default"
    rows: dict[str, tuple[str, int]] = field(default_factory=dict)
    versions: dict[str, list[int]] = field(default_factory=dict)
    changes: list[tuple[str, int, bool]] = field(default_factory=list)
    token: bytes = b""
    complete: bool = False
    beats: int = 0

    def take(self, told: Told) -> None:
        self.token = told.token
        match told:
            case RowTold(key, row, version, _):
                assert not self.complete
                assert key[0] not in self.rows
                self.saw(key[0], version)
                self.rows[key[0]] = (row["status"], row["total"])
            case RowsComplete():
                assert not self.complete
                self.complete = True
            case ChangeTold(event, rows, _):
                for seen in rows:
                    self.saw(seen.key[0], event.version)
                    self.changes.append((seen.key[0], event.version, seen.row is not None))
                    if seen.row is None:
                        del self.rows[seen.key[0]]
                    else:
                        assert seen.appeared == (seen.key[0] not in self.rows)
                        self.rows[seen.key[0]] = (seen.row["status"], seen.row["total"])
            case StillHere():
                self.beats += 1

    def saw(self, key: str, version: int) -> None:
        told = self.versions.setdefault(key, [])
        assert not told or version > told[-1], f"{key}: {version} after {told}"
        told.append(version)

    async def until(self, watch: Watch, condition: Callable[[], bool], **options: Any) -> None:
        """Watch on from the last token until the condition holds, then cut."""
        if condition():
            return
        async with asyncio.timeout(SECONDS):
            told = watch.follow(self.tenant, self.where, resume_token=self.token, **options)
            async with aclosing(told):
                async for one in told:
                    self.take(one)
                    if condition():
                        return

    async def taking(self, watch: Watch, count: int) -> None:
        """Take that many messages, then cut."""
        left = [count]

        def enough() -> bool:
            left[0] -= 1
            return left[0] < 0

        await self.until(watch, enough)


@pytest.fixture
async def shop(world: Any) -> AsyncIterator[Shop]:
    made = Shop(world)
    yield made
    await made.handler.drain()


async def test_rows_that_match_come_first_and_then_changes(shop: Shop) -> None:
    one, two, three = (new_counter() for _ in range(3))
    await shop.happen(one, Open(), Add(1))
    await shop.happen(two, Open(), Close())
    await shop.project()
    watch, client = shop.watch(), Client(OPEN)
    await client.until(watch, lambda: client.complete)
    assert client.rows == {one.id: ("OPEN", 1)}
    await shop.happen(three, Open())
    await shop.happen(one, Add(2), Close())
    await client.until(watch, lambda: len(client.changes) == 3)
    assert sorted(client.changes) == sorted([(three.id, 1, True), (one.id, 3, True), (one.id, 4, False)])
    assert client.rows == {three.id: ("OPEN", 0)}


async def test_what_is_on_the_bus_and_not_in_the_view_is_in_the_rows(shop: Shop) -> None:
    ahead, gone, new = (new_counter() for _ in range(3))
    await shop.happen(ahead, Open())
    await shop.happen(gone, Open())
    await shop.project()
    await shop.happen(ahead, Add(4))
    await shop.happen(gone, Close())
    await shop.happen(new, Open())
    watch, client = shop.watch(), Client(OPEN)
    await client.until(watch, lambda: client.complete)
    assert client.rows == {ahead.id: ("OPEN", 4), new.id: ("OPEN", 0)}
    await shop.project()
    await shop.happen(new, Add(1))
    await client.until(watch, lambda: bool(client.changes))
    assert client.changes == [(new.id, 2, True)]


async def test_without_rows_only_what_comes_is_told(shop: Shop) -> None:
    old = new_counter()
    await shop.happen(old, Open())
    watch, client = shop.watch(), Client(EVERYTHING)
    await client.until(watch, lambda: client.complete, rows=False)
    assert client.rows == {}
    client.rows[old.id] = ("OPEN", 0)
    await shop.happen(old, Add(1))
    await client.until(watch, lambda: bool(client.changes))
    assert client.changes == [(old.id, 2, True)]


async def test_a_tenant_is_told_of_its_own_alone(shop: Shop) -> None:
    mine, theirs = new_counter("mine"), new_counter("theirs")
    await shop.happen(theirs, Open())
    await shop.happen(mine, Open())
    watch, client = shop.watch(), Client(EVERYTHING, tenant="mine")
    await client.until(watch, lambda: client.complete)
    await shop.happen(theirs, Add(1))
    await shop.happen(mine, Add(1))
    await client.until(watch, lambda: bool(client.changes))
    assert set(client.versions) == {mine.id}


async def test_records_that_lie_on_the_bus_twice_are_told_once(shop: Shop) -> None:
    stream = new_counter()
    await shop.happen(stream, Open(), Add(1), Add(1))
    watch, client = shop.watch(), Client(EVERYTHING)
    await client.until(watch, lambda: client.complete)
    await shop.publish(stream, again=3)
    await shop.write(stream, Add(1))
    await shop.publish(stream, again=2)
    await client.until(watch, lambda: bool(client.changes))
    assert client.changes == [(stream.id, 4, True)]
    # Once more with a reader that was not there before: it looks behind its position.
    await shop.publish(stream, again=4)
    await shop.happen(stream, Add(1))
    await client.until(shop.watch(), lambda: len(client.changes) > 1)
    assert client.changes[1:] == [(stream.id, 5, True)]


@pytest.mark.parametrize("seed", range(8))
async def test_cut_anywhere_a_resumed_watch_has_no_gap_and_no_repeat(shop: Shop, seed: int) -> None:
    """Seeded: writes, repeats, projections, cuts in the middle of rows and of changes, fresh processes, a short memory."""
    random = Random(seed)
    streams = [new_counter() for _ in range(12)]
    for stream in streams[:8]:
        await shop.happen(stream, Open(), Add(random.randint(1, 5)))
    await shop.project()
    clients = [Client(where) for where in (EVERYTHING, OPEN, BIG, In("status", ("CLOSED", "OPEN")))]
    hub = shop.hub(steps_max=12, heartbeat_seconds=0.0)
    for _ in range(60):
        stream = random.choice(streams)
        state = shop.world.stored(stream)
        if not state:
            await shop.write(stream, Open())
        elif state[-1].type != "Closed":
            commands: list[Command] = [Add(1), Add(2), Close()] if len(state) > 3 else [Add(1)]
            await shop.write(stream, random.choice(commands))
        if random.random() < 0.8:
            await shop.publish(stream, again=random.choice([0, 0, 0, 1, 2]))
        if random.random() < 0.3:
            await shop.projector.run_once()
        if random.random() < 0.1:
            hub = shop.hub(steps_max=12, heartbeat_seconds=0.0)
        client = random.choice(clients)
        if not shop.has_told_everything(client)():
            await client.taking(shop.watch(hub), random.randint(1, 3))
    for stream in streams:
        await shop.publish(stream)
    await shop.project()
    everything = Query("default", EVERYTHING, Order(("id",)), limit=1_000)
    async with shop.world.views.reading() as reading:
        stored = [row.values for row in await reading.select(COUNTER_VIEW, everything)]
    watch = shop.watch(shop.hub(heartbeat_seconds=0.001))
    for client in clients:
        await client.until(watch, shop.has_told_everything(client))
        wanted = {row["id"]: (row["status"], row["total"]) for row in stored if matches(client.where, row)}
        assert client.rows == wanted
        for key, versions in client.versions.items():
            if client.where is EVERYTHING:
                assert versions == list(range(versions[0], versions[-1] + 1)), key


async def test_a_reader_that_leaves_too_much_waiting_is_told_and_resumes(shop: Shop) -> None:
    stream = new_counter()
    await shop.happen(stream, Open())
    hub = shop.hub(waiting_max=5)
    watch, client = shop.watch(hub), Client(EVERYTHING)
    told = watch.follow("default", EVERYTHING)
    async with aclosing(told), asyncio.timeout(SECONDS):
        while len(client.changes) < 1:
            if client.complete:
                await shop.happen(stream, Add(1))
            client.take(await anext(told))
        await shop.happen(stream, *[Add(1)] * 20)
        (watcher,) = hub._watchers
        while not watcher.overflowed:
            await watcher.wake.wait()
            await asyncio.sleep(0)
        with pytest.raises(ConsumerTooSlow) as caught:
            await anext(told)
    assert caught.value.token == client.token
    await client.until(watch, lambda: client.rows[stream.id] == ("OPEN", 21))
    assert client.versions[stream.id] == list(range(1, 23))


async def test_a_silent_stream_is_told_that_it_lives_with_a_token_that_skips_what_did_not_concern_it(
    shop: Shop,
) -> None:
    hub = shop.hub(heartbeat_seconds=0.001)
    watch, client = shop.watch(hub), Client(Eq("status", "NEVER"))
    await client.until(watch, lambda: client.complete)
    before = client.token
    await shop.happen(new_counter(), Open(), Add(1))
    await client.until(watch, lambda: client.beats >= 3)
    binding_moved = client.token != before
    assert binding_moved
    assert client.versions == {}


async def test_a_token_is_good_for_its_tenant_and_filter_alone(shop: Shop) -> None:
    watch, client = shop.watch(), Client(OPEN)
    await client.until(watch, lambda: client.complete)
    for tenant, where, token in (
        ("other", OPEN, client.token),
        ("default", EVERYTHING, client.token),
        ("default", OPEN, client.token[:-1] + b"x"),
        ("default", OPEN, b"x"),
    ):
        with pytest.raises(InvalidCommand) as caught:
            await anext(watch.follow(tenant, where, resume_token=token))
        assert caught.value.reason == "BAD_RESUME_TOKEN"


async def test_a_token_that_has_grown_too_old_is_refused_by_name(shop: Shop) -> None:
    clock = shop.world.clock
    watch, client = shop.watch(shop.hub(clock=clock)), Client(OPEN)
    await client.until(watch, lambda: client.complete)
    clock.set(clock.now() + timedelta(hours=2))
    with pytest.raises(Refusal) as caught:
        await anext(watch.follow("default", OPEN, resume_token=client.token))
    assert caught.value.reason == "RESUME_TOKEN_EXPIRED"


async def test_too_many_rows_watchers_and_pending_events_are_refused_by_name(shop: Shop) -> None:
    for _ in range(4):
        await shop.happen(new_counter(), Open())
    with pytest.raises(InvalidCommand) as rows:
        await anext(shop.watch(rows_max=3).follow("default", OPEN))
    assert rows.value.reason == "TOO_MANY_ROWS"
    with pytest.raises(Overloaded) as behind:
        await anext(shop.watch(behind_max=3, behind_seconds_max=0.0).follow("default", OPEN))
    assert behind.value.limit == "events between bus and view"
    with pytest.raises(Overloaded) as watchers:
        await anext(shop.watch(shop.hub(watchers_max=0)).follow("default", OPEN))
    assert watchers.value.limit == "watchers"


async def test_only_views_of_owned_rows_can_be_watched(shop: Shop) -> None:
    folder = StepFolder(COUNTER_SUMS, shop.world.store, decode)
    hub = WatchHub(StepLog(shop.tail, TOPIC, folder), shop.clock)
    with pytest.raises(ValueError, match="belong to one stream"):
        Watch(hub, shop.world.views, group=GROUP, tokens=WatchTokens(KEY))


async def test_a_bus_that_is_away_for_a_while_delays_and_loses_nothing(shop: Shop) -> None:
    class Away(MemoryBusTail):
        failures = 0

        async def end_offsets(self, topic: str) -> Any:
            if self.failures > 0:
                self.failures -= 1
                raise StoreUnavailable("bus", "away")
            return await super().end_offsets(topic)

    tail = Away(shop.world.bus)
    shop.tail = tail
    watch, client = shop.watch(), Client(EVERYTHING)
    stream = new_counter()

    @asynccontextmanager
    async def following() -> AsyncIterator[Any]:
        told = watch.follow("default", EVERYTHING)
        async with aclosing(told), asyncio.timeout(SECONDS):
            yield told

    async with following() as told:
        client.take(await anext(told))
        tail.failures = 2
        await shop.happen(stream, Open(), Add(1))
        while len(client.changes) < 2:
            client.take(await anext(told))
    assert client.versions == {stream.id: [1, 2]}


async def test_the_last_to_leave_ends_the_reading_of_the_bus(shop: Shop) -> None:
    hub = shop.hub()
    watch, client = shop.watch(hub), Client(EVERYTHING)
    await client.until(watch, lambda: client.complete)
    assert hub.watching == 0
    assert hub._task is None
    assert (hub._interests, hub._by_value, hub._watchers) == ({}, {}, set())


async def test_an_event_that_cannot_be_folded_holds_up_its_own_stream_and_no_other(shop: Shop) -> None:
    poison, fine = new_counter(), new_counter()

    def breaking(event: Any) -> Any:
        if event.stream == poison and event.version == 2:
            raise ZeroDivisionError("a fold that breaks")
        return decode(event)

    log = StepLog(shop.tail, TOPIC, StepFolder(COUNTER_VIEW, shop.world.store, breaking))
    hub = WatchHub(log, shop.clock, settings=HubSettings(poll_seconds=0.001, heartbeat_seconds=3_600.0))
    watch, client = shop.watch(hub), Client(EVERYTHING)
    await client.until(watch, lambda: client.complete)
    await shop.happen(poison, Open(), Add(1), Add(1))
    await shop.happen(fine, Open(), Add(1))
    await client.until(watch, lambda: client.versions.get(fine.id) == [1, 2])
    await client.until(shop.watch(shop.hub(heartbeat_seconds=0.001)), shop.has_told_everything(client))
    assert client.versions[poison.id][:1] == [1]
