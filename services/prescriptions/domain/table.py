"""The transition table of a prescription: which command is heard in which status, by whom, and what comes of it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from eventkernel.table import Transition, TransitionTable
from prescriptions.domain import commands as c
from prescriptions.domain import errors as e
from prescriptions.domain import events as ev
from prescriptions.domain.decisions import claiming, dispensing, ending, writing
from prescriptions.domain.errors import RefusalName
from prescriptions.domain.facts import Facts
from prescriptions.domain.state import HELD, LIVE, Prescription, Status

Cell: TypeAlias = tuple[Status, type[Any]]
Refuse: TypeAlias = Callable[[Prescription, Any, Facts], None]

_UNCLAIMED: Final = frozenset({Status.ISSUED, Status.AWAITING_REFILL})
_FILLING: Final = frozenset({Status.WITH_PHARMACY, Status.PARTIALLY_DISPENSED})
_VOIDABLE: Final = frozenset(Status) - {Status.NONE, Status.ENTERED_IN_ERROR}

_CONTENT: Final = (
    e.PATIENT_REQUIRED,
    e.MEDICATION_REQUIRED,
    e.PRESCRIBER_REQUIRED,
    e.INVALID_NPI,
    e.INVALID_QUANTITY,
    e.INVALID_DAYS_SUPPLY,
    e.INVALID_REFILLS,
    e.REFILLS_NOT_ALLOWED,
    e.INVALID_DEA,
    e.INVALID_NCPDP_ID,
)
_PHARMACY_IDS: Final = (e.INVALID_NCPDP_ID, e.INVALID_NPI)
_HOLDER: Final = (e.ROLE_NOT_ALLOWED, e.NOT_CLAIM_HOLDER)
_DISPENSING: Final = (
    *_HOLDER,
    e.DUPLICATE_DISPENSE,
    e.PRESCRIPTION_EXPIRED,
    e.EXPIRY_UNKNOWN,
    e.PARTIAL_FILL_TOO_LATE,
    e.INVALID_QUANTITY,
    e.INVALID_DAYS_SUPPLY,
    e.UNIT_MISMATCH,
    e.PRODUCT_REQUIRED,
    e.SUBSTITUTION_NOT_ALLOWED,
    e.INVALID_NPI,
    e.QUANTITY_EXCEEDED,
    e.INVALID_HANDOVER_TIME,
)


@dataclass(frozen=True, slots=True)
class Row:
    """A transition and who may cause it. The handlers enforce the roles; ``roles`` is what readers are told."""

    roles: tuple[str, ...]
    transition: Transition[Status]


def _row(
    command: type[Any],
    *,
    roles: tuple[str, ...],
    sources: Iterable[Status],
    event: type[Any],
    targets: tuple[Status, ...],
    handler: Callable[..., Any],
    guards: tuple[RefusalName, ...],
) -> Row:
    names = tuple(guard.reason for guard in guards)
    return Row(roles, Transition(command, frozenset(sources), event, targets, handler, names))


ROWS: Final[tuple[Row, ...]] = (
    _row(
        c.CreatePrescription,
        roles=("prescriber",),
        sources={Status.NONE},
        event=ev.PrescriptionCreated,
        targets=(Status.DRAFT,),
        handler=writing.create,
        guards=(e.ROLE_NOT_ALLOWED, e.NOT_AUTHOR, *_CONTENT),
    ),
    _row(
        c.AmendPrescription,
        roles=("author",),
        sources={Status.DRAFT},
        event=ev.PrescriptionAmended,
        targets=(),
        handler=writing.amend,
        guards=(e.NOT_AUTHOR, e.PATIENT_CANNOT_CHANGE, *_CONTENT, e.NO_CHANGE),
    ),
    _row(
        c.SignPrescription,
        roles=("author",),
        sources={Status.DRAFT},
        event=ev.PrescriptionSigned,
        targets=(Status.SIGNED,),
        handler=writing.sign,
        guards=(e.NOT_AUTHOR, e.HASH_MISMATCH, e.SIGNATURE_REQUIRED, e.SIGNATURE_INVALID, e.TWO_FACTOR_REQUIRED),
    ),
    _row(
        c.IssuePrescription,
        roles=("author", "agent"),
        sources={Status.SIGNED},
        event=ev.PrescriptionIssued,
        targets=(Status.ISSUED,),
        handler=writing.issue,
        guards=(e.NOT_AUTHOR, e.HASH_MISMATCH, *_PHARMACY_IDS, e.EARLIEST_FILL_AFTER_EXPIRY),
    ),
    _row(
        c.NominatePharmacy,
        roles=("patient", "representative", "author"),
        sources=_UNCLAIMED,
        event=ev.PharmacyNominated,
        targets=(),
        handler=claiming.nominate,
        guards=(e.ROLE_NOT_ALLOWED, e.NOT_AUTHOR, e.NOT_PATIENT, *_PHARMACY_IDS, e.NO_CHANGE),
    ),
    _row(
        c.ClaimPrescription,
        roles=("pharmacy",),
        sources=_UNCLAIMED,
        event=ev.PrescriptionClaimed,
        targets=(Status.WITH_PHARMACY,),
        handler=claiming.claim,
        guards=(
            e.ROLE_NOT_ALLOWED,
            e.NOT_YOUR_PHARMACY,
            *_PHARMACY_IDS,
            e.PRESCRIPTION_EXPIRED,
            e.EXPIRY_UNKNOWN,
            e.NOT_YET_VALID,
            e.NOMINATED_ELSEWHERE,
            e.REFILL_TOO_SOON,
        ),
    ),
    _row(
        c.ReturnPrescription,
        roles=("claim holder",),
        sources={Status.WITH_PHARMACY},
        event=ev.PrescriptionReturned,
        targets=(Status.ISSUED, Status.AWAITING_REFILL),
        handler=claiming.give_back,
        guards=_HOLDER,
    ),
    _row(
        c.DispensePartially,
        roles=("claim holder",),
        sources=_FILLING,
        event=ev.MedicationPartiallyDispensed,
        targets=(Status.PARTIALLY_DISPENSED,),
        handler=dispensing.dispense_partially,
        guards=(*_DISPENSING, e.USE_DISPENSE, e.PARTIAL_REASON_REQUIRED),
    ),
    _row(
        c.DispenseMedication,
        roles=("claim holder",),
        sources=_FILLING,
        event=ev.MedicationDispensed,
        targets=(Status.AWAITING_REFILL, Status.COMPLETED),
        handler=dispensing.dispense,
        guards=(*_DISPENSING, e.USE_DISPENSE_PARTIALLY, e.REASON_REQUIRED),
    ),
    _row(
        c.RecordNotDispensed,
        roles=("claim holder",),
        sources={Status.WITH_PHARMACY},
        event=ev.MedicationNotDispensed,
        targets=(Status.NOT_DISPENSED,),
        handler=dispensing.record_not_dispensed,
        guards=(*_HOLDER, e.REASON_REQUIRED, e.FILL_ALREADY_BEGUN),
    ),
    _row(
        c.ReverseDispense,
        roles=("same pharmacy",),
        sources={Status.PARTIALLY_DISPENSED, Status.AWAITING_REFILL, Status.COMPLETED},
        event=ev.DispenseReversed,
        targets=(Status.WITH_PHARMACY, Status.PARTIALLY_DISPENSED),
        handler=dispensing.reverse,
        guards=(
            e.ROLE_NOT_ALLOWED,
            e.NOT_YOUR_PHARMACY,
            e.DISPENSE_UNKNOWN,
            e.DISPENSE_NOT_LAST,
            e.NOT_CLAIM_HOLDER,
            e.REVERSAL_TOO_LATE,
        ),
    ),
    _row(
        c.CancelPrescription,
        roles=("author", "others by profile"),
        sources={Status.DRAFT, Status.SIGNED, Status.ON_HOLD} | _UNCLAIMED,
        event=ev.PrescriptionCancelled,
        targets=(Status.CANCELLED,),
        handler=ending.cancel,
        guards=(e.NOT_AUTHOR, e.REASON_REQUIRED),
    ),
    _row(
        c.SuspendPrescription,
        roles=("author",),
        sources=_UNCLAIMED,
        event=ev.PrescriptionSuspended,
        targets=(Status.ON_HOLD,),
        handler=ending.suspend,
        guards=(e.NOT_AUTHOR, e.REASON_REQUIRED),
    ),
    _row(
        c.ResumePrescription,
        roles=("author",),
        sources={Status.ON_HOLD},
        event=ev.PrescriptionResumed,
        targets=(Status.ISSUED, Status.AWAITING_REFILL),
        handler=ending.resume,
        guards=(e.NOT_AUTHOR, e.PRESCRIPTION_EXPIRED, e.EXPIRY_UNKNOWN),
    ),
    _row(
        c.ExpirePrescription,
        roles=("system",),
        sources=LIVE,
        event=ev.PrescriptionExpired,
        targets=(Status.EXPIRED,),
        handler=ending.expire,
        guards=(e.ROLE_NOT_ALLOWED, e.NOT_YET_EXPIRED),
    ),
    _row(
        c.MarkEnteredInError,
        roles=("author",),
        sources=_VOIDABLE,
        event=ev.PrescriptionEnteredInError,
        targets=(Status.ENTERED_IN_ERROR,),
        handler=ending.void,
        guards=(e.NOT_AUTHOR, e.DISPENSED_CANNOT_VOID, e.REASON_REQUIRED),
    ),
)


def _better_refusals() -> Mapping[Cell, Refuse]:
    """Forbidden cells that can say more than "not in this status"."""
    cells: dict[Cell, Refuse] = {}
    for status in HELD:
        cells[status, c.ClaimPrescription] = claiming.refuse_claim_of_another
        cells[status, c.CancelPrescription] = ending.refuse_cancel_while_held
    for status in (Status.AWAITING_REFILL, Status.COMPLETED):
        cells[status, c.DispensePartially] = dispensing.refuse_seen_dispense
        cells[status, c.DispenseMedication] = dispensing.refuse_seen_dispense
    for row in ROWS:
        if Status.EXPIRED not in row.transition.sources and row.transition.command is not c.CreatePrescription:
            cells[Status.EXPIRED, row.transition.command] = ending.refuse_after_expiry
    return cells


TABLE: Final[TransitionTable[c.Command, ev.Event, Prescription, Facts, Status]] = TransitionTable(
    status_of=lambda state: state.status,
    statuses=tuple(Status),
    start=Status.NONE,
    transitions=tuple(row.transition for row in ROWS),
    refusals=_better_refusals(),
)
