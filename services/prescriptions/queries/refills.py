"""FetchDueRefills: which prescriptions' next fill has fallen due by a day, as early as the asker wants to know."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from erx.prescriptions.v1 import worklists_pb2
from eventkernel.errors import InvalidCommand
from eventkernel.filters import All, AnyOf, Eq, Filter, IsNull, Order, Query, Range, Row
from eventkernel_grpc.call import CallContext
from eventkernel_grpc.wire_types import from_date
from prescriptions.queries.consistency import answering, demand_of
from prescriptions.queries.paging import asked_page
from prescriptions.queries.sources import Sources
from prescriptions.views.record import RECORD_CODEC
from prescriptions.views.refill_due import REFILL_DUE
from prescriptions.views.supply import REFILL_LEAD_DAYS
from prescriptions.wire.worklist_replies import due_refill_to

LEAD_DAYS_MAX: Final = 365

_FIRST_FIRST: Final = Order(("runs_out_on", "prescription_id"))
_ONE_DAY: Final = timedelta(days=1)
_LATEST_DAY: Final = date.max - timedelta(days=LEAD_DAYS_MAX + 1)
"""Days from here on have no place for the lead and the day after."""


@dataclass(frozen=True, slots=True)
class Span:
    """Falling due from ``first`` (None: whenever) to ``last``, ``lead`` before the supply runs out."""

    first: date | None
    last: date
    lead: timedelta

    def filter(self) -> Filter:
        """Due is the later one of the day that is so much before the end, and the day of the hand-out."""
        by_last = [Range("runs_out_on", before=self.last + self.lead + _ONE_DAY)]
        parts: list[Filter] = [*by_last, Range("handed_over_on", before=self.last + _ONE_DAY)]
        if self.first is not None:
            parts.append(AnyOf((Range("runs_out_on", self.first + self.lead), Range("handed_over_on", self.first))))
        return All(tuple(parts))

    def due(self, row: Row) -> date:
        """The day on which a row's refill falls due."""
        end: date = row["runs_out_on"]
        handed_over: date = row["handed_over_on"]
        return max(end - self.lead, handed_over)


async def fetch_due_refills(
    sources: Sources, call: CallContext, request: worklists_pb2.FetchDueRefillsRequest
) -> worklists_pb2.FetchDueRefillsResponse:
    """One page, the supply that runs out first first. What can no longer be filled on the day, or now, is left out."""
    now = sources.clock.now()
    span = _span_from(request, now.date())
    demand = demand_of(call, request)
    ids = {column: getattr(request, column) for column in ("pharmacy_id", "patient_id", "prescriber_id")}
    whose = All(tuple(Eq(column, value) for column, value in ids.items() if value))
    days = f"{request.HasField('day') and span.last}/{span.first}/{span.lead.days}"
    asked = asked_page(
        sources,
        Query(call.tenant, whose, _FIRST_FIRST),
        size=request.page_size,
        token=request.page_token,
        scope=f"{REFILL_DUE.table}/{days}",
    )
    usable_after = max(now, datetime.combine(span.last, time.min, UTC))
    in_time = AnyOf((IsNull("expires_at"), Range("expires_at", at_least=usable_after + timedelta(microseconds=1))))
    async with answering(sources, REFILL_DUE, call, demand) as (reading, made):
        page = await asked.select(reading, REFILL_DUE, All((*whose.parts, span.filter(), in_time)))
    return worklists_pb2.FetchDueRefillsResponse(
        as_of=made,
        next_page_token=page.next_page_token,
        refills=[
            due_refill_to(RECORD_CODEC.decode(row["document"]), span.due(row), row["runs_out_on"]) for row in page.rows
        ],
    )


def _span_from(request: worklists_pb2.FetchDueRefillsRequest, today: date) -> Span:
    lead = request.lead_days if request.HasField("lead_days") else REFILL_LEAD_DAYS
    if not 0 <= lead <= LEAD_DAYS_MAX:
        raise InvalidCommand("lead_days", f"must be 0 to {LEAD_DAYS_MAX}")
    last = from_date(request.day, "day") if request.HasField("day") else today
    first = from_date(request.first_day, "first_day") if request.HasField("first_day") else None
    if last > _LATEST_DAY:
        raise InvalidCommand("day", f"must not be after {_LATEST_DAY}")
    if first is not None and first > last:
        raise InvalidCommand("first_day", "must not be after day")
    return Span(first, last, timedelta(days=lead))
