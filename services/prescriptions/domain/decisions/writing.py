"""Writing, signing and releasing."""

from prescriptions.domain import errors
from prescriptions.domain.commands import AmendPrescription, CreatePrescription, IssuePrescription, SignPrescription
from prescriptions.domain.decisions.content import check_content
from prescriptions.domain.events import (
    PrescriptionAmended,
    PrescriptionCreated,
    PrescriptionIssued,
    PrescriptionSigned,
)
from prescriptions.domain.expiry import expires_at
from prescriptions.domain.facts import Facts
from prescriptions.domain.guards import (
    is_history,
    require_author,
    require_author_or_agent,
    require_pharmacy_id,
    require_role,
)
from prescriptions.domain.hashing import is_hash_of
from prescriptions.domain.state import Prescription


def create(_state: Prescription, command: CreatePrescription, facts: Facts) -> PrescriptionCreated:
    """Begin a draft; the prescriber it names must be who acts."""
    require_role(facts, "prescriber")
    require_author(command.content.prescriber.id, facts)
    check_content(command.content, facts)
    return PrescriptionCreated(command.content)


def amend(state: Prescription, command: AmendPrescription, facts: Facts) -> PrescriptionAmended:
    """Replace the draft's content. Author and patient stay: another of either is another prescription."""
    require_author(state.author_id, facts)
    if command.content.prescriber.id != state.author_id:
        raise errors.NOT_AUTHOR("the author of a draft cannot change", field="content.prescriber.id")
    if command.content.patient_id != state.written.patient_id:
        raise errors.PATIENT_CANNOT_CHANGE("the patient of a draft cannot change", field="content.patient_id")
    check_content(command.content, facts)
    if command.content == state.content:
        raise errors.NO_CHANGE("the content is what it was")
    return PrescriptionAmended(command.content, command.change_note)


def sign(state: Prescription, command: SignPrescription, facts: Facts) -> PrescriptionSigned:
    """Sign exactly what the draft says now."""
    require_author(state.author_id, facts)
    if not is_hash_of(command.content_sha256, state.written):
        raise errors.HASH_MISMATCH("the signed hash is not that of the draft", field="content_sha256")
    _check_signature(state, command, facts)
    return PrescriptionSigned(
        content_sha256=command.content_sha256,
        signature=command.signature,
        algorithm=command.algorithm,
        certificate_id=command.certificate_id,
        factors=command.factors,
        signed_at=facts.now,
    )


def _check_signature(state: Prescription, command: SignPrescription, facts: Facts) -> None:
    """A signature that does not verify signs nothing. History may lack signature and factors, as paper did."""
    if facts.signature_verified is False:
        raise errors.SIGNATURE_INVALID("the signature does not verify", field="signature")
    if is_history(facts):
        return
    if not command.signature:
        raise errors.SIGNATURE_REQUIRED("there is no signature", field="signature")
    needed = facts.profile.schedules[state.written.schedule].signing_factors_min
    if len(set(command.factors)) < needed:
        raise errors.TWO_FACTOR_REQUIRED(
            f"schedule {state.written.schedule.name} takes {needed} factors of different kinds", field="factors"
        )


def issue(state: Prescription, command: IssuePrescription, facts: Facts) -> PrescriptionIssued:
    """Release what was signed, and fix when it expires."""
    require_author_or_agent(state, facts)
    content = state.written
    if state.signature is None or not is_hash_of(state.signature.content_sha256, content):
        raise errors.HASH_MISMATCH("the content is not what was signed")
    if command.nominated is not None:
        require_pharmacy_id(command.nominated, facts, "nominated")
    expires = expires_at(content.schedule, facts.now, facts.profile)
    if content.earliest_fill is not None and content.earliest_fill > expires.date():
        raise errors.EARLIEST_FILL_AFTER_EXPIRY(
            f"it may be filled from {content.earliest_fill} but would expire at {expires.isoformat()}"
        )
    return PrescriptionIssued(facts.now, expires, command.nominated or content.nominated)
