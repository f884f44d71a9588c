import sqlite3
from datetime import UTC, date, datetime
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventkernel.filters import All, AnyOf, Contains, Eq, In, IsNull, Order, Query, Range, is_after, matches, sort_rows
from eventkernel.ids import StreamId
from eventkernel.sql import count_statement, index_condition, quoted, select_statement
from eventkernel.sql_dialect import POSTGRES, SQLITE, decimal_add, decimal_order
from eventkernel.sql_tables import view_tables
from eventkernel.testing.view_samples import every_type_view, random_query, random_row, sample_view
from eventkernel.view import Column, ColumnType, Index, TableKind

VIEW = sample_view(
    "orders",
    TableKind.OWNED,
    (
        Column("id", ColumnType.TEXT),
        Column("status", ColumnType.TEXT),
        Column("price", ColumnType.DECIMAL),
        Column("due", ColumnType.TIME, nullable=True),
        Column("open", ColumnType.BOOLEAN),
    ),
    ("id",),
    (Index(("due", "id"), where=In("status", ("ISSUED", "50%"))),),
)
SUMS = sample_view(
    "totals",
    TableKind.SUMMED,
    (Column("day", ColumnType.DATE), Column("count", ColumnType.INTEGER), Column("amount", ColumnType.DECIMAL)),
    ("day",),
)
MOMENT = datetime(2026, 3, 1, 8, tzinfo=UTC)


@settings(max_examples=150)
@given(st.randoms(use_true_random=False), st.integers(0, 30))
def test_sql_selects_orders_and_counts_what_python_does(random: Random, count: int) -> None:
    view = every_type_view("every")
    tables = view_tables(SQLITE, view)
    stored = [random_row(random, view, f"{number:02}") for number in range(count)]
    connection = sqlite3.connect(":memory:")
    connection.create_collation("decimal_order", decimal_order)
    connection.create_function("decimal_add", 2, decimal_add, deterministic=True)
    for statement in (*tables.tables, *tables.indexes):
        connection.execute(statement)
    rows = [tables.owned_parameters(StreamId("default", f"thing-{row['id']}"), 1, row) for row in stored]
    connection.executemany(tables.upsert.of(1), rows)
    for _ in range(10):
        query = random_query(random, view, "default", stored)
        expected = [row for row in stored if matches(query.where, row)]
        counted = count_statement(SQLITE, view, query)
        assert connection.execute(counted.text, counted.parameters).fetchone() == (len(expected),)
        page = [row for row in expected if query.after is None or is_after(query.order, row, query.after)]
        selected = select_statement(SQLITE, view, query)
        found = [tables.row(row) for row in connection.execute(selected.text, selected.parameters)]
        assert found == sort_rows(query.order, page)[: query.limit]
    connection.close()


def test_values_travel_as_parameters_and_the_tenant_leads() -> None:
    where = All((Eq("status", "'; DROP TABLE orders; --"), Range("price", at_least=Decimal("1.50"))))
    statement = select_statement(SQLITE, VIEW, Query("t1", where, Order(("price", "id")), (Decimal(2), "x"), limit=3))
    assert statement.text == (
        'SELECT "id", "status", "price", "due", "open", "stream", "stream_version" FROM "orders_v1"'
        ' WHERE "tenant" = ? AND ("status" = ? AND "price" >= ?) AND ("price", "id") > (?, ?)'
        ' ORDER BY "price", "id" LIMIT ?'
    )
    assert statement.parameters == ("t1", "'; DROP TABLE orders; --", "1.5", "2", "x", 3)


def test_postgres_gets_its_own_placeholders_and_the_drivers_own_values() -> None:
    where = AnyOf((Contains("status", "IsSued"), Range("due", before=MOMENT), Eq("open", True), IsNull("due")))
    statement = select_statement(POSTGRES, VIEW, Query("t1", where, Order(("due", "id"), descending=True), (None, "x")))
    assert statement.text == (
        'SELECT "id", "status", "price", "due", "open", "stream", "stream_version" FROM "orders_v1"'
        ' WHERE "tenant" = %s AND (strpos(lower("status" COLLATE "C"), %s) > 0 OR "due" < %s OR "open" = %s OR "due" IS NULL)'
        ' AND ("due" IS NULL AND "id" < %s) ORDER BY "due" DESC NULLS LAST, "id" DESC LIMIT %s'
    )
    assert statement.parameters == ("t1", "issued", MOMENT, True, "x", 50)


@pytest.mark.parametrize(
    ("where", "text"),
    [
        (All(), "TRUE"),
        (AnyOf(), "FALSE"),
        (In("id", ()), "FALSE"),
        (In("id", (None,)), "FALSE"),
        (Eq("id", None), "FALSE"),
    ],
)
def test_what_matches_everything_or_nothing_says_so(where: All | AnyOf | In | Eq, text: str) -> None:
    statement = count_statement(SQLITE, VIEW, Query("t1", where))
    assert statement.text == f'SELECT count(*) FROM "orders_v1" WHERE "tenant" = ? AND {text}'


def test_a_partial_index_is_used_for_the_filter_it_was_declared_with() -> None:
    tables = view_tables(SQLITE, VIEW)
    connection = sqlite3.connect(":memory:")
    connection.create_collation("decimal_order", decimal_order)
    for statement in (*tables.tables, *tables.indexes):
        connection.execute(statement)
    query = select_statement(SQLITE, VIEW, Query("t1", All((In("status", ("ISSUED", "50%")), Range("due", MOMENT)))))
    plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query.text}", query.parameters))
    connection.close()
    assert "USING INDEX orders_v1_ix_" in plan


def test_a_literal_per_cent_sign_is_doubled_where_the_driver_reads_it() -> None:
    where = In("status", ("ISSUED", "50%"))
    assert index_condition(POSTGRES, VIEW, where) == "\"status\" IN ('ISSUED', '50%')"
    assert "('ISSUED', '50%%')" in count_statement(POSTGRES, VIEW, Query("t1", where)).text


@pytest.mark.parametrize(
    ("column", "value", "sqlite", "postgres"),
    [
        ("id", "O'Hara", "'O''Hara'", "'O''Hara'"),
        ("price", Decimal("2.50"), "'2.5'", "2.5"),
        ("due", MOMENT, "1772352000000000", "TIMESTAMPTZ '2026-03-01T08:00:00+00:00'"),
        ("open", True, "1", "TRUE"),
    ],
)
def test_literals_are_written_as_each_database_reads_them(
    column: str, value: object, sqlite: str, postgres: str
) -> None:
    assert index_condition(SQLITE, VIEW, Eq(column, value)) == f'"{column}" = {sqlite}'
    assert index_condition(POSTGRES, VIEW, Eq(column, value)) == f'"{column}" = {postgres}'


def test_owned_rows_are_keyed_by_tenant_and_carry_their_stream() -> None:
    assert view_tables(POSTGRES, VIEW).tables[0] == (
        'CREATE TABLE IF NOT EXISTS "orders_v1" ("tenant" TEXT COLLATE "C" NOT NULL, "stream" TEXT COLLATE "C" NOT NULL,'
        ' "stream_version" BIGINT NOT NULL, "id" TEXT COLLATE "C" NOT NULL, "status" TEXT COLLATE "C" NOT NULL,'
        ' "price" NUMERIC NOT NULL, "due" TIMESTAMPTZ, "open" BOOLEAN NOT NULL, PRIMARY KEY ("tenant", "id"))'
    )


def test_every_index_is_led_by_the_tenant() -> None:
    [index] = view_tables(SQLITE, VIEW).indexes
    assert index.endswith("""ON "orders_v1" ("tenant", "due", "id") WHERE "status" IN ('ISSUED', '50%')""")


def test_summed_rows_add_and_go_only_when_all_sums_are_zero() -> None:
    tables = view_tables(SQLITE, SUMS)
    assert tables.upsert.of(2) == (
        'INSERT INTO "totals_v1" ("tenant", "day", "count", "amount") VALUES (?, ?, ?, ?), (?, ?, ?, ?)'
        ' ON CONFLICT ("tenant", "day") DO UPDATE SET "count" = "totals_v1"."count" + excluded."count",'
        ' "amount" = decimal_add("totals_v1"."amount", excluded."amount")'
    )
    assert tables.delete.of(1) == (
        'DELETE FROM "totals_v1" WHERE ("tenant", "day") IN (VALUES (?, ?)) AND "count" = 0 AND "amount" = \'0\''
    )
    assert view_tables(POSTGRES, SUMS).delete.of(2) == (
        'DELETE FROM "totals_v1" WHERE ("tenant", "day") IN ((%s, %s), (%s, %s)) AND "count" = 0 AND "amount" = 0'
    )


def test_the_shape_tells_other_columns_and_kinds_and_not_other_indexes() -> None:
    shape = view_tables(SQLITE, VIEW).shape
    assert view_tables(SQLITE, sample_view("orders", VIEW.kind, VIEW.columns, VIEW.key)).shape == shape
    assert view_tables(SQLITE, sample_view("orders", VIEW.kind, VIEW.columns[:-1], VIEW.key)).shape != shape


@pytest.mark.parametrize("name", ["", "a b", 'a"b', "Über", "A", "1st", "x" * 64])
def test_names_that_sql_cannot_carry_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not an SQL name"):
        quoted(name)


def test_a_date_in_a_key_becomes_iso_text_in_sqlite() -> None:
    assert view_tables(SQLITE, SUMS).key_parameters("t1", (date(26, 3, 1),)) == ("t1", "0026-03-01")
