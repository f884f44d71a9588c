"""A session over a store in memory that does exactly what Cassandra does for the statements of this package.

It passes the contract suites that the real sessions pass. Faults are put in front of it, or of a real session, by
``FaultySession``; the order of calls is the caller's to choose through ``before_each``.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias
from zlib import crc32

from eventkernel.ports.clock import Clock
from eventkernel_cassandra.errors import NotExecuted
from eventkernel_cassandra.session import APPLIED, CqlSession, Row, Statement, Value, Verdict

Values: TypeAlias = Sequence[Any]
_EVENT_VALUES, _OUTBOX_VALUES, _COMMAND_VALUES = 8, 3, 7


@dataclass(slots=True)
class _Partition:
    """One bucket of one stream. Statics are None until written, as nulls are."""

    head: int | None = None
    published: int | None = None
    gen: int | None = None
    events: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    outbox: set[int] = field(default_factory=set)
    commands: dict[bytes, tuple[Any, ...]] = field(default_factory=dict)


class SimulatedStore:
    """The tables. Any number of sessions may share one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.journal: dict[tuple[str, int], _Partition] = {}
        self.pending: dict[int, set[tuple[str, int, int]]] = defaultdict(set)
        self.snapshots: dict[str, dict[int, tuple[Any, ...]]] = defaultdict(dict)
        self.leases: dict[tuple[str, int], tuple[str, float]] = {}
        self.owners: dict[tuple[str, str], float] = {}

    def run(self, statement: Statement, values: Values) -> Any:
        """Run one statement, all at once: rows of a read, a verdict of a conditional write, None of a plain one."""
        name, _, count = statement.name.partition(":")
        if count:
            return self._append(values, first=name == "append_first")
        return getattr(self, f"_{name}")(*values)

    # journal

    def _append(self, values: Values, *, first: bool) -> Verdict:
        if first:
            head, gen, published, key, bucket, if_gen = values[:6]
            if_head = None
        else:
            head, gen, key, bucket, if_head, if_gen = values[:6]
            published = None
        step = _EVENT_VALUES + _OUTBOX_VALUES + _COMMAND_VALUES
        entries = [values[begin : begin + step] for begin in range(6, len(values), step)]
        partition = self.journal.get((key, bucket), _Partition())
        commands = [entry[_EVENT_VALUES + _OUTBOX_VALUES :] for entry in entries]
        taken = [partition.commands[sub] for _, _, sub, *_ in commands if sub in partition.commands]
        if taken or (partition.head, partition.gen) != (if_head, if_gen):
            return _refused(partition, taken, exists=(key, bucket) in self.journal)
        self.journal[key, bucket] = partition
        partition.head, partition.gen = head, gen
        partition.published = published if first else partition.published
        for entry, (_, _, sub, *columns) in zip(entries, commands, strict=True):
            partition.events[entry[2]] = tuple(entry[2:_EVENT_VALUES])
            partition.outbox.add(entry[2])
            partition.commands[sub] = (sub, *columns)
        return APPLIED

    def _select_events(self, key: str, bucket: int, after: int, last: int, limit: int) -> list[Row]:
        partition = self.journal.get((key, bucket), _Partition())
        statics = (partition.head, partition.published, partition.gen)
        return [(*partition.events[seq], *statics) for seq in sorted(partition.events) if after < seq <= last][:limit]

    def _select_statics(self, key: str, bucket: int) -> list[Row]:
        partition = self.journal.get((key, bucket))
        return [] if partition is None else [(partition.head, partition.published, partition.gen)]

    _select_statics_serially = _select_statics

    def _select_many_statics(self, keys: list[str], bucket: int) -> list[Row]:
        return [(key, *row) for key in keys for row in self._select_statics(key, bucket)]

    def _select_commands(self, key: str, bucket: int, subs: list[bytes]) -> list[Row]:
        commands = self.journal.get((key, bucket), _Partition()).commands
        return [commands[sub] for sub in subs if sub in commands]

    _select_commands_serially = _select_commands

    def _select_partitions(self, token: int, limit: int) -> list[Row]:
        rows = [(_token(place), *place, p.head, p.published, p.gen) for place, p in self.journal.items()]
        return sorted(row for row in rows if row[0] >= token)[:limit]

    def _advance(self, to: int, key: str, bucket: int, if_published: int, *gone: Any) -> Verdict:
        partition = self.journal.get((key, bucket))
        if partition is None or partition.published != if_published:
            return _refused(partition, [], exists=partition is not None)
        partition.published = to
        partition.outbox -= {seq for seq in partition.outbox if seq <= gone[-1]}
        return APPLIED

    def _advance_and_retire(self, to: int, gen: int, key: str, bucket: int, *rest: Any) -> Verdict:
        if_published, if_head, if_gen, *gone = rest
        partition = self.journal.get((key, bucket))
        if partition is None or (partition.head, partition.gen) != (if_head, if_gen):
            return _refused(partition, [], exists=partition is not None)
        verdict = self._advance(to, key, bucket, if_published, *gone)
        partition.gen = gen if verdict.applied else partition.gen
        return verdict

    def _retire(self, gen: int, key: str, bucket: int, *conditions: int) -> Verdict:
        partition = self.journal.get((key, bucket))
        if partition is None or (partition.gen, partition.head, partition.published) != conditions:
            return _refused(partition, [], exists=partition is not None)
        partition.gen = gen
        return APPLIED

    def _pass_by(self, gen: int, key: str, bucket: int, if_gen: int | None) -> Verdict:
        partition = self.journal.get((key, bucket), _Partition())
        if partition.gen != if_gen:
            return _refused(partition, [], exists=True)
        self.journal[key, bucket] = partition
        partition.gen = gen
        return APPLIED

    # pending

    def _insert_pending(self, shard: int, key: str, bucket: int, gen: int) -> None:
        self.pending[shard].add((key, bucket, gen))

    def _delete_pending(self, shard: int, key: str, bucket: int, gen: int) -> None:
        self.pending[shard].discard((key, bucket, gen))

    def _select_pending_of_shards(self, shards: list[int], limit: int) -> list[Row]:
        return [(shard, *row) for shard in shards for row in sorted(self.pending[shard])[:limit]]

    def _select_pending_after(self, shard: int, key: str, limit: int) -> list[Row]:
        return sorted(row for row in self.pending[shard] if row[0] > key)[:limit]

    def _select_pending_to(self, shard: int, key: str, limit: int) -> list[Row]:
        return sorted(row for row in self.pending[shard] if row[0] <= key)[:limit]

    def _select_pending_row(self, shard: int, *row: Any) -> list[Row]:
        return [row[-1:]] if row in self.pending[shard] else []

    # leases

    def _insert_lease(self, context: str, shard: int, owner: str, ttl: int) -> Verdict:
        if self._holder(context, shard) is not None:
            return Verdict(False, [{"owner": self._holder(context, shard)}])
        self.leases[context, shard] = (owner, self._now() + ttl)
        return APPLIED

    def _renew_lease(self, ttl: int, owner: str, context: str, shard: int, if_owner: str) -> Verdict:
        if self._holder(context, shard) != if_owner:
            return Verdict(False, [{"owner": self._holder(context, shard)}])
        self.leases[context, shard] = (owner, self._now() + ttl)
        return APPLIED

    def _delete_lease(self, context: str, shard: int, if_owner: str) -> Verdict:
        if self._holder(context, shard) != if_owner:
            return Verdict(False, [{"owner": self._holder(context, shard)}])
        del self.leases[context, shard]
        return APPLIED

    def _select_leases(self, context: str, shards: list[int]) -> list[Row]:
        return [(shard, holder) for shard in shards if (holder := self._holder(context, shard)) is not None]

    def _insert_owner(self, context: str, owner: str, ttl: int) -> None:
        self.owners[context, owner] = self._now() + ttl

    def _delete_owner(self, context: str, owner: str) -> None:
        self.owners.pop((context, owner), None)

    def _select_owners(self, context: str, limit: int) -> list[Row]:
        now = self._now()
        return [(owner,) for (of, owner), end in sorted(self.owners.items()) if of == context and end > now][:limit]

    def _holder(self, context: str, shard: int) -> str | None:
        owner, end = self.leases.get((context, shard), ("", 0.0))
        return owner if end > self._now() else None

    # snapshots

    def _insert_snapshot(self, key: str, version: int, *columns: Any) -> None:
        self.snapshots[key][version] = (version, *columns)

    def _select_snapshot(self, key: str, last: int) -> list[Row]:
        versions = [version for version in self.snapshots[key] if version <= last]
        return [self.snapshots[key][max(versions)]] if versions else []

    def _select_snapshot_streams(self, token: int, limit: int) -> list[Row]:
        rows = [(_token((key, 0)), key) for key, kept in self.snapshots.items() if kept]
        return sorted(row for row in rows if row[0] >= token)[:limit]

    def _select_snapshot_versions(self, key: str, limit: int) -> list[Row]:
        return [(version,) for version in sorted(self.snapshots[key], reverse=True)[:limit]]

    def _delete_snapshots_between(self, key: str, above: int, version: int) -> None:
        for older in [kept for kept in self.snapshots[key] if above < kept < version]:
            del self.snapshots[key][older]

    def _delete_snapshots(self, key: str) -> None:
        self.snapshots.pop(key, None)

    def _now(self) -> float:
        return self._clock.now().timestamp()


class SimulatedSession:
    """``CqlSession``. ``before_each`` is awaited before every statement runs; statements run all at once."""

    def __init__(
        self, store: SimulatedStore, before_each: Callable[[Statement, Sequence[Value]], Awaitable[None]] | None = None
    ) -> None:
        self._store = store
        self._before_each = before_each
        self._closed = False

    async def read(self, statement: Statement, values: Sequence[Value]) -> Sequence[Row]:
        """The rows."""
        rows: Sequence[Row] = await self._run(statement, values)
        return rows

    async def write(self, statement: Statement, values: Sequence[Value]) -> None:
        """Run it."""
        await self._run(statement, values)

    async def apply(self, statement: Statement, values: Sequence[Value]) -> Verdict:
        """Run it."""
        verdict: Verdict = await self._run(statement, values)
        return verdict

    async def define(self, cql: str) -> None:
        """The tables are there already."""

    async def close(self) -> None:
        """Refuse what comes after."""
        self._closed = True

    async def _run(self, statement: Statement, values: Sequence[Value]) -> Any:
        if self._closed:
            raise NotExecuted("the session is closed")
        if self._before_each is not None:
            await self._before_each(statement, values)
        return self._store.run(statement, values)


def _token(place: tuple[str, int]) -> int:
    """A partition's place in the order of a scan: the same in every process, which ``hash`` is not."""
    return crc32(f"{place[0]} {place[1]}".encode())


def _refused(partition: _Partition | None, taken: Sequence[Sequence[Any]], *, exists: bool) -> Verdict:
    """The command rows that were there, or else the statics alone, or nothing of a partition that does not exist."""
    if partition is None or not exists:
        return Verdict(False)
    statics = {"head": partition.head, "published": partition.published, "gen": partition.gen}
    empty = dict.fromkeys(("kind", "sub", "event_id", "first", "last", "request_hash"))
    rows: list[Mapping[str, Any]] = [
        {**statics, "kind": 2, **dict(zip(("sub", "event_id", "first", "last", "request_hash"), row, strict=True))}
        for row in taken
    ]
    return Verdict(False, rows or [{**empty, **statics}])


if TYPE_CHECKING:
    _: type[CqlSession] = SimulatedSession
