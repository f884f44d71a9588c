"""FetchPharmacyQueue: what one pharmacy has to do, by the day it is now."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import Final

from erx.prescriptions.v1 import query_service_pb2
from eventkernel.filters import All, AnyOf, Eq, Filter, In, IsNull, Order, Query, Range, Row, sort_key
from eventkernel_grpc.call import CallContext
from eventkernel_grpc.pages import page_size
from prescriptions.queries.consistency import answering, demand_of
from prescriptions.queries.restricted import viewer_in
from prescriptions.queries.sources import PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, Sources
from prescriptions.views.pharmacy_queue import ANY_PHARMACY, PHARMACY_QUEUE, Bucket
from prescriptions.views.record import RECORD_CODEC
from prescriptions.wire.query_replies import queue_entry_to

CLAIMABLE: Final = query_service_pb2.QUEUE_BUCKET_CLAIMABLE
HELD: Final = query_service_pb2.QUEUE_BUCKET_HELD
OWING: Final = query_service_pb2.QUEUE_BUCKET_OWING
DUE_TODAY: Final = query_service_pb2.QUEUE_BUCKET_DUE_TODAY
ALL: Final = (CLAIMABLE, HELD, OWING, DUE_TODAY)

_OLDEST_FIRST: Final = Order(("due_at", "prescription_id"))
_MICROSECOND: Final = timedelta(microseconds=1)
_STORED: Final = {Bucket.HELD.value: HELD, Bucket.OWING.value: OWING}


@dataclass(frozen=True, slots=True)
class Desk:
    """One pharmacy at one moment, and the buckets it asks for."""

    pharmacy_id: str
    buckets: frozenset[query_service_pb2.QueueBucket.ValueType]
    now: datetime

    @property
    def tomorrow(self) -> datetime:
        """The first moment of the next day (UTC)."""
        return datetime.combine(self.now.date() + timedelta(days=1), time.min, UTC)

    def filter(self) -> Filter:
        """The rows of the buckets asked for."""
        free_or_mine = In("pharmacy_id", (self.pharmacy_id, ANY_PHARMACY))
        mine = Eq("pharmacy_id", self.pharmacy_id)
        here_last = All((Eq("dispenser_id", self.pharmacy_id), Eq("pharmacy_id", ANY_PHARMACY)))
        in_time = AnyOf((IsNull("expires_at"), Range("expires_at", at_least=self.now + _MICROSECOND)))
        begun = Range("due_at", before=self.now + _MICROSECOND)
        first_fill, refill = Eq("bucket", Bucket.FIRST_FILL.value), Eq("bucket", Bucket.REFILL.value)
        ways: dict[query_service_pb2.QueueBucket.ValueType, Filter] = {
            CLAIMABLE: All((free_or_mine, in_time, AnyOf((All((first_fill, begun)), refill)))),
            HELD: All((mine, Eq("bucket", Bucket.HELD.value))),
            OWING: All((mine, Eq("bucket", Bucket.OWING.value))),
            DUE_TODAY: All((refill, Range("due_at", before=self.tomorrow), in_time, AnyOf((mine, here_last)))),
        }
        return AnyOf(tuple(ways[bucket] for bucket in ALL if bucket in self.buckets))

    def bucket_of(self, row: Row) -> query_service_pb2.QueueBucket.ValueType:
        """Where a row that passed the filter is shown: once, and as due rather than as claimable."""
        if (stored := _STORED.get(row["bucket"])) is not None:
            return stored
        is_refill = row["bucket"] == Bucket.REFILL.value
        ours = self.pharmacy_id in (row["pharmacy_id"], row["dispenser_id"])
        due = is_refill and ours and row["due_at"] < self.tomorrow
        return DUE_TODAY if due and DUE_TODAY in self.buckets else CLAIMABLE


async def fetch_pharmacy_queue(
    sources: Sources, call: CallContext, request: query_service_pb2.FetchPharmacyQueueRequest
) -> query_service_pb2.FetchPharmacyQueueResponse:
    """One page, the one due longest first."""
    size = page_size(request.page_size, default=PAGE_SIZE_DEFAULT, at_most=PAGE_SIZE_MAX)
    demand = demand_of(call, request)
    viewer = viewer_in(sources, call)
    if viewer is not None:
        viewer.require_own(request.pharmacy_id)
    desk = Desk(request.pharmacy_id, frozenset(request.buckets or ALL), sources.clock.now())
    paged = _paged(call.tenant, desk)
    after = sources.pages.decode(paged, request.page_token, scope=PHARMACY_QUEUE.table)
    query = replace(paged, where=desk.filter(), after=after, limit=size + 1)
    async with answering(sources, PHARMACY_QUEUE, call, demand) as (reading, made):
        rows: list[Row] = [row.values for row in await reading.select(PHARMACY_QUEUE, query)]
    more, rows = len(rows) > size, rows[:size]
    position = sort_key(query.order, rows[-1]) if more else ()
    return query_service_pb2.FetchPharmacyQueueResponse(
        as_of=made,
        next_page_token=sources.pages.encode(paged, position, scope=PHARMACY_QUEUE.table) if more else "",
        entries=[
            queue_entry_to(RECORD_CODEC.decode(row["document"]), desk.bucket_of(row), row["due_at"], desk.pharmacy_id)
            for row in rows
        ],
    )


def _paged(tenant: str, desk: Desk) -> Query:
    """What a page token is bound to: the question without the moment, which moves on from page to page."""
    question = All((Eq("pharmacy_id", desk.pharmacy_id), In("bucket", tuple(sorted(desk.buckets)))))
    return Query(tenant, question, _OLDEST_FIRST)
