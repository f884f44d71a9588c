"""Who sees what, over the wire and on each store: every role asks every question about the same five prescriptions."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from erx.prescriptions.v1 import dispenses_pb2, statistics_pb2, worklists_pb2
from erx.prescriptions.v1 import filters_pb2 as f
from erx.prescriptions.v1 import query_service_pb2 as q
from erx.prescriptions.v1 import watch_service_pb2 as w
from erx.prescriptions.v1.watch_service_pb2_grpc import PrescriptionWatchServiceStub
from eventkernel.envelope import Actor
from eventkernel_grpc import GrpcServer, RemoteError, ServerSettings, call_metadata, channel, remote_errors
from prescriptions.domain.values import PersonRef
from prescriptions.testing.recorded import prescription, untold
from prescriptions.testing.stories import (
    AGENT,
    AT_CORNER,
    AT_HARBOUR,
    HARBOUR,
    OTHER_PRESCRIBER,
    PATIENT,
    PRESCRIBER,
    REPRESENTATIVE,
    SYSTEM,
    Story,
)
from prescriptions.watching import add_watch_to_server

BROWN = PersonRef("dr-brown", npi="1234567893", dea_number="AP5836727")
OTHER_PATIENT, PAYER, AUDITOR = Actor("patient-2", "patient"), Actor("fund-1", "payer"), Actor("eve", "auditor")
NOBODY, STRANGER = Actor("", ""), Actor("joe", "neighbour")


def by_brown(patient: str) -> Story:
    return untold(patient_id=patient, prescriber=BROWN).create(OTHER_PRESCRIBER)


def issued_by_brown(patient: str) -> Story:
    return by_brown(patient).sign(OTHER_PRESCRIBER).issue(OTHER_PRESCRIBER)


# Numbered from 1: what anybody may claim; begun at the corner; dispensed at the harbour, its refill anybody's to claim; held at
# the harbour for another patient; a draft.
TOLD: tuple[Callable[[], Story], ...] = (
    lambda: untold().create().sign().issue(),
    lambda: untold().create().sign().issue().claim().part(10, 1),
    lambda: issued_by_brown("patient-1").claim(HARBOUR, AT_HARBOUR).dispense(30, 2, AT_HARBOUR),
    lambda: issued_by_brown("patient-2").claim(HARBOUR, AT_HARBOUR),
    lambda: by_brown("patient-2"),
)
EVERYBODY: tuple[tuple[Actor, set[int]], ...] = (
    (PATIENT, {1, 2, 3}),
    (REPRESENTATIVE, {1, 2, 3}),
    (OTHER_PATIENT, {4, 5}),
    (PRESCRIBER, {1, 2}),
    (AGENT, {1, 2}),
    (OTHER_PRESCRIBER, {3, 4, 5}),
    (AT_CORNER, {1, 2, 3}),
    (AT_HARBOUR, {1, 3, 4}),
    (AUDITOR, {1, 2, 3, 4, 5}),
    (SYSTEM, {1, 2, 3, 4, 5}),
)
OF_OWN_PATIENTS = {PRESCRIBER: {3}, AGENT: {3}, OTHER_PRESCRIBER: {1, 2}}
"""Written by others, for patients of one's own: seen where they, or their patient, are asked about."""
EVERYBODY_IDS = [f"{actor.role} {actor.id}" for actor, _ in EVERYBODY]


@dataclass
class Told:
    """One server for all questions of a test."""

    side: Any
    stub: Any

    async def ask(self, method: str, request: Any, *, actor: Actor) -> Any:
        return await getattr(self.stub, method)(request, metadata=call_metadata(actor=actor), timeout=20)


@asynccontextmanager
async def all_told(side: Any) -> AsyncIterator[Told]:
    for number, story in enumerate(TOLD, 1):
        await side.write(number, story())
    await side.project()
    side.by_role = True
    async with side.served() as stub:
        yield Told(side, stub)


def number_of(prescription_id: str) -> int:
    return next(number for number in range(1, 10) if prescription(number) == prescription_id)


async def listed(told: Told, actor: Actor, **fields: Any) -> dict[int, Any]:
    request = q.FetchAllPrescriptionsRequest(page_size=200, include_total=True, **fields)
    reply = await told.ask("FetchAllPrescriptions", request, actor=actor)
    found = {number_of(one.prescription_id): one for one in reply.prescriptions}
    assert reply.total_size == len(found)
    return found


async def refused(told: Told, actor: Actor, method: str, request: Any) -> tuple[str, str]:
    with pytest.raises(RemoteError) as caught, remote_errors():
        await told.ask(method, request, actor=actor)
    return caught.value.code.name, caught.value.reason


@pytest.mark.parametrize(("actor", "seen"), EVERYBODY, ids=EVERYBODY_IDS)
async def test_lists_and_single_answers_hold_what_the_role_sees(side: Any, actor: Actor, seen: set[int]) -> None:
    async with all_told(side) as told:
        everything = await listed(told, actor)
        assert set(everything) == seen
        as_of = await listed(told, actor, recorded_time=everything[min(seen)].record_time)
        assert set(as_of) <= seen
        soon = worklists_pb2.FetchExpiringSoonRequest(within=Duration(seconds=86_400 * 3_650))
        reply = await told.ask("FetchExpiringSoon", soon, actor=actor)
        assert {number_of(one.prescription_id) for one in reply.prescriptions} <= seen
        for number in range(1, 6):
            request = q.FetchPrescriptionRequest(prescription_id=prescription(number))
            if number in seen | OF_OWN_PATIENTS.get(actor, set()):
                answer = await told.ask("FetchPrescription", request, actor=actor)
                assert answer.prescription == everything.get(number, answer.prescription)
            else:
                assert await refused(told, actor, "FetchPrescription", request) == ("NOT_FOUND", "NOT_FOUND")


async def test_what_others_wrote_for_a_patient_of_ones_own_is_seen_when_the_patient_is_asked_about(side: Any) -> None:
    async with all_told(side) as told:
        of = {name: f.PrescriptionFilter(patient_id=f"patient-{name}") for name in "12"}
        for actor in (PRESCRIBER, AGENT):
            assert set(await listed(told, actor, filter=of["1"])) == {1, 2, 3}
            assert set(await listed(told, actor, filter=of["2"])) == set()
            found = await told.ask(
                "FetchMedicationList", q.FetchMedicationListRequest(patient_id="patient-1"), actor=actor
            )
            assert found.medications
            found = await told.ask(
                "FetchMedicationList", q.FetchMedicationListRequest(patient_id="patient-2"), actor=actor
            )
            assert not found.medications
        assert set(await listed(told, PATIENT, filter=of["2"])) == set()


async def test_a_pharmacy_sees_the_patient_and_its_own_hand_outs_where_the_prescription_is_its_business(
    side: Any,
) -> None:
    async with all_told(side) as told:
        corner, harbour = await listed(told, AT_CORNER), await listed(told, AT_HARBOUR)
        assert [corner[number].content.patient_id for number in (1, 2, 3)] == ["", "patient-1", ""]
        assert [harbour[number].content.patient_id for number in (1, 3, 4)] == ["", "patient-1", "patient-2"]
        assert [len(corner[number].dispenses) for number in (1, 2, 3)] == [0, 1, 0]
        assert [len(harbour[number].dispenses) for number in (1, 3, 4)] == [0, 1, 0]
        assert corner[1].content.medication_text == (await listed(told, AUDITOR))[1].content.medication_text


@pytest.mark.parametrize(
    ("actor", "seen"),
    [
        (PATIENT, {1, 2}),
        (PRESCRIBER, {1}),
        (OTHER_PRESCRIBER, {2}),
        (AT_CORNER, {1}),
        (AT_HARBOUR, {2}),
        (SYSTEM, {1, 2}),
    ],
    ids=["patient", "prescriber", "other prescriber", "corner", "harbour", "system"],
)
async def test_hand_outs_are_shown_to_those_whose_they_are(side: Any, actor: Actor, seen: set[int]) -> None:
    async with all_told(side) as told:
        reply = await told.ask("FetchDispenses", dispenses_pb2.FetchDispensesRequest(), actor=actor)
        assert {int(one.dispense.dispense_id.rpartition("-")[2], 16) for one in reply.dispenses} == seen


@pytest.mark.parametrize(
    ("actor", "seen"),
    [(PATIENT, {1, 2, 3}), (PRESCRIBER, {1, 2}), (OTHER_PRESCRIBER, {3, 4, 5}), (AT_CORNER, {2}), (AT_HARBOUR, {4})],
    ids=["patient", "author", "other author", "corner", "harbour"],
)
async def test_events_and_the_past_are_shown_to_patients_authors_and_who_holds_it(
    side: Any, actor: Actor, seen: set[int]
) -> None:
    async with all_told(side) as told:
        for number in range(1, 6):
            history = q.FetchHistoryRequest(prescription_id=prescription(number))
            as_of = q.FetchAsOfRequest(prescription_id=prescription(number), version=1)
            if number in seen:
                assert (await told.ask("FetchHistory", history, actor=actor)).entries
                assert (await told.ask("FetchAsOf", as_of, actor=actor)).prescription.version == 1
            else:
                assert await refused(told, actor, "FetchHistory", history) == ("NOT_FOUND", "NOT_FOUND")
                assert await refused(told, actor, "FetchAsOf", as_of) == ("NOT_FOUND", "NOT_FOUND")


async def test_worklists_are_for_those_whose_work_it_is(side: Any) -> None:
    async with all_told(side) as told:
        queue = q.FetchPharmacyQueueRequest(pharmacy_id="9900007")
        assert (await told.ask("FetchPharmacyQueue", queue, actor=AT_CORNER)).entries
        for actor in (AT_HARBOUR, PATIENT, PRESCRIBER, PAYER):
            assert await refused(told, actor, "FetchPharmacyQueue", queue) == ("PERMISSION_DENIED", "NOT_FOR_ROLE")
        inbox = worklists_pb2.FetchByPrescriberRequest(prescriber_id="dr-brown")
        assert (await told.ask("FetchByPrescriber", inbox, actor=OTHER_PRESCRIBER)).entries
        assert not (await told.ask("FetchByPrescriber", inbox, actor=PRESCRIBER)).entries
        assert await refused(told, AT_CORNER, "FetchByPrescriber", inbox) == ("PERMISSION_DENIED", "NOT_FOR_ROLE")


async def test_sums_are_for_payers_and_those_who_see_everything(side: Any) -> None:
    async with all_told(side) as told:
        request = statistics_pb2.FetchStatisticsRequest()
        for actor in (PAYER, AUDITOR, SYSTEM):
            assert (await told.ask("FetchStatistics", request, actor=actor)).totals.prescriptions == 5
        for actor in (PATIENT, PRESCRIBER, AT_CORNER):
            assert await refused(told, actor, "FetchStatistics", request) == ("PERMISSION_DENIED", "NOT_FOR_ROLE")


@pytest.mark.parametrize(
    ("actor", "reason"),
    [
        (NOBODY, "ROLE_REQUIRED"),
        (STRANGER, "ROLE_UNKNOWN"),
        (Actor("rph-1", "pharmacy"), "ORGANISATION_REQUIRED"),
        (PAYER, "NOT_FOR_ROLE"),
    ],
    ids=["no role", "an unknown role", "for nobody", "a payer"],
)
async def test_who_has_no_business_with_prescriptions_is_refused_by_name(side: Any, actor: Actor, reason: str) -> None:
    async with all_told(side) as told:
        for method, request in (
            ("FetchAllPrescriptions", q.FetchAllPrescriptionsRequest()),
            ("FetchPrescription", q.FetchPrescriptionRequest(prescription_id=prescription(1))),
        ):
            assert await refused(told, actor, method, request) == ("PERMISSION_DENIED", reason)


async def test_a_watch_tells_what_the_lists_show(side: Any) -> None:
    async with all_told(side) as told:
        server = GrpcServer(ServerSettings(drain_seconds=0.5))
        ports = {name: getattr(told.side, name) for name in ("views", "events", "tail", "clock", "progress")}
        key = b"a key of thirty-two bytes, or so"
        add_watch_to_server(
            server, **ports, topic="erx.prescriptions.events.v1", group="views", token_key=key, by_role=True
        )
        async with server, channel(server.target) as opened:
            stub = PrescriptionWatchServiceStub(opened)
            for actor, seen in EVERYBODY:
                call: Any = stub.WatchPrescriptions(w.WatchPrescriptionsRequest(), metadata=call_metadata(actor=actor))
                rows = {}
                while (message := await call.read()).WhichOneof("told") == "row":
                    rows[number_of(message.row.prescription_id)] = message.row
                call.cancel()
                assert rows == await listed(told, actor)
                assert set(rows) == seen
            with pytest.raises(RemoteError) as caught, remote_errors():
                await stub.WatchPrescriptions(w.WatchPrescriptionsRequest(), metadata=call_metadata(actor=PAYER)).read()
            assert caught.value.reason == "NOT_FOR_ROLE"
