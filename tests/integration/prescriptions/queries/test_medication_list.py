"""What a patient takes: one entry for each medication, by the day it is now."""

from datetime import date, timedelta
from typing import Any

import grpc
import pytest
from google.type.date_pb2 import Date

from erx.prescriptions.types.v1 import enums_pb2 as e
from erx.prescriptions.v1 import query_service_pb2 as q
from eventkernel_grpc import RemoteError, remote_errors
from prescriptions.domain import commands as c
from prescriptions.domain.values import Coding
from prescriptions.testing.recorded import TimedStory, prescription, untold
from prescriptions.testing.stories import PRESCRIBER, START, WHY, Story


def issued(days: int = 0, **changes: Any) -> Story:
    story = untold(**changes)
    story.later(days=days)
    return story.create().sign().issue()


def named(text: str, code: str, **changes: Any) -> Story:
    return issued(medication=(Coding("urn:codes", code, text),), medication_text=text, **changes)


async def listed(side: Any, **fields: Any) -> Any:
    return await side.ask("FetchMedicationList", q.FetchMedicationListRequest(patient_id="patient-1", **fields))


async def test_several_prescriptions_of_one_medication_are_one_entry(side: Any) -> None:
    await side.told(1, issued(refills_allowed=0).claim().dispense(30, 1))
    await side.told(2, issued(days=20))
    (entry,) = (await listed(side)).medications
    assert list(entry.prescription_ids) == [prescription(2), prescription(1)]
    assert entry.current_prescription_id == prescription(2)
    assert (entry.status, entry.active) == (e.PRESCRIPTION_STATUS_ISSUED, True)
    assert entry.last_dispense.dispense_id.endswith("1")
    assert entry.dosage.text == "one tablet three times a day"
    assert entry.prescriber.id == "dr-grey"


async def test_the_one_to_go_by_is_the_newest_that_goes_on(side: Any) -> None:
    await side.told(1, issued())
    await side.told(2, issued(days=1).do(c.CancelPrescription(WHY), PRESCRIBER))
    (entry,) = (await listed(side)).medications
    assert entry.current_prescription_id == prescription(1)
    assert list(entry.prescription_ids) == [prescription(2), prescription(1)]


async def test_what_has_come_to_an_end_is_told_only_when_asked_for(side: Any) -> None:
    await side.told(1, issued().do(c.CancelPrescription(WHY), PRESCRIBER))
    assert not (await listed(side)).medications
    (entry,) = (await listed(side, include_inactive=True)).medications
    assert not entry.active


async def test_days_left_are_counted_when_asked_and_end_at_none(side: Any) -> None:
    await side.told(1, issued(days_supply=10).claim().dispense(30, 1))
    found = []
    for days in (0, 3, 10, 40):
        side.at(START + timedelta(days=days))
        (entry,) = (await listed(side)).medications
        found.append(entry.days_left)
    assert found == [10, 7, 0, 0]


async def test_the_next_refill_falls_a_week_before_the_supply_runs_out(side: Any) -> None:
    await side.told(1, issued(days_supply=30).claim().dispense(30, 1))
    (entry,) = (await listed(side)).medications
    day = START.date() + timedelta(days=23)
    assert entry.next_refill_date == Date(year=day.year, month=day.month, day=day.day)
    assert entry.refills_remaining == 1


async def test_the_supply_of_an_older_prescription_counts_for_its_renewal(side: Any) -> None:
    await side.told(1, issued(refills_allowed=0, days_supply=30).claim().dispense(30, 1))
    await side.told(2, issued(days=10))
    (entry,) = (await listed(side)).medications
    assert (entry.days_left, date(2026, 3, 25).day) == (30, entry.next_refill_date.day)


@pytest.mark.parametrize(
    "story",
    [issued, lambda: issued(days_supply=None).claim().dispense(30, 1), lambda: issued().claim().part(3, 1)],
    ids=["never dispensed", "supply not said", "a part of unknown days"],
)
async def test_what_cannot_be_told_is_absent(side: Any, story: Any) -> None:
    await side.told(1, story())
    (entry,) = (await listed(side)).medications
    assert not entry.HasField("days_left")
    assert not entry.HasField("next_refill_date")


async def test_entries_come_by_their_text_page_by_page(side: Any) -> None:
    for number, text in enumerate(("cocoa", "Apple", "banana", "apple", "Date"), 1):
        await side.told(number, named(text, str(number)))
    told: list[str] = []
    token = ""
    for size in (2, 2, 1):
        reply = await listed(side, page_size=2, page_token=token)
        assert len(reply.medications) == size
        told += [entry.medication_text for entry in reply.medications]
        token = reply.next_page_token
    assert (told, token) == (["Apple", "apple", "banana", "cocoa", "Date"], "")


async def test_a_page_token_is_for_the_same_patient_and_choice(side: Any) -> None:
    for number in range(1, 4):
        await side.told(number, named(str(number), str(number)))
    token = (await listed(side, page_size=1)).next_page_token
    for request in (
        q.FetchMedicationListRequest(patient_id="patient-2", page_token=token),
        q.FetchMedicationListRequest(patient_id="patient-1", page_token=token, include_inactive=True),
    ):
        with pytest.raises(RemoteError) as failed, remote_errors():
            await side.ask("FetchMedicationList", request)
        assert failed.value.reason == "BAD_PAGE_TOKEN"


async def test_an_unknown_patient_takes_nothing(side: Any) -> None:
    assert not (await listed(side)).medications


async def test_a_patient_must_be_named(side: Any) -> None:
    with pytest.raises(RemoteError) as failed, remote_errors():
        await side.ask("FetchMedicationList", q.FetchMedicationListRequest())
    assert failed.value.code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_patient_of_the_same_id_in_another_tenant_is_another_patient(side: Any) -> None:
    story: TimedStory | Story = issued()
    await side.told(1, story, tenant="north")
    assert not (await listed(side)).medications
