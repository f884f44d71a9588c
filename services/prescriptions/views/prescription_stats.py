"""``prescription_stats``: sums over all prescriptions of a tenant, each the total of what every prescription contributes.

A row is (kind, key, subkey) → (count, quantity). What was undone is not contributed any more: a reversed dispense leaves the
totals, its medication and the day on which it had been made, and remains as a reversal.

======================  ==========================  ======================  ==========================================
kind                    key                         subkey                  count (quantity where it says so)
======================  ==========================  ======================  ==========================================
``total``               a ``Happened``, lower case                          prescriptions, dispenses, …
``status``              status                                              prescriptions
``schedule``            schedule                                            prescriptions
``prescribed``          medication                  display                 prescriptions
``filled``              medication                  display                 fills
``dispensed``           medication                  unit                    hand-outs; their quantity
``day``                 day (UTC), ISO 8601         one of ``Happened``     what happened
``reason:cancelled``    reason                      display                 prescriptions
``reason:…``            the same for ``not_dispensed``
``issue_to_claim``      bucket of ``durations``                             prescriptions
``claim_to_dispense``   bucket of ``durations``                             claims
======================  ==========================  ======================  ==========================================
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from eventkernel.following import in_context
from eventkernel.view import Column, ColumnType, TableKind, View
from eventkernel.view_sums import EXACT
from prescriptions.domain.state import Status
from prescriptions.domain.values import Coding, PrescriptionContent, Quantity, Reason
from prescriptions.views import durations
from prescriptions.views.record import (
    CATEGORIES,
    NOTHING,
    RECORD_CODEC,
    STEPS_MAX,
    Happened,
    Moment,
    PrescriptionRecord,
    fold,
)

ZERO: Final = Decimal(0)


class Kind:
    """What a row counts by. Texts, not an Enum: they are hashed many times for every event."""

    TOTAL: Final = "total"
    STATUS: Final = "status"
    SCHEDULE: Final = "schedule"
    PRESCRIBED: Final = "prescribed"
    FILLED: Final = "filled"
    DISPENSED: Final = "dispensed"
    DAY: Final = "day"
    CANCELLED_REASON: Final = "reason:cancelled"
    NOT_DISPENSED_REASON: Final = "reason:not_dispensed"
    ISSUE_TO_CLAIM: Final = "issue_to_claim"
    CLAIM_TO_DISPENSE: Final = "claim_to_dispense"


_REASONS: Final = {Status.CANCELLED: Kind.CANCELLED_REASON, Status.NOT_DISPENSED: Kind.NOT_DISPENSED_REASON}


@lru_cache(STEPS_MAX)
def rows(record: PrescriptionRecord) -> tuple[dict[str, Any], ...]:
    """What the prescription contributes. Kept for a while: what a step adds, the next one takes away."""
    if record.version == 0:
        return ()
    state, content = record.state, record.state.written
    counts: dict[tuple[str, str, str], int] = defaultdict(int)
    quantities: dict[tuple[str, str, str], Decimal] = {}
    counts[Kind.STATUS, state.status.name, ""] = 1
    counts[Kind.SCHEDULE, content.schedule.name, ""] = 1
    medication, display = medication_of(content)
    counts[Kind.PRESCRIBED, medication, display] = 1
    if fills := sum(not dispense.partial for dispense in state.dispenses):
        counts[Kind.FILLED, medication, display] = fills
    for dispense in state.dispenses:
        place = (Kind.DISPENSED, medication, unit_of(dispense.quantity))
        counts[place] += 1
        quantities[place] = EXACT.add(quantities.get(place, ZERO), dispense.quantity.value)
    if (reason := _REASONS.get(state.status)) is not None:
        counts[reason, *reason_of(state.end_reason)] = 1
    for moment in standing_moments(record):
        what = moment.what.name.lower()
        counts[Kind.TOTAL, what, ""] += 1
        counts[Kind.DAY, _day(moment.at.toordinal()), what] += 1
    for waited, bucket in waits(record):
        counts[waited, str(bucket), ""] += 1
    return tuple(
        {
            "kind": kind,
            "key": key,
            "subkey": subkey,
            "count": count,
            "quantity": quantities.get((kind, key, subkey), ZERO),
        }
        for (kind, key, subkey), count in counts.items()
    )


@lru_cache(10_000)
def _day(ordinal: int) -> str:
    return date.fromordinal(ordinal).isoformat()


def standing_moments(record: PrescriptionRecord) -> Iterator[Moment]:
    """All that happened, without the dispenses that were undone."""
    undone = {dispense.dispense_id for dispense in record.reversed_dispenses}
    for moment in record.moments:
        if moment.what is Happened.REVERSED or moment.dispense_id not in undone:
            yield moment


def waits(record: PrescriptionRecord) -> Iterator[tuple[str, int]]:
    """How long it took, as buckets: from the release to the first claim, from each claim to its first hand-out."""
    issued: Moment | None = None
    claimed: Moment | None = None
    for moment in standing_moments(record):
        match moment.what:
            case Happened.ISSUED:
                issued = moment
            case Happened.CLAIMED:
                if issued is not None:
                    yield Kind.ISSUE_TO_CLAIM, durations.bucket_of(moment.at - issued.at)
                issued, claimed = None, moment
            case Happened.PART | Happened.FILL:
                if claimed is not None:
                    yield Kind.CLAIM_TO_DISPENSE, durations.bucket_of(moment.at - claimed.at)
                claimed = None
            case _:
                pass


def medication_of(content: PrescriptionContent) -> tuple[str, str]:
    """Key and display of the medication: its first code, else its text alone."""
    if content.medication:
        first = content.medication[0]
        return _packed(first.system, first.code), first.display
    return _packed(content.medication_text), ""


def unit_of(quantity: Quantity) -> str:
    """The unit as a key."""
    return _packed(quantity.unit_system, quantity.unit_code, quantity.unit_text)


def reason_of(reason: Reason | None) -> tuple[str, str]:
    """Key and display of a reason: its code where there is one, else its text alone."""
    if reason is not None and reason.coding is not None and reason.coding.code:
        return _packed(reason.coding.system, reason.coding.code), reason.coding.display
    return _packed(reason.text if reason else ""), ""


def coding_and_text(key: str, display: str) -> tuple[Coding | None, str]:
    """What a key of ``medication_of`` or ``reason_of`` stands for."""
    match json.loads(key):
        case [system, code]:
            return Coding(system, code, display), ""
        case [text]:
            return None, text
        case _:
            raise ValueError(f"{key!r} is no key of a coding or a text")


def quantity_of(key: str, value: Decimal) -> Quantity:
    """So much in the unit of this key."""
    system, code, text = json.loads(key)
    return Quantity(value, code, system, text)


@lru_cache(10_000)
def _packed(*parts: str) -> str:
    return json.dumps(parts, ensure_ascii=False, separators=(",", ":"))


PRESCRIPTION_STATS: Final = in_context(
    View(
        name="prescription_stats",
        version=1,
        kind=TableKind.SUMMED,
        categories=CATEGORIES,
        columns=(
            Column("kind", ColumnType.TEXT),
            Column("key", ColumnType.TEXT),
            Column("subkey", ColumnType.TEXT),
            Column("count", ColumnType.INTEGER),
            Column("quantity", ColumnType.DECIMAL),
        ),
        key=("kind", "key", "subkey"),
        indexes=(),
        initial=NOTHING,
        fold=fold,
        rows=rows,
        codec=RECORD_CODEC,
    )
)
