"""Guards that several decisions share: who acts, for whom, and whether there is still time. Each passes or raises."""

from hashlib import sha256
from hmac import compare_digest
from typing import Final

from prescriptions.domain import errors
from prescriptions.domain.facts import Facts
from prescriptions.domain.identifiers import ncpdp_id_is_valid, npi_is_valid
from prescriptions.domain.state import Claim, Prescription
from prescriptions.domain.values import PharmacyRef, Reason

HISTORY_ROLES: Final = frozenset({"import", "correction"})
"""Who brings in what happened elsewhere. They act for any role, and what was never recorded may be absent: an NPI, a DEA
number, a signing factor. What the command does state (token, pharmacy, ids, hash) is checked as for anybody."""


def is_history(facts: Facts) -> bool:
    """Whether the command records what happened elsewhere."""
    return facts.actor.role in HISTORY_ROLES


def require_role(facts: Facts, *roles: str) -> None:
    """Ask for one of the roles."""
    if facts.actor.role not in roles and not is_history(facts):
        raise errors.ROLE_NOT_ALLOWED(
            f"role {facts.actor.role!r} may not do this; it takes {' or '.join(roles)}", role=facts.actor.role
        )


def require_author(author_id: str, facts: Facts) -> None:
    """Ask that the actor is the prescriber who wrote it."""
    if is_history(facts) or (facts.actor.role == "prescriber" and facts.actor.id == author_id):
        return
    raise errors.NOT_AUTHOR(f"{facts.actor.role} {facts.actor.id!r} is not the author of this prescription")


def require_author_or_agent(state: Prescription, facts: Facts) -> None:
    """Ask for the author, or an agent who acts for the author: whose organisation is the author's id or NPI."""
    prescriber = state.written.prescriber
    if facts.actor.role == "agent":
        if facts.actor.organisation and facts.actor.organisation in (prescriber.id, prescriber.npi):
            return
        raise errors.NOT_AUTHOR(f"agent {facts.actor.id!r} does not act for the author of this prescription")
    require_author(prescriber.id, facts)


def is_patient(state: Prescription, facts: Facts) -> bool:
    """Whether the actor is the patient, or a representative, whose organisation is the patient's id."""
    who = {"patient": facts.actor.id, "representative": facts.actor.organisation}.get(facts.actor.role)
    return bool(who) and who == state.written.patient_id


def require_pharmacy(pharmacy: PharmacyRef, facts: Facts) -> None:
    """Ask that a pharmacy acts for itself: the actor's organisation is the NCPDP id or the NPI in the command."""
    require_role(facts, "pharmacy")
    if not pharmacy.ids and not (is_history(facts) and pharmacy.name):
        raise errors.NOT_YOUR_PHARMACY("a pharmacy is named by its NCPDP id or NPI", field="pharmacy")
    if not is_history(facts) and facts.actor.organisation not in pharmacy.ids:
        raise errors.NOT_YOUR_PHARMACY(
            f"the actor acts for {facts.actor.organisation!r}, the command is for {' / '.join(pharmacy.ids)}",
            field="pharmacy",
        )


def require_claim(state: Prescription, token: str, facts: Facts) -> Claim:
    """Ask for the token of the claim that holds now, brought by the pharmacy that has it. Gives the claim."""
    require_role(facts, "pharmacy")
    claim = state.claim
    if claim is None or not token_fits(claim, token):
        raise errors.NOT_CLAIM_HOLDER("the claim token is not that of the open claim", field="claim_token")
    if not is_history(facts) and facts.actor.organisation not in claim.pharmacy.ids:
        raise errors.NOT_CLAIM_HOLDER(f"{facts.actor.organisation!r} does not hold this prescription")
    return claim


def token_fits(claim: Claim, token: str) -> bool:
    """Whether the token is the claim's, compared in constant time. An unknown hash fits nothing."""
    return compare_digest(sha256(token.encode()).digest(), claim.token_sha256)


def require_pharmacy_id(pharmacy: PharmacyRef, facts: Facts, field: str) -> None:
    """Ask for a well-formed NCPDP id, or where the profile has none, for any id."""
    if not (pharmacy.ncpdp_id if facts.profile.ncpdp_required else pharmacy.ids):
        raise errors.INVALID_NCPDP_ID("a nominated pharmacy needs an id", field=f"{field}.ncpdp_id")
    require_well_formed_ids(pharmacy, facts, field)


def require_well_formed_ids(pharmacy: PharmacyRef, facts: Facts, field: str) -> None:
    """Ask that the ids a pharmacy states are such ids. Where the profile has no NCPDP ids, what stands for one may be any."""
    profile, ncpdp_id = facts.profile, pharmacy.ncpdp_id
    known = ncpdp_id and profile.ncpdp_required
    if known and not ncpdp_id_is_valid(ncpdp_id, check_digit=profile.ncpdp_check_digit):
        raise errors.INVALID_NCPDP_ID(f"{ncpdp_id!r} is not an NCPDP id", field=f"{field}.ncpdp_id")
    require_npi(pharmacy.npi, facts, field)


def require_npi(npi: str, facts: Facts, field: str) -> None:
    """Ask that an NPI that is stated is one."""
    if npi and not npi_is_valid(npi, first_digit=facts.profile.npi_first_digit):
        raise errors.INVALID_NPI(f"{npi!r} is not an NPI", field=f"{field}.npi")


def require_unexpired(state: Prescription, facts: Facts) -> None:
    """Ask that the prescription is still good at the effective time, and that this can be told."""
    if state.expires_text:
        raise errors.EXPIRY_UNKNOWN(f"the last day is recorded as {state.expires_text!r}, which is no date")
    if state.expires_at is not None and facts.now >= state.expires_at:
        raise errors.PRESCRIPTION_EXPIRED(
            f"expired at {state.expires_at.isoformat()}", expires_at=state.expires_at.isoformat()
        )


def require_reason(reason: Reason) -> None:
    """Ask for a code or a sentence."""
    if not reason:
        raise errors.REASON_REQUIRED("a reason is needed: a code or a text", field="reason")


def require_reason_code(reason: Reason) -> None:
    """Ask for a code; statistics by reason rest on it."""
    if not reason.has_code:
        raise errors.REASON_REQUIRED("a coded reason is needed", field="reason.coding")
