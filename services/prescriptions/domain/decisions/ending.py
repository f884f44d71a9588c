"""Suspending and resuming; cancelling, expiring, declaring void."""

from decimal import Decimal

from prescriptions.domain import errors
from prescriptions.domain.commands import (
    CancelPrescription,
    ExpirePrescription,
    MarkEnteredInError,
    ResumePrescription,
    SuspendPrescription,
)
from prescriptions.domain.events import (
    PrescriptionCancelled,
    PrescriptionEnteredInError,
    PrescriptionExpired,
    PrescriptionResumed,
    PrescriptionSuspended,
)
from prescriptions.domain.expiry import due_at
from prescriptions.domain.facts import Facts
from prescriptions.domain.guards import (
    is_patient,
    require_author,
    require_reason,
    require_reason_code,
    require_role,
    require_unexpired,
)
from prescriptions.domain.state import Prescription, Status
from prescriptions.domain.values import PersonRef, Quantity


def suspend(state: Prescription, command: SuspendPrescription, facts: Facts) -> PrescriptionSuspended:
    """Stop it while nobody holds it."""
    require_author(state.author_id, facts)
    require_reason(command.reason)
    return PrescriptionSuspended(command.reason, command.until)


def resume(state: Prescription, command: ResumePrescription, facts: Facts) -> PrescriptionResumed:
    """End the suspension, unless time ran out meanwhile."""
    require_author(state.author_id, facts)
    require_unexpired(state, facts)
    return PrescriptionResumed(command.reason)


def cancel(state: Prescription, command: CancelPrescription, facts: Facts) -> PrescriptionCancelled:
    """Withdraw it: the author at any time, others by profile once it is issued, for before that it is the author's own."""
    issued = state.status not in (Status.DRAFT, Status.SIGNED)
    if not (issued and facts.actor.role in facts.profile.cancellers and is_patient(state, facts)):
        require_author(state.author_id, facts)
    require_reason_code(command.reason)
    asked = command.requested_by or PersonRef(facts.actor.id, role=facts.actor.role)
    return PrescriptionCancelled(command.reason, asked)


def refuse_cancel_while_held(state: Prescription, _command: CancelPrescription, _facts: Facts) -> None:
    """A pharmacy may be handing it out at this moment: it has to agree first."""
    if state.claim is not None:
        raise errors.CANCEL_NEEDS_PHARMACY("a pharmacy holds this prescription and has to agree first")


def expire(state: Prescription, _command: ExpirePrescription, facts: Facts) -> PrescriptionExpired:
    """Record that time ran out: the prescription's, or the clock of a fill begun."""
    require_role(facts, "system")
    due = due_at(state, facts.profile)
    if due is None or facts.now < due:
        raise errors.NOT_YET_EXPIRED(f"it runs until {due.isoformat() if due else 'further notice'}")
    return PrescriptionExpired(facts.now, quantity_owed(state))


def quantity_owed(state: Prescription) -> Quantity:
    """All that may still be handed out: the rest of the open or next fill, and every refill after it."""
    per_fill = state.written.quantity
    refills = max(state.refills_remaining, 0)
    return per_fill.of(state.remaining_this_fill + Decimal(refills) * per_fill.value)


def refuse_after_expiry(_state: Prescription, _command: object, _facts: Facts) -> None:
    """Whatever was asked, what stands in the way is that it expired."""
    raise errors.PRESCRIPTION_EXPIRED("this prescription has expired")


def void(state: Prescription, command: MarkEnteredInError, facts: Facts) -> PrescriptionEnteredInError:
    """Declare that it should never have been, as long as nobody was handed anything."""
    require_author(state.author_id, facts)
    if state.dispenses:
        raise errors.DISPENSED_CANNOT_VOID("something was dispensed; what happened cannot be declared void")
    require_reason(command.reason)
    return PrescriptionEnteredInError(command.reason)
