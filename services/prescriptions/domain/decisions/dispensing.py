"""Handing out, in parts or to the end of a fill; not handing out; undoing the last hand-over."""

from datetime import datetime
from decimal import Decimal

from prescriptions.domain import errors
from prescriptions.domain.commands import (
    DispenseMedication,
    DispensePartially,
    RecordNotDispensed,
    ReverseDispense,
)
from prescriptions.domain.events import (
    DispenseReversed,
    MedicationDispensed,
    MedicationNotDispensed,
    MedicationPartiallyDispensed,
)
from prescriptions.domain.expiry import partial_deadline, parts_of
from prescriptions.domain.facts import Facts
from prescriptions.domain.guards import (
    require_claim,
    require_npi,
    require_pharmacy,
    require_reason_code,
    require_unexpired,
    token_fits,
)
from prescriptions.domain.state import Claim, Prescription
from prescriptions.domain.units import same_unit
from prescriptions.domain.values import PartialReason, Substitution


def dispense_partially(state: Prescription, command: DispensePartially, facts: Facts) -> MedicationPartiallyDispensed:
    """Hand out less than what remains of this fill; the rest stays owed."""
    claim = _require_dispensable(state, command, facts)
    remaining, amount = state.remaining_this_fill, command.quantity.value
    _require_within(amount, remaining)
    if amount == remaining:
        raise errors.USE_DISPENSE(f"{amount} is all that remains of this fill", field="quantity", remaining=remaining)
    rule = facts.profile.schedules[state.written.schedule]
    if rule.partial_reason_required and command.partial_reason is None:
        raise errors.PARTIAL_REASON_REQUIRED(
            f"schedule {state.written.schedule.name} needs the reason of a partial fill", field="partial_reason"
        )
    handed_over_at = _handover_time(state, command, facts)
    _require_in_time(state, facts, (command.partial_reason, handed_over_at))
    return MedicationPartiallyDispensed(
        dispense_id=command.dispense_id,
        fill_number=state.fills_done,
        pharmacy=claim.pharmacy,
        quantity=command.quantity,
        quantity_dispensed_this_fill=state.written.quantity.of(state.dispensed_this_fill + amount),
        refills_remaining=state.refills_remaining,
        handed_over_at=handed_over_at,
        product=command.product,
        days_supply=command.days_supply,
        lot=command.lot,
        pharmacist=command.pharmacist,
        partial_reason=command.partial_reason,
        substituted=_is_substitution(state, command),
    )


def dispense(state: Prescription, command: DispenseMedication, facts: Facts) -> MedicationDispensed:
    """Hand out all that remains of this fill, or close the fill with less for a stated reason."""
    claim = _require_dispensable(state, command, facts)
    remaining, amount = state.remaining_this_fill, command.quantity.value
    _require_within(amount, remaining)
    short = amount < remaining
    if short and not command.short_close:
        raise errors.USE_DISPENSE_PARTIALLY(
            f"{remaining} remain of this fill, not {amount}; dispense partially or close the fill short",
            field="quantity",
            remaining=remaining,
        )
    if short and not command.short_close_reason:
        raise errors.REASON_REQUIRED("closing a fill short needs a reason", field="short_close_reason")
    handed_over_at = _handover_time(state, command, facts)
    _require_in_time(state, facts)
    return MedicationDispensed(
        dispense_id=command.dispense_id,
        fill_number=state.fills_done,
        pharmacy=claim.pharmacy,
        quantity=command.quantity,
        quantity_dispensed_this_fill=state.written.quantity.of(state.dispensed_this_fill + amount),
        refills_remaining=state.refills_remaining,
        handed_over_at=handed_over_at,
        product=command.product,
        days_supply=command.days_supply,
        lot=command.lot,
        pharmacist=command.pharmacist,
        partial_reason=command.partial_reason if short else None,
        substituted=_is_substitution(state, command),
        short_close=short,
        short_close_reason=command.short_close_reason if short else None,
    )


def record_not_dispensed(state: Prescription, command: RecordNotDispensed, facts: Facts) -> MedicationNotDispensed:
    """End it unfilled; refills that were left end with it."""
    require_claim(state, command.claim_token, facts)
    require_reason_code(command.reason)
    if state.parts:
        raise errors.FILL_ALREADY_BEGUN("a part of this fill was handed out; reverse it or close the fill short")
    return MedicationNotDispensed(command.reason, command.returned_to_stock)


def reverse(state: Prescription, command: ReverseDispense, facts: Facts) -> DispenseReversed:
    """Undo the last dispense that stands; what it handed out is owed again, exactly."""
    require_pharmacy(command.pharmacy, facts)
    if not any(standing.dispense_id == command.dispense_id for standing in state.dispenses):
        raise errors.DISPENSE_UNKNOWN(f"no dispense {command.dispense_id} stands", field="dispense_id")
    last = state.dispenses[-1]
    if last.dispense_id != command.dispense_id:
        raise errors.DISPENSE_NOT_LAST("only the last dispense can be reversed", last_dispense_id=last.dispense_id)
    if not command.pharmacy.is_same(last.pharmacy):
        raise errors.NOT_CLAIM_HOLDER("another pharmacy made this dispense", field="pharmacy")
    if command.claim_token and (last.claim is None or not token_fits(last.claim, command.claim_token)):
        raise errors.NOT_CLAIM_HOLDER("the claim token is not that of the dispense", field="claim_token")
    window = facts.profile.reversal_window
    if window is not None and last.handed_over_at is not None and facts.now > last.handed_over_at + window:
        raise errors.REVERSAL_TOO_LATE(f"handed over at {last.handed_over_at.isoformat()}, the window is {window}")
    return DispenseReversed(command.dispense_id, last.quantity, command.reason)


def refuse_seen_dispense(state: Prescription, command: DispensePartially | DispenseMedication, _facts: Facts) -> None:
    """A dispense sent again after its fill was closed is told that it is known, not that the state is wrong."""
    if command.dispense_id in state.seen_dispense_ids:
        raise errors.DUPLICATE_DISPENSE(f"dispense {command.dispense_id} was recorded before", field="dispense_id")


def _require_dispensable(state: Prescription, command: DispensePartially | DispenseMedication, facts: Facts) -> Claim:
    """What both ways of dispensing ask: token, time, a new id, a sound amount and unit, an allowed product."""
    claim = require_claim(state, command.claim_token, facts)
    refuse_seen_dispense(state, command, facts)
    require_unexpired(state, facts)
    if not command.quantity.value.is_finite() or command.quantity.value <= 0:
        raise errors.INVALID_QUANTITY("the quantity must be above zero", field="quantity.value")
    if command.days_supply is not None and command.days_supply < 1:
        raise errors.INVALID_DAYS_SUPPLY("days_supply is at least one, or absent", field="days_supply")
    if not same_unit(command.quantity, state.written.quantity, facts.profile):
        raise errors.UNIT_MISMATCH("the quantity is not in the unit prescribed", field="quantity")
    if state.written.medication and not command.product:
        raise errors.PRODUCT_REQUIRED("which product was handed out?", field="product")
    if _is_substitution(state, command) and state.written.substitution is Substitution.DISPENSE_AS_WRITTEN:
        raise errors.SUBSTITUTION_NOT_ALLOWED("the prescriber asked to dispense as written", field="product")
    if command.pharmacist is not None:
        require_npi(command.pharmacist.npi, facts, "pharmacist")
    return claim


def _require_within(amount: Decimal, remaining: Decimal) -> None:
    if amount > remaining:
        raise errors.QUANTITY_EXCEEDED(
            f"{remaining} remain of this fill, {amount} would be too much", field="quantity", remaining=remaining
        )


def _handover_time(state: Prescription, command: DispensePartially | DispenseMedication, facts: Facts) -> datetime:
    """When it was handed over: not in the future, not before the claim, not before the dispense that came last."""
    if command.handed_over_at is None:
        return facts.now
    last_claim, last_dispense = state.last_claim, state.dispenses[-1] if state.dispenses else None
    before = [last_claim.claimed_at if last_claim else None, last_dispense.handed_over_at if last_dispense else None]
    if command.handed_over_at > facts.now or any(moment and command.handed_over_at < moment for moment in before):
        raise errors.INVALID_HANDOVER_TIME(
            "the hand-over lies between the claim, or the dispense before, and now", field="handed_over_at"
        )
    return command.handed_over_at


def _require_in_time(state: Prescription, facts: Facts, *new_part: tuple[PartialReason | None, datetime]) -> None:
    """The clocks of a fill begun. A new part must also leave time for the rest, or there is no rest to owe."""
    deadline = partial_deadline(state, facts.profile, [*parts_of(state.parts), *new_part])
    if deadline is not None and facts.now >= deadline:
        raise errors.PARTIAL_FILL_TOO_LATE(
            f"the rest of this fill was due before {deadline.isoformat()}", deadline=deadline.isoformat()
        )


def _is_substitution(state: Prescription, command: DispensePartially | DispenseMedication) -> bool:
    """Whether no code of the product is a code of the prescription. A medication known by its text alone tells nothing."""
    prescribed = {coding.key for coding in state.written.medication}
    return bool(prescribed) and prescribed.isdisjoint(coding.key for coding in command.product)
