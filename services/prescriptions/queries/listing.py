"""FetchAllPrescriptions: filters, orders and pages over ``prescription_view``."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from erx.prescriptions.v1 import filters_pb2, query_service_pb2
from eventkernel.errors import InvalidCommand
from eventkernel.filters import All, AnyOf, Eq, Filter, In, Order, Query, Range
from eventkernel_grpc.call import CallContext
from eventkernel_grpc.wire_types import from_timestamp
from prescriptions.queries.consistency import answering, demand_of
from prescriptions.queries.listing_as_of import fetch_all_as_of
from prescriptions.queries.paging import asked_page
from prescriptions.queries.restricted import viewer_in
from prescriptions.queries.sources import PHARMACY_COLUMNS, Sources
from prescriptions.views.prescription_view import PRESCRIPTION_VIEW, code_filter, record_of, text_filter
from prescriptions.wire.query_replies import record_to
from prescriptions.wire.values import SCHEDULE_FROM, STATUS_FROM

_ORDERED_BY: Final = {
    filters_pb2.PRESCRIPTION_ORDER_UNSPECIFIED: "updated_at",
    filters_pb2.PRESCRIPTION_ORDER_UPDATE_TIME: "updated_at",
    filters_pb2.PRESCRIPTION_ORDER_ISSUE_TIME: "issued_at",
    filters_pb2.PRESCRIPTION_ORDER_EXPIRE_TIME: "expires_at",
}


async def fetch_all_prescriptions(
    sources: Sources, call: CallContext, request: query_service_pb2.FetchAllPrescriptionsRequest
) -> query_service_pb2.FetchAllPrescriptionsResponse:
    """One page of those that fit, the newest first unless asked otherwise."""
    question = Query(call.tenant, filter_from(request.filter), _order_from(request))
    if request.WhichOneof("point") is not None:
        viewer = viewer_in(sources, call)
        if viewer is not None:
            question = replace(question, where=All((question.where, viewer.rows(PRESCRIPTION_VIEW))))
        return await fetch_all_as_of(sources, call, request, question)
    demand = demand_of(call, request)
    scope = PRESCRIPTION_VIEW.table
    asked = asked_page(sources, question, size=request.page_size, token=request.page_token, scope=scope)
    async with answering(sources, PRESCRIPTION_VIEW, call, demand) as (reading, made):
        page = await asked.select(reading, PRESCRIPTION_VIEW)
        total = await reading.count(PRESCRIPTION_VIEW, question) if request.include_total else None
    return query_service_pb2.FetchAllPrescriptionsResponse(
        as_of=made,
        next_page_token=page.next_page_token,
        prescriptions=[record_to(record_of(row)) for row in page.rows],
        total_size=total,
    )


def filter_from(asked: filters_pb2.PrescriptionFilter) -> Filter:
    """The filter as the view's columns have it. Raises ``InvalidCommand`` for what cannot be."""
    parts: list[Filter] = []
    if asked.statuses:
        parts.append(In("status", tuple(STATUS_FROM[status].name for status in asked.statuses)))
    if asked.schedules:
        parts.append(In("schedule", tuple(SCHEDULE_FROM[schedule].name for schedule in asked.schedules)))
    ids = {column: getattr(asked, column) for column in ("patient_id", "prescriber_id", "group_id")}
    parts += [Eq(column, value) for column, value in ids.items() if value]
    if asked.pharmacy_id:
        parts.append(AnyOf(tuple(Eq(column, asked.pharmacy_id) for column in PHARMACY_COLUMNS)))
    if asked.medication_code:
        parts.append(code_filter(asked.medication_code, asked.medication_system))
    elif asked.medication_system:
        raise InvalidCommand("filter.medication_system", "says which system medication_code is of, and needs one")
    if asked.HasField("issue_time"):
        parts.append(_range_from("issued_at", "filter.issue_time", asked.issue_time))
    if asked.HasField("expire_time"):
        parts.append(_range_from("expires_at", "filter.expire_time", asked.expire_time))
    if asked.HasField("update_time"):
        parts.append(_range_from("updated_at", "filter.update_time", asked.update_time))
    if asked.HasField("has_refills"):
        parts.append(Eq("has_refills", asked.has_refills))
    if asked.text:
        parts.append(text_filter(asked.text))
    return All(tuple(parts))


def _range_from(column: str, field: str, asked: filters_pb2.TimeRange) -> Filter:
    return Range(
        column,
        _moment(asked.start_time, f"{field}.start_time") if asked.HasField("start_time") else None,
        _moment(asked.end_time, f"{field}.end_time") if asked.HasField("end_time") else None,
    )


def _moment(value: Timestamp, field: str) -> datetime:
    return from_timestamp(value, field)


def _order_from(request: query_service_pb2.FetchAllPrescriptionsRequest) -> Order:
    ascending = request.direction == filters_pb2.SORT_DIRECTION_ASCENDING
    return Order((_ORDERED_BY[request.order_by], "prescription_id"), descending=not ascending)
