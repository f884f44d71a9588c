"""Undoing the last dispense restores exactly what was before it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from eventkernel.envelope import Actor
from eventkernel.errors import RefusalKind
from prescriptions.domain import commands as c
from prescriptions.domain import events as ev
from prescriptions.domain.profiles import US
from prescriptions.domain.state import Status
from prescriptions.domain.values import PharmacyRef
from prescriptions.testing import stories as s


def reversal(number: int, pharmacy: PharmacyRef = s.CORNER, token: str = "") -> c.ReverseDispense:
    return c.ReverseDispense(pharmacy, s.dispense_id(number), s.WHY, token)


@pytest.mark.parametrize("story", [s.awaiting_refill(), s.completed()], ids=["awaiting-refill", "completed"])
def test_a_whole_fill_undone_is_with_the_pharmacy_again(story: s.Story) -> None:
    given = story.when(reversal(1), s.AT_CORNER).then(ev.DispenseReversed(s.dispense_id(1), s.tablets(30), s.WHY))
    assert given.state.status is Status.WITH_PHARMACY
    assert given.state.remaining_this_fill == 30
    assert given.state.fills_done == 0
    assert given.state.dispenses == ()


def test_the_same_token_is_good_again() -> None:
    story = s.completed()
    token = story.token
    story.reverse(1)
    assert story.token == token
    assert story.dispense(30, 2).state.status is Status.COMPLETED


def test_the_only_part_undone_is_with_the_pharmacy() -> None:
    state = s.begun().reverse(1).state
    assert state.status is Status.WITH_PHARMACY
    assert state.first_partial_at is None


def test_a_part_undone_leaves_the_earlier_part() -> None:
    state = s.begun().part(5, 2).reverse(2).state
    assert state.status is Status.PARTIALLY_DISPENSED
    assert state.dispensed_this_fill == 10


def test_the_end_of_a_fill_undone_leaves_its_parts() -> None:
    state = s.begun().dispense(20, 2).reverse(2).state
    assert state.status is Status.PARTIALLY_DISPENSED
    assert state.remaining_this_fill == 20
    assert state.claim is not None


def test_a_short_fill_undone_owes_what_it_owed() -> None:
    story = s.begun().dispense(5, 2, short_close=True, short_close_reason=s.WHY)
    assert story.reverse(2).state.remaining_this_fill == 20


def test_everything_can_be_undone_one_by_one() -> None:
    story = s.begun().dispense(20, 2).claim().dispense(30, 3)
    story.reverse(3).give_back()
    story.token = "token-3"
    story.reverse(2).reverse(1)
    assert story.state.status is Status.WITH_PHARMACY
    assert (story.state.fills_done, story.state.dispenses) == (0, ())
    assert story.give_back().state.status is Status.ISSUED


def test_the_claim_that_opens_again_is_that_of_the_dispense_not_the_newest() -> None:
    story = s.awaiting_refill()
    first = story.token
    story.claim(s.HARBOUR, s.AT_HARBOUR).give_back(s.AT_HARBOUR).reverse(1)
    story.when(c.ReturnPrescription(story.token, s.WHY), s.AT_HARBOUR).refused("NOT_CLAIM_HOLDER")
    assert story.when(c.ReturnPrescription(first, s.WHY), s.AT_CORNER).after.state.status is Status.ISSUED


def test_only_the_last_dispense_is_undone() -> None:
    story = s.begun().part(5, 2)
    refusal = story.when(reversal(1), s.AT_CORNER).refused("DISPENSE_NOT_LAST")
    assert refusal.details == {"last_dispense_id": str(s.dispense_id(2))}


def test_what_does_not_stand_is_not_undone() -> None:
    story = s.begun().part(5, 2).reverse(2)
    story.when(reversal(2), s.AT_CORNER).refused("DISPENSE_UNKNOWN")
    story.when(reversal(9), s.AT_CORNER).refused("DISPENSE_UNKNOWN")


@pytest.mark.parametrize(
    ("pharmacy", "actor", "token", "reason"),
    [
        (s.HARBOUR, s.AT_HARBOUR, "", "NOT_CLAIM_HOLDER"),
        (s.HARBOUR, s.IMPORTER, "", "NOT_CLAIM_HOLDER"),
        (s.CORNER, s.AT_HARBOUR, "", "NOT_YOUR_PHARMACY"),
        (s.CORNER, s.AT_CORNER, "wrong", "NOT_CLAIM_HOLDER"),
        (s.CORNER, s.PRESCRIBER, "", "ROLE_NOT_ALLOWED"),
        (s.CORNER, s.PATIENT, "", "ROLE_NOT_ALLOWED"),
    ],
)
def test_only_the_pharmacy_that_made_it_undoes_it(pharmacy: PharmacyRef, actor: Actor, token: str, reason: str) -> None:
    refusal = s.completed().when(reversal(1, pharmacy, token), actor).refused(reason)
    assert refusal.kind is RefusalKind.PERMISSION


def test_a_stated_token_must_be_that_of_the_dispense() -> None:
    story = s.completed()
    assert story.when(reversal(1, token=story.token), s.AT_CORNER).after.state.status is Status.WITH_PHARMACY


def test_the_window_is_the_profiles() -> None:
    story = s.completed().later(days=14)
    assert story.when(reversal(1), s.AT_CORNER).after.state.status is Status.WITH_PHARMACY
    story.later(microseconds=1)
    story.when(reversal(1), s.AT_CORNER).refused("REVERSAL_TOO_LATE")
    story.profile = replace(US, reversal_window=timedelta(days=30))
    assert story.when(reversal(1), s.AT_CORNER).after.state.status is Status.WITH_PHARMACY
    story.profile = replace(US, reversal_window=None)
    assert story.later(days=900).when(reversal(1), s.AT_CORNER).after.state.dispenses == ()


def test_a_reversed_dispense_id_is_never_good_again() -> None:
    story = s.completed().reverse(1)
    story.when(story.wholly(30, 1), s.AT_CORNER).refused("DUPLICATE_DISPENSE")
