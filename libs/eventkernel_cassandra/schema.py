"""The tables, as numbered steps. A step that was ever released is never changed; a change is a new step.

``journal`` holds a stream's events (kind 0), its outbox rows (1) and its command rows (2), so that all of them and the head
change in one conditional write of one partition. A command row's ``event_id`` is the mark of the append that wrote it.

The tenant leads ``stream`` in every key. ``pending`` is spread by a hash of that key, since relays serve all tenants.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One numbered change: statements with ``{ks}`` for the keyspace, each of which may be run again."""

    number: int
    statements: tuple[str, ...]


STEPS = (
    Step(
        1,
        (
            """
            CREATE TABLE IF NOT EXISTS {ks}.journal (
                stream text, bucket int, kind tinyint, seq bigint, sub blob,
                head bigint static, published bigint static, gen bigint static,
                event_id blob, type text, schema_version int, data blob, meta blob,
                first bigint, last bigint, request_hash blob,
                PRIMARY KEY ((stream, bucket), kind, seq, sub)
            ) WITH comment = 'events, outbox rows, command rows; statics by conditional writes only'
            """,
            # Deleted rows must not pile up under a scan of a few seconds' interval; a row that comes back does no harm.
            """
            CREATE TABLE IF NOT EXISTS {ks}.pending (
                shard int, stream text, bucket int, gen bigint, PRIMARY KEY (shard, stream, bucket, gen)
            ) WITH gc_grace_seconds = 600 AND comment = 'streams that may have unpublished events; plain writes only'
            """,
            """
            CREATE TABLE IF NOT EXISTS {ks}.snapshots (
                stream text, version bigint, state_schema text, state blob,
                created_at bigint, occurred_at bigint, recorded_at bigint,
                PRIMARY KEY (stream, version)
            ) WITH CLUSTERING ORDER BY (version DESC) AND comment = 'a cache of folded states; plain writes only'
            """,
            # A partition for every lease: conditional writes of one partition wait for one another.
            """
            CREATE TABLE IF NOT EXISTS {ks}.leases (
                context text, shard int, owner text, PRIMARY KEY ((context, shard))
            ) WITH comment = 'who relays which shard; conditional writes only'
            """,
            """
            CREATE TABLE IF NOT EXISTS {ks}.lease_owners (
                context text, owner text, PRIMARY KEY (context, owner)
            ) WITH gc_grace_seconds = 600 AND comment = 'relays that live; plain writes that expire'
            """,
        ),
    ),
)

NEWEST = STEPS[-1].number

CREATE_KEYSPACE = (
    "CREATE KEYSPACE IF NOT EXISTS {ks} WITH replication ="
    " {{'class': 'NetworkTopologyStrategy', 'replication_factor': {replication}}}"
)
CREATE_MIGRATIONS = (
    "CREATE TABLE IF NOT EXISTS {ks}.migrations (name text PRIMARY KEY, number bigint, owner text)"
    " WITH comment = 'which steps were taken, the layout, and the lock; conditional writes only'"
)
