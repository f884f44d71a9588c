"""Lists as of a moment: from the log, by the same filters, orders and pages."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from erx.eventlog.v1 import consistency_pb2 as cp
from erx.prescriptions.types.v1 import enums_pb2 as e
from erx.prescriptions.v1 import filters_pb2 as f
from erx.prescriptions.v1 import query_service_pb2 as q
from eventkernel.envelope import StreamPosition
from eventkernel.errors import StoreUnavailable
from eventkernel.ports import StreamHead
from eventkernel_grpc import RemoteError, call_metadata, encode_token, remote_errors
from prescriptions.domain import commands as c
from prescriptions.domain.values import Schedule
from prescriptions.testing.recorded import new_events, prescription, stream_of, untold
from prescriptions.testing.stories import AUTHOR, CORNER, HARBOUR, PRESCRIBER, START, WHY, Story
from prescriptions.wire.events import NEWEST

DAY = timedelta(days=1)


def written(days: int, **changes: Any) -> Story:
    return untold(**changes).later(days=days).create()


# Numbered from 1; something happens to each on several days.
TOLD: dict[int, Callable[[], Story]] = {
    1: lambda: written(0).later(days=2).sign().issue().later(days=2).claim().later(days=3).dispense(30, 1),
    2: lambda: written(1, nominated=HARBOUR).sign().issue().later(days=4).do(c.CancelPrescription(WHY), PRESCRIBER),
    3: lambda: written(2, schedule=Schedule.IV, refills_allowed=0).later(days=3).sign(),
    4: lambda: (
        written(3, patient_id="patient-2", medication_text="TEA").sign().issue().claim().later(days=4).part(5, 2)
    ),
    5: lambda: written(6).do(c.MarkEnteredInError(WHY), PRESCRIBER),
    6: lambda: written(6).sign().issue(),
}
LAST = 9

QUESTIONS: dict[str, dict[str, Any]] = {
    "all": {},
    "by release": {"order_by": f.PRESCRIPTION_ORDER_ISSUE_TIME, "direction": f.SORT_DIRECTION_ASCENDING},
    "by expiry": {"order_by": f.PRESCRIPTION_ORDER_EXPIRE_TIME},
    "released": {"filter": f.PrescriptionFilter(statuses=[e.PRESCRIPTION_STATUS_ISSUED])},
    "a pharmacy": {"filter": f.PrescriptionFilter(pharmacy_id=CORNER.ncpdp_id)},
    "a text": {"filter": f.PrescriptionFilter(text="tea")},
    "a code": {"filter": f.PrescriptionFilter(medication_code="308191", prescriber_id=AUTHOR.id)},
    "a schedule": {"filter": f.PrescriptionFilter(schedules=[e.SCHEDULE_IV])},
    "with refills": {"filter": f.PrescriptionFilter(has_refills=True), "direction": f.SORT_DIRECTION_ASCENDING},
}


def stamp(moment: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(moment)
    return made


async def listed(side: Any, **asked: Any) -> Any:
    return await side.ask("FetchAllPrescriptions", q.FetchAllPrescriptionsRequest(**asked))


async def tell_until(side: Any, moment: datetime) -> None:
    """Write and project what had happened by then, and no more."""
    for number, story in TOLD.items():
        stream = stream_of(number)
        events = [event for event in new_events(story(), stream) if event.meta.occurred_at <= moment]
        known = (await side.events.load(stream)).position.version
        if len(events) > known:
            await side.append(stream, known, events[known:])
    await side.project()


@pytest.mark.parametrize("point", ["occurred_time", "recorded_time"])
async def test_a_list_as_of_a_day_is_what_the_view_told_on_that_day(side: Any, point: str) -> None:
    told: dict[tuple[int, str], Any] = {}
    async with side.served() as stub:

        async def ask(**asked: Any) -> Any:
            request = q.FetchAllPrescriptionsRequest(include_total=True, **asked)
            return await stub.FetchAllPrescriptions(request, metadata=call_metadata(), timeout=20)

        for day in range(LAST):
            await tell_until(side, START + day * DAY)
            for name, question in QUESTIONS.items():
                told[day, name] = await ask(**question)
        for (day, name), then in told.items():
            found = await ask(**QUESTIONS[name], **{point: stamp(START + day * DAY)})
            assert list(found.prescriptions) == list(then.prescriptions), (day, name)
            assert found.total_size == then.total_size, (day, name)


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("size", [1, 2, 5])
async def test_pages_put_together_are_the_whole(side: Any, name: str, size: int) -> None:
    await tell_until(side, START + LAST * DAY)
    asked = {**QUESTIONS[name], "occurred_time": stamp(START + 6 * DAY)}
    whole = [found.prescription_id for found in (await listed(side, **asked)).prescriptions]
    found: list[str] = []
    token = ""
    while True:
        reply = await listed(side, page_size=size, page_token=token, include_total=True, **asked)
        assert reply.total_size == len(whole)
        found += [shown.prescription_id for shown in reply.prescriptions]
        token = reply.next_page_token
        if not token:
            break
    assert found == whole


async def test_before_anything_happened_there_is_nothing(side: Any) -> None:
    await tell_until(side, START + LAST * DAY)
    reply = await listed(side, recorded_time=stamp(START - DAY), include_total=True)
    assert (len(reply.prescriptions), reply.total_size, reply.next_page_token) == (0, 0, "")


async def test_it_does_not_wait_for_the_views(side: Any) -> None:
    await side.write(1, TOLD[1]())
    (found,) = (await listed(side, occurred_time=stamp(START + LAST * DAY))).prescriptions
    assert found.prescription_id == prescription(1)


async def test_more_prescriptions_than_are_read_at_once_are_all_there(side: Any) -> None:
    for number in range(1, 40):
        await side.write(number, written(number))
    reply = await listed(side, occurred_time=stamp(START + 100 * DAY), page_size=200, include_total=True)
    assert [found.prescription_id for found in reply.prescriptions] == [prescription(n) for n in range(39, 0, -1)]
    reply = await listed(side, occurred_time=stamp(START + 100 * DAY), page_size=2, include_total=True)
    assert [found.prescription_id for found in reply.prescriptions] == [prescription(39), prescription(38)]
    assert reply.total_size == 39


async def test_a_page_token_is_for_the_same_moment(side: Any) -> None:
    await tell_until(side, START + LAST * DAY)
    moment = stamp(START + 6 * DAY)
    token = (await listed(side, page_size=1, occurred_time=moment)).next_page_token
    for other in ({"occurred_time": stamp(START + 5 * DAY)}, {"recorded_time": moment}, {}):
        with pytest.raises(RemoteError) as failed, remote_errors():
            await listed(side, page_token=token, **other)
        assert failed.value.reason == "BAD_PAGE_TOKEN"


async def test_a_token_beyond_the_log_is_never_reached(side: Any) -> None:
    await side.write(1, written(0))
    name = stream_of(1).name
    moment = stamp(START + DAY)
    reached = encode_token([StreamPosition("prescriptions", name, 1)], tenant="default")
    assert (await listed(side, token=reached, occurred_time=moment)).as_of.requested_token_reached
    beyond = encode_token([StreamPosition("prescriptions", name, 2)], tenant="default")
    with pytest.raises(RemoteError) as failed, remote_errors():
        await listed(side, token=beyond, occurred_time=moment)
    assert failed.value.reason == "TOKEN_NOT_REACHED"
    reply = await listed(side, token=beyond, occurred_time=moment, consistency=cp.CONSISTENCY_MODE_ANY)
    assert not reply.as_of.requested_token_reached


async def test_tenants_are_apart(side: Any) -> None:
    await side.write(1, written(0), tenant="north")
    assert not (await listed(side, occurred_time=stamp(START + DAY))).prescriptions


async def test_an_event_that_cannot_be_read_holds_up_its_own_prescription_alone(side: Any) -> None:
    """It is shown as the view shows it: as of before that event."""
    await side.write(1, written(0))
    story = written(1).sign().issue()
    events = list(new_events(story, stream_of(2)))
    events[1] = replace(events[1], schema_version=NEWEST + 1)
    await side.append(stream_of(2), 0, events)
    await side.project()
    today = (await listed(side)).prescriptions
    reply = await listed(side, recorded_time=stamp(START + LAST * DAY), include_total=True)
    assert [(found.prescription_id, found.version) for found in reply.prescriptions] == [
        (prescription(2), 1),
        (prescription(1), 1),
    ]
    assert (list(reply.prescriptions), reply.total_size) == (list(today), 2)


async def test_while_the_journal_is_away_it_says_so_and_when_to_ask_again(side: Any) -> None:
    class Away:
        async def load(self, stream: Any, **asked: Any) -> Any:
            raise StoreUnavailable("cassandra", "host is down")

    for number in (1, 2):
        await side.write(number, written(number))
    side.events = Away()
    with pytest.raises(RemoteError) as failed, remote_errors():
        await listed(side, occurred_time=stamp(START + LAST * DAY))
    assert (failed.value.code, failed.value.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
    assert failed.value.retry_after_seconds is not None


class Endless:
    """A directory that never comes to its end."""

    def __init__(self, of: Any) -> None:
        self._of = of
        self.given = 0
        self.closed = asyncio.Event()

    async def streams(self, **asked: Any) -> AsyncIterator[StreamHead]:
        try:
            while True:
                async for head in self._of.streams(**asked):
                    self.given += 1
                    yield head
        finally:
            self.closed.set()


async def test_the_deadline_ends_the_reading(side: Any) -> None:
    await side.write(1, written(0))
    side.directory = endless = Endless(side.directory)
    request = q.FetchAllPrescriptionsRequest(occurred_time=stamp(START + DAY))
    with pytest.raises(RemoteError) as failed, remote_errors():
        await side.ask("FetchAllPrescriptions", request, seconds=0.5)
    assert failed.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    async with asyncio.timeout(10):
        await endless.closed.wait()
    assert endless.given > 16
