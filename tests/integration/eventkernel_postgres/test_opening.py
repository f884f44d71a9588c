"""Migrations, and what is refused before anything is changed."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from eventkernel.errors import StoreMismatch, StoreUnavailable
from eventkernel_postgres.migrations import VIEW_MIGRATIONS
from eventkernel_postgres.settings import PostgresSettings, Tls
from eventkernel_postgres.view_store import PostgresViewStore
from localstack import PostgresServer, ports

SHOWN = ["work_mem", "search_path", "timezone", "application_name"]
Sql = Callable[[str], list[tuple[object, ...]]]


async def opened_and_closed(settings: PostgresSettings) -> None:
    await (await PostgresViewStore.open(settings)).close()


async def test_several_processes_may_migrate_a_new_schema_at_once(settings: PostgresSettings, sql: Sql) -> None:
    await asyncio.gather(*(opened_and_closed(settings) for _ in range(8)))
    assert sql("SELECT number FROM eventkernel_migrations ORDER BY number") == [
        (number,) for number in range(1, len(VIEW_MIGRATIONS) + 1)
    ]


async def test_a_schema_of_a_newer_program_is_refused(settings: PostgresSettings, sql: Sql) -> None:
    await opened_and_closed(settings)
    sql(f"INSERT INTO eventkernel_migrations (number) VALUES ({len(VIEW_MIGRATIONS) + 1})")
    with pytest.raises(StoreMismatch, match=rf"{len(VIEW_MIGRATIONS) + 1}, by a newer program"):
        await PostgresViewStore.open(settings)


async def test_a_database_that_does_not_exist_is_a_mismatch(postgres_server: PostgresServer) -> None:
    with pytest.raises(StoreMismatch, match="nowhere"):
        await PostgresViewStore.open(PostgresSettings(postgres_server.dsn("nowhere")))


async def test_a_role_that_does_not_exist_is_a_mismatch(settings: PostgresSettings) -> None:
    with pytest.raises(StoreMismatch, match="nobody"):
        await PostgresViewStore.open(replace(settings, dsn=settings.dsn.replace("//erx@", "//nobody@")))


async def test_a_role_without_rights_is_a_mismatch(settings: PostgresSettings, sql: Sql) -> None:
    await opened_and_closed(settings)
    role = f"role_{settings.schema}"
    sql(f"CREATE ROLE {role} LOGIN")
    sql(f"GRANT USAGE ON SCHEMA {settings.schema} TO {role}")
    try:
        with pytest.raises(StoreMismatch, match="permission denied"):
            await PostgresViewStore.open(replace(settings, dsn=settings.dsn.replace("//erx@", f"//{role}@")))
    finally:
        sql(f"DROP OWNED BY {role}")
        sql(f"DROP ROLE {role}")


async def test_a_database_of_another_encoding_is_refused(
    postgres_server: PostgresServer, settings: PostgresSettings, sql: Sql
) -> None:
    name = f"latin_{settings.schema}"
    sql(f"CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    try:
        with pytest.raises(StoreMismatch, match="LATIN1"):
            await PostgresViewStore.open(replace(settings, dsn=postgres_server.dsn(name)))
    finally:
        sql(f"DROP DATABASE {name}")


async def test_a_server_that_is_not_there_is_unavailable(settings: PostgresSettings) -> None:
    [port] = ports.free_ports(1)
    with pytest.raises(StoreUnavailable, match="refused"):
        await PostgresViewStore.open(replace(settings, dsn=f"postgresql://erx@127.0.0.1:{port}/erx"))


async def test_a_server_without_tls_is_a_mismatch_where_tls_is_asked_for(settings: PostgresSettings) -> None:
    with pytest.raises(StoreMismatch, match="SSL"):
        await PostgresViewStore.open(replace(settings, tls=Tls("require")))


async def test_a_password_does_not_show_in_the_settings() -> None:
    assert "secret" not in repr(PostgresSettings("postgresql://erx:secret@db/erx"))


async def test_options_of_the_connection_string_are_kept_beside_ours(settings: PostgresSettings) -> None:
    given = replace(settings, dsn=settings.dsn + "?options=-c%20work_mem%3D9MB&application_name=mine")
    async with await psycopg.AsyncConnection.connect(make_conninfo(**given.parameters())) as connection:
        cursor = await connection.execute("SELECT current_setting(x) FROM unnest(%s::text[]) x", [SHOWN])
        assert [row[0] for row in await cursor.fetchall()] == ["9MB", settings.schema, "UTC", "mine"]
