"""The aggregate as callers see it: one mapping for command replies, queries and as-of reads.

Parts that stay the same from one version to the next are encoded once: messages that are given to another one are copied
into it, which costs a tenth of making them.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from erx.prescriptions.v1 import prescription_pb2
from eventkernel.remembered import ByIdentity
from prescriptions.domain.hashing import content_sha256
from prescriptions.domain.state import TERMINAL, Claim, Dispense, Hold, Prescription, Signature
from prescriptions.wire import values as w
from prescriptions.wire.content import content_to_reply

REMEMBERED_MAX: Final = 4_096
"""Contents, and as many signatures and dispenses, whose messages are remembered."""


def prescription_to(
    state: Prescription,
    *,
    prescription_id: str,
    version: int,
    created_at: datetime,
    occurred_at: datetime,
    recorded_at: datetime,
    allowed: Sequence[str],
) -> prescription_pb2.Prescription:
    """The message of a state at a version; times are those of its first and its last event."""
    content = state.written
    signed_hash = state.signature.content_sha256 if state.signature else content_sha256(content)
    owed = state.refills_remaining >= 0
    return prescription_pb2.Prescription(
        prescription_id=prescription_id,
        status=w.STATUS_TO[state.status],
        version=version,
        content=_content_to(content),
        content_sha256=signed_hash,
        signature=_signature_to(state.signature) if state.signature else None,
        create_time=w.time_to(created_at),
        issue_time=w.time_to(state.issued_at),
        expire_time=w.time_to(state.expires_at),
        expire_text=state.expires_text,
        update_time=w.time_to(occurred_at),
        record_time=w.time_to(recorded_at),
        written_date=w.date_to(state.written_date),
        nominated_pharmacy=w.pharmacy_to(state.nominated),
        claim=_claim_to(state.last_claim, active=state.claim_open),
        dispenses=[_dispense_to(dispense) for dispense in state.dispenses],
        refills_allowed=content.refills_allowed,
        fills_done=state.fills_done,
        refills_remaining=max(state.refills_remaining, 0),
        quantity_dispensed_this_fill=w.quantity_to(content.quantity.of(state.dispensed_this_fill)),
        quantity_remaining_this_fill=w.quantity_to(content.quantity.of(state.remaining_this_fill)) if owed else None,
        first_partial_time=w.time_to(state.first_partial_at),
        hold=_hold_to(state.hold),
        end_reason=w.reason_to(state.end_reason),
        end_time=w.time_to(occurred_at) if state.status in TERMINAL else None,
        quantity_forfeited=w.quantity_to(state.quantity_forfeited),
        allowed_commands=allowed,
    )


def _new_signature(signature: Signature) -> prescription_pb2.Signature:
    return prescription_pb2.Signature(
        content_sha256=signature.content_sha256,
        signature=signature.signature,
        algorithm=signature.algorithm,
        certificate_id=signature.certificate_id,
        factors=[w.FACTOR_TO[factor] for factor in signature.factors],
        sign_time=w.time_to(signature.signed_at),
    )


def _claim_to(claim: Claim | None, *, active: bool) -> prescription_pb2.Claim | None:
    if claim is None:
        return None
    return prescription_pb2.Claim(
        pharmacy=w.pharmacy_to(claim.pharmacy),
        fill_number=claim.fill_number,
        claim_time=w.time_to(claim.claimed_at),
        active=active,
    )


def dispense_to(dispense: Dispense) -> prescription_pb2.Dispense:
    """One hand-out."""
    return prescription_pb2.Dispense(
        dispense_id=str(dispense.dispense_id),
        fill_number=dispense.fill_number,
        pharmacy=w.pharmacy_to(dispense.pharmacy),
        product=w.codings_to(dispense.product),
        quantity=w.quantity_to(dispense.quantity),
        days_supply=dispense.days_supply,
        lot=dispense.lot,
        pharmacist=w.person_to(dispense.pharmacist),
        handover_time=w.time_to(dispense.handed_over_at),
        partial=dispense.partial,
        partial_reason=w.PARTIAL_TO[dispense.partial_reason] if dispense.partial_reason else w.PARTIAL_UNSPECIFIED,
        substituted=dispense.substituted,
        short_close=dispense.short_close,
        short_close_reason=w.reason_to(dispense.short_close_reason),
    )


def _hold_to(hold: Hold | None) -> prescription_pb2.Hold | None:
    return None if hold is None else prescription_pb2.Hold(reason=w.reason_to(hold.reason), until=w.date_to(hold.until))


_content_to: Final = ByIdentity(content_to_reply, REMEMBERED_MAX)
_signature_to: Final = ByIdentity(_new_signature, REMEMBERED_MAX)
_dispense_to: Final = ByIdentity(dispense_to, REMEMBERED_MAX)
