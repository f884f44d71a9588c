"""Who has just written sees it in every answer, though the projector stands still."""

import asyncio
from random import Random
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from erx.eventlog.v1 import consistency_pb2 as cp
from erx.prescriptions.v1 import dispenses_pb2, worklists_pb2
from erx.prescriptions.v1.query_service_pb2_grpc import PrescriptionQueryServiceStub
from eventkernel_grpc import RemoteError, decode_token, encode_token
from prescriptions.testing import stories
from prescriptions.wire.values import reason_to

if TYPE_CHECKING:
    from eventkernel.envelope import StreamPosition

JOURNAL_READS = "erx_overlay_journal_reads_total"
ROUNDS = 150


@pytest.mark.parametrize("apart", [False, True], ids=["one process", "two processes"])
async def test_who_writes_reads_it_at_once_and_the_journal_is_never_asked(running: Any, apart: bool) -> None:
    async with running(apart=apart) as it:
        random = Random(7)
        seen: list[StreamPosition] = []
        rounds = ROUNDS if not apart else ROUNDS // 3
        for number in range(rounds):
            patient = f"patient-{number % 10}"
            told = await it.people.write(patient_id=patient)
            token = told.token
            if apart:
                # The one written before may still be on its way from the other process: who wants to see it says so.
                seen += decode_token(told.token, tenant="default")
                token = encode_token(seen, tenant="default")
            if random.random() < 0.1:
                it.overlays.cache.clear()
            one = await it.ask("FetchPrescription", prescription_id=told.prescription.prescription_id, token=told.token)
            assert one.prescription == told.prescription
            assert one.as_of.requested_token_reached
            assert not one.as_of.overlay_degraded
            assert one.as_of.events_overlaid == 1
            page = await it.ask("FetchAllPrescriptions", token=token, page_size=5, include_total=True)
            assert page.prescriptions[0] == told.prescription
            assert page.total_size == number + 1
            mine = await it.ask("FetchAllPrescriptions", token=token, page_size=200, filter={"patient_id": patient})
            assert len(mine.prescriptions) == number // 10 + 1
        assert it.counted(JOURNAL_READS) == 0


async def test_many_who_write_and_read_while_projector_and_relay_work_see_every_write(running: Any) -> None:
    async with running(apart=True) as it:
        await it.project()
        random = Random(11)

        async def one(person: int) -> None:
            last, token = "", b""
            for number in range(ROUNDS // 10):
                if last and random.random() < 0.5:
                    told = await it.people.do("CancelPrescription", prescription_id=last, reason=reason_to(stories.WHY))
                else:
                    told = await it.people.write(patient_id=f"patient-{person}")
                last = "" if last == told.prescription.prescription_id else told.prescription.prescription_id
                seen = [
                    *(decode_token(token, tenant="default") if token else ()),
                    *decode_token(told.token, tenant="default"),
                ]
                token = encode_token({position.stream: position for position in seen}.values(), tenant="default")
                if random.random() < 0.2:
                    it.overlays.cache.clear()
                listed = await it.ask(
                    "FetchAllPrescriptions", token=token, filter={"patient_id": f"patient-{person}"}, include_total=True
                )
                assert listed.prescriptions[0] == told.prescription, number
                assert listed.total_size == len(listed.prescriptions) == len({p.stream for p in seen})

        await asyncio.gather(*(one(person) for person in range(6)))
        assert it.counted(JOURNAL_READS) == 0


async def test_every_kind_of_answer_takes_part(running: Any) -> None:
    async with running() as it:
        issued = await it.people.issued()
        claimed = await it.people.claim(issued.prescription.prescription_id)
        token = claimed.token
        queue = await it.ask("FetchPharmacyQueue", pharmacy_id=stories.CORNER.ncpdp_id, token=token)
        assert [entry.prescription_id for entry in queue.entries] == [issued.prescription.prescription_id]
        dispensed = await it.people.dispense(issued.prescription.prescription_id, claimed.claim_token)
        medications = await it.ask("FetchMedicationList", patient_id="patient-1", token=dispensed.token)
        assert len(medications.medications) == 1
        statistics = await it.ask("FetchStatistics", token=dispensed.token)
        assert (statistics.totals.prescriptions, statistics.totals.fills) == (1, 1)
        assert statistics.as_of.events_overlaid == 5
        stub = PrescriptionQueryServiceStub(it.people.queries)
        asked: dict[str, Any] = {"token": dispensed.token, "consistency": cp.CONSISTENCY_MODE_OVERLAY}
        facts = await stub.FetchDispenses(dispenses_pb2.FetchDispensesRequest(**asked, include_total=True), timeout=20)
        assert (len(facts.dispenses), facts.total_size, facts.as_of.events_overlaid) == (1, 1, 5)
        inbox = await stub.FetchByPrescriber(
            worklists_pb2.FetchByPrescriberRequest(**asked, prescriber_id="dr-grey"), timeout=20
        )
        assert inbox.as_of.requested_token_reached
        refills = await stub.FetchDueRefills(worklists_pb2.FetchDueRefillsRequest(**asked, lead_days=60), timeout=20)
        assert [due.prescription_id for due in refills.refills] == [issued.prescription.prescription_id]
        history = await it.ask(
            "FetchHistory", prescription_id=issued.prescription.prescription_id, token=dispensed.token
        )
        assert len(history.entries) == 5
        assert it.counted(JOURNAL_READS) == 0


async def test_answers_agree_with_those_after_the_projector_has_caught_up(running: Any) -> None:
    async with running() as it:
        seen: list[StreamPosition] = []
        for number in range(12):
            told = await it.people.issued(patient_id=f"patient-{number % 3}")
            if number % 2:
                told = await it.people.claim(told.prescription.prescription_id)
            seen += decode_token(told.token, tenant="default")
        token = encode_token(seen, tenant="default")

        async def answers(**mode: Any) -> list[Any]:
            asked = [
                await it.people.ask("FetchAllPrescriptions", token=token, page_size=200, **mode),
                await it.people.ask("FetchPharmacyQueue", pharmacy_id=stories.CORNER.ncpdp_id, token=token, **mode),
                await it.people.ask("FetchMedicationList", patient_id="patient-1", token=token, **mode),
                await it.people.ask("FetchStatistics", token=token, **mode),
            ]
            for answer in asked:
                answer.ClearField("as_of")
            return asked

        overlaid = await answers(consistency=cp.CONSISTENCY_MODE_OVERLAY)
        await it.project()
        assert await answers(consistency=cp.CONSISTENCY_MODE_AT_LEAST) == overlaid


async def test_pages_walk_through_every_row_once_while_the_projector_catches_up(running: Any) -> None:
    async with running() as it:
        written = [await it.people.write(patient_id=f"patient-{n}") for n in range(23)]
        seen: list[str] = []
        token = ""
        while True:
            page = await it.ask("FetchAllPrescriptions", page_size=4, page_token=token, token=written[-1].token)
            seen += [found.prescription_id for found in page.prescriptions]
            token = page.next_page_token
            if not token:
                break
            if len(seen) == 8:
                await it.project()
        assert seen == [told.prescription.prescription_id for told in reversed(written)]


async def test_with_the_relay_stopped_the_journal_has_what_the_token_names(running: Any) -> None:
    async with running(apart=True, relay=False) as it:
        told = [await it.people.write(patient_id=f"patient-{n}") for n in range(3)]
        for number, written in enumerate(told, 1):
            prescription_id = written.prescription.prescription_id
            it.overlays.cache.clear()
            one = await it.ask("FetchPrescription", prescription_id=prescription_id, token=written.token)
            assert one.prescription == written.prescription
            assert it.counted(JOURNAL_READS) == number
        page = await it.ask("FetchAllPrescriptions", token=told[-1].token, include_total=True)
        assert [found.prescription_id for found in page.prescriptions] == [told[-1].prescription.prescription_id]
        assert page.total_size == 1


async def test_a_version_that_nobody_has_written_is_refused_with_the_one_that_is_there(running: Any) -> None:
    async with running(overlay_bus_seconds=0.01) as it:
        told = await it.people.write()
        with pytest.raises(RemoteError) as failed:
            await it.ask("FetchPrescription", prescription_id=told.prescription.prescription_id, min_version=5)
        assert failed.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert failed.value.reason == "TOKEN_NOT_REACHED"
        assert (failed.value.metadata["wanted"], failed.value.metadata["reached"]) == ("5", "1")


async def test_when_too_much_is_pending_it_waits_for_the_view_and_says_so(running: Any) -> None:
    async with running(overlay_events_max=3) as it:
        told = [await it.people.write(patient_id=f"patient-{n}") for n in range(5)]
        assert it.overlays.tail.full
        prescription_id = told[-1].prescription.prescription_id
        asked = asyncio.ensure_future(
            it.ask("FetchPrescription", prescription_id=prescription_id, token=told[-1].token)
        )
        await asyncio.wait({asked}, timeout=0.05)
        assert not asked.done()
        await it.project()
        one = await asked
        assert one.prescription == told[-1].prescription
        assert one.as_of.overlay_degraded
        assert one.as_of.requested_token_reached
        assert it.counted("erx_overlay_degraded_total") >= 1


async def test_without_a_token_what_has_come_over_the_bus_is_shown(running: Any) -> None:
    async with running() as it:
        told = await it.people.write()
        while not it.overlays.tail.events:
            arrived = it.overlays.tail.next_arrival()
            async with asyncio.timeout(20):
                await arrived.wait()
        page = await it.ask("FetchAllPrescriptions")
        assert [found.prescription_id for found in page.prescriptions] == [told.prescription.prescription_id]
        assert page.as_of.events_overlaid == 1
        assert not page.as_of.HasField("requested_token_reached")


async def test_the_status_of_views_is_their_own_and_waits(running: Any) -> None:
    async with running() as it:
        told = await it.people.write()
        asked = asyncio.ensure_future(it.ask("ProjectionStatus", token=told.token))
        await asyncio.wait({asked}, timeout=0.05)
        assert not asked.done()
        await it.project()
        assert (await asked).as_of.overlay_degraded
