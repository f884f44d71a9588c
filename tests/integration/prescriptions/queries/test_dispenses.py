"""What was handed out, found by product, lot, pharmacy and day, as in a recall."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.type.date_pb2 import Date

from erx.prescriptions.v1 import dispenses_pb2 as d
from erx.prescriptions.v1 import filters_pb2 as f
from eventkernel_grpc import RemoteError, remote_errors
from prescriptions.domain.values import Coding, Substitution
from prescriptions.testing.recorded import prescription, untold
from prescriptions.testing.stories import AMOXICILLIN, AT_HARBOUR, AUTHOR, CORNER, HARBOUR, RXNORM, START, Story

NDC = "http://hl7.org/fhir/sid/ndc"
BRAND = Coding(NDC, "00093-3109-05", "a brand of it")


def claimed(days: int, **changes: Any) -> Story:
    return untold(substitution=Substitution.ALLOWED, **changes).later(days=days).create().sign().issue().claim()


# Numbered from 1.
TOLD: dict[int, Callable[[], Story]] = {
    1: lambda: claimed(0).dispense(30, 1, lot="AB 123"),
    2: lambda: claimed(1, patient_id="patient-2").part(10, 2, lot="ab123").later(days=1).dispense(20, 3, lot="C9"),
    3: lambda: claimed(3).dispense(30, 4, product=(BRAND, AMOXICILLIN), lot="AB123"),
    4: lambda: claimed(4).dispense(30, 5, lot="AB123").later(days=1).reverse(5).dispense(30, 6, lot="X-1"),
    5: lambda: untold().later(days=6).create().sign().issue().claim(HARBOUR, AT_HARBOUR).dispense(30, 7, AT_HARBOUR),
    6: lambda: claimed(7),
}


async def tell_all(side: Any) -> None:
    for number, story in TOLD.items():
        await side.write(number, story())
    await side.project()


def day(number: int) -> Date:
    that = START.date() + timedelta(days=number)
    return Date(year=that.year, month=that.month, day=that.day)


async def dispenses(side: Any, **fields: Any) -> list[int]:
    request = d.FetchDispensesRequest(**{"direction": f.SORT_DIRECTION_ASCENDING, **fields})
    reply = await side.ask("FetchDispenses", request)
    return [int(found.dispense.dispense_id.rpartition("-")[2], 16) for found in reply.dispenses]


FILTERS: dict[str, tuple[dict[str, Any], list[int]]] = {
    "nothing": ({}, [1, 2, 3, 4, 5, 6, 7]),
    "a lot, as people copy it": ({"lot": " aB1 23"}, [1, 2, 4, 5]),
    "a part of a lot": ({"lot": "AB12"}, []),
    "a product": ({"product_code": BRAND.code}, [4]),
    "a product in its system": ({"product_code": AMOXICILLIN.code, "product_system": RXNORM}, [1, 2, 3, 4, 5, 6, 7]),
    "a product in another system": ({"product_code": AMOXICILLIN.code, "product_system": NDC}, []),
    "a part of a product's code": ({"product_code": "00093"}, []),
    "a pharmacy": ({"pharmacy_id": HARBOUR.ncpdp_id}, [7]),
    "a patient": ({"patient_id": "patient-2"}, [2, 3]),
    "a prescriber": ({"prescriber_id": AUTHOR.id}, [1, 2, 3, 4, 5, 6, 7]),
    "another prescriber": ({"prescriber_id": "dr-brown"}, []),
    "from a day on": ({"first_day": day(4)}, [5, 6, 7]),
    "up to a day": ({"last_day": day(1)}, [1, 2]),
    "one day": ({"first_day": day(2), "last_day": day(2)}, [3]),
    "what was undone": ({"reversed": True}, [5]),
    "what stands": ({"reversed": False}, [1, 2, 3, 4, 6, 7]),
    "a lot that stands, at a pharmacy, in a week": (
        {"lot": "AB123", "reversed": False, "pharmacy_id": CORNER.ncpdp_id, "first_day": day(1), "last_day": day(7)},
        [2, 4],
    ),
    "the last day there is": ({"last_day": Date(year=9999, month=12, day=31)}, [1, 2, 3, 4, 5, 6, 7]),
}


@pytest.mark.parametrize("name", FILTERS)
async def test_dispenses_are_found_by(side: Any, name: str) -> None:
    await tell_all(side)
    asked, found = FILTERS[name]
    assert await dispenses(side, **asked) == found


async def test_the_newest_comes_first_unless_asked_otherwise(side: Any) -> None:
    await tell_all(side)
    assert await dispenses(side, direction=f.SORT_DIRECTION_UNSPECIFIED) == [7, 6, 5, 4, 3, 2, 1]


async def test_a_dispense_says_whose_it_was_and_what(side: Any) -> None:
    await side.told(3, TOLD[3]())
    (fact,) = (await side.ask("FetchDispenses", d.FetchDispensesRequest())).dispenses
    assert (fact.prescription_id, fact.patient_id, fact.prescriber_id) == (prescription(3), "patient-1", AUTHOR.id)
    assert [coding.code for coding in fact.dispense.product] == [BRAND.code, AMOXICILLIN.code]
    assert (fact.dispense.lot, fact.dispense.partial, fact.dispense.reversed) == ("AB123", False, False)
    assert (fact.dispense.quantity.value.value, fact.dispense.pharmacy.ncpdp_id) == ("30", CORNER.ncpdp_id)
    assert fact.dispense_time == fact.dispense.handover_time
    assert not fact.HasField("reverse_time")


async def test_what_was_undone_stays_found_and_says_since_when(side: Any) -> None:
    await side.told(4, TOLD[4]())
    (fact,) = (await side.ask("FetchDispenses", d.FetchDispensesRequest(lot="AB123"))).dispenses
    assert fact.dispense.reversed
    assert fact.reverse_time.ToDatetime() == (START + timedelta(days=5)).replace(tzinfo=None)


@pytest.mark.parametrize("direction", [f.SORT_DIRECTION_ASCENDING, f.SORT_DIRECTION_DESCENDING])
async def test_pages_put_together_are_the_whole_and_the_total_counts_it(side: Any, direction: Any) -> None:
    await tell_all(side)
    whole = await dispenses(side, direction=direction)
    request = d.FetchDispensesRequest(direction=direction, page_size=3, include_total=True)
    found: list[int] = []
    while True:
        reply = await side.ask("FetchDispenses", request)
        assert reply.total_size == 7
        found += [int(shown.dispense.dispense_id.rpartition("-")[2], 16) for shown in reply.dispenses]
        request.page_token = reply.next_page_token
        if not request.page_token:
            break
    assert found == whole


async def test_a_page_token_is_for_the_same_question(side: Any) -> None:
    await tell_all(side)
    token = (await side.ask("FetchDispenses", d.FetchDispensesRequest(page_size=1))).next_page_token
    with pytest.raises(RemoteError) as failed, remote_errors():
        await side.ask("FetchDispenses", d.FetchDispensesRequest(lot="AB123", page_token=token))
    assert failed.value.reason == "BAD_PAGE_TOKEN"


async def test_tenants_are_apart(side: Any) -> None:
    await side.told(1, TOLD[1](), tenant="north")
    assert await dispenses(side) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"product_system": NDC},
        {"lot": "  "},
        {"first_day": day(3), "last_day": day(2)},
        {"first_day": Date(year=2026, month=2, day=30)},
    ],
    ids=["a system without a code", "a lot of spaces", "backwards", "30 February"],
)
async def test_what_cannot_be_asked_is_refused(side: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(RemoteError) as failed, remote_errors():
        await dispenses(side, **wrong)
    assert failed.value.code is grpc.StatusCode.INVALID_ARGUMENT
