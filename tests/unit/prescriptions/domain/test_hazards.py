"""The ways in which a patient could be handed a medicine twice, as far as the rules alone can stop them."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from prescriptions.domain import commands as c
from prescriptions.domain.profiles import US
from prescriptions.domain.state import Status
from prescriptions.testing import stories as s


def test_a_retry_under_a_new_command_id_is_known_by_its_dispense_id() -> None:
    story = s.begun()
    story.when(story.partially(10, 1), s.AT_CORNER).refused("DUPLICATE_DISPENSE")


def test_two_terminals_on_one_fill_cannot_both_finish_it() -> None:
    story = s.claimed()
    first, second = story.wholly(30, 1), story.wholly(30, 2)
    story.do(first, s.AT_CORNER)
    story.when(second, s.AT_CORNER).refused("INVALID_STATE_TRANSITION")


def test_two_terminals_on_one_part_cannot_exceed_the_fill() -> None:
    story = s.claimed()
    first, second = story.partially(20, 1), story.partially(20, 2)
    story.do(first, s.AT_CORNER)
    story.when(second, s.AT_CORNER).refused("QUANTITY_EXCEEDED")


def test_of_two_pharmacies_one_gets_the_claim() -> None:
    story = s.issued()
    story.claim(s.HARBOUR, s.AT_HARBOUR)
    story.when(c.ClaimPrescription(s.CORNER), s.AT_CORNER).refused("PRESCRIPTION_WITH_ANOTHER_DISPENSER")


@pytest.mark.parametrize(
    ("ended", "reason"),
    [
        (s.claimed().give_back(), "INVALID_STATE_TRANSITION"),
        (s.claimed().give_back().claim(s.HARBOUR, s.AT_HARBOUR), "NOT_CLAIM_HOLDER"),
        (s.claimed().later(days=366).do(c.ExpirePrescription(), s.SYSTEM), "PRESCRIPTION_EXPIRED"),
        (s.claimed().give_back().do(c.CancelPrescription(s.WHY), s.PRESCRIBER), "INVALID_STATE_TRANSITION"),
        (s.claimed().give_back().do(c.MarkEnteredInError(s.WHY), s.PRESCRIBER), "INVALID_STATE_TRANSITION"),
    ],
    ids=["returned", "claimed-by-another", "expired", "cancelled", "void"],
)
def test_a_late_dispense_is_refused(ended: s.Story, reason: str) -> None:
    late = replace(ended.wholly(30, 1), claim_token="token-3")
    ended.when(late, s.AT_CORNER).refused(reason)


def test_a_part_and_the_whole_do_not_add_up_to_more() -> None:
    story = s.begun()
    story.when(story.wholly(30, 2), s.AT_CORNER).refused("QUANTITY_EXCEEDED")


def test_an_old_dispense_played_again_after_its_reversal_is_refused() -> None:
    story = s.begun()
    old = story.partially(10, 1)
    story.reverse(1).when(old, s.AT_CORNER).refused("DUPLICATE_DISPENSE")


def test_a_refill_too_early_waits_where_the_profile_asks() -> None:
    story = s.awaiting_refill(replace(US, refill_share=Decimal("0.8"))).later(days=2)
    story.when(c.ClaimPrescription(s.CORNER), s.AT_CORNER).refused("REFILL_TOO_SOON")


@pytest.mark.parametrize("skew", [timedelta(microseconds=1), timedelta(seconds=5)])
def test_around_the_expiry_dispensing_and_expiring_never_both_succeed(skew: timedelta) -> None:
    for off in (-skew, timedelta(0), skew):
        story = s.claimed()
        assert story.state.expires_at is not None
        story.now = story.state.expires_at + off
        dispensed = story.when(story.wholly(30, 1), s.AT_CORNER)
        expired = story.when(c.ExpirePrescription(), s.SYSTEM)
        assert (dispensed.refusal is None) != (expired.refusal is None)


def test_a_cancellation_cannot_slip_in_between_claim_and_hand_over() -> None:
    story = s.claimed()
    story.when(c.CancelPrescription(s.WHY), s.PRESCRIBER).refused("CANCEL_NEEDS_PHARMACY")
    assert story.dispense(30, 1).state.status is Status.AWAITING_REFILL
