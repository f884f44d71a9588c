"""The read models of prescriptions: pure folds of events into rows, declared once for every store (docs/queries.md)."""

from typing import Any, Final

from eventkernel.view import View
from prescriptions.views.access_log import ACCESS_LOG
from prescriptions.views.dispense_fact import DISPENSE_FACT
from prescriptions.views.medication_list import MEDICATION_LIST
from prescriptions.views.pharmacy_queue import PHARMACY_QUEUE
from prescriptions.views.prescriber_inbox import PRESCRIBER_INBOX
from prescriptions.views.prescription_stats import PRESCRIPTION_STATS
from prescriptions.views.prescription_view import PRESCRIPTION_VIEW
from prescriptions.views.refill_due import REFILL_DUE

VIEWS: Final[tuple[View[Any, Any], ...]] = (
    PRESCRIPTION_VIEW,
    MEDICATION_LIST,
    PHARMACY_QUEUE,
    PRESCRIPTION_STATS,
    PRESCRIBER_INBOX,
    REFILL_DUE,
    DISPENSE_FACT,
)
"""All of them; a projector folds each event into every one, in one transaction."""

__all__ = [
    "ACCESS_LOG",
    "DISPENSE_FACT",
    "MEDICATION_LIST",
    "PHARMACY_QUEUE",
    "PRESCRIBER_INBOX",
    "PRESCRIPTION_STATS",
    "PRESCRIPTION_VIEW",
    "REFILL_DUE",
    "VIEWS",
]
