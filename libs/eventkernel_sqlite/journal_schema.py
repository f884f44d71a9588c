"""The tables of ``journal.db``.

Streams have a small integer id, so that events of one stream lie together and new streams are written at the end of every
tree instead of at random places of it; the outbox holds one thin row per stream that waits, referring to the first event
that does. ``hash`` is the CRC-32 of the stream's key: its shard for any number of shards, so that changing the number
loses nothing.
"""

from eventkernel_sqlite.connection import Schema

_FIRST = (
    """
    CREATE TABLE streams (
        id        INTEGER PRIMARY KEY,
        key       TEXT    NOT NULL UNIQUE,
        hash      INTEGER NOT NULL,
        head      INTEGER NOT NULL,
        published INTEGER NOT NULL,
        waiting   INTEGER
    )
    """,
    """
    CREATE TABLE events (
        stream         INTEGER NOT NULL,
        version        INTEGER NOT NULL,
        event_id       BLOB    NOT NULL,
        type           TEXT    NOT NULL,
        schema_version INTEGER NOT NULL,
        data           BLOB    NOT NULL,
        meta           BLOB    NOT NULL,
        PRIMARY KEY (stream, version)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE commands (
        stream        INTEGER NOT NULL,
        command_id    BLOB    NOT NULL,
        request_hash  BLOB    NOT NULL,
        first_version INTEGER NOT NULL,
        last_version  INTEGER NOT NULL,
        PRIMARY KEY (stream, command_id)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE outbox (
        position INTEGER PRIMARY KEY,
        hash     INTEGER NOT NULL,
        stream   INTEGER NOT NULL,
        version  INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE snapshots (
        key         TEXT    NOT NULL,
        version     INTEGER NOT NULL,
        schema      TEXT    NOT NULL,
        state       BLOB    NOT NULL,
        created_at  INTEGER NOT NULL,
        occurred_at INTEGER NOT NULL,
        recorded_at INTEGER NOT NULL,
        PRIMARY KEY (key, version)
    )
    """,
    """
    CREATE TABLE lease_owners (
        owner      TEXT    PRIMARY KEY,
        expires_at INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE leases (
        shard INTEGER PRIMARY KEY,
        owner TEXT    NOT NULL
    )
    """,
)

JOURNAL = Schema(store="journal.db", application_id=0x45_52_58_4A, migrations=(_FIRST,))
