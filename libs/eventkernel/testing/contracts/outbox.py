"""The contract of ``Outbox``: completeness, order, and cursors that only move forward."""

import asyncio
from collections.abc import Callable
from random import Random

from eventkernel.ids import StreamId, shard_of
from eventkernel.ports.event_store import Position
from eventkernel.testing.contracts.features import Feature, Suite, needs
from eventkernel.testing.contracts.journal import (
    EVERYTHING,
    Journal,
    append,
    fill,
    new_entry,
    new_stream,
    push,
    unpublished,
)


class OutboxContract(Suite):
    """Give it a fixture ``journal``: a ``Journal`` over data of its own."""

    async def test_every_stored_event_is_pending_in_version_order(self, journal: Journal) -> None:
        streams = [new_stream() for _ in range(5)]
        for count, stream in enumerate(streams, 1):
            await fill(journal.store, stream, count)
        runs = await unpublished(journal.outbox, journal.shard_count, *streams)
        for count, stream in enumerate(streams, 1):
            run = runs[stream]
            assert (run.published, run.head) == (0, count)
            assert list(run.events) == list((await journal.store.load(stream)).events)

    async def test_pending_streams_carry_their_shard_and_only_those_asked_for_come(self, journal: Journal) -> None:
        streams = [new_stream() for _ in range(60)]
        await asyncio.gather(*(fill(journal.store, stream, 1) for stream in streams))
        found: list[StreamId] = []
        for begin in range(0, journal.shard_count, 8):
            shards = range(begin, min(begin + 8, journal.shard_count))
            for pending in await journal.outbox.pending(shards, EVERYTHING):
                assert pending.shard == shard_of(pending.stream, journal.shard_count)
                assert pending.shard in shards
                found.append(pending.stream)
        assert sorted(s for s in found if s in streams) == sorted(streams)
        assert list(await journal.outbox.pending([], EVERYTHING)) == []

    async def test_no_more_streams_come_than_asked_for(self, journal: Journal) -> None:
        await asyncio.gather(*(fill(journal.store, new_stream(), 1) for _ in range(10)))
        assert len(await journal.outbox.pending(range(journal.shard_count), 4)) == 4

    async def test_what_was_advanced_over_never_comes_again(self, journal: Journal) -> None:
        stream = new_stream()
        await fill(journal.store, stream, 3)
        runs = await unpublished(journal.outbox, journal.shard_count, stream)
        assert list(await journal.outbox.advance([runs[stream]])) == [True]
        assert await unpublished(journal.outbox, journal.shard_count, stream) == {}
        position = (await journal.store.load(stream)).position
        await append(journal.store, stream, position, new_entry(stream))
        again = await unpublished(journal.rival, journal.shard_count, stream)
        assert [event.version for event in again[stream].events] == [4]
        assert (again[stream].published, again[stream].head) == (3, 4)

    async def test_an_event_stored_between_read_and_advance_stays_pending(self, journal: Journal) -> None:
        stream = new_stream()
        await fill(journal.store, stream, 2)
        runs = await unpublished(journal.outbox, journal.shard_count, stream)
        position = (await journal.store.load(stream)).position
        await append(journal.store, stream, position, new_entry(stream))
        assert list(await journal.outbox.advance([runs[stream]])) == [True]
        runs = await unpublished(journal.outbox, journal.shard_count, stream)
        assert [event.version for event in runs[stream].events] == [3]

    async def test_a_run_may_be_cut_short_and_the_rest_follows(self, journal: Journal) -> None:
        stream = new_stream()
        await fill(journal.store, stream, 30)
        versions: list[int] = []
        while len(versions) < 30:
            pending = [
                p for p in await journal.outbox.pending(range(journal.shard_count), EVERYTHING) if p.stream == stream
            ]
            runs = await journal.outbox.read(pending, 7)
            assert [run.published for run in runs] == [len(versions)]
            versions += [event.version for event in runs[0].events]
            assert list(await journal.outbox.advance(runs)) == [True]
        assert versions == list(range(1, 31))
        assert await unpublished(journal.outbox, journal.shard_count, stream) == {}

    async def test_the_budget_of_a_read_is_kept_and_every_run_begins_at_its_cursor(self, journal: Journal) -> None:
        streams = [new_stream() for _ in range(6)]
        await asyncio.gather(*(fill(journal.store, stream, 10) for stream in streams))
        pending = [
            p for p in await journal.outbox.pending(range(journal.shard_count), EVERYTHING) if p.stream in streams
        ]
        runs = await journal.outbox.read(pending, 25)
        assert 1 <= sum(len(run.events) for run in runs) <= 35, "about 25, at most one run more"
        for run in runs:
            assert [event.version for event in run.events] == list(range(1, len(run.events) + 1))
            assert run.head == 10

    async def test_of_two_relays_with_one_run_one_moves_the_cursor(self, journal: Journal) -> None:
        stream = new_stream()
        await fill(journal.store, stream, 4)
        mine = await unpublished(journal.outbox, journal.shard_count, stream)
        theirs = await unpublished(journal.rival, journal.shard_count, stream)
        moved = await asyncio.gather(journal.outbox.advance([mine[stream]]), journal.rival.advance([theirs[stream]]))
        assert sorted(done for answers in moved for done in answers) == [False, True]

    async def test_a_stale_run_does_not_move_the_cursor_back(self, journal: Journal) -> None:
        stream = new_stream()
        await fill(journal.store, stream, 2)
        stale = (await unpublished(journal.rival, journal.shard_count, stream))[stream]
        position = (await journal.store.load(stream)).position
        await append(journal.store, stream, position, new_entry(stream))
        newer = (await unpublished(journal.outbox, journal.shard_count, stream))[stream]
        assert list(await journal.outbox.advance([newer])) == [True]
        assert list(await journal.rival.advance([stale])) == [False]
        assert [head.published for head in await journal.directory.heads([stream])] == [3]

    async def test_a_stale_run_in_a_batch_does_not_keep_the_others_back(self, journal: Journal) -> None:
        streams = [new_stream() for _ in range(3)]
        await asyncio.gather(*(fill(journal.store, stream, 2) for stream in streams))
        mine = await unpublished(journal.outbox, journal.shard_count, *streams)
        theirs = await unpublished(journal.rival, journal.shard_count, *streams)
        assert list(await journal.rival.advance([theirs[streams[1]]])) == [True]
        assert list(await journal.outbox.advance([mine[stream] for stream in streams])) == [True, False, True]

    async def test_tenants_do_not_share_cursors(self, journal: Journal) -> None:
        name = new_stream().name
        one, two = StreamId("one", name), StreamId("two", name)
        await fill(journal.store, one, 1)
        await fill(journal.store, two, 2)
        runs = await unpublished(journal.outbox, journal.shard_count, one, two)
        await journal.outbox.advance([runs[one]])
        assert list(await unpublished(journal.outbox, journal.shard_count, one, two)) == [two]

    async def test_nothing_asked_is_nothing_done(self, journal: Journal) -> None:
        assert list(await journal.outbox.read([], 10)) == []
        assert list(await journal.outbox.advance([])) == []

    async def test_two_relays_beside_writers_publish_every_version_in_order_at_its_first_time(
        self, journal: Journal
    ) -> None:
        streams = [new_stream() for _ in range(8)]
        bus: dict[StreamId, list[int]] = {stream: [] for stream in streams}
        writing = asyncio.gather(*(_write(journal, stream, index) for index, stream in enumerate(streams)))
        relays = asyncio.gather(*(_relay(journal, seed, bus, writing.done) for seed in (1, 2)))
        await writing
        await relays
        for versions in bus.values():
            firsts = list(dict.fromkeys(versions))
            assert firsts == list(range(1, 21)), "a version is lost, or first came after a later one"
        assert await unpublished(journal.outbox, journal.shard_count, *streams) == {}

    @needs(Feature.EXACT_OUTBOX)
    async def test_the_depth_counts_what_waits(self, journal: Journal) -> None:
        empty = await journal.outbox.depth()
        assert (empty.events, empty.oldest_recorded_at) == (0, None)
        early, late = new_stream(), new_stream()
        first = new_entry(early, second=1)
        await append(journal.store, early, Position(0), first, new_entry(early, second=2))
        await append(journal.store, late, Position(0), new_entry(late, second=3))
        depth = await journal.outbox.depth()
        assert (depth.events, depth.oldest_recorded_at) == (3, first.event.meta.recorded_at)
        runs = await unpublished(journal.outbox, journal.shard_count, early)
        await journal.outbox.advance([runs[early]])
        assert (await journal.outbox.depth()).events == 1

    @needs(Feature.ORDERED_OUTBOX)
    async def test_streams_come_in_the_order_in_which_they_began_to_wait(self, journal: Journal) -> None:
        streams = [new_stream() for _ in range(20)]
        for stream in streams:
            await fill(journal.store, stream, 1)
        for stream in reversed(streams):
            await append(journal.store, stream, (await journal.store.load(stream)).position, new_entry(stream))
        pending = await journal.outbox.pending(range(journal.shard_count), EVERYTHING)
        assert [p.stream for p in pending if p.stream in streams] == streams

    @needs(Feature.EXACT_OUTBOX)
    async def test_a_stream_is_pending_no_longer_once_it_is_published(self, journal: Journal) -> None:
        stream = new_stream()
        await fill(journal.store, stream, 2)
        runs = await unpublished(journal.outbox, journal.shard_count, stream)
        await journal.outbox.advance(list(runs.values()))
        pending = await journal.outbox.pending(range(journal.shard_count), EVERYTHING)
        assert stream not in [p.stream for p in pending]

    @needs(Feature.DURABLE)
    async def test_what_waits_and_what_was_published_are_known_after_opening_again(self, journal: Journal) -> None:
        assert journal.reopen is not None
        done, waiting = new_stream(), new_stream()
        await fill(journal.store, done, 3)
        await fill(journal.store, waiting, 2)
        await journal.outbox.advance([(await unpublished(journal.outbox, journal.shard_count, done))[done]])
        again = await journal.reopen()
        runs = await unpublished(again.outbox, again.shard_count, done, waiting)
        assert {stream: len(run.events) for stream, run in runs.items()} == {waiting: 2}


async def _write(journal: Journal, stream: StreamId, index: int) -> None:
    store = journal.store if index % 2 else journal.peer
    for _ in range(20):
        await push(store, stream, new_entry(stream))


async def _relay(journal: Journal, seed: int, bus: dict[StreamId, list[int]], written: Callable[[], bool]) -> None:
    """Pending, read, publish, advance, until writers are done and nothing waits; sometimes dies before it advances."""
    random = Random(seed)  # noqa: S311 - a seeded history, not a secret
    outbox = journal.outbox if seed == 1 else journal.rival
    while True:
        last_round = written()
        pending = [p for p in await outbox.pending(range(journal.shard_count), EVERYTHING) if p.stream in bus]
        runs = [run for run in await outbox.read(pending, 1 + random.randrange(40)) if run.events]
        for run in runs:
            bus[run.stream] += [event.version for event in run.events]
        if random.random() < 0.7:
            await outbox.advance(runs)
        await asyncio.sleep(0)  # an adapter may answer without ever letting others run
        if last_round and not await unpublished(outbox, journal.shard_count, *bus):
            return
