"""What a pharmacy has to do, by the moment it asks."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import grpc
import pytest

from erx.prescriptions.v1 import query_service_pb2 as q
from eventkernel_grpc import RemoteError, remote_errors
from prescriptions.domain import commands as c
from prescriptions.testing.recorded import prescription, untold
from prescriptions.testing.stories import AT_HARBOUR, CORNER, HARBOUR, PATIENT, PRESCRIBER, START, WHY, Story

CLAIMABLE, HELD = q.QUEUE_BUCKET_CLAIMABLE, q.QUEUE_BUCKET_HELD
OWING, DUE_TODAY = q.QUEUE_BUCKET_OWING, q.QUEUE_BUCKET_DUE_TODAY


def issued(days: int = 0, **changes: Any) -> Story:
    story = untold(**changes)
    story.later(days=days)
    return story.create().sign().issue()


# Numbered from 1; as seen forty days later, the supply of thirty days being out.
TOLD: dict[int, Callable[[], Story]] = {
    1: issued,
    2: lambda: issued(days=1, nominated=CORNER),
    3: lambda: issued(days=2, nominated=HARBOUR),
    4: lambda: issued(days=3).claim(),
    5: lambda: issued(days=4).claim().part(10, 1),
    6: lambda: issued(days=5).claim(HARBOUR, AT_HARBOUR),
    7: lambda: issued(days=6, days_supply=30).claim().dispense(30, 1),
    8: lambda: issued(days=7, days_supply=90).claim().dispense(30, 1),
    9: lambda: issued(days=8).do(c.SuspendPrescription(WHY), PRESCRIBER),
    10: lambda: issued(days=9, days_supply=30).claim(HARBOUR, AT_HARBOUR).dispense(30, 1, AT_HARBOUR),
    11: lambda: issued(days=10, days_supply=30).claim().dispense(30, 1).do(c.NominatePharmacy(HARBOUR), PATIENT),
    12: lambda: issued(days=11, earliest_fill=date(2026, 5, 1)),
}


async def tell_all(side: Any) -> None:
    for number, story in TOLD.items():
        await side.write(number, story())
    await side.project()
    side.at(START + timedelta(days=40))


async def queue(side: Any, *buckets: Any, pharmacy: Any = CORNER) -> dict[int, Any]:
    numbers = {prescription(number): number for number in TOLD}
    request = q.FetchPharmacyQueueRequest(pharmacy_id=pharmacy.ncpdp_id, buckets=buckets)
    reply = await side.ask("FetchPharmacyQueue", request)
    return {numbers[entry.prescription_id]: entry.bucket for entry in reply.entries}


async def test_a_pharmacy_sees_what_it_may_claim_holds_owes_and_has_coming_due(side: Any) -> None:
    await tell_all(side)
    assert await queue(side) == {
        1: CLAIMABLE,
        2: CLAIMABLE,
        4: HELD,
        5: OWING,
        7: DUE_TODAY,
        8: CLAIMABLE,
        10: CLAIMABLE,
    }


async def test_another_pharmacy_sees_its_own(side: Any) -> None:
    await tell_all(side)
    assert await queue(side, pharmacy=HARBOUR) == {
        1: CLAIMABLE,
        3: CLAIMABLE,
        6: HELD,
        7: CLAIMABLE,
        8: CLAIMABLE,
        10: DUE_TODAY,
        11: DUE_TODAY,
    }


@pytest.mark.parametrize(
    ("bucket", "found"), [(CLAIMABLE, {1, 2, 7, 8, 10}), (HELD, {4}), (OWING, {5}), (DUE_TODAY, {7})]
)
async def test_one_bucket_alone_has_all_that_belongs_to_it(side: Any, bucket: Any, found: set[int]) -> None:
    await tell_all(side)
    assert await queue(side, bucket) == dict.fromkeys(found, bucket)


async def test_what_may_be_filled_later_comes_on_its_day(side: Any) -> None:
    await tell_all(side)
    side.at(START.replace(month=5, day=1))
    assert (await queue(side))[12] == CLAIMABLE


async def test_what_has_run_out_of_time_is_not_claimable(side: Any) -> None:
    await tell_all(side)
    side.at(START + timedelta(days=400))
    assert set(await queue(side)) == {4, 5}


async def test_a_refill_falls_due_on_its_whole_day(side: Any) -> None:
    await side.told(7, issued(days_supply=30).claim().dispense(30, 1))
    due = START + timedelta(days=23)
    side.at((due - timedelta(days=1)).replace(hour=23, minute=59))
    assert await queue(side) == {7: CLAIMABLE}
    side.at(due.replace(hour=0, minute=0))
    assert await queue(side) == {7: DUE_TODAY}


async def test_the_one_due_longest_comes_first_page_by_page(side: Any) -> None:
    await tell_all(side)
    request = q.FetchPharmacyQueueRequest(pharmacy_id=CORNER.ncpdp_id)
    whole = list((await side.ask("FetchPharmacyQueue", request)).entries)
    assert [entry.due_time.seconds for entry in whole] == sorted(entry.due_time.seconds for entry in whole)
    request.page_size = 3
    paged: list[Any] = []
    for minutes in range(3):
        side.at(START + timedelta(days=40, minutes=minutes))
        reply = await side.ask("FetchPharmacyQueue", request)
        paged += reply.entries
        request.page_token = reply.next_page_token
    assert (paged, request.page_token) == (whole, "")


async def test_whom_it_is_for_is_not_told_before_it_concerns_the_pharmacy(side: Any) -> None:
    await tell_all(side)
    reply = await side.ask("FetchPharmacyQueue", q.FetchPharmacyQueueRequest(pharmacy_id=CORNER.ncpdp_id))
    numbers = {prescription(number): number for number in TOLD}
    known = {numbers[entry.prescription_id] for entry in reply.entries if entry.patient_id}
    assert known == {2, 4, 5, 7, 8}


async def test_an_entry_says_what_is_to_be_handed_out(side: Any) -> None:
    await side.told(5, issued().claim().part(10, 1))
    (entry,) = (await side.ask("FetchPharmacyQueue", q.FetchPharmacyQueueRequest(pharmacy_id=CORNER.ncpdp_id))).entries
    assert entry.quantity_remaining_this_fill.value.value == "20"
    assert (entry.fill_number, entry.version, entry.nominated) == (0, 5, False)
    assert entry.HasField("claim_time")


async def test_a_page_token_is_for_the_same_buckets(side: Any) -> None:
    await tell_all(side)
    request = q.FetchPharmacyQueueRequest(pharmacy_id=CORNER.ncpdp_id, page_size=1)
    token = (await side.ask("FetchPharmacyQueue", request)).next_page_token
    other = q.FetchPharmacyQueueRequest(pharmacy_id=CORNER.ncpdp_id, page_token=token, buckets=[HELD])
    with pytest.raises(RemoteError) as failed, remote_errors():
        await side.ask("FetchPharmacyQueue", other)
    assert failed.value.reason == "BAD_PAGE_TOKEN"


async def test_the_queues_of_tenants_are_apart(side: Any) -> None:
    await side.told(1, issued(), tenant="north")
    assert not await queue(side)


async def test_a_pharmacy_must_be_named(side: Any) -> None:
    with pytest.raises(RemoteError) as failed, remote_errors():
        await side.ask("FetchPharmacyQueue", q.FetchPharmacyQueueRequest())
    assert failed.value.code is grpc.StatusCode.INVALID_ARGUMENT
