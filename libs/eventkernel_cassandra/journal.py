"""Appending: one conditional batch, and what its answer, or its missing answer, means.

0. A command id that an earlier bucket holds is answered from there; the batch itself guards its own bucket.
1. The caller's position says the bucket and its generation. The first append of a bucket checks the one before serially.
2. While the stream is idle (generation even), a pending row of the next generation is written first.
3. One batch: the head and the generation as conditions, events, outbox rows, command rows that must not exist.
4. Applied: done. Not applied: our command row, another head, or only another generation, each of which says what to do.
   No clear answer: a serial read of the command row; absent, the same batch goes again, and both cannot apply.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from eventkernel import failpoints, marks
from eventkernel.evolving import quickly_made
from eventkernel.ids import StreamId, shard_of
from eventkernel.ports.clock import Clock
from eventkernel.ports.event_store import Appended, AppendOutcome, Conflict, Entry, Position, Replayed, Unknown
from eventkernel_cassandra.buckets import Place, is_closed
from eventkernel_cassandra.errors import InDoubt, NotExecuted, ServerRefused
from eventkernel_cassandra.generations import announced, is_active
from eventkernel_cassandra.reading import CommandRow, StreamReader, command_row
from eventkernel_cassandra.session import CqlSession, Statement, Value, Verdict
from eventkernel_cassandra.settings import Layout
from eventkernel_cassandra.statements import Statements, append_values

ROUNDS_MAX = 6
"""Batches sent for one append: after a moved generation, or to settle a doubt. Each is bounded by the session's timeout."""
PAUSE_SECONDS = 0.05
"""Before a doubt is looked into again after nobody answered; doubled each time, so that a lost connection can come back."""
ANNOUNCEMENTS_MAX = 3
"""Times one pending row is written until it is there for certain."""


@quickly_made
@dataclass(frozen=True, slots=True)
class _Attempt:
    """One append: everything about it that stays the same however often it is sent."""

    key: str
    shard: int
    bucket: int
    expected: int
    first: bool
    mark: bytes
    entries: Sequence[Entry]

    @property
    def head(self) -> int:
        """The head after it."""
        return self.expected + len(self.entries)


class Journal:
    """Appends to streams of one keyspace through one session."""

    def __init__(
        self, session: CqlSession, statements: Statements, layout: Layout, reader: StreamReader, clock: Clock
    ) -> None:
        self._clock = clock
        self._session = session
        self._statements = statements
        self._layout = layout
        self._reader = reader
        self._process = os.urandom(8)
        self._marks = count()

    async def append(self, stream: StreamId, expected: Position, entries: Sequence[Entry]) -> AppendOutcome:
        """See ``EventStore.append``."""
        key, size = stream.key, self._layout.bucket_events
        place = expected.opaque
        if not isinstance(place, Place):
            if expected.version > 0:
                marks.hit("append: from a version alone")
                return await self._from_version_alone(stream, expected.version, entries)
            place = Place(0, 0)
        closed = is_closed(place.bucket, expected.version, size)
        bucket = place.bucket + 1 if closed else place.bucket
        first = closed or expected.version == 0
        if bucket > 0:
            taken = await self._reader.find_before(key, [entry.command_id for entry in entries], bucket)
            if taken:
                marks.hit("append: command of an earlier bucket")
                return _replayed(taken, entries)
            if first and (await self._reader.statics(key, bucket - 1, serial=True)).head != expected.version:
                marks.hit("defence: the bucket before has moved")
                return await self._conflict(key, bucket, entries)
        shard = shard_of(stream, self._layout.shard_count)
        mark = self._process + next(self._marks).to_bytes(8, "big")
        attempt = _Attempt(key, shard, bucket, expected.version, first, mark, entries)
        return await self._settle(attempt, 0 if closed else place.generation)

    async def _settle(self, attempt: _Attempt, generation: int) -> AppendOutcome:
        """Send the batch until its outcome is known, for at most so many rounds."""
        statement = self._statements.append(len(attempt.entries), first=attempt.first)
        doubt: str | None = None
        pause = PAUSE_SECONDS
        for _ in range(ROUNDS_MAX):
            try:
                if doubt is not None:
                    # Only a serial read can tell: it makes an append that was decided visible, and one that was not
                    # can no longer win under the ballot it had.
                    ids = [entry.command_id for entry in attempt.entries]
                    found = await self._reader.commands(attempt.key, attempt.bucket, ids, serial=True)
                    if found:
                        marks.hit("doubt: the command is there")
                        return _taken(attempt, found, announced(generation))
                    marks.hit("doubt: the command is absent, sent again")
                verdict = await self._send(attempt, statement, generation)
            except InDoubt as error:
                marks.hit("doubt: no clear answer to a batch")
                doubt = error.cause
            except (NotExecuted, ServerRefused) as error:
                # Warning: an earlier send may still be applied. From the first doubt on nothing is certain but an answer.
                if doubt is None:
                    marks.hit("append: not executed, no doubt before")
                    raise
                marks.hit("doubt: not executed, but in doubt before")
                doubt = f"{doubt}; then {error}"
                await self._clock.sleep(pause)
                pause *= 2
            else:
                if verdict.applied:
                    marks.hit("append: applied" if doubt is None else "doubt: applied when sent again")
                    return Appended(Position(attempt.head, Place(attempt.bucket, announced(generation))))
                row = verdict.found[0] if verdict.found else {}
                outcome = await self._judge(attempt, verdict, generation)
                if outcome is not None:
                    return outcome
                moved_to = row.get("gen") or 0
                if moved_to == generation:
                    doubt = "not applied, though every condition holds"
                marks.hit("append: only the generation moved" if doubt is None else "doubt: only the generation moved")
                generation = moved_to
        if doubt is not None:
            marks.hit("doubt: not settled in all rounds")
            return Unknown(doubt)
        raise NotExecuted(f"{attempt.key}: the generation moved {ROUNDS_MAX} times")

    async def _send(self, attempt: _Attempt, statement: Statement, generation: int) -> Verdict:
        if not is_active(generation):
            await self._announce(attempt, announced(generation))
            failpoints.reached("after-pending-insert")
        values = append_values(
            attempt.key,
            attempt.bucket,
            expected=attempt.expected,
            generation=generation,
            announced=announced(generation),
            first=attempt.first,
            attempt=attempt.mark,
            entries=attempt.entries,
        )
        return await failpoints.under_way("append-sent-reply-lost", self._session.apply(statement, values))

    async def _announce(self, attempt: _Attempt, generation: int) -> None:
        """Write the pending row, for certain, before an append that relies on it is sent."""
        values: list[Value] = [attempt.shard, attempt.key, attempt.bucket, generation]
        cause = ""
        for _ in range(ANNOUNCEMENTS_MAX):
            try:
                return await self._session.write(self._statements.insert_pending, values)
            except InDoubt as error:
                marks.hit("announce: pending row in doubt, written again")
                cause = error.cause
        marks.hit("announce: pending row never certain")
        raise NotExecuted(cause)  # of the append; a pending row that nothing stands behind does no harm

    async def _judge(self, attempt: _Attempt, verdict: Verdict, generation: int) -> AppendOutcome | None:
        """What a batch that was not applied means; None where only the generation moved."""
        rows = [_command(row) for row in verdict.found if row.get("kind") == 2]
        if rows:
            return _taken(attempt, {row.record.command_id: row for row in rows}, announced(generation))
        head = (verdict.found[0].get("head") if verdict.found else None) or 0
        if head == (0 if attempt.first else attempt.expected):
            return None
        # The head has passed the one this append is conditioned on, so that no earlier send of it can be applied any more.
        if is_closed(attempt.bucket, head, self._layout.bucket_events):
            marks.hit("append: the bucket was closed meanwhile")
            return await self._conflict(attempt.key, attempt.bucket + 1, attempt.entries)
        marks.hit("append: conflict")
        return Conflict(head or None)

    async def _conflict(self, key: str, bucket: int, entries: Sequence[Entry]) -> AppendOutcome:
        """A conflict, unless a bucket from this one on holds one of the commands."""
        taken = await self._reader.find(key, [entry.command_id for entry in entries], first=bucket)
        marks.hit("conflict: a later bucket has the command" if taken else "conflict: no bucket has the command")
        return _replayed(taken, entries) if taken else Conflict()

    async def _from_version_alone(self, stream: StreamId, version: int, entries: Sequence[Entry]) -> AppendOutcome:
        """For a position without a place, as a snapshot gives it: look up the place, if the stream still is there."""
        loaded = await self._reader.load(stream, version, None, 0)
        if loaded.position.version == version and isinstance(loaded.position.opaque, Place):
            marks.hit("append: the version alone is the head")
            return await self.append(stream, loaded.position, entries)
        return await self._conflict(stream.key, 0, entries)


def _command(row: Mapping[str, Any]) -> CommandRow:
    return command_row(row["sub"], row["event_id"], row["first"], row["last"], row["request_hash"])


def _taken(attempt: _Attempt, found: Mapping[Any, CommandRow], generation: int) -> AppendOutcome:
    """Our own mark on a command row: this append is what was applied, by an earlier send. Another mark: another one's."""
    if any(row.attempt == attempt.mark for row in found.values()):
        marks.hit("taken: by an earlier send of this append")
        return Appended(Position(attempt.head, Place(attempt.bucket, generation)))
    marks.hit("taken: by another append of the command")
    return _replayed(found, attempt.entries)


def _replayed(found: Mapping[Any, CommandRow], entries: Sequence[Entry]) -> Replayed:
    return Replayed(next(found[entry.command_id].record for entry in entries if entry.command_id in found))
