"""Read your writes with each part in a process of its own and the projector away: never stale, and never from the journal.

`ERX_OVERLAY_ROUNDS` scales it; `tests/bench/overlay_reads.py` measures the same.
"""

import asyncio
import os
from typing import Any

from bootstrap.testing.calls import Caller, caller, signing
from bootstrap.testing.grounds import Ground
from bootstrap.testing.program import Child
from erx.eventlog.v1 import consistency_pb2 as cp

ROUNDS = int(os.environ.get("ERX_OVERLAY_ROUNDS", "40"))
WRITERS = 4
OVERLAY, AT_LEAST = cp.CONSISTENCY_MODE_OVERLAY, cp.CONSISTENCY_MODE_AT_LEAST
PATIENTS = 5
# The journal is not to be needed while the relay is alive, however slow the machine is.
PATIENT_FLAGS = ("--overlay-bus-seconds", "20", "--metrics-address", "127.0.0.1:0")


async def test_nothing_read_after_a_write_is_stale_while_the_projector_is_away(ground: Ground, tenant: str) -> None:
    commands, query, projector = (
        ground.serve("command"),
        ground.serve("query", *PATIENT_FLAGS),
        ground.serve("projector"),
    )
    ground.serve("relay")
    async with caller(commands.address("command"), query.address("query"), tenant=tenant) as people:
        first = await people.write(patient_id=patient(0))
        assert (await read(people, first, AT_LEAST)).prescription == first.prescription
        projector.stopped()
        last = (await asyncio.gather(*(written_and_read(people, number) for number in range(WRITERS))))[-1]
        assert overlaid(query) >= ROUNDS
        assert journal_reads(query) == 0
        ground.serve("projector")
        reached = await read(people, last, AT_LEAST)
        assert reached.prescription == last.prescription
        assert reached.as_of.events_overlaid == 0
        totals = (await people.ask("FetchStatistics", token=last.token, consistency=OVERLAY)).totals
        assert totals.prescriptions == 1 + ROUNDS


async def written_and_read(people: Caller, writer: int) -> Any:
    """A writer's part of the rounds: each prescription is seen by its id and in lists as soon as its reply is there."""
    told = None
    for number in range(writer, ROUNDS, WRITERS):
        told = await people.write(patient_id=patient(number))
        assert (await read(people, told, OVERLAY)).prescription == told.prescription
        told = await people.do("SignPrescription", **signing(told.prescription))
        assert (await read(people, told, OVERLAY)).prescription == told.prescription
        page = await people.ask(
            "FetchAllPrescriptions",
            filter={"patient_id": patient(number)},
            page_size=50,
            token=told.token,
            consistency=OVERLAY,
        )
        assert told.prescription in page.prescriptions
    return told


async def read(people: Caller, told: Any, consistency: Any) -> Any:
    return await people.ask(
        "FetchPrescription",
        prescription_id=told.prescription.prescription_id,
        token=told.token,
        consistency=consistency,
    )


def patient(number: int) -> str:
    return f"patient-{number % PATIENTS}"


def journal_reads(query: Child) -> float:
    return query.metrics()["erx_overlay_journal_reads_total"]


def overlaid(query: Child) -> float:
    return query.metrics()["erx_overlay_events"]
