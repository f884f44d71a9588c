"""The aggregate as callers see it: one mapping for command replies, queries and as-of reads.

Parts that stay the same from one version to the next are encoded once: messages that are given to another one are copied
into it, which costs a tenth of making them.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from erx.prescriptions.types.v1 import values_pb2
from erx.prescriptions.v1 import prescription_pb2
from eventkernel.remembered import ByIdentity
from prescriptions.domain.hashing import content_sha256
from prescriptions.domain.state import TERMINAL, Claim, Dispense, Hold, Prescription, Signature
from prescriptions.domain.values import PrescriptionContent
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
    return prescription_pb2.Prescription(
        **prescription_fields(
            state,
            prescription_id=prescription_id,
            version=version,
            created_at=created_at,
            occurred_at=occurred_at,
            recorded_at=recorded_at,
            allowed=allowed,
        )
    )


def prescription_fields(
    state: Prescription,
    *,
    prescription_id: str,
    version: int,
    created_at: datetime,
    occurred_at: datetime,
    recorded_at: datetime,
    allowed: Sequence[str],
) -> dict[str, Any]:
    """The same as what a message that holds it takes in its place: it is then made where it belongs, and not copied there."""
    content = state.written
    signed_hash = state.signature.content_sha256 if state.signature else content_sha256(content)
    owed = state.refills_remaining >= 0
    dispensed, remaining = _untouched_to(content)
    if state.dispenses:
        dispensed = w.quantity_to(content.quantity.of(state.dispensed_this_fill))
        remaining = w.quantity_to(content.quantity.of(state.remaining_this_fill))
    return {
        "prescription_id": prescription_id,
        "status": w.STATUS_TO[state.status],
        "version": version,
        "content": _content_to(content),
        "content_sha256": signed_hash,
        "signature": _signature_to(state.signature) if state.signature else None,
        "create_time": _time(created_at),
        "issue_time": _time(state.issued_at),
        "expire_time": _time(state.expires_at),
        "expire_text": state.expires_text,
        "update_time": _time(occurred_at),
        "record_time": _time(recorded_at),
        "written_date": w.date_to(state.written_date),
        "nominated_pharmacy": w.pharmacy_to(state.nominated),
        "claim": _claim_to(state.last_claim, active=state.claim_open),
        "dispenses": [_dispense_to(dispense) for dispense in state.dispenses],
        "refills_allowed": content.refills_allowed,
        "fills_done": state.fills_done,
        "refills_remaining": max(state.refills_remaining, 0),
        "quantity_dispensed_this_fill": dispensed,
        "quantity_remaining_this_fill": remaining if owed else None,
        "first_partial_time": _time(state.first_partial_at) if state.dispenses else None,
        "hold": _hold_to(state.hold),
        "end_reason": w.reason_to(state.end_reason),
        "end_time": _time(occurred_at) if state.status in TERMINAL else None,
        "quantity_forfeited": w.quantity_to(state.quantity_forfeited),
        "allowed_commands": allowed,
    }


def _time(moment: datetime | None) -> dict[str, int] | None:
    """The fields of a ``Timestamp``, as ``time_to`` gives them in a message."""
    if moment is None:
        return None
    since = moment - _EPOCH
    return {"seconds": since.days * 86_400 + since.seconds, "nanos": since.microseconds * 1_000}


def _new_untouched(content: PrescriptionContent) -> tuple[values_pb2.Quantity, values_pb2.Quantity]:
    """How much of a fill was handed out and is owed while nothing was."""
    quantity = content.quantity
    return w.quantity_to(quantity.of(Decimal(0))), w.quantity_to(quantity.of(max(quantity.value, Decimal(0))))


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


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_untouched_to: Final = ByIdentity(_new_untouched, REMEMBERED_MAX)
_content_to: Final = ByIdentity(content_to_reply, REMEMBERED_MAX)
_signature_to: Final = ByIdentity(_new_signature, REMEMBERED_MAX)
_dispense_to: Final = ByIdentity(dispense_to, REMEMBERED_MAX)
