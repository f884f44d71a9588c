"""The fold: what each event leaves behind. It never refuses and never decides, and reads no clock.

Fields that old records do not know are derived from the state where the stream tells them (the number of a fill), and stay
unknown where it does not.
"""

from typing import assert_never

from eventkernel.evolving import replaced
from prescriptions.domain import events
from prescriptions.domain.state import Claim, Dispense, Hold, Prescription, Signature, Status


def evolve(state: Prescription, event: events.Event) -> Prescription:
    """The state after the event."""
    match event:
        case events.PrescriptionCreated():
            return replaced(state, status=Status.DRAFT, content=event.content)
        case events.PrescriptionAmended():
            return replaced(state, content=event.content)
        case events.PrescriptionSigned():
            return replaced(state, status=Status.SIGNED, signature=_signature(event))
        case events.PrescriptionIssued():
            return _issued(state, event)
        case events.PharmacyNominated():
            return replaced(state, nominated=event.pharmacy)
        case events.PrescriptionClaimed():
            return _claimed(state, event)
        case events.PrescriptionReturned():
            return replaced(state, status=_between_fills(state), claim_open=False)
        case events.MedicationPartiallyDispensed():
            return replaced(_dispensed(state, event), status=Status.PARTIALLY_DISPENSED)
        case events.MedicationDispensed():
            return _fill_done(state, event)
        case events.DispenseReversed():
            return _reversed(state, event)
        case _:
            return _evolve_standing(state, event)


def _evolve_standing(
    state: Prescription,
    event: events.MedicationNotDispensed
    | events.PrescriptionCancelled
    | events.PrescriptionSuspended
    | events.PrescriptionResumed
    | events.PrescriptionExpired
    | events.PrescriptionEnteredInError,
) -> Prescription:
    """Events that change whether it goes on, not how much was handed out."""
    match event:
        case events.PrescriptionSuspended():
            return replaced(state, status=Status.ON_HOLD, hold=Hold(event.reason, event.until))
        case events.PrescriptionResumed():
            return replaced(state, status=_between_fills(state), hold=None)
        case events.MedicationNotDispensed():
            return replaced(state, status=Status.NOT_DISPENSED, end_reason=event.reason, claim_open=False)
        case events.PrescriptionCancelled():
            return replaced(state, status=Status.CANCELLED, end_reason=event.reason, claim_open=False, hold=None)
        case events.PrescriptionExpired():
            forfeited = event.quantity_forfeited
            return replaced(state, status=Status.EXPIRED, quantity_forfeited=forfeited, claim_open=False, hold=None)
        case events.PrescriptionEnteredInError():
            ended = replaced(state, end_reason=event.reason, claim_open=False, hold=None)
            return replaced(ended, status=Status.ENTERED_IN_ERROR)
        case _:
            assert_never(event)


def _between_fills(state: Prescription) -> Status:
    """Where a prescription stands that no pharmacy holds: by the fills done."""
    return Status.AWAITING_REFILL if state.fills_done else Status.ISSUED


def _signature(event: events.PrescriptionSigned) -> Signature:
    return Signature(
        content_sha256=event.content_sha256,
        signature=event.signature,
        algorithm=event.algorithm,
        certificate_id=event.certificate_id,
        factors=event.factors,
        signed_at=event.signed_at,
    )


def _issued(state: Prescription, event: events.PrescriptionIssued) -> Prescription:
    nominated = event.nominated or (state.content.nominated if state.content else None)
    return replaced(
        state,
        status=Status.ISSUED,
        issued_at=event.issued_at,
        expires_at=event.expires_at,
        expires_text=event.expires_text,
        nominated=nominated,
    )


def _claimed(state: Prescription, event: events.PrescriptionClaimed) -> Prescription:
    fill_number = state.fills_done if event.fill_number is None else event.fill_number
    claim = Claim(event.pharmacy, event.claim_token_sha256, fill_number, event.claimed_at)
    return replaced(state, status=Status.WITH_PHARMACY, last_claim=claim, claim_open=True)


def _dispensed(
    state: Prescription, event: events.MedicationPartiallyDispensed | events.MedicationDispensed
) -> Prescription:
    """Add the dispense to those that stand."""
    closes = event if isinstance(event, events.MedicationDispensed) else None
    dispense = Dispense(
        dispense_id=event.dispense_id,
        fill_number=state.fills_done if event.fill_number is None else event.fill_number,
        pharmacy=event.pharmacy,
        claim=state.claim,
        quantity=event.quantity,
        handed_over_at=event.handed_over_at,
        partial=closes is None,
        product=event.product,
        days_supply=event.days_supply,
        lot=event.lot,
        pharmacist=event.pharmacist,
        partial_reason=event.partial_reason,
        substituted=event.substituted,
        short_close=closes is not None and closes.short_close,
        short_close_reason=closes.short_close_reason if closes else None,
    )
    return replaced(
        state,
        dispenses=(*state.dispenses, dispense),
        seen_dispense_ids=state.seen_dispense_ids | {event.dispense_id},
    )


def _fill_done(state: Prescription, event: events.MedicationDispensed) -> Prescription:
    """Close the fill and the claim; the status depends on whether a refill is left."""
    dispensed = _dispensed(state, event)
    fills_done = dispensed.dispenses[-1].fill_number + 1
    refills_allowed = state.content.refills_allowed if state.content else 0
    status = Status.AWAITING_REFILL if fills_done <= refills_allowed else Status.COMPLETED
    return replaced(dispensed, status=status, fills_done=fills_done, claim_open=False)


def _reversed(state: Prescription, event: events.DispenseReversed) -> Prescription:
    """Take the dispense away and open its fill and its claim again, as they were just before it."""
    gone = next((standing for standing in state.dispenses if standing.dispense_id == event.dispense_id), None)
    if gone is None:
        return state
    standing = tuple(dispense for dispense in state.dispenses if dispense is not gone)
    begun = any(dispense.fill_number == gone.fill_number for dispense in standing)
    return replaced(
        state,
        status=Status.PARTIALLY_DISPENSED if begun else Status.WITH_PHARMACY,
        dispenses=standing,
        fills_done=gone.fill_number,
        last_claim=gone.claim or Claim(gone.pharmacy, b"", gone.fill_number),
        claim_open=True,
    )
