"""Handing out: the right event, and each guard by its name."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from eventkernel.envelope import Actor
from eventkernel.errors import RefusalKind
from prescriptions.domain import commands as c
from prescriptions.domain import events as ev
from prescriptions.domain.state import Status
from prescriptions.domain.values import Coding, PartialReason, PersonRef, Quantity, Reason, Substitution
from prescriptions.testing import stories as s

RPH = PersonRef("rph-1")


def test_an_npi_that_a_pharmacist_states_is_one() -> None:
    story = s.claimed()
    for command in (story.partially(10, 1), story.wholly(30, 1)):
        wrong = replace(command, pharmacist=replace(RPH, npi="1234567890"))
        assert story.when(wrong, s.AT_CORNER).refused("INVALID_NPI").field == "pharmacist.npi"


def test_a_part_leaves_the_rest_owed() -> None:
    story = s.claimed().later(hours=1)
    command = story.partially(10, 1, days_supply=3, lot="L1", pharmacist=RPH)
    given = story.when(command, s.AT_CORNER).then(
        ev.MedicationPartiallyDispensed(
            dispense_id=s.dispense_id(1),
            fill_number=0,
            pharmacy=s.CORNER,
            quantity=s.tablets(10),
            quantity_dispensed_this_fill=s.tablets(10),
            refills_remaining=2,
            handed_over_at=story.now,
            product=(s.AMOXICILLIN,),
            days_supply=3,
            lot="L1",
            pharmacist=RPH,
            partial_reason=PartialReason.STOCK,
            substituted=False,
        )
    )
    assert given.state.status is Status.PARTIALLY_DISPENSED
    assert given.state.remaining_this_fill == 20
    assert given.state.first_partial_at == story.now


def test_a_second_part_counts_the_first() -> None:
    event = s.begun().when(s.begun().partially(5, 2), s.AT_CORNER).event
    assert isinstance(event, ev.MedicationPartiallyDispensed)
    assert event.quantity_dispensed_this_fill == s.tablets(15)


def test_the_whole_fill_ends_the_claim_and_awaits_the_refill() -> None:
    story = s.claimed()
    given = story.when(story.wholly(30, 1, pharmacist=RPH), s.AT_CORNER).then(
        ev.MedicationDispensed(
            dispense_id=s.dispense_id(1),
            fill_number=0,
            pharmacy=s.CORNER,
            quantity=s.tablets(30),
            quantity_dispensed_this_fill=s.tablets(30),
            refills_remaining=2,
            handed_over_at=story.now,
            product=(s.AMOXICILLIN,),
            pharmacist=RPH,
        )
    )
    assert given.state.status is Status.AWAITING_REFILL
    assert given.state.claim is None
    assert given.state.refills_remaining == 1
    assert given.state.remaining_this_fill == 30


def test_the_last_fill_completes_it() -> None:
    story = s.completed()
    assert story.state.status is Status.COMPLETED
    assert story.state.remaining_this_fill == 0


def test_every_fill_has_its_number_and_counts_the_refills_down() -> None:
    story = s.claimed().dispense(30, 1).claim().dispense(30, 2).claim().part(1, 3).dispense(29, 4)
    fills = [e for e in story.events if isinstance(e, (ev.MedicationDispensed, ev.MedicationPartiallyDispensed))]
    assert [(e.fill_number, e.refills_remaining) for e in fills] == [(0, 2), (1, 1), (2, 0), (2, 0)]
    assert story.state.status is Status.COMPLETED


def test_parts_and_the_rest_make_the_whole_exactly() -> None:
    story = s.claimed(quantity=s.tablets("0.3")).part("0.1", 1).part("0.1", 2)
    assert story.state.remaining_this_fill == Decimal("0.1")
    assert story.dispense("0.1", 3).state.status is Status.AWAITING_REFILL


@pytest.mark.parametrize("amount", [31, "30.000000001", 1000])
def test_no_more_is_handed_out_than_the_fill_holds(amount: Any) -> None:
    story = s.claimed()
    for command in (story.partially(amount, 1), story.wholly(amount, 1), story.wholly(amount, 1, short_close=True)):
        refusal = story.when(command, s.AT_CORNER).refused("QUANTITY_EXCEEDED")
        assert refusal.details == {"remaining": "30"}


def test_no_more_is_handed_out_than_a_begun_fill_still_holds() -> None:
    story = s.begun()
    story.when(story.partially(21, 2), s.AT_CORNER).refused("QUANTITY_EXCEEDED")
    story.when(story.wholly(30, 2), s.AT_CORNER).refused("QUANTITY_EXCEEDED")


@pytest.mark.parametrize("amount", [0, -1, Decimal("NaN"), Decimal("Infinity")])
def test_an_amount_is_above_zero(amount: Any) -> None:
    story = s.claimed()
    for command in (story.partially(amount, 1), story.wholly(amount, 1)):
        assert story.when(command, s.AT_CORNER).refused("INVALID_QUANTITY").field == "quantity.value"


def test_all_that_remains_is_no_part() -> None:
    s.claimed().when(s.claimed().partially(30, 1), s.AT_CORNER).refused("USE_DISPENSE")
    s.begun().when(s.begun().partially(20, 2), s.AT_CORNER).refused("USE_DISPENSE")


def test_less_than_remains_is_not_the_whole() -> None:
    story = s.begun()
    story.when(story.wholly(19, 2), s.AT_CORNER).refused("USE_DISPENSE_PARTIALLY")


def test_a_fill_may_be_closed_short_for_a_reason() -> None:
    story = s.begun()
    short = story.wholly(5, 2, short_close=True, short_close_reason=s.WHY, partial_reason=PartialReason.PATIENT_REQUEST)
    event = story.when(short, s.AT_CORNER).event
    assert isinstance(event, ev.MedicationDispensed)
    assert (event.short_close, event.short_close_reason) == (True, s.WHY)
    assert event.partial_reason is PartialReason.PATIENT_REQUEST
    assert story.do(short, s.AT_CORNER).state.status is Status.AWAITING_REFILL
    assert story.state.remaining_this_fill == 30


@pytest.mark.parametrize("reason", [None, Reason()])
def test_a_fill_is_not_closed_short_without_a_reason(reason: Reason | None) -> None:
    story = s.begun()
    command = story.wholly(5, 2, short_close=True, short_close_reason=reason)
    assert story.when(command, s.AT_CORNER).refused("REASON_REQUIRED").field == "short_close_reason"


def test_a_whole_fill_is_not_called_short() -> None:
    story = s.claimed()
    command = story.wholly(30, 1, short_close=True, short_close_reason=s.WHY, partial_reason=PartialReason.STOCK)
    event = story.when(command, s.AT_CORNER).event
    assert isinstance(event, ev.MedicationDispensed)
    assert (event.short_close, event.short_close_reason, event.partial_reason) == (False, None, None)


@pytest.mark.parametrize(
    ("token", "actor", "reason"),
    [
        ("wrong", s.AT_CORNER, "NOT_CLAIM_HOLDER"),
        ("", s.AT_CORNER, "NOT_CLAIM_HOLDER"),
        (None, s.AT_HARBOUR, "NOT_CLAIM_HOLDER"),
        ("wrong", s.IMPORTER, "NOT_CLAIM_HOLDER"),
        (None, s.PRESCRIBER, "ROLE_NOT_ALLOWED"),
        (None, s.PATIENT, "ROLE_NOT_ALLOWED"),
    ],
)
def test_only_the_holder_hands_out(token: str | None, actor: Actor, reason: str) -> None:
    story = s.claimed()
    for command in (story.partially(10, 1), story.wholly(30, 1), c.RecordNotDispensed(story.token, s.WHY)):
        asked = command if token is None else replace(command, claim_token=token)
        assert story.when(asked, actor).refused(reason).kind is RefusalKind.PERMISSION


def test_history_hands_out_with_the_token_it_claimed_with() -> None:
    story = s.issued().claim(actor=s.IMPORTER)
    assert story.dispense(30, 1, actor=s.IMPORTER).state.status is Status.AWAITING_REFILL


@pytest.mark.parametrize("unit", [Quantity(Decimal(10), "mg", "http://unitsofmeasure.org"), Quantity(Decimal(10))])
def test_it_is_handed_out_in_the_unit_prescribed(unit: Quantity) -> None:
    story = s.claimed()
    story.when(story.partially(10, 1, quantity=unit), s.AT_CORNER).refused("UNIT_MISMATCH")
    story.when(story.wholly(30, 1, quantity=unit), s.AT_CORNER).refused("UNIT_MISMATCH")


def test_an_equal_unit_will_do() -> None:
    story = s.claimed()
    by_text = Quantity(Decimal(30), unit_text="TABLET")
    assert story.when(story.wholly(30, 1, quantity=by_text), s.AT_CORNER).after.state.status is Status.AWAITING_REFILL


def test_another_product_is_a_substitution() -> None:
    story = s.claimed()
    event = story.when(story.wholly(30, 1, product=(s.OTHER_PRODUCT,)), s.AT_CORNER).event
    assert isinstance(event, ev.MedicationDispensed)
    assert event.substituted


def test_a_product_that_shares_a_code_is_the_one_prescribed() -> None:
    story = s.claimed(substitution=Substitution.DISPENSE_AS_WRITTEN)
    product = (Coding("http://hl7.org/fhir/sid/ndc", "00781-2613-01"), replace(s.AMOXICILLIN, display="amox"))
    event = story.when(story.wholly(30, 1, product=product), s.AT_CORNER).event
    assert isinstance(event, ev.MedicationDispensed)
    assert not event.substituted


def test_as_written_means_as_written() -> None:
    story = s.claimed(substitution=Substitution.DISPENSE_AS_WRITTEN)
    for command in (story.partially(10, 1), story.wholly(30, 1)):
        other = replace(command, product=(s.OTHER_PRODUCT,))
        story.when(other, s.AT_CORNER).refused("SUBSTITUTION_NOT_ALLOWED")


def test_what_was_handed_out_is_said() -> None:
    story = s.claimed()
    story.when(story.wholly(30, 1, product=()), s.AT_CORNER).refused("PRODUCT_REQUIRED")


@pytest.mark.parametrize("product", [(), (s.OTHER_PRODUCT,)])
def test_a_medication_known_by_its_text_alone_takes_any_product(product: tuple[Coding, ...]) -> None:
    story = s.claimed(medication=(), substitution=Substitution.DISPENSE_AS_WRITTEN)
    event = story.when(story.wholly(30, 1, product=product), s.AT_CORNER).event
    assert isinstance(event, ev.MedicationDispensed)
    assert not event.substituted


def test_a_supply_lasts_a_day_at_least() -> None:
    story = s.claimed()
    story.when(story.wholly(30, 1, days_supply=0), s.AT_CORNER).refused("INVALID_DAYS_SUPPLY")


def test_a_dispense_id_is_used_once() -> None:
    story = s.begun()
    story.when(story.partially(5, 1), s.AT_CORNER).refused("DUPLICATE_DISPENSE")
    story.when(story.wholly(20, 1), s.AT_CORNER).refused("DUPLICATE_DISPENSE")


@pytest.mark.parametrize("story", [s.awaiting_refill(), s.completed()], ids=["awaiting-refill", "completed"])
def test_a_dispense_sent_again_after_its_fill_is_known(story: s.Story) -> None:
    story.when(story.wholly(30, 1), s.AT_CORNER).refused("DUPLICATE_DISPENSE")
    story.when(story.wholly(30, 9), s.AT_CORNER).refused("INVALID_STATE_TRANSITION")


def test_nothing_is_handed_out_at_or_after_the_expiry() -> None:
    story = s.begun()
    expires = story.state.expires_at
    assert expires is not None
    story.now = expires
    story.when(story.partially(5, 2), s.AT_CORNER).refused("PRESCRIPTION_EXPIRED")
    story.when(story.wholly(20, 2), s.AT_CORNER).refused("PRESCRIPTION_EXPIRED")
    story.now = expires - timedelta(microseconds=1)
    assert story.dispense(20, 2).state.status is Status.AWAITING_REFILL


def test_the_hand_over_may_lie_between_the_claim_and_now() -> None:
    story = s.claimed().later(hours=5)
    earlier = story.now - timedelta(hours=2)
    event = story.when(story.wholly(30, 1, handed_over_at=earlier), s.AT_CORNER).event
    assert isinstance(event, ev.MedicationDispensed)
    assert event.handed_over_at == earlier


@pytest.mark.parametrize("hours", [-6, 1])
def test_the_hand_over_is_neither_before_the_claim_nor_in_the_future(hours: int) -> None:
    story = s.claimed().later(hours=5)
    at = story.now + timedelta(hours=hours)
    story.when(story.wholly(30, 1, handed_over_at=at), s.AT_CORNER).refused("INVALID_HANDOVER_TIME")


def test_the_hand_over_is_not_before_the_one_that_came_last() -> None:
    story = s.claimed().later(hours=5).part(10, 1).later(hours=1)
    at = story.now - timedelta(hours=2)
    story.when(story.partially(10, 2, handed_over_at=at), s.AT_CORNER).refused("INVALID_HANDOVER_TIME")


def test_not_dispensing_ends_it() -> None:
    story = s.claimed()
    given = story.when(c.RecordNotDispensed(story.token, s.WHY, returned_to_stock=True), s.AT_CORNER).then(
        ev.MedicationNotDispensed(s.WHY, returned_to_stock=True)
    )
    assert given.state.status is Status.NOT_DISPENSED
    assert given.state.claim is None
    assert given.state.end_reason == s.WHY


def test_not_dispensing_has_a_coded_reason() -> None:
    story = s.claimed()
    command = c.RecordNotDispensed(story.token, Reason(text="no stock"))
    assert story.when(command, s.AT_CORNER).refused("REASON_REQUIRED").field == "reason.coding"


def test_what_was_begun_cannot_be_called_not_dispensed() -> None:
    story = s.begun()
    given = replace(story.given, state=replace(story.state, status=Status.WITH_PHARMACY))
    command = c.RecordNotDispensed(story.token, s.WHY)
    given.when(command, story.facts(s.AT_CORNER)).refused("FILL_ALREADY_BEGUN")
    story.when(command, s.AT_CORNER).refused("INVALID_STATE_TRANSITION")


def test_the_hand_over_may_be_at_the_claim_or_now_to_the_microsecond() -> None:
    story = s.claimed().later(hours=5)
    for at in (s.START, story.now):
        assert (
            story.when(story.wholly(30, 1, handed_over_at=at), s.AT_CORNER).after.state.status is Status.AWAITING_REFILL
        )


def test_one_day_is_a_supply() -> None:
    story = s.claimed(days_supply=1)
    assert story.dispense(30, 1, days_supply=1).state.dispenses[0].days_supply == 1


def test_a_dispense_knows_whether_its_fill_went_on() -> None:
    story = s.begun().dispense(20, 2)
    assert [dispense.partial for dispense in story.state.dispenses] == [True, False]
