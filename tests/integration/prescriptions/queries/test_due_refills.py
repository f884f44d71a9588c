"""Refills that fall due: so many days before the supply runs out, as early as the asker wants to know."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import grpc
import pytest
from google.type.date_pb2 import Date

from erx.prescriptions.v1 import worklists_pb2 as wl
from eventkernel_grpc import RemoteError, remote_errors
from prescriptions.domain import commands as c
from prescriptions.testing.recorded import prescription, untold
from prescriptions.testing.stories import AUTHOR, CORNER, HARBOUR, PATIENT, PRESCRIBER, START, WHY, Story

DAY0 = START.date()


def filled(days: int, **changes: Any) -> Story:
    changes = {"days_supply": 30, **changes}
    return untold(**changes).later(days=days).create().sign().issue().claim().dispense(30, 1)


# Numbered from 1; handed out on that day.
TOLD: dict[int, Callable[[], Story]] = {
    1: lambda: filled(0),
    2: lambda: filled(2, patient_id="patient-2"),
    3: lambda: filled(3).do(c.NominatePharmacy(HARBOUR), PATIENT),
    4: lambda: filled(4, days_supply=3),
    5: lambda: filled(5, days_supply=None),
    6: lambda: filled(6, refills_allowed=0),
    7: lambda: filled(7).later(days=20).claim(),
    8: lambda: filled(8).do(c.SuspendPrescription(WHY), PRESCRIBER),
    9: lambda: filled(9).later(days=1).reverse(1),
    10: lambda: filled(0).later(days=30).claim().dispense(30, 2),
}


async def tell_all(side: Any) -> None:
    for number, story in TOLD.items():
        await side.write(number, story())
    await side.project()


def day(number: int) -> Date:
    that = DAY0 + timedelta(days=number)
    return Date(year=that.year, month=that.month, day=that.day)


async def due(side: Any, **fields: Any) -> list[int]:
    numbers = {prescription(number): number for number in TOLD}
    reply = await side.ask("FetchDueRefills", wl.FetchDueRefillsRequest(**fields))
    return [numbers[found.prescription_id] for found in reply.refills]


async def test_by_a_day_all_that_has_fallen_due_is_there_the_first_to_run_out_first(side: Any) -> None:
    await tell_all(side)
    assert await due(side, day=day(3)) == []
    assert await due(side, day=day(4)) == [4]
    assert await due(side, day=day(22)) == [4]
    assert await due(side, day=day(23)) == [4, 1]
    assert await due(side, day=day(26)) == [4, 1, 2, 3]
    assert await due(side, day=day(53)) == [4, 1, 2, 3, 10]


async def test_without_a_day_it_is_today(side: Any) -> None:
    await tell_all(side)
    side.at(START + timedelta(days=23))
    assert await due(side) == [4, 1]


async def test_one_day_alone_has_what_falls_due_on_it(side: Any) -> None:
    await tell_all(side)
    assert await due(side, first_day=day(23), day=day(23)) == [1]
    assert await due(side, first_day=day(24), day=day(26)) == [2, 3]
    assert await due(side, first_day=day(4), day=day(4)) == [4]


async def test_the_lead_is_the_askers(side: Any) -> None:
    await tell_all(side)
    assert await due(side, day=day(30), lead_days=0) == [4, 1]
    assert await due(side, day=day(29), lead_days=0) == [4]
    assert await due(side, day=day(20), lead_days=10) == [4, 1]


@pytest.mark.parametrize(
    ("whose", "found"),
    [
        ({"pharmacy_id": CORNER.ncpdp_id}, [4, 1, 2, 10]),
        ({"pharmacy_id": HARBOUR.ncpdp_id}, [3]),
        ({"patient_id": "patient-2"}, [2]),
        ({"prescriber_id": AUTHOR.id}, [4, 1, 2, 3, 10]),
        ({"prescriber_id": "dr-brown"}, []),
    ],
)
async def test_it_can_be_asked_for_one_person_or_pharmacy(side: Any, whose: dict[str, str], found: list[int]) -> None:
    await tell_all(side)
    assert await due(side, day=day(60), **whose) == found


async def test_what_can_no_longer_be_filled_on_the_day_is_not_due(side: Any) -> None:
    await tell_all(side)
    assert await due(side, day=day(366)) == [4, 2, 3]
    side.at(START + timedelta(days=400))
    assert await due(side, day=day(60)) == []


async def test_an_entry_says_when_and_why(side: Any) -> None:
    await side.told(1, filled(0))
    (found,) = (await side.ask("FetchDueRefills", wl.FetchDueRefillsRequest(day=day(40)))).refills
    assert (found.due_date, found.run_out_date) == (day(23), day(30))
    assert (found.last_dispense.dispense_id[-1], found.refills_remaining, found.quantity.value.value) == ("1", 1, "30")
    assert (found.version, found.patient_id, found.prescriber.id) == (5, "patient-1", AUTHOR.id)


async def test_a_short_supply_is_not_due_before_it_was_handed_out(side: Any) -> None:
    await side.told(4, filled(4, days_supply=3))
    (found,) = (await side.ask("FetchDueRefills", wl.FetchDueRefillsRequest(day=day(40)))).refills
    assert (found.due_date, found.run_out_date) == (day(4), day(7))


async def test_pages_put_together_are_the_whole(side: Any) -> None:
    await tell_all(side)
    request = wl.FetchDueRefillsRequest(day=day(60), page_size=2)
    found: list[str] = []
    for _ in range(3):
        reply = await side.ask("FetchDueRefills", request)
        found += [shown.prescription_id for shown in reply.refills]
        request.page_token = reply.next_page_token
    assert (found, request.page_token) == ([prescription(number) for number in (4, 1, 2, 3, 10)], "")


async def test_a_page_token_is_for_the_same_days(side: Any) -> None:
    await tell_all(side)
    first = wl.FetchDueRefillsRequest(day=day(60), page_size=1)
    token = (await side.ask("FetchDueRefills", first)).next_page_token
    for other in ({"day": day(61)}, {"day": day(60), "lead_days": 6}, {"day": day(60), "first_day": day(1)}, {}):
        with pytest.raises(RemoteError) as failed, remote_errors():
            await due(side, page_token=token, **other)
        assert failed.value.reason == "BAD_PAGE_TOKEN"


async def test_tenants_are_apart(side: Any) -> None:
    await side.told(1, filled(0), tenant="north")
    assert await due(side, day=day(60)) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"lead_days": -1},
        {"lead_days": 366},
        {"day": Date(year=2026, month=2, day=30)},
        {"day": Date(year=date.max.year, month=12, day=31)},
        {"first_day": day(3), "day": day(2)},
    ],
    ids=["lead -1", "lead 366", "30 February", "the last day there is", "backwards"],
)
async def test_days_that_cannot_be_are_refused(side: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(RemoteError) as failed, remote_errors():
        await due(side, **wrong)
    assert failed.value.code is grpc.StatusCode.INVALID_ARGUMENT
