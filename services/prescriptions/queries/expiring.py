"""FetchExpiringSoon: what runs out of time within a span from now, from ``prescription_view``."""

from datetime import timedelta
from typing import Final

from erx.prescriptions.v1 import worklists_pb2
from eventkernel.errors import InvalidCommand
from eventkernel.filters import All, AnyOf, Eq, Filter, Order, Query, Range
from eventkernel_grpc.call import CallContext
from eventkernel_grpc.wire_types import from_duration
from prescriptions.queries.consistency import answering, demand_of
from prescriptions.queries.paging import asked_page
from prescriptions.queries.sources import PHARMACY_COLUMNS, Sources
from prescriptions.views.prescription_view import IS_LIVE, PRESCRIPTION_VIEW, record_of
from prescriptions.wire.query_replies import record_to

WITHIN_MAX: Final = timedelta(days=3_650)

_FIRST_FIRST: Final = Order(("expires_at", "prescription_id"))
_MICROSECOND: Final = timedelta(microseconds=1)


async def fetch_expiring_soon(
    sources: Sources, call: CallContext, request: worklists_pb2.FetchExpiringSoonRequest
) -> worklists_pb2.FetchExpiringSoonResponse:
    """One page of what is released and not at an end, the one that expires first first."""
    within = from_duration(request.within, "within")
    if not timedelta(0) < within <= WITHIN_MAX:
        raise InvalidCommand("within", f"must be more than nothing and at most {WITHIN_MAX.days} days")
    demand = demand_of(call, request)
    narrowed = All((IS_LIVE, *_whose(request)))
    scope = f"{PRESCRIPTION_VIEW.table}/expiring/{within}/{request.include_overdue}"
    question = Query(call.tenant, narrowed, _FIRST_FIRST)
    asked = asked_page(sources, question, size=request.page_size, token=request.page_token, scope=scope)
    now = sources.clock.now()
    end = now + within + _MICROSECOND
    soon = Range("expires_at", None if request.include_overdue else now + _MICROSECOND, end)
    async with answering(sources, PRESCRIPTION_VIEW, call, demand) as (reading, made):
        page = await asked.select(reading, PRESCRIPTION_VIEW, All((*narrowed.parts, soon)))
    return worklists_pb2.FetchExpiringSoonResponse(
        as_of=made,
        next_page_token=page.next_page_token,
        prescriptions=[record_to(record_of(row)) for row in page.rows],
    )


def _whose(request: worklists_pb2.FetchExpiringSoonRequest) -> list[Filter]:
    ids = {"prescriber_id": request.prescriber_id, "patient_id": request.patient_id}
    parts: list[Filter] = [Eq(column, value) for column, value in ids.items() if value]
    if request.pharmacy_id:
        parts.append(AnyOf(tuple(Eq(column, request.pharmacy_id) for column in PHARMACY_COLUMNS)))
    return parts
