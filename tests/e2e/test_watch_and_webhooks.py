"""A running program tells of changes: by a stream, and by signed webhooks, also after it was killed."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from bootstrap.testing.calls import caller
from bootstrap.testing.program import Erx, eventually
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
ADMIN = call_metadata(actor=Actor("ann", "system"))


def told(receiver: Receiver) -> list[tuple[str, int]]:
    """Each event once, in the order of its first arrival."""
    found = [(one.event["type"], int(one.event["data"]["envelope"]["sequence"])) for one in receiver.accepted]
    return list(dict.fromkeys(found))


async def test_webhooks_reach_their_endpoint_in_order_also_after_a_kill(erx: Erx, data_dir: Path) -> None:
    flags = ("--webhook-private-addresses", "--webhook-timeout-seconds", "3")
    async with Receiver() as receiver:
        server = erx.serve(data_dir, *flags)
        async with caller(server.address("command"), server.address("query")) as asking:
            stub = WebhookServiceStub(asking.queries)
            request = w.CreateWebhookSubscriptionRequest(request_id=str(uuid4()), url=receiver.url)
            made = await stub.CreateWebhookSubscription(request, metadata=ADMIN, timeout=SECONDS)
            issued = (await asking.issued()).prescription
            await eventually("three webhooks", lambda: reached(receiver, 3))
            receiver.answer = lambda _: Reply(hangs=True)
            await asking.claim(issued.prescription_id)
            before = len(receiver.received)
            await eventually("an attempt that hangs", lambda: tried(receiver, before))
            server.kill()
        receiver.answer = lambda _: Reply(200)
        # The lease of the one that was killed must run out first: three times what an endpoint may take.
        erx.serve(data_dir, "webhooks", "relay", *flags)
        await eventually("the fourth webhook", lambda: reached(receiver, 4), seconds=2 * SECONDS)
    assert told(receiver) == [
        ("PrescriptionCreated", 1),
        ("PrescriptionSigned", 2),
        ("PrescriptionIssued", 3),
        ("PrescriptionClaimed", 4),
    ]
    assert all(one.signed_with(made.secret) for one in receiver.accepted)
    stored = (data_dir / "webhooks.db").read_bytes() + (data_dir / "webhooks.db-wal").read_bytes()
    assert made.secret.encode() not in stored
    assert all(made.secret not in child.output + child.errors for child in erx.children)


async def reached(receiver: Receiver, count: int) -> bool:
    return len(told(receiver)) >= count


async def tried(receiver: Receiver, before: int) -> bool:
    return len(receiver.received) > before


async def test_a_watch_goes_on_at_another_server_from_its_last_token(erx: Erx, data_dir: Path) -> None:
    first = erx.serve(data_dir)
    async with caller(first.address("command"), first.address("query")) as asking:
        stub = PrescriptionWatchServiceStub(asking.queries)
        filters = filters_pb2.PrescriptionFilter(patient_id="patient-1")
        call = stub.WatchPrescriptions(WatchPrescriptionsRequest(filter=filters))
        assert (await read(call)).WhichOneof("told") == "rows_complete"
        issued = (await asking.issued()).prescription
        seen = [await read(call) for _ in range(2)]
        call.cancel()
        token = seen[-1].resume_token
        second = erx.serve(data_dir, "query")
        async with channel(second.address("query")) as other:
            request = WatchPrescriptionsRequest(filter=filters, resume_token=token)
            call = PrescriptionWatchServiceStub(other).WatchPrescriptions(request)
            seen.append(await read(call))
            await asking.claim(issued.prescription_id)
            seen.append(await read(call))
            call.cancel()
    assert [one.changed.prescription.version for one in seen] == [1, 2, 3, 4]


async def read(call: Any) -> Any:
    async with asyncio.timeout(SECONDS):
        return await call.read()
