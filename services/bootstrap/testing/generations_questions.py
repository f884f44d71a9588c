"""Every question of the query service, about prescriptions that the first version wrote; and what it could not say of them."""

from collections.abc import Iterator
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.type.date_pb2 import Date

from erx.prescriptions.types.v1 import enums_pb2
from erx.prescriptions.v1 import (
    dispenses_pb2,
    filters_pb2,
    prescription_pb2,
    query_service_pb2,
    statistics_pb2,
    worklists_pb2,
)

PAGE: Final = 100
Question = tuple[str, Any]


def questions(prescription_id: str) -> Iterator[Question]:
    """Method and request of each: those about one prescription, and those about all."""
    q = query_service_pb2
    yield "FetchPrescription", q.FetchPrescriptionRequest(prescription_id=prescription_id)
    yield "FetchHistory", q.FetchHistoryRequest(prescription_id=prescription_id)
    yield "FetchHistory", q.FetchHistoryRequest(prescription_id=prescription_id, page_size=2, after_sequence=2)
    yield "FetchAsOf", q.FetchAsOfRequest(prescription_id=prescription_id, version=2)
    for order in filters_pb2.PrescriptionOrder.values():
        listed = q.FetchAllPrescriptionsRequest(page_size=PAGE, order_by=order, include_total=True)
        yield "FetchAllPrescriptions", listed
    for filter_ in (
        filters_pb2.PrescriptionFilter(prescriber_id="dr-grey"),
        filters_pb2.PrescriptionFilter(text="kapseln"),
        filters_pb2.PrescriptionFilter(has_refills=True),
        filters_pb2.PrescriptionFilter(schedules=[enums_pb2.SCHEDULE_IV]),
        filters_pb2.PrescriptionFilter(statuses=[enums_pb2.PRESCRIPTION_STATUS_AWAITING_REFILL]),
    ):
        yield "FetchAllPrescriptions", q.FetchAllPrescriptionsRequest(page_size=PAGE, filter=filter_)
    yield "FetchMedicationList", q.FetchMedicationListRequest(patient_id="patient-1", include_inactive=True)
    yield "FetchPharmacyQueue", q.FetchPharmacyQueueRequest(pharmacy_id="9900007", page_size=PAGE)
    yield "FetchByPrescriber", worklists_pb2.FetchByPrescriberRequest(prescriber_id="dr-grey", page_size=PAGE)
    soon = worklists_pb2.FetchExpiringSoonRequest(within=Duration(seconds=86_400), include_overdue=True, page_size=PAGE)
    yield "FetchExpiringSoon", soon
    day = Date(year=2012, month=6, day=1)
    yield "FetchDueRefills", worklists_pb2.FetchDueRefillsRequest(day=day, page_size=PAGE)
    yield "FetchDispenses", dispenses_pb2.FetchDispensesRequest(page_size=PAGE)
    yield "FetchDispenses", dispenses_pb2.FetchDispensesRequest(lot="LOT-7", page_size=PAGE)
    yield "FetchStatistics", statistics_pb2.FetchStatisticsRequest()


def unknown_in(answer: Message) -> Iterator[str]:
    """What an answer says of contents although the first version could not say it."""
    for content in _contents(answer):
        said = {
            "a patient's id": content.patient_id,
            "a unit": content.quantity.unit_code or content.quantity.unit_system or content.quantity.unit_text,
            "substitution": content.substitution,
            "how long a fill lasts": content.HasField("days_supply"),
            "a reason": content.HasField("reason"),
            "an NPI of a pharmacy": content.nominated.npi,
        }
        yield from (what for what, value in said.items() if value)


def _contents(message: Message) -> Iterator[prescription_pb2.PrescriptionContent]:
    if isinstance(message, prescription_pb2.PrescriptionContent):
        yield message
        return
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None:
            for item in value if descriptor.is_repeated else [value]:
                yield from _contents(item)
