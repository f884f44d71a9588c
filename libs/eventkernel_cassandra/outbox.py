"""The outbox on Cassandra: pending rows say where to look, the journal's statics say what there is."""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from eventkernel import failpoints, marks
from eventkernel.ids import StreamId, shard_of
from eventkernel.ports.clock import Clock
from eventkernel.ports.outbox import Outbox, OutboxDepth, OutboxRun, PendingStream
from eventkernel_cassandra.bounded import chunks, each
from eventkernel_cassandra.buckets import ABSENT, Statics, is_closed, may_be_untouched
from eventkernel_cassandra.buckets import statics as statics_of
from eventkernel_cassandra.errors import InDoubt, NotExecuted
from eventkernel_cassandra.generations import Judge, Meaning, is_active, judge
from eventkernel_cassandra.reading import StreamReader
from eventkernel_cassandra.session import CqlSession, Row, Value
from eventkernel_cassandra.settings import Layout
from eventkernel_cassandra.statements import Statements
from eventkernel_cassandra.waiting_since import WaitingSince
from eventkernel_cassandra.watch import USUAL_PACE, Pace, RowKey, Watch

CALLS_MAX = 64
"""Statements of one round under way at once."""
STREAMS_PER_READ = 50
"""Streams whose statics are asked for in one statement: scattered small requests cost the server several times more."""
SHARDS_PER_READ = 16
"""Shards whose pending rows are asked for in one statement."""
PAGE_ROWS = 1_000
SHARES = 4
"""How many times its even share of a round one shard may take while others have less."""
SCANNED_PART = 4
"""One part in so many of a round is kept for streams that nobody poked."""
WATCHED_ROWS_MAX = 200_000


@dataclass(frozen=True, slots=True)
class _RunPlace:
    """Where a run lies: its bucket, and the bucket's generation when it was read."""

    bucket: int
    generation: int


@dataclass(frozen=True, slots=True)
class _Found:
    """One bucket of a stream with something to publish, or nothing."""

    stream: StreamId
    bucket: int
    statics: Statics
    after: int = 0

    @property
    def begins(self) -> int:
        """The version after which events are wanted."""
        return max(self.statics.published, self.after)

    @property
    def waiting(self) -> int:
        """How many events are wanted."""
        return max(self.statics.head - self.begins, 0)


class CassandraOutbox:
    """``Outbox``. ``judge`` is there for tests that put a known mistake back."""

    def __init__(
        self,
        session: CqlSession,
        statements: Statements,
        layout: Layout,
        clock: Clock,
        *,
        pace: Pace = USUAL_PACE,
        judge: Judge = judge,
    ) -> None:
        self._session = session
        self._statements = statements
        self._layout = layout
        self._reader = StreamReader(session, statements, layout.bucket_events)
        self._since = WaitingSince(self._reader)
        self._watch = Watch(clock, pace, WATCHED_ROWS_MAX)
        self._judge = judge
        self._resume: dict[int, str] = {}
        self._turns = count()

    def poke(self, stream: StreamId) -> None:
        """Events of this stream may be waiting: look at it in the next round, however quiet it was."""
        self._watch.poke(stream.key)

    async def pending(self, shards: Collection[int], streams_max: int) -> Sequence[PendingStream]:
        """The streams that were poked, and now and then, or where none was, all that have a pending row, by shard.

        Where a round ends at the maximum, the next one goes on behind, so that no stream waits for ever.
        """
        poked = self._poked(shards, max(1, streams_max - streams_max // SCANNED_PART))
        left = streams_max - len(poked)
        if left <= 0 or not self._watch.must_scan():
            return poked
        scanned = await self._scan(shards, left)
        known = {pending.stream for pending in scanned}
        return [*(pending for pending in poked if pending.stream not in known), *scanned]

    def _poked(self, shards: Collection[int], streams_max: int) -> Sequence[PendingStream]:
        """Without a pending row: it was written before the append, but nobody has read it yet."""
        found = []
        for key in self._watch.begin_round(streams_max):
            stream = StreamId.from_key(key)
            shard = shard_of(stream, self._layout.shard_count)
            if shard in shards:
                found.append(PendingStream(stream, shard, ((self._watch.bucket_of(key), None),)))
        return found

    async def _scan(self, shards: Collection[int], streams_max: int) -> Sequence[PendingStream]:
        turn = next(self._turns) % len(shards) if shards else 0
        wanted = (order := sorted(shards))[turn:] + order[:turn]
        share = min(streams_max, SHARES * -(-streams_max // max(len(wanted), 1)))
        pages = await self._pages(wanted, share)
        found: list[PendingStream] = []
        for shard, rows in pages.items():
            places: dict[str, list[tuple[int, int]]] = {}
            for row in rows:
                if self._watch.is_due(row):
                    places.setdefault(row[0], []).append(row[1:])
            found += [PendingStream(StreamId.from_key(key), shard, tuple(sorted(at))) for key, at in places.items()]
            if len(found) > streams_max:
                found = found[:streams_max]
                if found[-1].shard == shard:
                    self._resume[shard] = found[-1].stream.key
                break
            self._resume[shard] = rows[-1][0] if len(rows) == share else ""
        return found

    async def read(self, streams: Sequence[PendingStream], events_max: int) -> Sequence[OutboxRun]:
        """The runs; on the way, rows that the generation has passed go, late writers are passed by, rested streams retired."""
        rows, poked = [], []
        for pending in streams:
            for bucket, generation in _places(pending):
                if generation is None:
                    poked.append((pending, (pending.stream.key, bucket)))
                elif self._watch.is_due(row := (pending.stream.key, bucket, generation)):
                    rows.append((pending, row))
        found, found_poked = await asyncio.gather(
            self._look(row for _, row in rows), self._statics_of_many(dict.fromkeys(place for _, place in poked))
        )
        active: dict[StreamId, _Found] = {}
        chores: list[tuple[int, RowKey, Statics, Meaning]] = []
        for pending, row in rows:
            statics = found[row]
            meaning = self._judge(statics, row[2])
            self._watch.saw_bucket(row[0], row[1])
            if meaning is Meaning.ACTIVE and statics.head > statics.published:
                # Even where all of it is on the bus already: such a stream must not be retired.
                self._watch.saw_activity(row)
                _keep_earliest(active, _Found(pending.stream, row[1], statics, pending.after))
            elif self._is_chore(meaning, row):
                chores.append((pending.shard, row, statics, meaning))
        for pending, place in poked:
            statics = found_poked[place]
            if is_active(statics.generation) and statics.head > statics.published:
                self._watch.saw_activity((*place, statics.generation))
                _keep_earliest(active, _Found(pending.stream, place[1], statics, pending.after))
        begins = await each(CALLS_MAX, self._first_waiting, active.values())
        runs, _ = await asyncio.gather(
            each(CALLS_MAX, self._run, _within(begins, events_max)), each(CALLS_MAX, self._do, chores)
        )
        return [run for run in runs if run.events]

    async def advance(self, runs: Sequence[OutboxRun]) -> Sequence[bool]:
        """One conditional write for every run, at once."""
        return await each(CALLS_MAX, self._advance, runs)

    async def depth(self) -> OutboxDepth:
        """Counted over all pending rows; a stream between two buckets may be counted short."""
        buckets: dict[tuple[str, int], Statics] = {}
        for shard in range(self._layout.shard_count):
            after = ""
            while True:
                rows = await self._session.read(self._statements.select_pending_after, [shard, after, PAGE_ROWS])
                found = await self._statics_of_many(dict.fromkeys((key, bucket) for key, bucket, _ in rows))
                buckets |= {place: statics for place, statics in found.items() if statics.head > statics.published}
                if len(rows) < PAGE_ROWS:
                    break
                after = rows[-1][0]
        waiting = sum(statics.head - statics.published for statics in buckets.values())
        return OutboxDepth(waiting, await self._since.oldest(buckets))

    async def _pages(self, shards: Sequence[int], rows_max: int) -> dict[int, Sequence[Row]]:
        """Rows of each shard: in bulk from the beginning, and on their own of those whose last round was cut short."""
        s = self._statements
        cut = [shard for shard in shards if self._resume.get(shard)]
        whole = [shard for shard in shards if not self._resume.get(shard)]

        async def begin(some: Sequence[int]) -> Sequence[Row]:
            return await self._session.read(s.select_pending_of_shards, [list(some), rows_max])

        async def go_on(shard: int) -> Sequence[Row]:
            resume = self._resume[shard]
            rows = list(await self._session.read(s.select_pending_after, [shard, resume, rows_max]))
            if len(rows) < rows_max:
                rows += await self._session.read(s.select_pending_to, [shard, resume, rows_max - len(rows)])
            return rows

        begun, gone_on = await asyncio.gather(
            each(CALLS_MAX, begin, chunks(whole, SHARDS_PER_READ)), each(CALLS_MAX, go_on, cut)
        )
        pages: dict[int, list[Row]] = {shard: [] for shard in shards}
        for shard, *row in (row for rows in begun for row in rows):
            pages[shard].append(tuple(row))
        return {**pages, **dict(zip(cut, gone_on, strict=True))}

    async def _look(self, rows: Iterable[RowKey]) -> dict[RowKey, Statics]:
        """Statics of the rows' buckets: in bulk, and one by one and serially where that is due."""
        serial: list[RowKey] = []
        plain: list[RowKey] = []
        for row in rows:
            (serial if self._watch.is_serial_due(row) else plain).append(row)
        found, one_by_one = await asyncio.gather(
            self._statics_of_many(dict.fromkeys((key, bucket) for key, bucket, _ in plain)),
            each(CALLS_MAX, lambda row: self._reader.statics(row[0], row[1], serial=True), serial),
        )
        looked = {row: found[row[0], row[1]] for row in plain}
        return looked | dict(zip(serial, one_by_one, strict=True))

    async def _statics_of_many(self, places: Collection[tuple[str, int]]) -> dict[tuple[str, int], Statics]:
        by_bucket: dict[int, list[str]] = {}
        for key, bucket in places:
            by_bucket.setdefault(bucket, []).append(key)
        asked = [(bucket, keys) for bucket, all_ in by_bucket.items() for keys in chunks(all_, STREAMS_PER_READ)]

        async def ask(question: tuple[int, Sequence[str]]) -> Sequence[Row]:
            return await self._session.read(self._statements.select_many_statics, [list(question[1]), question[0]])

        found = dict.fromkeys(places, ABSENT)
        for (bucket, _), rows in zip(asked, await each(CALLS_MAX, ask, asked), strict=True):
            found |= {(row[0], bucket): statics_of((row[1], row[2], row[3])) for row in rows}
        return found

    async def _first_waiting(self, found: _Found) -> _Found:
        """The earliest bucket with something to publish: the one before comes first, whether its row was seen or not."""
        if may_be_untouched(found.bucket, found.statics.published, self._layout.bucket_events):
            before = await self._reader.statics(found.stream.key, found.bucket - 1)
            earlier = _Found(found.stream, found.bucket - 1, before, found.after)
            if earlier.waiting:
                marks.hit("outbox: the bucket before comes first")
                return await self._first_waiting(earlier)
        return found

    async def _run(self, chosen: tuple[_Found, int]) -> OutboxRun:
        found, count = chosen
        begins = found.begins
        events = await self._reader.events(found.stream, found.bucket, begins, begins + count)
        place = _RunPlace(found.bucket, found.statics.generation)
        return OutboxRun(found.stream, found.statics.published, found.statics.head, tuple(events), place)

    async def _advance(self, run: OutboxRun) -> bool:
        assert isinstance(run.opaque, _RunPlace)
        bucket, generation = run.opaque.bucket, run.opaque.generation
        key, last = run.stream.key, run.events[-1].version
        s = self._statements
        closed = is_closed(bucket, run.head, self._layout.bucket_events)
        try:
            if last == run.head and (closed or self._watch.never_rests):
                values: list[Value] = [
                    last,
                    generation + 1,
                    key,
                    bucket,
                    run.published,
                    run.head,
                    generation,
                    key,
                    bucket,
                    last,
                ]
                if (await self._session.apply(s.advance_and_retire, values)).applied:
                    marks.hit("cursor: moved, and the stream retired with it")
                    await self._delete(shard_of(run.stream, self._layout.shard_count), (key, bucket, generation))
                    return True
                marks.hit("cursor: the stream could not be retired with it")
            values = [last, key, bucket, run.published, key, bucket, last]
            moved = (await self._session.apply(s.advance, values)).applied
            marks.hit("cursor: moved" if moved else "cursor: another had moved it")
        except InDoubt:
            # Not done until it is seen to be done: a cursor that was moved after all is found moved in the next round.
            moved = (await self._reader.statics(key, bucket, serial=True)).published >= last
            marks.hit("cursor: in doubt, and found moved" if moved else "cursor: in doubt, and not moved")
        return moved

    def _is_chore(self, meaning: Meaning, row: RowKey) -> bool:
        match meaning:
            case Meaning.STALE:
                marks.hit("pending row: stale")
                return True
            case Meaning.LATE:
                marks.hit("pending row: its writer is late")
                return self._watch.saw_late(row)
            case Meaning.ACTIVE:
                marks.hit("pending row: its stream is quiet")
                return self._watch.saw_quiet(row)
            case Meaning.AHEAD:
                marks.hit("defence: pending row ahead of what was read")
                return False

    async def _do(self, chore: tuple[int, RowKey, Statics, Meaning]) -> None:
        """Delete a stale row; move the generation past a late or a rested one and then delete it. Repeated until it is done."""
        shard, row, statics, meaning = chore
        key, bucket, generation = row
        s = self._statements
        try:
            if meaning is Meaning.LATE:
                values: list[Value] = [generation + 1, key, bucket, statics.generation or None]
                if not (await self._session.apply(s.pass_by, values)).applied:
                    marks.hit("late writer: it came after all")
                    return
                marks.hit("late writer: passed by")
            elif meaning is Meaning.ACTIVE:
                values = [generation + 1, key, bucket, generation, statics.head, statics.published]
                if not (await self._session.apply(s.retire, values)).applied:
                    marks.hit("rested stream: it has moved")
                    return
                marks.hit("rested stream: retired")
        except InDoubt:
            marks.hit("generation: in doubt whether it was passed on")
            return
        await self._delete(shard, row)

    async def _delete(self, shard: int, row: RowKey) -> None:
        """Only ever of a row that the generation has passed. One that stays, or comes back, is found stale again."""
        failpoints.reached("retired-pending-row-left")
        try:
            await self._session.write(self._statements.delete_pending, [shard, *row])
        except (InDoubt, NotExecuted):
            marks.hit("pending row: in doubt whether it is deleted")
            return
        self._watch.forget(row)


def _places(pending: PendingStream) -> Sequence[tuple[int, int | None]]:
    """The rows behind a pending stream: bucket and generation of each; no generation where a poke alone names it."""
    assert isinstance(pending.opaque, tuple)
    return pending.opaque


def _keep_earliest(active: dict[StreamId, _Found], found: _Found) -> None:
    earlier = active.get(found.stream)
    if earlier is None or found.bucket < earlier.bucket:
        active[found.stream] = found


def _within(found: Sequence[_Found], events_max: int) -> list[tuple[_Found, int]]:
    """How many events to read of each: an even share first, so that no stream waits behind a busy one, then what is left."""
    share = max(events_max // max(len(found), 1), 1)
    counts = []
    for each_found in found:
        counts.append(min(each_found.waiting, share, events_max))
        events_max -= counts[-1]
    for index, each_found in enumerate(found):
        more = min(each_found.waiting - counts[index], events_max)
        counts[index] += more
        events_max -= more
    return [(each_found, number) for each_found, number in zip(found, counts, strict=True) if number]


if TYPE_CHECKING:
    _: type[Outbox] = CassandraOutbox
