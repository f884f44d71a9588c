"""Clients in other languages: each built by its own tool, all with the same scenario and the same lines to show for it."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from bootstrap.devtools.backends import in_ci
from bootstrap.devtools.clients import BuildFailed
from bootstrap.settings import load
from bootstrap.stores import open_stores
from bootstrap.testing.calls import caller
from bootstrap.testing.foreign import LANGUAGES, Program, ToolMissing, consumer, scenario
from bootstrap.testing.grounds import Ground, place_on
from bootstrap.testing.program import Child, Erx, eventually
from eventkernel.envelope import RecordedEvent
from localstack import CassandraNode, KafkaBroker, PostgresServer, Stack
from prescriptions.wire.events import message_class

ALLOWED = (
    "NominatePharmacy,ClaimPrescription,ReverseDispense,CancelPrescription,SuspendPrescription,ExpirePrescription,"
    "MarkEnteredInError"
)
LINES = f"""\
created version=1 status=DRAFT id=ID
repeated version=1 status=DRAFT same=true
signed version=2 status=SIGNED
issued version=3 status=ISSUED
claimed version=4 status=WITH_PHARMACY
read version=4 status=WITH_PHARMACY mode=OVERLAY reached=true
dispensed version=5 status=AWAITING_REFILL
read version=5 status=AWAITING_REFILL mode=AT_LEAST reached=true
watched row version=5 status=AWAITING_REFILL
watched rows_complete
suspended version=6 status=ON_HOLD
watched changed version=6 status=ON_HOLD event=PrescriptionSuspended
resumed version=7 status=AWAITING_REFILL
watched changed version=7 status=AWAITING_REFILL event=PrescriptionResumed
refused code=FAILED_PRECONDITION reason=INVALID_STATE_TRANSITION domain=prescriptions.erx state=AWAITING_REFILL \
allowed={ALLOWED}
invalid code=INVALID_ARGUMENT reason=INVALID_REQUEST violations=request_id:STRING_UUID,content.patient_id:REQUIRED,\
content.refills_allowed:INT32_GTE_LTE
done
"""
SECONDS = 180.0
EVENTS = [
    "PrescriptionCreated",
    "PrescriptionSigned",
    "PrescriptionIssued",
    "PrescriptionClaimed",
    "MedicationDispensed",
    "PrescriptionSuspended",
    "PrescriptionResumed",
]


def there(make: Any, *arguments: str) -> Program:
    """A built program; where its tool is missing the test is skipped by name, and fails in CI."""
    try:
        found: Program = make(*arguments)
    except ToolMissing as missing:
        (pytest.fail if in_ci() else pytest.skip)(str(missing))
    except BuildFailed as failed:
        pytest.fail(str(failed))
    return found


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_language_writes_fills_reads_watches_and_is_refused_alike(
    language: str, shared: Child, tenant: str
) -> None:
    program = await asyncio.to_thread(there, scenario, language)
    command, query = shared.address("command"), shared.address("query")
    where = ("--command", command, "--query", query, "--tenant", tenant)
    printed = await asyncio.to_thread(program.run, *where)
    found = re.search(r"id=(\S+)", printed)
    assert found is not None, printed
    assert printed.replace(found[0], "id=ID") == LINES
    async with caller(command, query, tenant=tenant) as c:
        assert [entry.envelope.event_type for entry in await c.history(found[1])] == EVENTS


@pytest.fixture
def ground(
    erx: Erx, tmp_path: Path, cassandra_server: CassandraNode, postgres_server: PostgresServer
) -> Iterator[Ground]:
    """The real stack with a broker of its own: there is one topic of the name on a broker, and others may be using it."""
    with Stack(tmp_path / "broker", services=["kafka"]) as stack:
        kafka: KafkaBroker = stack.kafka
        with place_on(cassandra_server, kafka, postgres_server) as variables:
            yield Ground("stack", erx, tmp_path / "data", variables)
            erx.close()  # before what it stands on is taken away


@pytest.mark.stack
async def test_a_reader_in_go_decodes_from_the_topic_what_the_journal_holds(ground: Ground, tenant: str) -> None:
    reader = await asyncio.to_thread(there, consumer)
    server = await asyncio.to_thread(ground.serve)
    async with caller(server.address("command"), server.address("query"), tenant=tenant) as c:
        for _ in range(3):
            one = (await c.issued(medication_text="Amoxicillin 500 mg – „drei × täglich“")).prescription.prescription_id
            claimed = await c.claim(one)
            await c.dispense(one, claimed.claim_token, 10, method="DispensePartially")
            await c.dispense(one, claimed.claim_token, 20)
        await c.write()
    stored = await journal_of(ground)
    where = ("--brokers", ground.variables["ERX_KAFKA_BOOTSTRAP_SERVERS"], "--tenant", tenant, "--seconds", "120")

    async def read() -> list[Any]:
        told = await asyncio.to_thread(reader.run, *where, "--json")
        lines = [json.loads(line) for line in told.splitlines()]
        return lines if len({line["id"] for line in lines}) == len(stored) else []

    read_events = await eventually(f"{len(stored)} events on the topic", read, seconds=SECONDS)
    assert {line["id"]: line for line in read_events} == {str(event.event_id): shown(event) for event in stored}
    for key in {line["key"] for line in read_events}:
        versions = list(dict.fromkeys(line["version"] for line in read_events if line["key"] == key))
        assert versions == list(range(1, len(versions) + 1))
    plain = await asyncio.to_thread(reader.run, *where)
    assert f"{read_events[0]['key']} version=1 type=erx.prescriptions.events.v" in plain


async def journal_of(ground: Ground) -> list[RecordedEvent]:
    """Every event of every stream, from the journal itself."""
    given: dict[str, Any] = {name.removeprefix("ERX_").lower(): value for name, value in ground.variables.items()}
    stores = await open_stores(load(data_dir=ground.data, **given))
    try:
        heads = [head async for head in stores.directory.streams()]
        return [event for head in heads for event in (await stores.events.load(head.stream)).events]
    finally:
        await stores.close()


def shown(event: RecordedEvent) -> dict[str, Any]:
    """What a reader should make of an event."""
    message = message_class(event.type, event.schema_version).FromString(event.data)
    return {
        "key": event.stream.key,
        "version": event.version,
        "id": str(event.event_id),
        "type": message.DESCRIPTOR.full_name,
        "event": MessageToDict(message, preserving_proto_field_name=True),
    }
