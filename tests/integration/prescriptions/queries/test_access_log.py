"""Who read or wrote what of a patient: over the wire, from the log and from the trail of readings."""

import asyncio
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

from erx.prescriptions.v1 import access_pb2 as a
from erx.prescriptions.v1 import dispenses_pb2, filters_pb2
from erx.prescriptions.v1 import query_service_pb2 as q
from erx.prescriptions.v1 import worklists_pb2 as wl
from eventkernel.envelope import Actor
from eventkernel.errors import Overloaded
from eventkernel_grpc import RemoteError, remote_errors
from prescriptions.queries.reads import LedgerSettings, ReadLedger
from prescriptions.testing.recorded import prescription, untold
from prescriptions.testing.stories import START, Story

DOCTOR = Actor("dr-brown", "prescriber", "clinic-1")
AUDITOR = Actor("a-1", "auditor")
READ, WRITE = a.ACCESS_KIND_READ, a.ACCESS_KIND_WRITE


def life(patient_id: str) -> Story:
    return untold(patient_id=patient_id).create().sign().issue().claim().dispense(30, 1)


async def log_of(side: Any, patient_id: str, *, actor: Actor = AUDITOR, **fields: Any) -> Any:
    await side.ledger.flush()
    return await side.ask("FetchAccessLog", a.FetchAccessLogRequest(patient_id=patient_id, **fields), actor=actor)


async def look(side: Any, number: int, **options: Any) -> None:
    await side.ask("FetchPrescription", q.FetchPrescriptionRequest(prescription_id=prescription(number)), **options)


async def test_it_tells_of_every_event_and_of_every_reading_the_newest_first(side: Any) -> None:
    await side.told(1, life("ann"))
    await side.told(2, life("bob"))
    side.at(START + timedelta(days=1))
    await look(side, 1, actor=DOCTOR, purpose="TREAT")
    found = (await log_of(side, "ann")).entries
    reading, *writes = found
    assert (reading.kind, reading.action, reading.actor.id) == (READ, "FetchPrescription", "dr-brown")
    assert (reading.purpose_of_use, reading.actor.organisation) == ("TREAT", "clinic-1")
    assert (list(reading.prescription_ids), reading.version) == ([prescription(1)], 0)
    assert [(entry.kind, entry.version) for entry in writes] == [(WRITE, v) for v in (5, 4, 3, 2, 1)]
    assert writes[0].action == "MedicationDispensed"
    assert writes[0].actor.role == "pharmacy"


async def test_reading_the_log_is_a_reading(side: Any) -> None:
    await log_of(side, "ann")
    [entry] = (await log_of(side, "ann")).entries
    assert (entry.action, entry.actor.id) == ("FetchAccessLog", "a-1")


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("FetchAllPrescriptions", q.FetchAllPrescriptionsRequest()),
        ("FetchMedicationList", q.FetchMedicationListRequest(patient_id="ann")),
        ("FetchDispenses", dispenses_pb2.FetchDispensesRequest()),
        ("FetchExpiringSoon", wl.FetchExpiringSoonRequest(within=Duration(seconds=365 * 86_400))),
        ("FetchDueRefills", wl.FetchDueRefillsRequest(day=Date(year=2027, month=1, day=1))),
        ("FetchHistory", q.FetchHistoryRequest(prescription_id=prescription(1))),
        ("FetchAsOf", q.FetchAsOfRequest(prescription_id=prescription(1), version=1)),
    ],
)
async def test_every_way_to_be_told_of_a_patient_is_noted(side: Any, method: str, request_: Any) -> None:
    await side.told(1, life("ann"))
    await side.ask(method, request_, actor=DOCTOR)
    [entry] = (await log_of(side, "ann", kind=READ)).entries
    assert (entry.action, entry.actor.id) == (method, "dr-brown")
    assert list(entry.prescription_ids) == [prescription(1)]


async def test_a_list_is_one_entry_for_each_patient_and_names_so_many_of_the_prescriptions(side: Any) -> None:
    for number in range(30):
        await side.write(number, untold(patient_id="ann" if number < 25 else "bob").create())
    await side.project()
    await side.ask("FetchAllPrescriptions", q.FetchAllPrescriptionsRequest(page_size=200), actor=DOCTOR)
    [anns] = (await log_of(side, "ann", kind=READ)).entries
    [bobs] = (await log_of(side, "bob", kind=READ)).entries
    assert (len(anns.prescription_ids), anns.prescription_count) == (20, 25)
    assert (len(bobs.prescription_ids), bobs.prescription_count) == (5, 5)


async def test_pages_go_through_both_kinds_without_gap_or_repeat(side: Any) -> None:
    for number in range(4):
        await side.told(number, life("ann"))
        for _ in range(3):
            await look(side, number, actor=DOCTOR)
    found, token = list[tuple[int, str, int, str]](), ""
    while True:
        page = await log_of(side, "ann", page_size=3, page_token=token)
        found += [
            (e.kind, e.prescription_ids[0] if e.prescription_ids else "", e.version, e.action) for e in page.entries
        ]
        if not (token := page.next_page_token):
            break
    # The clock stands still, so what the pages themselves left behind lies among the readings.
    assert sum(kind == WRITE for kind, *_ in found) == len({one for one in found if one[0] == WRITE}) == 20
    assert sum(action == "FetchPrescription" for *_, action in found) == 12


async def test_a_span_and_a_kind_narrow_it(side: Any) -> None:
    await side.told(1, untold(patient_id="ann").create().later(hours=1).sign().later(hours=1).issue())
    start, end = Timestamp(), Timestamp()
    start.FromDatetime(START + timedelta(hours=1))
    end.FromDatetime(START + timedelta(hours=2))
    await look(side, 1, actor=DOCTOR)
    found = (await log_of(side, "ann", start_time=start, end_time=end)).entries
    assert [entry.action for entry in found] == ["PrescriptionSigned"]
    assert {entry.kind for entry in (await log_of(side, "ann", kind=WRITE)).entries} == {WRITE}


@pytest.mark.parametrize("actor", [AUDITOR, Actor("ann", "patient"), Actor("mother", "representative", "ann")])
async def test_auditors_and_patients_and_who_speaks_for_them_may_see_it(side: Any, actor: Actor) -> None:
    await side.told(1, life("ann"))
    assert len((await log_of(side, "ann", actor=actor, kind=WRITE)).entries) == 5


@pytest.mark.parametrize(
    "actor", [DOCTOR, Actor("bob", "patient"), Actor("mother", "representative", "bob"), Actor("", "")]
)
async def test_nobody_else_may(side: Any, actor: Actor) -> None:
    with pytest.raises(RemoteError) as caught, remote_errors():
        await log_of(side, "ann", actor=actor)
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ROLE_NOT_ALLOWED")


async def test_other_tenants_see_nothing_of_it(side: Any) -> None:
    await side.told(1, life("ann"))
    await look(side, 1, actor=DOCTOR)
    await side.ledger.flush()
    request = a.FetchAccessLogRequest(patient_id="ann")
    answer = await side.ask("FetchAccessLog", request, tenant="other", actor=AUDITOR)
    assert list(answer.entries) == []


async def test_readings_are_written_behind_the_answers_and_the_last_ones_at_the_end(side: Any) -> None:
    await side.told(1, life("ann"))
    stop = asyncio.Event()
    writing = asyncio.create_task(side.ledger.run(stop))
    for _ in range(5):
        await look(side, 1, actor=DOCTOR)
    stop.set()
    await writing
    assert side.ledger.waiting == 0
    assert len((await log_of(side, "ann", kind=READ)).entries) == 5


async def test_what_is_read_while_readings_are_written_waits_for_the_next_time(
    side: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await side.told(1, life("ann"))
    written, batches = ReadLedger._written, []

    async def written_while_read(ledger: ReadLedger, tenant: str, batch: list[Any]) -> None:
        batches.append(len(batch))
        await look(side, 1, actor=DOCTOR)
        await written(ledger, tenant, batch)

    monkeypatch.setattr(ReadLedger, "_written", written_while_read)
    for _ in range(3):
        await look(side, 1, actor=DOCTOR)
    await side.ledger.flush()
    assert (batches, side.ledger.waiting) == ([3], 1)


async def test_a_batch_whose_end_was_not_heard_of_is_not_written_twice(side: Any) -> None:
    await side.told(1, life("ann"))
    await look(side, 1, actor=DOCTOR)
    await side.ledger.flush()
    side.ledger._versions["default"] -= 1  # as if the commit had been cut off on its way back
    await look(side, 1, actor=DOCTOR)  # stands for the batch that is tried again
    await side.ledger.flush()
    assert len((await log_of(side, "ann", kind=READ)).entries) == 1


async def test_who_cannot_write_down_what_was_told_stops_answering(side: Any) -> None:
    await side.told(1, life("ann"))
    side.ledger = ReadLedger(side.views, side.clock, settings=LedgerSettings(waiting_max=2))
    await look(side, 1)
    await look(side, 1)
    with pytest.raises(RemoteError) as caught, remote_errors():
        await look(side, 1)
    assert caught.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert Overloaded.retriable
    await side.ledger.flush()
    await look(side, 1)


async def test_a_filter_that_finds_nothing_tells_of_the_patient_all_the_same(side: Any) -> None:
    where = filters_pb2.PrescriptionFilter(patient_id="carl")
    await side.ask("FetchAllPrescriptions", q.FetchAllPrescriptionsRequest(filter=where), actor=DOCTOR)
    [entry] = (await log_of(side, "carl")).entries
    assert (entry.action, entry.prescription_count) == ("FetchAllPrescriptions", 0)
