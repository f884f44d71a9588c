from dataclasses import replace
from typing import Any

import pytest

from eventkernel.testing.view_samples import sample_view
from eventkernel.view import Change, Column, ColumnType, Index, TableKind, View, changes
from eventkernel.view_sums import deltas

COLUMNS = (Column("day", ColumnType.TEXT), Column("count", ColumnType.INTEGER))


def _view(**different: Any) -> View[bytes, bytes]:
    """A view whose state is its rows: each letter is a day, each repeat counts one."""
    view = sample_view("totals", TableKind.SUMMED, COLUMNS, ("day",))
    return replace(
        view, rows=lambda state: [{"day": c, "count": state.count(c.encode())} for c in state.decode()], **different
    )


@pytest.mark.parametrize(
    "different",
    [
        {"key": ()},
        {"key": ("other",)},
        {"columns": (*COLUMNS, Column("day", ColumnType.TEXT))},
        {"columns": (*COLUMNS, Column("tenant", ColumnType.TEXT))},
        {"columns": (Column("day", ColumnType.TEXT, nullable=True), COLUMNS[1])},
        {"columns": (*COLUMNS, Column("note", ColumnType.TEXT))},
        {"columns": (COLUMNS[0], Column("count", ColumnType.INTEGER, nullable=True))},
        {"columns": COLUMNS[:1]},
        {"indexes": (Index(("absent",)),)},
        {"indexes": (Index(("stream",)),)},
    ],
    ids=str,
)
def test_a_declaration_that_no_store_could_carry_out_is_refused(different: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="view totals"):
        _view(**different)


def test_every_version_of_a_view_is_a_table_of_its_own() -> None:
    assert (_view().table, _view(version=2).table) == ("totals_v1", "totals_v2")


def test_changes_take_the_old_out_and_put_the_new_in_and_leave_equal_rows_alone() -> None:
    row = {letter: {"day": letter, "count": 1} for letter in "abc"}
    assert changes(_view(), b"ab", b"bc") == (Change(("a",), row["a"], None), Change(("c",), None, row["c"]))


def test_the_same_state_changes_nothing() -> None:
    assert changes(_view(), b"ab", b"ba") == ()


def test_deltas_of_several_streams_meet_in_one_row_per_tenant() -> None:
    view = _view()
    steps = [("t1", b"", b"aab"), ("t1", b"b", b""), ("t2", b"", b"a"), ("t1", b"a", b"c")]
    moved = deltas(view, ((tenant, change) for tenant, old, new in steps for change in changes(view, old, new)))
    assert moved == {("t1", ("a",)): (1,), ("t2", ("a",)): (1,), ("t1", ("c",)): (1,)}
