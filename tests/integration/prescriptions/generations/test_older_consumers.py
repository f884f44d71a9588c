"""Consumers that know an older version alone: they are told in it, and what it cannot say is named."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
from typer.testing import CliRunner

from bootstrap.cli.app import app
from bootstrap.metrics import Metrics
from bootstrap.process import Process
from bootstrap.roles import components
from bootstrap.settings import load
from bootstrap.stores import TOPIC, open_stores
from bootstrap.testing.program import eventually
from bootstrap.testing.webhook_receiver import Receiver
from erx.eventlog.v1 import webhook_service_pb2 as hooks
from erx.eventlog.v1.webhook_service_pb2_grpc import WebhookServiceStub
from erx.prescriptions.v1 import watch_service_pb2 as w
from erx.prescriptions.v1.watch_service_pb2_grpc import PrescriptionWatchServiceStub
from eventkernel.envelope import Actor, Provenance
from eventkernel.ids import StreamId
from eventkernel.ports import Position
from eventkernel_grpc import call_metadata, channel
from prescriptions.testing import generations
from prescriptions.testing.recorded import prescription
from prescriptions.wire.events import message_class

SECONDS = 60
STREAM = StreamId("mixed", f"prescription-{prescription(1)}")
METADATA = call_metadata(tenant="mixed", provenance=Provenance(Actor("scheduler", "system")))
EVENTS = len(generations.mixed())
# Of the first version, with the texts of the second and the third said in its words.
IN_ONE = [
    *("PrescriptionCreated", "PrescriptionSigned", "PrescriptionIssued", "PrescriptionClaimed", "PrescriptionFilled"),
    *("PrescriptionFilled", "PrescriptionClaimed", "PrescriptionFilled", "DispenseReversed", "PrescriptionFilled"),
    *("PrescriptionClaimed", "PrescriptionFilled"),
]


@dataclass
class Served:
    folder: Path
    process: Process
    opened: grpc.aio.Channel

    async def write(self) -> None:
        stores = self.process.stores
        position = Position(0)
        for entry in generations.entries(STREAM, generations.mixed()):
            outcome: Any = await stores.events.append(STREAM, position, [entry])
            position = outcome.position


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Served]:
    """All that reads, in one process on the test's own loop."""
    settings = load(data_dir=folder, query_address="127.0.0.1:0", webhook_private_addresses=True)
    heard: list[str] = []
    async with AsyncExitStack() as opened:
        stores = await open_stores(settings)
        opened.push_async_callback(stores.close)
        process = Process(settings, stores, Metrics(), failed=asyncio.Event(), said=heard.append)
        for part in components(process, ["query", "projector", "relay", "webhooks"]):
            await part.start()
            opened.push_async_callback(part.stop)
        target = next(line for line in heard if line.startswith("query")).rpartition(" ")[2]
        yield Served(folder, process, await opened.enter_async_context(channel(target)))


async def test_a_watcher_is_told_every_event_in_the_version_it_asked_for(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        stub: Any = PrescriptionWatchServiceStub(served.opened)
        told: list[Any] = []
        async with asyncio.timeout(SECONDS):
            request = w.WatchPrescriptionsRequest(event_schema_version=1)
            call = stub.WatchPrescriptions(request, metadata=METADATA)
            async for response in call:
                if response.WhichOneof("told") == "rows_complete":
                    await served.write()
                if response.WhichOneof("told") == "changed":
                    told.append(response.changed)
                if len(told) == EVENTS:
                    break
            call.cancel()
        assert [change.event.event_type for change in told] == IN_ONE
        assert {change.event.schema_version for change in told} == {1}
        dispense: Any = message_class("PrescriptionFilled", 1).FromString(told[4].event.payload)
        assert (dispense.ndc, dispense.quantity, dispense.partial) == ("0264751010", 10, True)
        assert "fill_number" in told[-1].event.lost_fields
        assert not told[0].event.lost_fields


async def test_a_watcher_that_asks_for_no_version_is_told_no_event(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await served.write()
        stub: Any = PrescriptionWatchServiceStub(served.opened)
        async with asyncio.timeout(SECONDS):
            call = stub.WatchPrescriptions(w.WatchPrescriptionsRequest(), metadata=METADATA)
            async for response in call:
                assert not (response.HasField("changed") and response.changed.HasField("event"))
                if response.WhichOneof("told") == "rows_complete":
                    break
            call.cancel()


async def test_a_version_that_is_not_offered_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        watch: Any = PrescriptionWatchServiceStub(served.opened)
        with pytest.raises(grpc.aio.AioRpcError, match=r"one of 1, 2, 3.*, not 7"):
            async for _ in watch.WatchPrescriptions(
                w.WatchPrescriptionsRequest(event_schema_version=7), metadata=METADATA, timeout=SECONDS
            ):
                pass
        webhooks: Any = WebhookServiceStub(served.opened)
        request = hooks.CreateWebhookSubscriptionRequest(
            request_id=str(uuid4()), url="http://127.0.0.1:1/", schema_version=7
        )
        with pytest.raises(grpc.aio.AioRpcError, match="told in 1, 2, 3, not in 7"):
            await webhooks.CreateWebhookSubscription(request, metadata=METADATA, timeout=SECONDS)


async def test_an_endpoint_is_told_every_event_in_the_version_of_its_subscription(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        stub: Any = WebhookServiceStub(served.opened)
        async with Receiver() as receiver, asyncio.timeout(SECONDS):
            request = hooks.CreateWebhookSubscriptionRequest(
                request_id=str(uuid4()), url=receiver.url, schema_version=2
            )
            made = await stub.CreateWebhookSubscription(request, metadata=METADATA)
            assert made.subscription.schema_version == 2
            await served.write()

            async def told_all() -> bool:
                return len(receiver.accepted) >= EVENTS

            await eventually(f"{EVENTS} deliveries", told_all)
        told = [received.event["data"] for received in receiver.accepted]
        assert {one["shape"]["schema_version"] for one in told} == {2}
        assert all("event" not in one for one in told)
        names = [one["shape"]["event_type"] for one in told]
        assert names[4:6] == ["MedicationPartiallyDispensed", "MedicationDispensed"]
        assert told[4]["shape"]["event"]["product"] == {"original": "0264751010"}
        assert {"fill_number", "refills_remaining"} <= set(told[-1]["shape"]["lost_fields"])
        assert "Ann" not in json.dumps(told)


async def test_the_tail_of_the_topic_prints_events_as_a_version_says_them(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await served.write()

        async def published() -> bool:
            return sum((await served.process.stores.tail.end_offsets(TOPIC)).values()) >= EVENTS

        await eventually(f"{EVENTS} records", published)
        given = ["topic", "tail", "--count", "1000", "--data-dir", str(served.folder), "--as"]
        ran = await asyncio.to_thread(CliRunner().invoke, app, [*given, "v1"])
        assert ran.exit_code == 0, ran.output
        told = [json.loads(line) for line in ran.output.splitlines() if line.startswith("{")]
        assert [one["event_type"] for one in sorted(told, key=lambda one: one["version"])] == IN_ONE
        assert {one["stored_schema_version"] for one in told} == {1, 2, 3}
        assert "Ann" not in ran.output
        refused = await asyncio.to_thread(CliRunner().invoke, app, [*given, "v9"])
        assert refused.exit_code == 2
