"""Which pharmacy: nominating, claiming, giving back."""

from datetime import timedelta
from decimal import Decimal

from prescriptions.domain import errors
from prescriptions.domain.commands import ClaimPrescription, NominatePharmacy, ReturnPrescription
from prescriptions.domain.events import PharmacyNominated, PrescriptionClaimed, PrescriptionReturned
from prescriptions.domain.facts import Facts
from prescriptions.domain.guards import (
    is_history,
    is_patient,
    require_author,
    require_claim,
    require_pharmacy,
    require_pharmacy_id,
    require_role,
    require_unexpired,
    require_well_formed_ids,
)
from prescriptions.domain.state import Prescription
from prescriptions.domain.values import PersonRef


def nominate(state: Prescription, command: NominatePharmacy, facts: Facts) -> PharmacyNominated:
    """Name a pharmacy, by the patient, a representative, or the author."""
    require_role(facts, "patient", "representative", "prescriber")
    if facts.actor.role == "prescriber":
        require_author(state.author_id, facts)
    elif not is_history(facts) and not is_patient(state, facts):
        raise errors.NOT_PATIENT(f"{facts.actor.role} {facts.actor.id!r} does not stand for this patient")
    require_pharmacy_id(command.pharmacy, facts, "pharmacy")
    if state.nominated is not None and command.pharmacy.is_same(state.nominated):
        raise errors.NO_CHANGE("this pharmacy is already nominated", field="pharmacy")
    return PharmacyNominated(command.pharmacy, PersonRef(facts.actor.id, role=facts.actor.role))


def claim(state: Prescription, command: ClaimPrescription, facts: Facts) -> PrescriptionClaimed:
    """Take it for the next fill."""
    require_pharmacy(command.pharmacy, facts)
    require_well_formed_ids(command.pharmacy, facts, "pharmacy")
    require_unexpired(state, facts)
    earliest = state.written.earliest_fill
    if earliest is not None and facts.now.date() < earliest:
        raise errors.NOT_YET_VALID(f"it may be filled from {earliest}", earliest_fill=earliest)
    _require_nomination(state, command, facts)
    _require_refill_due(state, facts)
    if facts.claim_token_sha256 is None:
        raise ValueError("the command handler must make a claim token for ClaimPrescription")
    return PrescriptionClaimed(command.pharmacy, facts.claim_token_sha256, state.fills_done, facts.now)


def _require_nomination(state: Prescription, command: ClaimPrescription, facts: Facts) -> None:
    if state.nominated is None or not facts.profile.nomination_binds:
        return
    if not command.pharmacy.is_same(state.nominated):
        raise errors.NOMINATED_ELSEWHERE("another pharmacy is nominated; the patient may nominate this one")


def _require_refill_due(state: Prescription, facts: Facts) -> None:
    """By profile: a refill waits until a share of what the last fill supplies is used up."""
    share = facts.profile.refill_share
    if share is None or not state.dispenses:
        return
    last = state.dispenses[-1]
    days = last.days_supply or state.written.days_supply
    if days is None or last.handed_over_at is None:
        return
    due = last.handed_over_at + timedelta(seconds=int(Decimal(days * 86_400) * share))
    if facts.now < due:
        raise errors.REFILL_TOO_SOON(f"the next fill is due at {due.isoformat()}", due_at=due.isoformat())


def give_back(state: Prescription, command: ReturnPrescription, facts: Facts) -> PrescriptionReturned:
    """End the claim; any pharmacy may take it again."""
    require_claim(state, command.claim_token, facts)
    return PrescriptionReturned(command.reason)


def refuse_claim_of_another(state: Prescription, command: ClaimPrescription, _facts: Facts) -> None:
    """While it is held, another pharmacy learns why it cannot have it."""
    holder = state.claim
    if holder is not None and not command.pharmacy.is_same(holder.pharmacy):
        raise errors.PRESCRIPTION_WITH_ANOTHER_DISPENSER("another pharmacy holds this prescription")
