"""FetchDispenses: what was handed out, by product, lot, pharmacy, person and day, from ``dispense_fact``."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from erx.prescriptions.v1 import dispenses_pb2, filters_pb2
from eventkernel.errors import InvalidCommand
from eventkernel.filters import All, Eq, Filter, Order, Query, Range
from eventkernel_grpc.call import CallContext
from eventkernel_grpc.wire_types import from_date
from prescriptions.queries.consistency import answering, demand_of
from prescriptions.queries.paging import asked_page
from prescriptions.queries.sources import Sources
from prescriptions.views.dispense_fact import DISPENSE_FACT, dispense_of, lot_filter, product_filter
from prescriptions.wire.worklist_replies import dispense_fact_to

_BY_TIME: Final = ("dispensed_at", "prescription_id", "dispense_id")


async def fetch_dispenses(
    sources: Sources, call: CallContext, request: dispenses_pb2.FetchDispensesRequest
) -> dispenses_pb2.FetchDispensesResponse:
    """One page, the newest first unless asked otherwise."""
    demand = demand_of(call, request)
    ascending = request.direction == filters_pb2.SORT_DIRECTION_ASCENDING
    question = Query(call.tenant, filter_from(request), Order(_BY_TIME, descending=not ascending))
    scope = DISPENSE_FACT.table
    asked = asked_page(sources, question, size=request.page_size, token=request.page_token, scope=scope)
    async with answering(sources, DISPENSE_FACT, call, demand) as (reading, made):
        page = await asked.select(reading, DISPENSE_FACT)
        total = await reading.count(DISPENSE_FACT, question) if request.include_total else None
    return dispenses_pb2.FetchDispensesResponse(
        as_of=made,
        next_page_token=page.next_page_token,
        dispenses=[dispense_fact_to(row, dispense_of(row)) for row in page.rows],
        total_size=total,
    )


def filter_from(request: dispenses_pb2.FetchDispensesRequest) -> Filter:
    """What is asked for as the view's columns have it. Raises ``InvalidCommand`` for what cannot be."""
    parts: list[Filter] = []
    if request.lot:
        if not request.lot.strip():
            raise InvalidCommand("lot", "must have something but spaces")
        parts.append(lot_filter(request.lot))
    ids = {column: getattr(request, column) for column in ("pharmacy_id", "patient_id", "prescriber_id")}
    parts += [Eq(column, value) for column, value in ids.items() if value]
    if request.HasField("reversed"):
        parts.append(Eq("reversed", request.reversed))
    if request.HasField("first_day") or request.HasField("last_day"):
        parts.append(_days_from(request))
    if request.product_code:
        parts.append(product_filter(request.product_code, request.product_system))
    elif request.product_system:
        raise InvalidCommand("product_system", "says which system product_code is of, and needs one")
    return All(tuple(parts))


def _days_from(request: dispenses_pb2.FetchDispensesRequest) -> Filter:
    first = from_date(request.first_day, "first_day") if request.HasField("first_day") else None
    last = from_date(request.last_day, "last_day") if request.HasField("last_day") else None
    if first is not None and last is not None and first > last:
        raise InvalidCommand("last_day", "must not be before first_day")
    after = None if last is None or last == date.max else _begin(last + timedelta(days=1))
    return Range("dispensed_at", None if first is None else _begin(first), after)


def _begin(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
