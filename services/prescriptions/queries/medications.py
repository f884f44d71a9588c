"""FetchMedicationList: a patient's rows of ``medication_list``, one entry for each medication."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from itertools import groupby
from typing import Final

from erx.prescriptions.v1 import query_service_pb2
from eventkernel.filters import Eq, Order, Query, Row
from eventkernel_grpc.call import CallContext
from eventkernel_grpc.pages import page_size
from prescriptions.queries.consistency import answering, demand_of
from prescriptions.queries.sources import PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, Sources, every_row
from prescriptions.views.medication_list import MEDICATION_LIST
from prescriptions.views.record import RECORD_CODEC, PrescriptionRecord
from prescriptions.wire.query_replies import medication_to

_READ: Final = Order(("medication_code", "prescription_id"))
_SHOWN: Final = Order(("medication_text", "medication_code"))


async def fetch_medication_list(
    sources: Sources, call: CallContext, request: query_service_pb2.FetchMedicationListRequest
) -> query_service_pb2.FetchMedicationListResponse:
    """One page of medications by their text, those that are active unless all are asked for."""
    size = page_size(request.page_size, default=PAGE_SIZE_DEFAULT, at_most=PAGE_SIZE_MAX)
    demand = demand_of(call, request)
    of_patient = Eq("patient_id", request.patient_id)
    scope = f"{MEDICATION_LIST.table}/{request.include_inactive}"
    paged = Query(call.tenant, of_patient, _SHOWN)
    after = sources.pages.decode(paged, request.page_token, scope=scope)
    async with answering(sources, MEDICATION_LIST, call, demand) as (reading, made):
        query = Query(call.tenant, of_patient, _READ)
        rows = [row.values async for row in every_row(reading, MEDICATION_LIST, query)]
    groups = [_newest_first(group) for _, group in groupby(rows, key=lambda row: row["medication_code"])]
    if not request.include_inactive:
        groups = [group for group in groups if _is_active(group)]
    places = sorted((_place(group), number) for number, group in enumerate(groups))
    left = [(place, groups[number]) for place, number in places if after is None or place > after]
    page = left[:size]
    more = len(left) > size
    today = sources.clock.now().date()
    return query_service_pb2.FetchMedicationListResponse(
        as_of=made,
        next_page_token=sources.pages.encode(paged, page[-1][0], scope=scope) if more else "",
        medications=[_entry(group, today) for _, group in page],
    )


def _newest_first(group: Iterable[Row]) -> list[Row]:
    """The prescriptions of one medication; of those written at one moment the one with the higher id counts as newer."""
    return sorted(group, key=lambda row: (row["created_at"], row["prescription_id"]), reverse=True)


def _is_active(group: Sequence[Row]) -> bool:
    return any(row["active"] for row in group)


def _place(group: Sequence[Row]) -> tuple[str, str]:
    """What the list is sorted and paged by: the text without case, then the code."""
    return group[0]["medication_text"].casefold(), group[0]["medication_code"]


def _entry(group: Sequence[Row], today: date) -> query_service_pb2.MedicationListEntry:
    current = next((row for row in group if row["active"]), group[0])
    dispensed = [row for row in group if row["last_handed_over_at"] is not None]
    last = max(dispensed, key=_handed_over_at) if dispensed else None
    return medication_to(
        _record(current),
        _record(last) if last else None,
        [row["prescription_id"] for row in group],
        text=group[0]["medication_text"],
        active=_is_active(group),
        updated_at=max(row["updated_at"] for row in group),
        today=today,
    )


def _handed_over_at(row: Row) -> datetime:
    moment: datetime = row["last_handed_over_at"]
    return moment


def _record(row: Row) -> PrescriptionRecord:
    return RECORD_CODEC.decode(row["document"])
