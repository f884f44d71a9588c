"""Counts, rates and medians over the wire."""

import asyncio
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.type.date_pb2 import Date

from erx.prescriptions.types.v1 import enums_pb2 as e
from erx.prescriptions.v1 import statistics_pb2 as s
from eventkernel_grpc import RemoteError, call_metadata, remote_errors
from prescriptions.domain import commands as c
from prescriptions.domain.values import Coding, Schedule
from prescriptions.testing.recorded import untold
from prescriptions.testing.stories import AMOXICILLIN, AT_CORNER, PRESCRIBER, WHY, Story

SECONDS = 60.0
COLD = Coding(AMOXICILLIN.system, "1049221", "a strong one")
COLD_TOO = Coding(AMOXICILLIN.system, "1049221", "the strong one")


def issued(**changes: Any) -> Story:
    return untold(**changes).create().sign().issue()


def unfilled() -> Story:
    story = issued().later(hours=4).claim()
    return story.do(c.RecordNotDispensed(story.token, WHY), AT_CORNER)


async def told(side: Any) -> None:
    stories = [
        issued().later(hours=1).claim().later(minutes=10).dispense(30, 1).later(days=9).claim().dispense(30, 2),
        issued(medication=(COLD,), schedule=Schedule.IV)
        .later(hours=3)
        .claim()
        .later(minutes=30)
        .part(10, 1)
        .reverse(1),
        issued(medication=(COLD_TOO,)).do(c.CancelPrescription(WHY), PRESCRIBER),
        issued(medication=(COLD,)),
        unfilled(),
    ]
    for number, story in enumerate(stories, 1):
        await side.write(number, story)
    await side.project()


async def statistics(side: Any, **fields: Any) -> Any:
    return await side.ask("FetchStatistics", s.FetchStatisticsRequest(**fields))


async def test_totals_and_rates(side: Any) -> None:
    await told(side)
    assert (await statistics(side)).totals == s.StatisticsTotals(
        prescriptions=5,
        issued=5,
        fills=2,
        reversals=1,
        cancelled=1,
        not_dispensed=1,
        cancellation_rate=0.2,
        not_dispensed_rate=0.2,
    )


async def test_statuses_and_schedules_come_in_their_order_without_zeros(side: Any) -> None:
    await told(side)
    reply = await statistics(side)
    assert [(found.status, found.prescriptions) for found in reply.statuses] == [
        (e.PRESCRIPTION_STATUS_ISSUED, 1),
        (e.PRESCRIPTION_STATUS_WITH_PHARMACY, 1),
        (e.PRESCRIPTION_STATUS_AWAITING_REFILL, 1),
        (e.PRESCRIPTION_STATUS_NOT_DISPENSED, 1),
        (e.PRESCRIPTION_STATUS_CANCELLED, 1),
    ]
    assert [(found.schedule, found.prescriptions) for found in reply.schedules] == [
        (e.SCHEDULE_NONE, 4),
        (e.SCHEDULE_IV, 1),
    ]


async def test_medications_count_by_code_whatever_they_were_called(side: Any) -> None:
    await told(side)
    first, second = (await statistics(side)).medications
    assert (first.medication.code, first.medication.display, first.prescriptions) == ("1049221", "a strong one", 3)
    assert (first.fills, len(first.dispensed)) == (0, 0)
    assert (second.medication.code, second.prescriptions, second.fills) == (AMOXICILLIN.code, 2, 2)
    ((quantity),) = second.dispensed
    assert (quantity.value.value, quantity.unit_code) == ("60", "{tbl}")
    assert len((await statistics(side, medication_count_max=1)).medications) == 1


async def test_days_are_those_asked_for_and_nothing_else_depends_on_them(side: Any) -> None:
    await told(side)
    whole = await statistics(side)
    assert [(day.day.day, day.created, day.fills) for day in whole.days] == [(2, 5, 1), (11, 0, 1)]
    part = await statistics(side, first_day=Date(year=2026, month=3, day=3), last_day=Date(year=2026, month=3, day=11))
    assert [day.day.day for day in part.days] == [11]
    assert part.totals == whole.totals
    assert (whole.days[0].claimed, whole.days[0].cancelled, whole.days[0].reversals) == (3, 1, 1)


async def test_reasons_have_their_share(side: Any) -> None:
    await told(side)
    reply = await statistics(side)
    for reasons in (reply.cancellations, reply.not_dispensed):
        ((found),) = reasons
        assert (found.reason.coding.code, found.prescriptions, found.rate) == ("why", 1, 1.0)


async def test_medians_are_within_one_per_cent(side: Any) -> None:
    await told(side)
    reply = await statistics(side)
    for found, true, samples in (
        (reply.issue_to_claim, timedelta(hours=3), 3),
        (reply.claim_to_dispense, timedelta(minutes=5), 2),
    ):
        assert abs(found.median.ToTimedelta() - true) <= true / 100
        assert found.samples == samples


async def test_of_nothing_there_are_no_counts_and_no_medians(side: Any) -> None:
    reply = await statistics(side)
    assert reply.totals == s.StatisticsTotals()
    assert not reply.issue_to_claim.HasField("median")
    assert not [*reply.days, *reply.medications, *reply.statuses]


async def test_tenants_are_counted_apart(side: Any) -> None:
    await side.told(1, issued(), tenant="north")
    assert (await statistics(side)).totals.prescriptions == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"first_day": Date(year=2026, month=2, day=30)},
        {"first_day": Date(year=2026)},
        {"first_day": Date(year=2026, month=3, day=2), "last_day": Date(year=2026, month=3, day=1)},
        {"medication_count_max": -1},
        {"medication_count_max": 1001},
    ],
    ids=["no such day", "half a date", "backwards", "below zero", "too many"],
)
async def test_a_question_that_cannot_be_is_refused(side: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(RemoteError) as failed, remote_errors():
        await statistics(side, **fields)
    assert failed.value.code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_stream_sends_the_statistics_and_again_when_they_have_changed(live_side: Any) -> None:
    await live_side.told(1, issued())
    request = s.StreamStatisticsRequest(interval=Duration(nanos=100_000_000))
    async with live_side.served() as stub, asyncio.timeout(SECONDS):
        call = stub.StreamStatistics(request, metadata=call_metadata())
        first = await call.read()
        assert (first.statistics.totals.prescriptions, first.as_of.view) == (1, "prescription_stats")
        await live_side.told(2, issued())
        second = (await call.read()).statistics
        assert second.totals.prescriptions == 2
        call.cancel()


async def test_a_stream_says_nothing_while_nothing_changes(side: Any) -> None:
    """The clock stands still: the stream asks again whenever it is moved on, and still has nothing to say."""
    await side.told(1, issued())
    async with side.served() as stub, asyncio.timeout(SECONDS):
        call = stub.StreamStatistics(s.StreamStatisticsRequest(), metadata=call_metadata())
        await call.read()
        waiting = asyncio.create_task(call.read())
        for _ in range(5):
            await side.clock.advance(1)
        assert not waiting.done()
        await side.told(2, issued())
        while not waiting.done():
            await side.clock.advance(1)
        assert (await waiting).statistics.totals.prescriptions == 2
        call.cancel()


async def test_a_stream_is_refused_where_the_days_or_the_interval_cannot_be(side: Any) -> None:
    for request in (
        s.StreamStatisticsRequest(first_day=Date(year=2026, month=3, day=2), last_day=Date(year=2026, month=3, day=1)),
        s.StreamStatisticsRequest(interval=Duration(nanos=1)),
    ):
        async with side.served() as stub:
            with pytest.raises(RemoteError) as caught, remote_errors():
                await stub.StreamStatistics(request, metadata=call_metadata()).read()
        assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
