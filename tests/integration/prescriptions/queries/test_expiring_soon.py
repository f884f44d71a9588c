"""What runs out of time soon, from now on."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from erx.prescriptions.v1 import worklists_pb2 as wl
from eventkernel_grpc import RemoteError, remote_errors
from prescriptions.domain import commands as c
from prescriptions.domain.expiry import add_months
from prescriptions.testing.recorded import prescription, untold
from prescriptions.testing.stories import AUTHOR, CORNER, HARBOUR, PRESCRIBER, START, SYSTEM, WHY, Story

DAYS = timedelta(days=1)
END = add_months(START, 12)
"""When the first of the stories expires; the others a day each later."""


def issued(days: int, **changes: Any) -> Story:
    return untold(**changes).later(days=days).create().sign().issue()


TOLD: dict[int, Callable[[], Story]] = {
    1: lambda: issued(0),
    2: lambda: issued(1, patient_id="patient-2").claim(),
    3: lambda: issued(2).claim().dispense(30, 1),
    4: lambda: issued(3, nominated=HARBOUR).do(c.SuspendPrescription(WHY), PRESCRIBER),
    5: lambda: issued(4).do(c.CancelPrescription(WHY), PRESCRIBER),
    6: lambda: issued(5, refills_allowed=0).claim().dispense(30, 1),
    7: lambda: issued(6).later(days=400).do(c.ExpirePrescription(), SYSTEM),
    8: lambda: untold().create(),
    9: lambda: issued(40),
}


async def tell_all(side: Any) -> None:
    for number, story in TOLD.items():
        await side.write(number, story())
    await side.project()
    side.at(END - 10 * DAYS)


def asked(within: timedelta, **fields: Any) -> wl.FetchExpiringSoonRequest:
    span = Duration()
    span.FromTimedelta(within)
    return wl.FetchExpiringSoonRequest(within=span, **fields)


async def expiring(side: Any, within: timedelta = 30 * DAYS, **fields: Any) -> list[int]:
    numbers = {prescription(number): number for number in TOLD}
    reply = await side.ask("FetchExpiringSoon", asked(within, **fields))
    return [numbers[found.prescription_id] for found in reply.prescriptions]


async def test_what_is_live_and_expires_soon_comes_in_that_order(side: Any) -> None:
    await tell_all(side)
    assert await expiring(side) == [1, 2, 3, 4]


async def test_the_span_ends_with_its_last_moment(side: Any) -> None:
    await tell_all(side)
    assert await expiring(side, 11 * DAYS) == [1, 2]
    assert await expiring(side, 11 * DAYS - timedelta(microseconds=1)) == [1]


async def test_the_span_begins_now(side: Any) -> None:
    await tell_all(side)
    side.at(END + DAYS)
    assert await expiring(side) == [3, 4]
    assert await expiring(side, include_overdue=True) == [1, 2, 3, 4]
    side.at(END + DAYS - timedelta(microseconds=1))
    assert await expiring(side) == [2, 3, 4]


@pytest.mark.parametrize(
    ("whose", "found"),
    [
        ({"patient_id": "patient-2"}, [2]),
        ({"prescriber_id": AUTHOR.id}, [1, 2, 3, 4]),
        ({"prescriber_id": "dr-brown"}, []),
        ({"pharmacy_id": CORNER.ncpdp_id}, [2, 3]),
        ({"pharmacy_id": HARBOUR.ncpdp_id}, [4]),
        ({"pharmacy_id": CORNER.ncpdp_id, "patient_id": "patient-1"}, [3]),
    ],
)
async def test_it_can_be_asked_for_one_person_or_pharmacy(side: Any, whose: dict[str, Any], found: list[int]) -> None:
    await tell_all(side)
    assert await expiring(side, **whose) == found


async def test_pages_put_together_are_the_whole(side: Any) -> None:
    await tell_all(side)
    request = asked(30 * DAYS, page_size=2)
    found: list[str] = []
    for _ in range(2):
        reply = await side.ask("FetchExpiringSoon", request)
        found += [shown.prescription_id for shown in reply.prescriptions]
        request.page_token = reply.next_page_token
    assert (found, request.page_token) == ([prescription(number) for number in (1, 2, 3, 4)], "")


async def test_a_page_token_is_for_the_same_span(side: Any) -> None:
    await tell_all(side)
    token = (await side.ask("FetchExpiringSoon", asked(30 * DAYS, page_size=1))).next_page_token
    for other in (asked(31 * DAYS, page_token=token), asked(30 * DAYS, page_token=token, include_overdue=True)):
        with pytest.raises(RemoteError) as failed, remote_errors():
            await side.ask("FetchExpiringSoon", other)
        assert failed.value.reason == "BAD_PAGE_TOKEN"


async def test_tenants_are_apart(side: Any) -> None:
    await side.told(1, issued(0), tenant="north")
    assert await expiring(side, 3_000 * DAYS) == []


@pytest.mark.parametrize(
    "wrong",
    [
        wl.FetchExpiringSoonRequest(),
        asked(timedelta(0)),
        asked(-DAYS),
        asked(3_651 * DAYS),
        wl.FetchExpiringSoonRequest(within=Duration(seconds=1, nanos=-1)),
    ],
    ids=["absent", "nothing", "negative", "too long", "two signs"],
)
async def test_a_span_that_cannot_be_is_refused(side: Any, wrong: wl.FetchExpiringSoonRequest) -> None:
    with pytest.raises(RemoteError) as failed, remote_errors():
        await side.ask("FetchExpiringSoon", wrong)
    assert failed.value.code is grpc.StatusCode.INVALID_ARGUMENT
