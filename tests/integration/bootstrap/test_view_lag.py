import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from bootstrap.bench.samples import three
from bootstrap.metrics import Metrics, ProjectorMetrics
from bootstrap.process import Process
from bootstrap.roles.view_lag import ViewLag
from bootstrap.settings import load
from bootstrap.stores import SOURCE, TOPIC, open_stores
from eventkernel.envelope import RecordedEvent
from eventkernel.ids import StreamId
from eventkernel.ports import ParkedEvent
from eventkernel.runtime.cloudevents import to_message
from eventkernel.runtime.projector import Projector
from prescriptions.views import VIEWS
from prescriptions.views.prescription_view import PRESCRIPTION_VIEW
from prescriptions.wire.events import PrescriptionEventCodec, decode_recorded


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Process]:
    settings = load(data_dir=tmp_path)
    stores = await open_stores(settings)
    await stores.views.prepare(VIEWS)
    yield Process(settings, stores, Metrics(), failed=asyncio.Event(), said=print)
    await stores.close()


def recorded() -> list[RecordedEvent]:
    stream = StreamId("default", f"prescription-{uuid4()}")
    return [
        RecordedEvent(stream, version, e.event_id, e.type, e.schema_version, e.data, e.meta)
        for version, e in enumerate((entry.event for entry in three()), 1)
    ]


def value(process: Process, name: str, **labels: str) -> float:
    found = process.metrics.registry.get_sample_value(name, labels)
    assert found is not None, name
    return found


async def test_the_lag_is_what_lies_on_the_bus_unfolded_and_how_old_its_oldest_is(process: Process) -> None:
    events, wire_name = recorded(), PrescriptionEventCodec().wire_name
    await process.stores.publisher.publish(
        [to_message(event, topic=TOPIC, source=SOURCE, wire_name=wire_name) for event in events]
    )
    await ViewLag(process).look()
    assert value(process, "erx_view_events_behind") == len(events)
    age = datetime.now(UTC) - events[0].meta.recorded_at
    assert 0 < value(process, "erx_view_lag_seconds") <= age / timedelta(seconds=1)

    subscription = process.stores.subscribe()
    projector = Projector(
        VIEWS,
        subscription,
        process.stores.views,
        journal=process.stores.events,
        decode=decode_recorded,
        clock=process.stores.clock,
        observer=ProjectorMetrics(process.metrics),
    )
    while not await projector.run_once():
        pass
    await subscription.close()
    await ViewLag(process).look()
    assert value(process, "erx_view_events_behind") == 0
    assert value(process, "erx_view_lag_seconds") == 0
    assert value(process, "erx_view_events_total", view="prescription_view") == len(events)


async def test_parked_streams_are_those_that_are_parked_now(process: Process) -> None:
    event = recorded()[0]
    async with process.stores.views.transaction() as transaction:
        await transaction.park(PRESCRIPTION_VIEW, [ParkedEvent(event, "it broke", event.meta.recorded_at)])
    await ViewLag(process).look()
    assert value(process, "erx_view_parked_streams", view="prescription_view") == 1
    assert value(process, "erx_view_parked_streams", view="medication_list") == 0

    async with process.stores.views.transaction() as transaction:
        await transaction.unpark(PRESCRIPTION_VIEW, event.stream, event.version)
    await ViewLag(process).look()
    assert value(process, "erx_view_parked_streams", view="prescription_view") == 0
