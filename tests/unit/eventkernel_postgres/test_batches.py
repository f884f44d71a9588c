from dataclasses import replace

import pytest

from eventkernel.errors import StoreMismatch
from eventkernel.testing.view_samples import sample_view
from eventkernel.view import Column, ColumnType, TableKind
from eventkernel_postgres import batches
from eventkernel_postgres.batches import Batch, PreparedViews, view_batches

SUMS = sample_view(
    "totals",
    TableKind.SUMMED,
    (Column("day", ColumnType.DATE), Column("count", ColumnType.INTEGER), Column("amount", ColumnType.DECIMAL)),
    ("day",),
)


def test_a_batch_is_one_array_a_column() -> None:
    assert [s.parameters for s in Batch("x").of([(1, "a"), (2, "b")])] == [([1, 2], ["a", "b"])]


def test_no_rows_need_no_statement() -> None:
    assert list(Batch("x").of([])) == []


def test_more_rows_than_one_statement_takes_are_shared_among_several() -> None:
    rows = [(number,) for number in range(batches.ROWS_MAX * 2 + 1)]
    found = [statement.parameters[0] for statement in Batch("x").of(rows)]
    assert [len(column) for column in found] == [batches.ROWS_MAX, batches.ROWS_MAX, 1]
    assert [(number,) for column in found for number in column] == rows


def test_the_kernels_statements_are_kept_but_for_their_rows() -> None:
    found = view_batches(SUMS)
    arrays = "unnest(%b::text[], %b::date[], %b::bigint[], %b::numeric[])"
    assert found.upsert.text == (
        f'INSERT INTO "totals_v1" ("tenant", "day", "count", "amount") SELECT * FROM {arrays}'
        ' ON CONFLICT ("tenant", "day") DO UPDATE SET "count" = "totals_v1"."count" + excluded."count",'
        ' "amount" = "totals_v1"."amount" + excluded."amount"'
    )
    assert found.delete.text == (
        'DELETE FROM "totals_v1" WHERE ("tenant", "day") IN (SELECT * FROM unnest(%b::text[], %b::date[]))'
        ' AND "count" = 0 AND "amount" = 0'
    )


def test_a_view_of_another_version_is_another_view() -> None:
    prepared = PreparedViews()
    prepared.add(SUMS)
    assert prepared.of(SUMS).tables.view == SUMS.of_generation(0)
    with pytest.raises(StoreMismatch, match="totals_v2"):
        prepared.of(replace(SUMS, version=2))
