"""Bringing a schema to this program's number; and the tables that all views share, as numbered migrations.

Those of the views themselves come from their declarations. Migrations are added at the end and never edited. Any number of
processes may migrate at once: an advisory lock lets one do it while the others wait. A schema with more migrations than this
program knows is refused before anything is changed.
"""

import zlib
from typing import Any, Final, TypeAlias

import psycopg

from eventkernel.errors import StoreMismatch
from eventkernel.sql import quoted
from eventkernel_postgres.errors import STORE

Connection: TypeAlias = psycopg.AsyncConnection[tuple[Any, ...]]
Migrations: TypeAlias = tuple[tuple[str, ...], ...]

SERVER_VERSION_MIN = 140000

# Counters are kept in slots, so that transactions of several processes seldom wait for one row.
VIEW_MIGRATIONS: Final[Migrations] = (
    (
        """
        CREATE TABLE view_catalogue (
            view TEXT COLLATE "C" PRIMARY KEY,
            shape TEXT NOT NULL
        )
        """,
        """
        CREATE TABLE view_progress (
            view TEXT COLLATE "C" NOT NULL,
            slot SMALLINT NOT NULL,
            streams BIGINT NOT NULL,
            events_applied BIGINT NOT NULL,
            updated_at TIMESTAMPTZ NOT NULL,
            PRIMARY KEY (view, slot)
        ) WITH (fillfactor = 50)
        """,
        """
        CREATE TABLE view_parked (
            view TEXT COLLATE "C" NOT NULL,
            tenant TEXT COLLATE "C" NOT NULL,
            stream TEXT COLLATE "C" NOT NULL,
            version BIGINT NOT NULL,
            event_id BYTEA NOT NULL,
            type TEXT COLLATE "C" NOT NULL,
            schema_version BIGINT NOT NULL,
            data BYTEA NOT NULL,
            meta BYTEA NOT NULL,
            error TEXT COLLATE "C" NOT NULL,
            parked_at TIMESTAMPTZ NOT NULL,
            PRIMARY KEY (view, tenant, stream, version)
        )
        """,
    ),
    (
        """
        CREATE TABLE view_generations (
            view TEXT COLLATE "C" PRIMARY KEY,
            active BIGINT NOT NULL
        )
        """,
        """
        CREATE TABLE view_notes (
            view TEXT COLLATE "C" NOT NULL,
            kind TEXT COLLATE "C" NOT NULL,
            key TEXT COLLATE "C" NOT NULL,
            body BYTEA NOT NULL,
            PRIMARY KEY (view, kind, key)
        )
        """,
    ),
)

SCHEMA_EXISTS = "SELECT to_regnamespace(%s) IS NOT NULL"
MIGRATIONS_EXIST = "SELECT to_regclass(%s) IS NOT NULL"
CREATE_MIGRATIONS = (
    "CREATE TABLE eventkernel_migrations (number INTEGER PRIMARY KEY, applied_at TIMESTAMPTZ NOT NULL DEFAULT now())"
)
SELECT_APPLIED = "SELECT coalesce(max(number), 0) FROM eventkernel_migrations"
INSERT_MIGRATION = "INSERT INTO eventkernel_migrations (number) VALUES (%s)"
LOCK = "SELECT pg_advisory_xact_lock(%s, %s)"
LOCK_CLASS = 0x65765F76  # "ev_v": what the lock is for, beside the schema


def lock_of(schema: str) -> tuple[int, int]:
    """The advisory lock under which a schema's tables are made."""
    return LOCK_CLASS, zlib.crc32(schema.encode()) - 2**31


async def migrate(connection: Connection, schema: str, migrations: Migrations) -> None:
    """Make the schema and bring it to the newest of these migrations, in one transaction."""
    if connection.info.server_version < SERVER_VERSION_MIN:
        expected = f"PostgreSQL {SERVER_VERSION_MIN // 10000} or newer"
        raise StoreMismatch(STORE, expected=expected, actual=str(connection.info.server_version))
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise StoreMismatch(STORE, expected="a database in UTF8", actual=str(encoding))
    async with connection.transaction():
        await connection.execute(LOCK, lock_of(schema))
        if not await _one(connection, SCHEMA_EXISTS, schema):
            await connection.execute(f"CREATE SCHEMA {quoted(schema)}".encode())
        if not await _one(connection, MIGRATIONS_EXIST, f"{schema}.eventkernel_migrations"):
            await connection.execute(CREATE_MIGRATIONS)
        applied = await _one(connection, SELECT_APPLIED)
        if applied > len(migrations):
            expected = f"at most {len(migrations)} migrations in schema {schema}"
            raise StoreMismatch(STORE, expected=expected, actual=f"{applied}, by a newer program")
        for number, statements in enumerate(migrations[applied:], applied + 1):
            for statement in statements:
                await connection.execute(statement.encode())
            await connection.execute(INSERT_MIGRATION, (number,))


async def _one(connection: Connection, text: str, *parameters: object) -> Any:
    cursor = await connection.execute(text.encode(), parameters or None)
    row = await cursor.fetchone()
    assert row is not None
    return row[0]
