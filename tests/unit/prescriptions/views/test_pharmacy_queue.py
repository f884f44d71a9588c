"""``pharmacy_queue``: in which bucket a prescription waits, for whom, and since when."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from prescriptions.domain import commands as c
from prescriptions.testing.recorded import untold
from prescriptions.testing.stories import AT_CORNER, CORNER, HARBOUR, PATIENT, PRESCRIBER, START, SYSTEM, WHY, Story
from prescriptions.views.pharmacy_queue import ANY_PHARMACY, PHARMACY_QUEUE


def only(table: Any) -> Any:
    (row,) = table.rows.values()
    return row


def issued(**changes: Any) -> Story:
    return untold(**changes).create().sign().issue()


def not_dispensed() -> Story:
    story = issued().claim()
    return story.do(c.RecordNotDispensed(story.token, WHY), AT_CORNER)


NOTHING_TO_DO: dict[str, Callable[[], Story]] = {
    "draft": lambda: untold().create(),
    "signed": lambda: untold().create().sign(),
    "on hold": lambda: issued().do(c.SuspendPrescription(WHY), PRESCRIBER),
    "completed": lambda: issued(refills_allowed=0).claim().dispense(30, 1),
    "not dispensed": not_dispensed,
    "cancelled": lambda: issued().do(c.CancelPrescription(WHY), PRESCRIBER),
    "expired": lambda: issued().later(days=730).do(c.ExpirePrescription(), SYSTEM),
    "void": lambda: issued().do(c.MarkEnteredInError(WHY), PRESCRIBER),
}


@pytest.mark.parametrize("state", NOTHING_TO_DO)
def test_where_there_is_nothing_to_do_there_is_no_row(fold: Any, state: str) -> None:
    assert not fold(PHARMACY_QUEUE, NOTHING_TO_DO[state]()).rows


def test_a_released_prescription_waits_for_any_pharmacy_since_its_release(fold: Any) -> None:
    row = only(fold(PHARMACY_QUEUE, issued()))
    assert (row["bucket"], row["pharmacy_id"], row["due_at"]) == ("first_fill", ANY_PHARMACY, START)


def test_a_nominated_one_waits_for_that_pharmacy_alone(fold: Any) -> None:
    story = issued(nominated=HARBOUR)
    assert only(fold(PHARMACY_QUEUE, story))["pharmacy_id"] == HARBOUR.ncpdp_id
    story.do(c.NominatePharmacy(CORNER), PATIENT)
    assert only(fold(PHARMACY_QUEUE, story))["pharmacy_id"] == CORNER.ncpdp_id


def test_it_is_not_due_before_the_first_day_it_may_be_filled(fold: Any) -> None:
    row = only(fold(PHARMACY_QUEUE, issued(earliest_fill=date(2026, 4, 1))))
    assert row["due_at"] == datetime(2026, 4, 1, tzinfo=UTC)


def test_a_claimed_one_is_held_since_the_claim(fold: Any) -> None:
    story = issued(nominated=CORNER).later(hours=3).claim()
    row = only(fold(PHARMACY_QUEUE, story.later(hours=1)))
    assert (row["bucket"], row["pharmacy_id"]) == ("held", CORNER.ncpdp_id)
    assert row["due_at"] == START + timedelta(hours=3)


def test_a_partly_filled_one_is_owed_since_the_newest_part(fold: Any) -> None:
    story = issued().claim().part(10, 1).later(hours=5).part(5, 2)
    row = only(fold(PHARMACY_QUEUE, story))
    assert (row["bucket"], row["pharmacy_id"], row["due_at"]) == ("owing", CORNER.ncpdp_id, story.now)


def test_a_returned_one_is_anybodys_again(fold: Any) -> None:
    row = only(fold(PHARMACY_QUEUE, issued().claim().give_back()))
    assert (row["bucket"], row["pharmacy_id"], row["due_at"]) == ("first_fill", ANY_PHARMACY, START)


def test_a_refill_is_due_a_week_before_the_supply_runs_out(fold: Any) -> None:
    row = only(fold(PHARMACY_QUEUE, issued(days_supply=30).claim().dispense(30, 1)))
    assert (row["bucket"], row["dispenser_id"]) == ("refill", CORNER.ncpdp_id)
    assert row["due_at"] == datetime(2026, 3, 2, tzinfo=UTC) + timedelta(days=30 - 7)


def test_a_refill_of_unknown_supply_is_due_at_once(fold: Any) -> None:
    story = issued(days_supply=None).claim().dispense(30, 1)
    assert only(fold(PHARMACY_QUEUE, story))["due_at"] == story.now


def test_a_short_supply_is_due_on_the_day_it_is_handed_out_not_before(fold: Any) -> None:
    row = only(fold(PHARMACY_QUEUE, issued(days_supply=3).claim().dispense(30, 1)))
    assert row["due_at"] == datetime(2026, 3, 2, tzinfo=UTC)
