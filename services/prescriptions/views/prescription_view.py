"""``prescription_view``: one row for each prescription, to fetch it and to list by filter and order."""

import re
from functools import lru_cache
from typing import Any, Final

from eventkernel.filters import Contains, Filter, In, IsNull, Row
from eventkernel.following import in_context
from eventkernel.view import Column, ColumnType, Index, TableKind, View
from prescriptions.domain.state import LIVE, Prescription
from prescriptions.domain.values import Coding, PrescriptionContent
from prescriptions.views.record import CATEGORIES, NOTHING, RECORD_CODEC, STEPS_MAX, PrescriptionRecord, fold
from prescriptions.views.supply import pharmacy_key

_HAS_ISSUED: Final = IsNull("issued_at", null=False)
_HAS_EXPIRY: Final = IsNull("expires_at", null=False)
IS_LIVE: Final = In("status", tuple(sorted(status.name for status in LIVE)))
"""Released and not at an end. A filter with this very part finds the index of what is about to expire."""


@lru_cache(STEPS_MAX)
def rows(record: PrescriptionRecord) -> tuple[dict[str, Any], ...]:
    """The prescription's row. Kept for a while: what a step brings, the next one takes away."""
    return ({**columns_of(record), "document": record.document},) if record.version else ()


def columns_of(record: PrescriptionRecord) -> dict[str, Any]:
    """What a prescription is found and sorted by: its row without the document."""
    state, content = record.state, record.state.written
    return {
        "prescription_id": record.prescription_id,
        "status": state.status.name,
        "schedule": content.schedule.name,
        "patient_id": content.patient_id,
        "prescriber_id": content.prescriber.id,
        "holder_id": _or_none(pharmacy_key(state.claim.pharmacy if state.claim else None)),
        "nominated_id": _or_none(pharmacy_key(state.nominated or content.nominated)),
        "dispenser_id": _or_none(pharmacy_key(state.dispenses[-1].pharmacy if state.dispenses else None)),
        "group_id": _or_none(content.group_id),
        "medication_codes": codes_text(content.medication),
        "search_text": search_text(content),
        "has_refills": has_refills(state),
        "created_at": record.created_at,
        "updated_at": record.occurred_at,
        "issued_at": state.issued_at,
        "expires_at": state.expires_at,
    }


def has_refills(state: Prescription) -> bool:
    """Whether fills may still follow the one that is current or next: as ``refills_remaining`` of the message says."""
    return state.refills_remaining > 0


@lru_cache(STEPS_MAX)
def codes_text(codings: tuple[Coding, ...]) -> str:
    """All codings as one text in which ``code_filter`` finds one exactly."""
    return "".join(f"\n{_exact(coding.code)}\t{_exact(coding.system)}\n" for coding in codings)


def code_filter(code: str, system: str = "", *, column: str = "medication_codes") -> Filter:
    """Rows with this code, in any system or in this one."""
    return Contains(column, f"\n{_exact(code)}\t" + (f"{_exact(system)}\n" if system else ""))


def search_text(content: PrescriptionContent) -> str:
    """What a text search looks through, with all letters folded."""
    parts = (content.medication_text, *(coding.display for coding in content.medication), content.dosage.text)
    return "\n".join(part for part in parts if part).casefold()


def text_filter(text: str) -> Filter:
    """Prescriptions that have this in their medication's text, its displays or its dosage, whatever the case."""
    return Contains("search_text", text.casefold())


def _exact(text: str) -> str:
    """Marks capitals, because ``Contains`` would take ``a`` for ``A``; and leaves no room for the delimiters."""
    return re.sub(r"([A-Z^])", r"^\1", text).replace("\n", " ").replace("\t", " ")


def _or_none(text: str) -> str | None:
    return text or None


def _by(column: str) -> Index:
    return Index((column, "updated_at", "prescription_id"))


def _by_known(column: str) -> Index:
    return Index((column, "updated_at", "prescription_id"), where=IsNull(column, null=False))


PRESCRIPTION_VIEW: Final = in_context(
    View(
        name="prescription_view",
        version=1,
        kind=TableKind.OWNED,
        categories=CATEGORIES,
        columns=(
            Column("prescription_id", ColumnType.TEXT),
            Column("status", ColumnType.TEXT),
            Column("schedule", ColumnType.TEXT),
            Column("patient_id", ColumnType.TEXT),
            Column("prescriber_id", ColumnType.TEXT),
            Column("holder_id", ColumnType.TEXT, nullable=True),
            Column("nominated_id", ColumnType.TEXT, nullable=True),
            Column("dispenser_id", ColumnType.TEXT, nullable=True),
            Column("group_id", ColumnType.TEXT, nullable=True),
            Column("medication_codes", ColumnType.TEXT),
            Column("search_text", ColumnType.TEXT),
            Column("has_refills", ColumnType.BOOLEAN),
            Column("created_at", ColumnType.TIME),
            Column("updated_at", ColumnType.TIME),
            Column("issued_at", ColumnType.TIME, nullable=True),
            Column("expires_at", ColumnType.TIME, nullable=True),
            Column("document", ColumnType.BYTES),
        ),
        key=("prescription_id",),
        indexes=(
            Index(("updated_at", "prescription_id")),
            _by("status"),
            _by("patient_id"),
            _by("prescriber_id"),
            _by_known("holder_id"),
            _by_known("nominated_id"),
            _by_known("dispenser_id"),
            _by_known("group_id"),
            Index(("issued_at", "prescription_id"), where=_HAS_ISSUED),
            Index(("expires_at", "prescription_id"), where=_HAS_EXPIRY),
            Index(("expires_at", "prescription_id"), where=IS_LIVE),
        ),
        initial=NOTHING,
        fold=fold,
        rows=rows,
        codec=RECORD_CODEC,
    )
)


def record_of(row: Row) -> PrescriptionRecord:
    """The record that a row carries."""
    return RECORD_CODEC.decode(row["document"])
