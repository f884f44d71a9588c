from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventkernel.filters import (
    All,
    AnyOf,
    Contains,
    Eq,
    Filter,
    In,
    IsNull,
    Order,
    Range,
    is_after,
    matches,
    sort_key,
    sort_rows,
)
from eventkernel.testing.view_samples import every_type_view, random_query, random_row

ROW = {"id": "1", "name": "Ångström ABC", "size": 5, "due": None}


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (Eq("size", 5), True),
        (Eq("size", 6), False),
        (Eq("due", None), False),
        (Eq("due", 1), False),
        (In("size", (1, 5)), True),
        (In("size", ()), False),
        (In("due", (None, 1)), False),
        (Range("size", 5, 6), True),
        (Range("size", 4, 5), False),
        (Range("size", at_least=6), False),
        (Range("size"), True),
        (Range("due"), False),
        (Contains("name", "abc"), True),
        (Contains("name", "ström a"), True),
        (Contains("name", "ångström"), False),
        (Contains("name", ""), True),
        (Contains("due", ""), False),
        (IsNull("due"), True),
        (IsNull("due", null=False), False),
        (IsNull("size"), False),
        (All(), True),
        (AnyOf(), False),
        (All((Eq("size", 5), IsNull("due"))), True),
        (All((Eq("size", 5), Eq("size", 6))), False),
        (AnyOf((Eq("size", 6), IsNull("due"))), True),
    ],
)
def test_a_filter_matches_by_its_meaning(where: Filter, expected: bool) -> None:
    assert matches(where, ROW) is expected


@pytest.mark.parametrize(("descending", "expected"), [(False, "acbde"), (True, "bacde")])
def test_nulls_are_last_in_either_direction(descending: bool, expected: str) -> None:
    rows = [{"id": i, "n": n} for i, n in (("d", None), ("a", 1), ("b", 2), ("e", None), ("c", 1))]
    rows.sort(key=lambda row: row["id"] or "")
    assert "".join(row["id"] for row in sort_rows(Order(("n",), descending), rows)) == expected


def test_text_is_ordered_by_code_point() -> None:
    rows = [{"id": text} for text in ("é", "z", "Z", "\U0001f48a", "\uffee", "a", "")]
    assert [row["id"] for row in sort_rows(Order(("id",)), rows)] == ["", "Z", "a", "z", "é", "\uffee", "\U0001f48a"]


@given(st.randoms(use_true_random=False), st.integers(1, 30))
def test_what_comes_after_a_row_is_what_is_sorted_behind_it(random: Random, count: int) -> None:
    view = every_type_view("every")
    rows = [random_row(random, view, f"{number:02}") for number in range(count)]
    order = random_query(random, view, "default", rows).order
    ordered = sort_rows(order, rows)
    place = random.randrange(count)
    position = sort_key(order, ordered[place])
    assert [row for row in ordered if is_after(order, row, position)] == ordered[place + 1 :]
