"""FetchStatistics: the sums of ``prescription_stats``, put together."""

from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final

from erx.eventlog.v1 import consistency_pb2
from erx.prescriptions.v1 import statistics_pb2
from eventkernel.errors import InvalidCommand
from eventkernel.filters import All, Eq, Filter, Order, Query, Range, Row
from eventkernel_grpc.call import CallContext
from eventkernel_grpc.wire_types import from_date, to_duration
from prescriptions.domain.state import Status
from prescriptions.domain.values import Reason, Schedule
from prescriptions.queries.consistency import answering, demand_of
from prescriptions.queries.sources import Sources, every_row
from prescriptions.views import durations
from prescriptions.views.prescription_stats import PRESCRIPTION_STATS, Kind, coding_and_text, quantity_of
from prescriptions.wire import values as w

MEDICATIONS_DEFAULT: Final = 50
MEDICATIONS_MAX: Final = 1_000
INTERVAL_SECONDS: Final = 1.0
INTERVAL_SECONDS_MIN: Final = 0.1

_WHOLE: Final = (
    Kind.TOTAL,
    Kind.STATUS,
    Kind.SCHEDULE,
    Kind.PRESCRIBED,
    Kind.FILLED,
    Kind.DISPENSED,
    Kind.CANCELLED_REASON,
    Kind.NOT_DISPENSED_REASON,
    Kind.ISSUE_TO_CLAIM,
    Kind.CLAIM_TO_DISPENSE,
)
_NAMES: Final = {
    "created": "created",
    "issued": "issued",
    "claimed": "claimed",
    "fill": "fills",
    "part": "partial_dispenses",
    "reversed": "reversals",
    "cancelled": "cancelled",
    "not_dispensed": "not_dispensed",
    "expired": "expired",
}
"""What happened, and the field that counts it."""


async def fetch_statistics(
    sources: Sources, call: CallContext, request: statistics_pb2.FetchStatisticsRequest
) -> statistics_pb2.FetchStatisticsResponse:
    """Everything at once, from one reading."""
    days = _days_from(request)
    if not 0 <= request.medication_count_max <= MEDICATIONS_MAX:
        raise InvalidCommand("medication_count_max", f"must be 0 to {MEDICATIONS_MAX}")
    demand = demand_of(call, request)
    order = Order(PRESCRIPTION_STATS.key)
    queries = [Query(call.tenant, where, order) for where in (*(Eq("kind", kind) for kind in _WHOLE), days)]
    kinds: dict[str, list[Row]] = defaultdict(list)
    async with answering(sources, PRESCRIPTION_STATS, call, demand) as (reading, made):
        for query in queries:
            async for row in every_row(reading, PRESCRIPTION_STATS, query):
                kinds[row.values["kind"]].append(row.values)
    return statistics_pb2.FetchStatisticsResponse(
        as_of=made,
        totals=_totals(kinds[Kind.TOTAL]),
        statuses=_statuses(kinds[Kind.STATUS]),
        schedules=_schedules(kinds[Kind.SCHEDULE]),
        medications=_medications(kinds)[: request.medication_count_max or MEDICATIONS_DEFAULT],
        days=_days(kinds[Kind.DAY]),
        cancellations=_reasons(kinds[Kind.CANCELLED_REASON]),
        not_dispensed=_reasons(kinds[Kind.NOT_DISPENSED_REASON]),
        issue_to_claim=_durations(kinds[Kind.ISSUE_TO_CLAIM]),
        claim_to_dispense=_durations(kinds[Kind.CLAIM_TO_DISPENSE]),
    )


async def stream_statistics(
    sources: Sources, call: CallContext, request: statistics_pb2.StreamStatisticsRequest
) -> AsyncGenerator[statistics_pb2.StreamStatisticsResponse, None]:
    """The answer of ``fetch_statistics`` now, and whenever another one has changed, at most once in an interval."""
    asked = statistics_pb2.FetchStatisticsRequest(
        token=request.token,
        consistency=request.consistency,
        medication_count_max=request.medication_count_max,
        first_day=request.first_day if request.HasField("first_day") else None,
        last_day=request.last_day if request.HasField("last_day") else None,
    )
    interval = request.interval.ToTimedelta().total_seconds() if request.HasField("interval") else INTERVAL_SECONDS
    if interval < INTERVAL_SECONDS_MIN:
        raise InvalidCommand("interval", f"must be at least {INTERVAL_SECONDS_MIN} s")
    known: statistics_pb2.FetchStatisticsResponse | None = None
    while True:
        answer = await fetch_statistics(sources, call, asked)
        made = consistency_pb2.Freshness()
        made.CopyFrom(answer.as_of)
        answer.ClearField("as_of")
        if answer != known:
            known = answer
            yield statistics_pb2.StreamStatisticsResponse(as_of=made, statistics=answer)
        await sources.clock.sleep(interval)


def _days_from(request: statistics_pb2.FetchStatisticsRequest) -> Filter:
    first = from_date(request.first_day, "first_day") if request.HasField("first_day") else date.min
    last = from_date(request.last_day, "last_day") if request.HasField("last_day") else date.max
    if first > last:
        raise InvalidCommand("last_day", "must not be before first_day")
    before = (last + timedelta(days=1)).isoformat() if last < date.max else None
    return All((Eq("kind", Kind.DAY), Range("key", first.isoformat(), before)))


def _totals(rows: Sequence[Row]) -> statistics_pb2.StatisticsTotals:
    counts = {row["key"]: row["count"] for row in rows}
    named = {field: counts.get(what, 0) for what, field in _NAMES.items() if what not in ("created", "claimed")}
    created, issued = counts.get("created", 0), counts.get("issued", 0)
    return statistics_pb2.StatisticsTotals(
        prescriptions=created,
        **named,
        cancellation_rate=_share(named["cancelled"], created),
        not_dispensed_rate=_share(named["not_dispensed"], issued),
    )


def _statuses(rows: Sequence[Row]) -> list[statistics_pb2.StatusCount]:
    counts = {Status[row["key"]]: row["count"] for row in rows}
    return [
        statistics_pb2.StatusCount(status=w.STATUS_TO[status], prescriptions=counts[status])
        for status in Status
        if status in counts
    ]


def _schedules(rows: Sequence[Row]) -> list[statistics_pb2.ScheduleCount]:
    counts = {Schedule[row["key"]]: row["count"] for row in rows}
    return [
        statistics_pb2.ScheduleCount(schedule=w.SCHEDULE_TO[schedule], prescriptions=counts[schedule])
        for schedule in Schedule
        if schedule in counts
    ]


def _medications(kinds: Mapping[str, Sequence[Row]]) -> list[statistics_pb2.MedicationStatistics]:
    """By medication. One code may have been written with several displays: the most frequent one names it."""
    prescribed = _by_key(kinds[Kind.PRESCRIBED], "count")
    filled = _by_key(kinds[Kind.FILLED], "count")
    dispensed = _by_key(kinds[Kind.DISPENSED], "quantity")
    found = []
    for key, displays in prescribed.items():
        coding, text = coding_and_text(key, _most_frequent(displays))
        quantities = sorted(dispensed.get(key, {}).items())
        found.append(
            statistics_pb2.MedicationStatistics(
                medication=w.coding_to(coding),
                medication_text=text,
                prescriptions=sum(displays.values()),
                fills=sum(filled.get(key, {}).values()),
                dispensed=[w.quantity_to(quantity_of(unit, value)) for unit, value in quantities],
            )
        )
    return sorted(found, key=lambda m: (-m.prescriptions, -m.fills, m.medication.code, m.medication_text))


def _by_key(rows: Sequence[Row], column: str) -> dict[str, dict[str, Any]]:
    """A column's values by key and subkey."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for row in rows:
        found[row["key"]][row["subkey"]] = row[column]
    return found


def _days(rows: Sequence[Row]) -> list[statistics_pb2.DayStatistics]:
    days: dict[str, dict[str, int]] = defaultdict(dict)
    for row in rows:
        days[row["key"]][_NAMES[row["subkey"]]] = row["count"]
    return [statistics_pb2.DayStatistics(day=w.date_to(date.fromisoformat(day)), **days[day]) for day in sorted(days)]


def _reasons(rows: Sequence[Row]) -> list[statistics_pb2.ReasonStatistics]:
    total = sum(row["count"] for row in rows)
    found = []
    for key, displays in _by_key(rows, "count").items():
        count = sum(displays.values())
        reason = Reason(*coding_and_text(key, _most_frequent(displays)))
        found.append(
            statistics_pb2.ReasonStatistics(reason=w.reason_to(reason), prescriptions=count, rate=_share(count, total))
        )
    return sorted(found, key=lambda r: (-r.prescriptions, r.reason.coding.code, r.reason.text))


def _durations(rows: Sequence[Row]) -> statistics_pb2.DurationStatistics:
    counts = {int(row["key"]): row["count"] for row in rows}
    median = durations.median(counts)
    return statistics_pb2.DurationStatistics(
        median=None if median is None else to_duration(median), samples=sum(counts.values())
    )


def _most_frequent(displays: Mapping[str, int]) -> str:
    return min(displays, key=lambda display: (-displays[display], display))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
