"""``prescriber_inbox`` and ``refill_due``: which prescriptions are in them, and since or until when."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from prescriptions.domain import commands as c
from prescriptions.testing.recorded import untold
from prescriptions.testing.stories import AT_HARBOUR, CORNER, HARBOUR, PATIENT, PRESCRIBER, START, WHY, Story, content
from prescriptions.views import PRESCRIBER_INBOX, REFILL_DUE


def only(table: Any) -> Any:
    (row,) = table.rows.values()
    return row


def issued(**changes: Any) -> Story:
    return untold(**changes).create().sign().issue()


def filled(**changes: Any) -> Story:
    return issued(**{"days_supply": 30, **changes}).claim().dispense(30, 1)


def test_a_draft_is_to_be_signed_since_its_newest_change(fold: Any) -> None:
    story = untold().create().later(hours=2).do(c.AmendPrescription(content(days_supply=3)), PRESCRIBER).later(hours=1)
    row = only(fold(PRESCRIBER_INBOX, story))
    assert (row["task"], row["since_at"], row["prescriber_id"]) == ("sign", START + timedelta(hours=2), "dr-grey")


def test_a_signed_one_is_to_be_released_since_the_signature(fold: Any) -> None:
    row = only(fold(PRESCRIBER_INBOX, untold().create().later(hours=2).sign()))
    assert (row["task"], row["since_at"]) == ("issue", START + timedelta(hours=2))


def test_a_released_one_is_unanswered_since_its_release(fold: Any) -> None:
    row = only(fold(PRESCRIBER_INBOX, issued().later(hours=1).do(c.NominatePharmacy(HARBOUR), PATIENT)))
    assert (row["task"], row["since_at"]) == ("unanswered", START)
    assert row["expires_at"] is not None


def test_one_that_a_pharmacy_gave_back_is_unanswered_again(fold: Any) -> None:
    assert only(fold(PRESCRIBER_INBOX, issued().claim().later(hours=1).give_back()))["since_at"] == START


NOT_WAITING: dict[str, Callable[[], Story]] = {
    "claimed": lambda: issued().claim(),
    "begun": lambda: issued().claim().part(10, 1),
    "awaiting its refill": filled,
    "on hold": lambda: issued().do(c.SuspendPrescription(WHY), PRESCRIBER),
    "cancelled": lambda: issued().do(c.CancelPrescription(WHY), PRESCRIBER),
    "void": lambda: untold().create().do(c.MarkEnteredInError(WHY), PRESCRIBER),
}


@pytest.mark.parametrize("state", NOT_WAITING)
def test_what_waits_for_no_prescriber_is_in_no_inbox(fold: Any, state: str) -> None:
    assert not fold(PRESCRIBER_INBOX, NOT_WAITING[state]()).rows


def test_a_refill_is_counted_from_the_newest_hand_out(fold: Any) -> None:
    story = filled().later(days=25).claim().dispense(30, 2)
    row = only(fold(REFILL_DUE, story))
    assert row["handed_over_on"] == START.date() + timedelta(days=25)
    assert row["runs_out_on"] == START.date() + timedelta(days=55)


def test_undoing_a_hand_out_takes_its_refill_away_and_giving_back_returns_the_one_before(fold: Any) -> None:
    story = filled().later(days=25).claim().dispense(30, 2).reverse(2)
    assert not fold(REFILL_DUE, story).rows
    assert only(fold(REFILL_DUE, story.give_back()))["runs_out_on"] == START.date() + timedelta(days=30)


def test_a_refill_is_the_nominated_pharmacys_else_of_the_one_that_dispensed_last(fold: Any) -> None:
    story = issued(days_supply=30).claim(HARBOUR, AT_HARBOUR).dispense(30, 1, AT_HARBOUR)
    assert only(fold(REFILL_DUE, story))["pharmacy_id"] == HARBOUR.ncpdp_id
    story.do(c.NominatePharmacy(CORNER), PATIENT)
    assert only(fold(REFILL_DUE, story))["pharmacy_id"] == CORNER.ncpdp_id


NOT_DUE: dict[str, Callable[[], Story]] = {
    "never filled": issued,
    "of unknown supply": lambda: filled(days_supply=None),
    "the last fill": lambda: filled(refills_allowed=0),
    "claimed for its refill": lambda: filled().claim(),
    "on hold": lambda: filled().do(c.SuspendPrescription(WHY), PRESCRIBER),
    "cancelled": lambda: filled().do(c.CancelPrescription(WHY), PRESCRIBER),
}


@pytest.mark.parametrize("state", NOT_DUE)
def test_what_awaits_no_refill_or_has_no_known_end_falls_due_on_no_day(fold: Any, state: str) -> None:
    assert not fold(REFILL_DUE, NOT_DUE[state]()).rows
