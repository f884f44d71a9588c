"""Lists: filters, orders, pages, totals, and pages that do not belong."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from erx.prescriptions.types.v1 import enums_pb2 as e
from erx.prescriptions.v1 import filters_pb2 as f
from erx.prescriptions.v1 import query_service_pb2 as q
from eventkernel_grpc import RemoteError, remote_errors
from prescriptions.domain import commands as c
from prescriptions.domain.values import Coding, Dosage, Schedule
from prescriptions.testing.recorded import TimedStory, prescription, untold
from prescriptions.testing.stories import (
    AMOXICILLIN,
    AT_HARBOUR,
    AUTHOR,
    CORNER,
    HARBOUR,
    PRESCRIBER,
    RXNORM,
    START,
    WHY,
    Story,
)

TEA = Coding("urn:teas", "T1", "Camomile")


def issued(**changes: Any) -> Story:
    return untold(**changes).create().sign().issue()


# Numbered from 1. Each differs from the usual one in what some filter asks for.
TOLD: dict[int, Callable[[], Story]] = {
    1: lambda: untold(patient_id="patient-2").create(),
    2: lambda: issued(group_id="g-1", nominated=HARBOUR),
    3: lambda: issued(schedule=Schedule.IV, refills_allowed=0).later(days=1).claim(),
    4: lambda: issued(medication=(TEA, AMOXICILLIN), medication_text="").later(days=2).claim().dispense(30, 1),
    5: lambda: issued(dosage=Dosage("ÜBER NACHT einwirken lassen")).later(days=3).claim(HARBOUR, AT_HARBOUR),
    6: lambda: later(4).create().sign().issue().do(c.CancelPrescription(WHY), PRESCRIBER),
}


def later(days: int) -> TimedStory:
    story = untold()
    story.later(days=days)
    return story


def stamp(moment: datetime) -> Timestamp:
    return Timestamp(seconds=int(moment.timestamp()))


def asked(**filters: Any) -> q.FetchAllPrescriptionsRequest:
    return q.FetchAllPrescriptionsRequest(filter=f.PrescriptionFilter(**filters))


async def tell_all(side: Any) -> None:
    for number, story in TOLD.items():
        await side.write(number, story())
    await side.project()


async def listed(side: Any, request: q.FetchAllPrescriptionsRequest) -> list[int]:
    numbers = {prescription(number): number for number in TOLD}
    reply = await side.ask("FetchAllPrescriptions", request)
    return [numbers[found.prescription_id] for found in reply.prescriptions]


FILTERS: dict[str, tuple[dict[str, Any], set[int]]] = {
    "nothing": ({}, {1, 2, 3, 4, 5, 6}),
    "one status": ({"statuses": [e.PRESCRIPTION_STATUS_DRAFT]}, {1}),
    "two statuses": ({"statuses": [e.PRESCRIPTION_STATUS_DRAFT, e.PRESCRIPTION_STATUS_CANCELLED]}, {1, 6}),
    "a schedule": ({"schedules": [e.SCHEDULE_IV]}, {3}),
    "a patient": ({"patient_id": "patient-2"}, {1}),
    "a prescriber": ({"prescriber_id": AUTHOR.id}, {1, 2, 3, 4, 5, 6}),
    "nobody's": ({"prescriber_id": "dr-nobody"}, set()),
    "a group": ({"group_id": "g-1"}, {2}),
    "a pharmacy that holds, is meant, or dispensed": ({"pharmacy_id": HARBOUR.ncpdp_id}, {2, 5}),
    "the other pharmacy": ({"pharmacy_id": CORNER.ncpdp_id}, {3, 4}),
    "a second code": ({"medication_code": AMOXICILLIN.code, "medication_system": RXNORM}, {1, 2, 3, 4, 5, 6}),
    "a code of another system": ({"medication_code": "T1", "medication_system": RXNORM}, set()),
    "a code in any system": ({"medication_code": "T1"}, {4}),
    "a code in another case": ({"medication_code": "t1"}, set()),
    "text in a display": ({"text": "CAMO"}, {4}),
    "text in a dosage, whatever the case": ({"text": "über nacht"}, {5}),
    "text with signs of other languages": ({"text": "100%_"}, set()),
    "refills to come": ({"has_refills": False}, {3}),
    "two things at once": ({"patient_id": "patient-1", "statuses": [e.PRESCRIPTION_STATUS_WITH_PHARMACY]}, {3, 5}),
    "released before": ({"issue_time": f.TimeRange(end_time=stamp(START + timedelta(days=1)))}, {2, 3, 4, 5}),
    "released from": ({"issue_time": f.TimeRange(start_time=stamp(START + timedelta(days=1)))}, {6}),
    "expires before": ({"expire_time": f.TimeRange(end_time=stamp(datetime(2026, 12, 1, tzinfo=UTC)))}, {3}),
    "changed between": (
        {
            "update_time": f.TimeRange(
                start_time=stamp(START + timedelta(days=1)), end_time=stamp(START + timedelta(days=3))
            )
        },
        {3, 4},
    ),
}


async def test_each_filter_finds_what_it_says(side: Any) -> None:
    await tell_all(side)
    found = {name: set(await listed(side, asked(**filters))) for name, (filters, _) in FILTERS.items()}
    assert found == {name: expected for name, (_, expected) in FILTERS.items()}


async def test_the_newest_change_comes_first_unless_asked_otherwise(side: Any) -> None:
    await tell_all(side)
    newest = await listed(side, asked(patient_id="patient-1"))
    assert newest == [6, 5, 4, 3, 2]
    oldest = asked(patient_id="patient-1")
    oldest.direction = f.SORT_DIRECTION_ASCENDING
    assert await listed(side, oldest) == newest[::-1]


@pytest.mark.parametrize("direction", [f.SORT_DIRECTION_ASCENDING, f.SORT_DIRECTION_DESCENDING])
@pytest.mark.parametrize("order", [f.PRESCRIPTION_ORDER_ISSUE_TIME, f.PRESCRIPTION_ORDER_EXPIRE_TIME])
async def test_what_lacks_the_time_sorted_by_comes_last_in_either_direction(
    side: Any, order: Any, direction: Any
) -> None:
    await tell_all(side)
    found = await listed(side, q.FetchAllPrescriptionsRequest(order_by=order, direction=direction))
    assert (len(found), found[-1]) == (6, 1)


@pytest.mark.parametrize("direction", [f.SORT_DIRECTION_ASCENDING, f.SORT_DIRECTION_DESCENDING])
@pytest.mark.parametrize("order", f.PrescriptionOrder.values())
async def test_pages_put_together_are_the_whole_list(side: Any, order: Any, direction: Any) -> None:
    await tell_all(side)
    request = q.FetchAllPrescriptionsRequest(order_by=order, direction=direction)
    whole = await listed(side, request)
    request.page_size = 2
    pages: list[list[str]] = []
    while True:
        reply = await side.ask("FetchAllPrescriptions", request)
        pages.append([found.prescription_id for found in reply.prescriptions])
        if not reply.next_page_token:
            break
        request.page_token = reply.next_page_token
    assert [len(page) for page in pages] == [2, 2, 2]
    assert [one for page in pages for one in page] == [prescription(number) for number in whole]


async def test_a_page_is_stable_while_others_are_written(side: Any) -> None:
    await tell_all(side)
    request = q.FetchAllPrescriptionsRequest(page_size=3)
    first = await side.ask("FetchAllPrescriptions", request)
    newer = untold()
    newer.later(days=30)
    await side.told(7, newer.create())
    request.page_token = first.next_page_token
    second = await side.ask("FetchAllPrescriptions", request)
    told = [found.prescription_id for found in (*first.prescriptions, *second.prescriptions)]
    assert sorted(told) == sorted(prescription(number) for number in TOLD)


async def test_a_total_is_counted_only_when_asked_for(side: Any) -> None:
    await tell_all(side)
    request = asked(patient_id="patient-1")
    assert not (await side.ask("FetchAllPrescriptions", request)).HasField("total_size")
    request.include_total, request.page_size = True, 2
    assert (await side.ask("FetchAllPrescriptions", request)).total_size == 5


async def test_no_page_size_means_fifty(side: Any) -> None:
    for number in range(1, 53):
        await side.write(number, untold().create())
    await side.project()
    reply = await side.ask("FetchAllPrescriptions", q.FetchAllPrescriptionsRequest())
    assert len(reply.prescriptions) == 50
    assert reply.next_page_token


async def test_a_list_of_nothing_is_an_answer(side: Any) -> None:
    reply = await side.ask("FetchAllPrescriptions", q.FetchAllPrescriptionsRequest(include_total=True))
    assert (len(reply.prescriptions), reply.next_page_token, reply.total_size) == (0, "", 0)


async def test_other_tenants_prescriptions_are_not_in_the_list(side: Any) -> None:
    await side.told(1, untold().create(), tenant="north")
    await side.told(2, untold().create(), tenant="south")
    request = q.FetchAllPrescriptionsRequest(include_total=True)
    reply = await side.ask("FetchAllPrescriptions", request, tenant="north")
    assert [found.prescription_id for found in reply.prescriptions] == [prescription(1)]
    assert reply.total_size == 1


async def refused(side: Any, request: q.FetchAllPrescriptionsRequest, tenant: str = "") -> RemoteError:
    with pytest.raises(RemoteError) as failed, remote_errors():
        await side.ask("FetchAllPrescriptions", request, tenant=tenant)
    assert failed.value.code is grpc.StatusCode.INVALID_ARGUMENT
    return failed.value


@pytest.mark.parametrize("size", [-1, 201])
async def test_a_page_size_out_of_range_is_refused(side: Any, size: int) -> None:
    error = await refused(side, q.FetchAllPrescriptionsRequest(page_size=size))
    assert [violation.field for violation in error.violations] == ["page_size"]


@pytest.mark.parametrize("token", ["x", "AAAA", "é", "A" * 400])
async def test_a_page_token_that_was_never_given_out_is_refused(side: Any, token: str) -> None:
    assert (await refused(side, q.FetchAllPrescriptionsRequest(page_token=token))).reason == "BAD_PAGE_TOKEN"


@pytest.mark.parametrize(
    "change",
    [
        {"order_by": f.PRESCRIPTION_ORDER_ISSUE_TIME},
        {"direction": f.SORT_DIRECTION_ASCENDING},
        {"filter": f.PrescriptionFilter(text="tea")},
    ],
    ids=["order", "direction", "filter"],
)
async def test_a_page_token_is_good_for_its_own_question_only(side: Any, change: dict[str, Any]) -> None:
    await tell_all(side)
    first = await side.ask("FetchAllPrescriptions", q.FetchAllPrescriptionsRequest(page_size=2))
    request = q.FetchAllPrescriptionsRequest(page_token=first.next_page_token, **change)
    assert (await refused(side, request)).reason == "BAD_PAGE_TOKEN"


async def test_a_page_token_is_good_for_its_own_tenant_only(side: Any) -> None:
    await tell_all(side)
    first = await side.ask("FetchAllPrescriptions", q.FetchAllPrescriptionsRequest(page_size=2))
    request = q.FetchAllPrescriptionsRequest(page_size=2, page_token=first.next_page_token)
    assert (await refused(side, request, tenant="north")).reason == "BAD_PAGE_TOKEN"


@pytest.mark.parametrize(
    "moment", [Timestamp(seconds=-(10**12)), Timestamp(seconds=10**12), Timestamp(nanos=-1), Timestamp(nanos=10**9)]
)
async def test_a_time_that_cannot_be_is_refused(side: Any, moment: Timestamp) -> None:
    await refused(side, asked(update_time=f.TimeRange(start_time=moment)))


async def test_a_range_that_ends_before_it_begins_is_refused(side: Any) -> None:
    await refused(side, asked(update_time=f.TimeRange(start_time=stamp(START), end_time=stamp(START))))


async def test_a_code_system_without_a_code_is_refused(side: Any) -> None:
    error = await refused(side, asked(medication_system=RXNORM))
    assert [violation.field for violation in error.violations] == ["filter.medication_system"]
