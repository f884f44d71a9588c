from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from bootstrap.bench import catch_up
from bootstrap.bench.load import content_message
from bootstrap.settings import Settings, load
from bootstrap.stores import open_stores
from erx.prescriptions.v1 import lifecycle_commands_pb2
from eventkernel.envelope import Actor, EventMeta, NewEvent, Provenance
from eventkernel.ids import StreamId
from eventkernel.ports import Entry, Position
from prescriptions.domain.commands import CreatePrescription
from prescriptions.domain.events import PrescriptionCreated
from prescriptions.wire.commands import command_from
from prescriptions.wire.events import PrescriptionEventCodec

EVENTS = 20


@pytest.fixture
async def settings(tmp_path: Path) -> Settings:
    """A journal of some created prescriptions, none of them published."""
    found = load(data_dir=tmp_path)
    stores = await open_stores(found)
    command = command_from(lifecycle_commands_pb2.CreatePrescriptionRequest(content=content_message()))
    assert isinstance(command, CreatePrescription)
    encoded = PrescriptionEventCodec().encode(PrescriptionCreated(command.content))
    now, provenance = datetime.now(UTC), Provenance(Actor("p1", "prescriber"))
    for _ in range(EVENTS):
        command_id = uuid4()
        meta = EventMeta(now, now, command_id, provenance)
        event = NewEvent(uuid4(), encoded.type, encoded.schema_version, encoded.data, meta)
        stream = StreamId("default", f"prescription-{uuid4()}")
        await stores.events.append(stream, Position(0), [Entry(event, command_id, bytes(32))])
    await stores.close()
    return found


async def test_the_catch_up_measures_every_event_of_the_journal(settings: Settings) -> None:
    found = await catch_up.measure(settings, EVENTS)
    assert found.events == EVENTS
    assert min(found.published_per_second, found.events_per_second, found.upserts_per_second) > 0


async def test_the_catch_up_reports_nothing_on_less_than_everything(settings: Settings) -> None:
    with pytest.raises(RuntimeError, match=f"{EVENTS} of {EVENTS + 1} events"):
        await catch_up.measure(settings, EVENTS + 1)
