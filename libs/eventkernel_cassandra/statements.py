"""Every statement, by name. Markers are positional; the builders of values stand beside what they bind.

Warning: a row that was ever written by a conditional write is changed by conditional writes alone. A plain delete of it with
an older timestamp does silently nothing. In ``journal`` and ``leases`` everything is conditional, in the other tables
nothing is.
"""

from collections.abc import Sequence
from functools import cache

from eventkernel.ports.event_store import Entry
from eventkernel_cassandra.session import Kind, Statement, Value

_EVENT = (
    "INSERT INTO {ks}.journal (stream, bucket, kind, seq, sub, event_id, type, schema_version, data, meta)"
    " VALUES (?, ?, 0, ?, 0x, ?, ?, ?, ?, ?);"
)
_OUTBOX = "INSERT INTO {ks}.journal (stream, bucket, kind, seq, sub) VALUES (?, ?, 1, ?, 0x);"
_COMMAND = (
    "INSERT INTO {ks}.journal (stream, bucket, kind, seq, sub, event_id, first, last, request_hash)"
    " VALUES (?, ?, 2, 0, ?, ?, ?, ?, ?) IF NOT EXISTS;"
)
_HEAD = "UPDATE {ks}.journal SET head = ?, gen = ? WHERE stream = ? AND bucket = ? IF head = ? AND gen = ?;"
_FIRST_HEAD = (
    "UPDATE {ks}.journal SET head = ?, gen = ?, published = ? WHERE stream = ? AND bucket = ?"
    " IF head = null AND gen = ?;"
)
_PUBLISHED = "UPDATE {ks}.journal SET published = ? WHERE stream = ? AND bucket = ? IF published = ?;"
_PUBLISHED_AND_RETIRED = (
    "UPDATE {ks}.journal SET published = ?, gen = ? WHERE stream = ? AND bucket = ?"
    " IF published = ? AND head = ? AND gen = ?;"
)
_OUTBOX_GONE = "DELETE FROM {ks}.journal WHERE stream = ? AND bucket = ? AND kind = 1 AND seq <= ?;"


class Statements:
    """The statements of one keyspace. Tables are named with it: a session needs no keyspace of its own."""

    def __init__(self, keyspace: str) -> None:
        def read(name: str, cql: str) -> Statement:
            return Statement(name, cql.format(ks=keyspace), Kind.READ)

        def serial(name: str, cql: str) -> Statement:
            return Statement(name, cql.format(ks=keyspace), Kind.SERIAL_READ)

        def write(name: str, cql: str) -> Statement:
            return Statement(name, cql.format(ks=keyspace), Kind.WRITE)

        def conditional(name: str, cql: str) -> Statement:
            return Statement(name, cql.format(ks=keyspace), Kind.CONDITIONAL)

        self.keyspace = keyspace

        self._appends: dict[tuple[int, bool], Statement] = {}

        self.select_events = read(
            "select_events",
            "SELECT seq, event_id, type, schema_version, data, meta, head, published, gen FROM {ks}.journal"
            " WHERE stream = ? AND bucket = ? AND kind = 0 AND seq > ? AND seq <= ? LIMIT ?",
        )
        select_statics = "SELECT head, published, gen FROM {ks}.journal WHERE stream = ? AND bucket = ? LIMIT 1"
        self.select_statics = read("select_statics", select_statics)
        self.select_statics_serially = serial("select_statics_serially", select_statics)
        self.select_many_statics = read(
            "select_many_statics",
            "SELECT stream, head, published, gen FROM {ks}.journal WHERE stream IN ? AND bucket = ? PER PARTITION LIMIT 1",
        )
        select_commands = (
            "SELECT sub, event_id, first, last, request_hash FROM {ks}.journal"
            " WHERE stream = ? AND bucket = ? AND kind = 2 AND seq = 0 AND sub IN ?"
        )
        self.select_commands = read("select_commands", select_commands)
        self.select_commands_serially = serial("select_commands_serially", select_commands)
        # Warning: a range read is never serial, whatever its consistency level says, and indexes on static columns are known
        # to answer inconsistently: this is a sweep, not the way by which work is found.
        self.select_partitions = read(
            "select_partitions",
            "SELECT DISTINCT token(stream, bucket), stream, bucket, head, published, gen FROM {ks}.journal"
            " WHERE token(stream, bucket) >= ? LIMIT ?",
        )

        self.advance = conditional("advance", _batch(_PUBLISHED, _OUTBOX_GONE))
        self.advance_and_retire = conditional("advance_and_retire", _batch(_PUBLISHED_AND_RETIRED, _OUTBOX_GONE))
        self.retire = conditional(
            "retire",
            "UPDATE {ks}.journal SET gen = ? WHERE stream = ? AND bucket = ? IF gen = ? AND head = ? AND published = ?",
        )
        self.pass_by = conditional(
            "pass_by", "UPDATE {ks}.journal SET gen = ? WHERE stream = ? AND bucket = ? IF gen = ?"
        )

        self.insert_pending = write(
            "insert_pending", "INSERT INTO {ks}.pending (shard, stream, bucket, gen) VALUES (?, ?, ?, ?)"
        )
        self.delete_pending = write(
            "delete_pending", "DELETE FROM {ks}.pending WHERE shard = ? AND stream = ? AND bucket = ? AND gen = ?"
        )
        self.select_pending_of_shards = read(
            "select_pending_of_shards",
            "SELECT shard, stream, bucket, gen FROM {ks}.pending WHERE shard IN ? PER PARTITION LIMIT ?",
        )
        self.select_pending_after = read(
            "select_pending_after",
            "SELECT stream, bucket, gen FROM {ks}.pending WHERE shard = ? AND stream > ? LIMIT ?",
        )
        self.select_pending_to = read(
            "select_pending_to",
            "SELECT stream, bucket, gen FROM {ks}.pending WHERE shard = ? AND stream <= ? LIMIT ?",
        )

        self.select_pending_row = read(
            "select_pending_row",
            "SELECT gen FROM {ks}.pending WHERE shard = ? AND stream = ? AND bucket = ? AND gen = ?",
        )

        self.insert_lease = conditional(
            "insert_lease",
            "INSERT INTO {ks}.leases (context, shard, owner) VALUES (?, ?, ?) IF NOT EXISTS USING TTL ?",
        )
        self.renew_lease = conditional(
            "renew_lease",
            "UPDATE {ks}.leases USING TTL ? SET owner = ? WHERE context = ? AND shard = ? IF owner = ?",
        )
        self.delete_lease = conditional(
            "delete_lease", "DELETE FROM {ks}.leases WHERE context = ? AND shard = ? IF owner = ?"
        )
        self.select_leases = read(
            "select_leases", "SELECT shard, owner FROM {ks}.leases WHERE context = ? AND shard IN ?"
        )
        self.insert_owner = write(
            "insert_owner", "INSERT INTO {ks}.lease_owners (context, owner) VALUES (?, ?) USING TTL ?"
        )
        self.delete_owner = write("delete_owner", "DELETE FROM {ks}.lease_owners WHERE context = ? AND owner = ?")
        self.select_owners = read("select_owners", "SELECT owner FROM {ks}.lease_owners WHERE context = ? LIMIT ?")

        self.insert_snapshot = write(
            "insert_snapshot",
            "INSERT INTO {ks}.snapshots (stream, version, state_schema, state, created_at, occurred_at, recorded_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        self.select_snapshot = read(
            "select_snapshot",
            "SELECT version, state_schema, state, created_at, occurred_at, recorded_at FROM {ks}.snapshots"
            " WHERE stream = ? AND version <= ? ORDER BY version DESC LIMIT 1",
        )
        self.select_snapshot_streams = read(
            "select_snapshot_streams",
            "SELECT DISTINCT token(stream), stream FROM {ks}.snapshots WHERE token(stream) >= ? LIMIT ?",
        )
        self.select_snapshot_versions = read(
            "select_snapshot_versions",
            "SELECT version FROM {ks}.snapshots WHERE stream = ? ORDER BY version DESC LIMIT ?",
        )
        self.delete_snapshots_between = write(
            "delete_snapshots_between", "DELETE FROM {ks}.snapshots WHERE stream = ? AND version > ? AND version < ?"
        )
        self.delete_snapshots = write("delete_snapshots", "DELETE FROM {ks}.snapshots WHERE stream = ?")

    def append(self, count: int, *, first: bool) -> Statement:
        """The batch of so many entries; ``first``: the first of its bucket.

        One prepared statement that holds the whole batch costs the client less than a batch of prepared statements. A batch
        with conditions must stay in one partition, and takes no USING TIMESTAMP.
        """
        statement = self._appends.get((count, first))
        if statement is None:
            name = f"append_first:{count}" if first else f"append:{count}"
            cql = _batch(_FIRST_HEAD if first else _HEAD, *(_EVENT, _OUTBOX, _COMMAND) * count)
            statement = Statement(name, cql.format(ks=self.keyspace), Kind.CONDITIONAL)
            self._appends[count, first] = statement
        return statement


@cache
def statements_of(keyspace: str) -> Statements:
    """The statements of a keyspace, the same objects to everybody, so that a session prepares each of them once."""
    return Statements(keyspace)


def append_values(
    key: str,
    bucket: int,
    *,
    expected: int,
    generation: int,
    announced: int,
    first: bool,
    attempt: bytes,
    entries: Sequence[Entry],
) -> list[Value]:
    """The values of an append: the head moves from ``expected``, the generation from ``generation`` to ``announced``.

    ``generation`` 0 is a column never written. ``attempt`` marks the command rows as this append's own.
    """
    seen = generation or None
    values: list[Value] = (
        [expected + len(entries), announced, expected, key, bucket, seen]
        if first
        else [expected + len(entries), announced, key, bucket, expected, seen]
    )
    seq = expected
    for entry in entries:
        seq += 1
        event = entry.event
        values += (
            *(key, bucket, seq, event.event_id.bytes, event.type, event.schema_version),
            *(event.data, event.meta.to_bytes()),
            *(key, bucket, seq),
            *(key, bucket, entry.command_id.bytes, attempt, seq, seq, entry.request_hash),
        )
    return values


def _batch(*statements: str) -> str:
    return " ".join(("BEGIN UNLOGGED BATCH", *statements, "APPLY BATCH"))
