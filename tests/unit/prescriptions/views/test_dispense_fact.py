"""``dispense_fact``: one row for each dispense, undone or not."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from prescriptions.domain.events import MedicationDispensed
from prescriptions.domain.values import Coding
from prescriptions.testing.recorded import prescription, untold
from prescriptions.testing.stories import AMOXICILLIN, CORNER, START, Story, dispense_id
from prescriptions.views.dispense_fact import DISPENSE_FACT, dispense_of, lot_key
from prescriptions.views.record import NOTHING


def claimed(**changes: Any) -> Story:
    return untold(**changes).create().sign().issue().claim()


def by_number(table: Any) -> dict[int, Any]:
    return {int(row["dispense_id"].rpartition("-")[2], 16): row for row in table.rows.values()}


def test_before_the_first_dispense_there_is_no_row(fold: Any) -> None:
    assert not fold(DISPENSE_FACT, claimed()).rows
    assert not DISPENSE_FACT.contribution(NOTHING)


def test_parts_and_fills_each_have_their_row(fold: Any) -> None:
    story = claimed().part(10, 1, lot="A 1").later(hours=1).dispense(20, 2).later(days=9).claim().dispense(30, 3)
    found = by_number(fold(DISPENSE_FACT, story))
    assert {number: row["dispensed_at"] - START for number, row in found.items()} == {
        1: timedelta(0),
        2: timedelta(hours=1),
        3: timedelta(days=9, hours=1),
    }
    assert (found[1]["lot"], found[2]["lot"]) == ("a1", None)
    assert {row["prescription_id"] for row in found.values()} == {prescription(1)}


def test_an_undone_one_keeps_its_row_and_says_since_when(fold: Any) -> None:
    story = claimed().dispense(30, 1).later(hours=3).reverse(1).later(hours=1).dispense(30, 2)
    found = by_number(fold(DISPENSE_FACT, story))
    assert (found[1]["reversed"], found[1]["reversed_at"]) == (True, START + timedelta(hours=3))
    assert (found[2]["reversed"], found[2]["reversed_at"]) == (False, None)


def test_the_row_holds_the_dispense_and_nothing_of_the_claim(fold: Any) -> None:
    (row,) = fold(DISPENSE_FACT, claimed().dispense(30, 1, lot="A 1")).rows.values()
    dispense = dispense_of(row)
    assert (dispense.dispense_id, dispense.lot, dispense.pharmacy) == (dispense_id(1), "A 1", CORNER)
    assert dispense.claim is None


def test_a_product_that_nobody_stated_counts_as_the_one_prescribed(fold: Any) -> None:
    story = claimed().dispense(30, 1)
    told = story.events.pop()
    assert isinstance(told, MedicationDispensed)
    story.events.append(replace(told, product=()))
    (row,) = fold(DISPENSE_FACT, story).rows.values()
    assert AMOXICILLIN.code in row["product_codes"]
    assert dispense_of(row).product == ()


def test_a_stated_product_is_the_one_that_counts(fold: Any) -> None:
    brand = Coding("urn:brands", "B1")
    (row,) = fold(DISPENSE_FACT, claimed().dispense(30, 1, product=(brand,))).rows.values()
    assert "1" in row["product_codes"]
    assert AMOXICILLIN.code not in row["product_codes"]


def test_a_dispense_that_goes_on_as_it_was_is_left_alone(fold: Any) -> None:
    story = claimed().part(10, 1)
    before = by_number(fold(DISPENSE_FACT, story))[1]
    assert by_number(fold(DISPENSE_FACT, story.part(5, 2)))[1] == before


@pytest.mark.parametrize("lot", ["AB 123", " ab123", "Ab1 23\t"])
def test_lots_are_compared_without_case_and_spaces(lot: str) -> None:
    assert lot_key(lot) == "ab123"
