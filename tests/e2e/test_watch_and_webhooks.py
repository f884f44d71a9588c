"""A running program tells of changes: by a stream, and by signed webhooks, also after it was killed."""

import asyncio
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from bootstrap.testing.calls import caller
from bootstrap.testing.grounds import Ground
from bootstrap.testing.program import eventually
from bootstrap.testing.webhook_receiver import Receiver, Reply
from erx.eventlog.v1 import webhook_service_pb2 as w
from erx.eventlog.v1.webhook_service_pb2_grpc import WebhookServiceStub
from erx.prescriptions.v1 import filters_pb2
from erx.prescriptions.v1.watch_service_pb2 import WatchPrescriptionsRequest
from erx.prescriptions.v1.watch_service_pb2_grpc import PrescriptionWatchServiceStub
from eventkernel.envelope import Actor
from eventkernel_grpc import call_metadata, channel

pytestmark = pytest.mark.e2e

SECONDS = 60.0
PRESCRIPTIONS = 8
ANN = Actor("ann", "system")


def told(receiver: Receiver) -> list[tuple[str, int]]:
    """Each event once, in the order of its first arrival."""
    found = [(one.event["type"], int(one.event["data"]["envelope"]["sequence"])) for one in receiver.accepted]
    return list(dict.fromkeys(found))


async def test_webhooks_reach_their_endpoint_in_order_also_after_a_kill(ground: Ground, tenant: str) -> None:
    flags = ("--webhook-private-addresses", "--webhook-timeout-seconds", "3")
    admin = call_metadata(tenant=tenant, actor=ANN)
    async with Receiver() as receiver:
        server = ground.serve(*flags)
        async with caller(server.address("command"), server.address("query"), tenant=tenant) as asking:
            stub = WebhookServiceStub(asking.queries)
            request = w.CreateWebhookSubscriptionRequest(request_id=str(uuid4()), url=receiver.url)
            made = await stub.CreateWebhookSubscription(request, metadata=admin, timeout=SECONDS)
            issued = (await asking.issued()).prescription
            await eventually("three webhooks", lambda: reached(receiver, 3))
            receiver.answer = lambda _: Reply(hangs=True)
            await asking.claim(issued.prescription_id)
            before = len(receiver.received)
            await eventually("an attempt that hangs", lambda: tried(receiver, before))
            server.kill()
        receiver.answer = lambda _: Reply(200)
        # The lease of the one that was killed must run out first: three times what an endpoint may take.
        for roles in (("webhooks", "relay"), ("webhooks",)):
            ground.serve(*roles, *flags)
        await eventually("the fourth webhook", lambda: reached(receiver, 4), seconds=2 * SECONDS)
    assert told(receiver) == [
        ("PrescriptionCreated", 1),
        ("PrescriptionSigned", 2),
        ("PrescriptionIssued", 3),
        ("PrescriptionClaimed", 4),
    ]
    assert all(one.signed_with(made.secret) for one in receiver.accepted)
    assert made.secret not in stored_by(ground)
    assert all(made.secret not in child.output + child.errors for child in ground.erx.children)


async def test_two_processes_of_webhooks_send_each_message_once(ground: Ground, tenant: str) -> None:
    flags = ("--webhook-private-addresses", "--webhook-timeout-seconds", "20")
    async with Receiver() as receiver:
        server = ground.serve("command", "relay", "query", *flags)
        for _ in range(2):
            ground.serve("webhooks", *flags)
        async with caller(server.address("command"), server.address("query"), tenant=tenant) as asking:
            request = w.CreateWebhookSubscriptionRequest(request_id=str(uuid4()), url=receiver.url)
            metadata = call_metadata(tenant=tenant, actor=ANN)
            await WebhookServiceStub(asking.queries).CreateWebhookSubscription(
                request, metadata=metadata, timeout=SECONDS
            )
            made = [(await asking.issued()).prescription.prescription_id for _ in range(PRESCRIPTIONS)]
            await eventually("all webhooks", lambda: received(receiver, 3 * PRESCRIPTIONS))
    sent = [one.event["data"]["envelope"] for one in receiver.received]
    for prescription_id in made:
        assert [int(one["sequence"]) for one in sent if one["aggregate_id"] == prescription_id] == [1, 2, 3]
    assert len(sent) == 3 * PRESCRIPTIONS


def stored_by(ground: Ground) -> str:
    """What is kept of subscriptions, wherever that is."""
    if ground.dsn:
        with psycopg.connect(ground.dsn) as connection:
            rows = connection.execute("SELECT body FROM webhooks.subscriptions").fetchall()
        assert rows
        return "".join(body for (body,) in rows)
    files = [ground.data / name for name in ("webhooks.db", "webhooks.db-wal")]
    return b"".join(file.read_bytes() for file in files).decode(errors="replace")


async def reached(receiver: Receiver, count: int) -> bool:
    return len(told(receiver)) >= count


async def received(receiver: Receiver, count: int) -> bool:
    return len(receiver.received) >= count


async def tried(receiver: Receiver, before: int) -> bool:
    return len(receiver.received) > before


async def test_a_watch_goes_on_at_another_server_from_its_last_token(ground: Ground, tenant: str) -> None:
    first = ground.serve()
    metadata = call_metadata(tenant=tenant)
    async with caller(first.address("command"), first.address("query"), tenant=tenant) as asking:
        stub = PrescriptionWatchServiceStub(asking.queries)
        filters = filters_pb2.PrescriptionFilter(patient_id="patient-1")
        call = stub.WatchPrescriptions(WatchPrescriptionsRequest(filter=filters), metadata=metadata)
        assert (await read(call)).WhichOneof("told") == "rows_complete"
        issued = (await asking.issued()).prescription
        seen = [await read(call) for _ in range(2)]
        call.cancel()
        token = seen[-1].resume_token
        second = ground.serve("query")
        async with channel(second.address("query")) as other:
            request = WatchPrescriptionsRequest(filter=filters, resume_token=token)
            call = PrescriptionWatchServiceStub(other).WatchPrescriptions(request, metadata=metadata)
            seen.append(await read(call))
            await asking.claim(issued.prescription_id)
            seen.append(await read(call))
            call.cancel()
    assert [one.changed.prescription.version for one in seen] == [1, 2, 3, 4]


async def read(call: Any) -> Any:
    async with asyncio.timeout(SECONDS):
        return await call.read()
