"""Subscriptions over a real gRPC server, on memory and SQLite."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from bootstrap.testing.webhook_receiver import Receiver, Reply
from erx.eventlog.v1 import webhook_service_pb2 as w
from erx.eventlog.v1.webhook_service_pb2_grpc import WebhookServiceStub, add_WebhookServiceServicer_to_server
from eventkernel.envelope import Actor
from eventkernel_grpc import GrpcServer, PageTokens, RemoteError, ServerSettings, call_metadata, channel, remote_errors
from eventkernel_webhooks.service import WebhookService
from eventkernel_webhooks.signing import SecretBox, new_secret

BOX = SecretBox(b"a key of these tests")
CLERK = Actor("clerk-1", "clerk")
URL = "https://example.org/hook"


class Client:
    """Calls by the name of the request."""

    def __init__(self, stub: Any) -> None:
        self._stub = stub

    async def call(self, request: Any, tenant: str = "default") -> Any:
        method = getattr(self._stub, type(request).__name__.removesuffix("Request"))
        with remote_errors():
            return await method(request, metadata=call_metadata(tenant=tenant, actor=CLERK), timeout=20)

    async def refused(self, request: Any, tenant: str = "default") -> tuple[str, str, str]:
        with pytest.raises(RemoteError) as caught:
            await self.call(request, tenant)
        return caught.value.code.name, caught.value.reason, caught.value.metadata.get("field", "")

    async def created(self, tenant: str = "default", **fields: Any) -> Any:
        request = w.CreateWebhookSubscriptionRequest(**{"request_id": str(uuid4()), "url": URL, **fields})
        return await self.call(request, tenant)


@asynccontextmanager
async def serving(side: Any, *, private_allowed: bool = False, **wired: Any) -> AsyncIterator[Client]:
    async def ends() -> dict[int, int]:
        return {source.partition: end for source, end in (await side.tail.end_offsets("counters")).items()}

    service = WebhookService(
        side.store,
        ends=ends,
        secrets=BOX,
        pages=PageTokens(b"a key of these tests"),
        clock=side.clock,
        columns={"status", "id"},
        event_types={"Opened", "Added", "Closed"},
        private_allowed=private_allowed,
        **wired,
    )
    server = GrpcServer(ServerSettings(drain_seconds=0.5))
    server.add(add_WebhookServiceServicer_to_server, service, error_domain="webhooks.erx")
    async with server, channel(server.target) as opened:
        yield Client(WebhookServiceStub(opened))


def fetch(subscription_id: str) -> Any:
    return w.FetchWebhookSubscriptionRequest(subscription_id=subscription_id)


def update(subscription_id: str, *paths: str, **fields: Any) -> Any:
    mask = FieldMask(paths=paths)
    return w.UpdateWebhookSubscriptionRequest(subscription_id=subscription_id, update_mask=mask, **fields)


async def test_a_subscription_is_made_once_and_its_secret_told_to_its_maker_alone(side: Any) -> None:
    async with serving(side) as client:
        request = w.CreateWebhookSubscriptionRequest(
            request_id=str(uuid4()),
            url=URL,
            event_types=["Closed", "Opened"],
            conditions=[w.WebhookCondition(column="status", values=["OPEN"])],
            description="for a test",
        )
        made = await client.call(request)
        again = await client.call(request)
        assert (again.subscription, again.secret) == (made.subscription, made.secret)
        assert made.secret.startswith("whsec_")
        fetched = (await client.call(fetch(made.subscription.subscription_id))).subscription
        assert fetched == made.subscription
        assert made.secret not in str(fetched)
        assert len(fetched.secrets[0].fingerprint) == 8
        (listed,) = (await client.call(w.ListWebhookSubscriptionsRequest())).subscriptions
        assert listed == fetched


async def test_the_request_id_of_another_caller_does_not_tell_his_secret(side: Any) -> None:
    request_id = str(uuid4())
    async with serving(side) as client:
        await client.created(request_id=request_id, conditions=[w.WebhookCondition(column="id", values=["his"])])
    async with serving(side, may_have=lambda one: one.conditions == (("id", ("mine",)),)) as client:
        mine = [w.WebhookCondition(column="id", values=["mine"])]
        again = w.CreateWebhookSubscriptionRequest(url=URL, request_id=request_id, conditions=mine)
        assert (await client.refused(again))[1] == "NOT_VISIBLE"


async def test_another_tenant_finds_nothing_of_it(side: Any) -> None:
    async with serving(side) as client:
        mine = (await client.created()).subscription.subscription_id
        for request in (
            fetch(mine),
            update(mine, "description", description="mine now"),
            w.DeleteWebhookSubscriptionRequest(subscription_id=mine),
            w.RotateWebhookSecretRequest(subscription_id=mine),
            w.ListWebhookAttemptsRequest(subscription_id=mine),
            w.ListWebhookDeliveriesRequest(subscription_id=mine),
            w.ReplayWebhookDeliveriesRequest(subscription_id=mine),
            w.DropWebhookDeliveriesRequest(subscription_id=mine, stream="counter-a"),
        ):
            assert (await client.refused(request, "other"))[:2] == ("NOT_FOUND", "NOT_FOUND")
        assert not (await client.call(w.ListWebhookSubscriptionsRequest(), "other")).subscriptions
        assert (await client.call(fetch(mine))).subscription.version == 1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"url": "http://example.org/"}, "url"),
        ({"url": "https://user:word@example.org/"}, "url"),
        ({"event_types": ["Exploded"]}, "event_types"),
        ({"conditions": [w.WebhookCondition(column="total", values=["1"])]}, "conditions"),
        ({"secret": "whsec_AAAA"}, "secret"),
    ],
)
async def test_what_cannot_be_is_refused_by_field(side: Any, fields: dict[str, Any], field: str) -> None:
    async with serving(side) as client:
        request = w.CreateWebhookSubscriptionRequest(**{"request_id": str(uuid4()), "url": URL, **fields})
        assert await client.refused(request) == ("INVALID_ARGUMENT", "INVALID_FIELD", field)


async def test_an_update_takes_the_fields_of_its_mask_under_its_version(side: Any) -> None:
    async with serving(side) as client:
        mine = (await client.created(description="old")).subscription.subscription_id
        request = update(mine, "url", "state", url=URL + "/2", state=w.WEBHOOK_STATE_PAUSED, description="not taken")
        request.expected_version = 1
        changed = (await client.call(request)).subscription
        assert (changed.url, changed.state, changed.description, changed.version) == (
            URL + "/2",
            w.WEBHOOK_STATE_PAUSED,
            "old",
            2,
        )
        assert (await client.refused(request))[:2] == ("ABORTED", "VERSION_CONFLICT")
        assert await client.refused(update(mine, "secrets")) == ("INVALID_ARGUMENT", "INVALID_FIELD", "update_mask")
        disabled = update(mine, "state", state=w.WEBHOOK_STATE_DISABLED)
        assert (await client.refused(disabled))[2] == "state"


async def test_subscriptions_come_page_by_page(side: Any) -> None:
    async with serving(side) as client:
        made = sorted([(await client.created()).subscription.subscription_id for _ in range(5)])
        seen, token = [], ""
        for _ in range(3):
            page = await client.call(w.ListWebhookSubscriptionsRequest(page_size=2, page_token=token))
            seen += [one.subscription_id for one in page.subscriptions]
            token = page.next_page_token
        assert (seen, token) == (made, "")


async def test_rotation_keeps_the_older_secrets_for_the_overlap_and_limits_their_number(side: Any) -> None:
    async with serving(side) as client:
        made = await client.created(secret=new_secret())
        mine = made.subscription.subscription_id
        rotated = await client.call(w.RotateWebhookSecretRequest(subscription_id=mine, overlap_seconds=60))
        assert rotated.secret not in {made.secret, ""}
        newest, older = rotated.subscription.secrets
        assert not newest.HasField("expire_time")
        assert older.expire_time.ToDatetime(side.clock.now().tzinfo) == side.clock.now() + timedelta(seconds=60)
        for _ in range(3):
            await client.call(w.RotateWebhookSecretRequest(subscription_id=mine, overlap_seconds=60))
        too_many = w.RotateWebhookSecretRequest(subscription_id=mine)
        assert (await client.refused(too_many))[2] == "secret"
        await side.clock.advance(61.0)
        again = await client.call(too_many)
        assert len(again.subscription.secrets) == 2


async def test_parked_deliveries_are_listed_replayed_and_dropped(side: Any) -> None:
    async with Receiver(lambda _: Reply(500)) as receiver, serving(side, private_allowed=True) as client:
        made = await client.created(url=receiver.url)
        mine = made.subscription.subscription_id
        streams = sorted([(await side.counter(1)).name for _ in range(3)])
        dispatcher = await side.dispatcher(schedule=type((await side.dispatcher())._settings.schedule)(()))
        while await dispatcher.run_once():
            pass
        told = (await client.call(fetch(mine))).subscription
        assert (told.waiting_count, told.parked_count) == (0, 6)
        page = await client.call(w.ListWebhookDeliveriesRequest(subscription_id=mine, parked=True, page_size=4))
        assert [(one.stream, one.version) for one in page.deliveries] == [
            (streams[0], 1),
            (streams[0], 2),
            (streams[1], 1),
            (streams[1], 2),
        ]
        assert page.deliveries[0].last_error == "HTTP 500"
        rest = await client.call(
            w.ListWebhookDeliveriesRequest(subscription_id=mine, parked=True, page_token=page.next_page_token)
        )
        assert [one.stream for one in rest.deliveries] == [streams[2]] * 2
        attempts = (await client.call(w.ListWebhookAttemptsRequest(subscription_id=mine))).attempts
        assert {(one.http_status, one.error, one.number) for one in attempts} == {(500, "HTTP 500", 1)}
        assert {one.webhook_id for one in attempts} == {one.id for one in receiver.received}

        receiver.answer = lambda _: Reply(200)
        dropped = await client.call(
            w.DropWebhookDeliveriesRequest(subscription_id=mine, stream=streams[0], up_to_version=1)
        )
        replayed = await client.call(w.ReplayWebhookDeliveriesRequest(subscription_id=mine))
        assert (dropped.dropped_count, replayed.replayed_count) == (1, 4)
        while await dispatcher.run_once():
            pass
        shown = [(one.event["data"]["stream"], one.event["data"]["version"]) for one in receiver.accepted]
        assert sorted(shown) == [(streams[0], 2), *((name, v) for name in streams[1:] for v in (1, 2))]
        assert all(one.signed_with(made.secret) for one in receiver.accepted)


async def test_what_a_caller_may_not_have_is_neither_made_nor_found(side: Any) -> None:
    allowed = [w.WebhookCondition(column="status", values=["OPEN"])]

    def may_have(one: Any) -> bool:
        return ("status", ("OPEN",)) in one.conditions

    async with serving(side) as client:
        hidden = (await client.created()).subscription.subscription_id
    async with serving(side, may_have=may_have) as client:
        refused = await client.refused(w.CreateWebhookSubscriptionRequest(request_id=str(uuid4()), url=URL))
        assert refused == ("PERMISSION_DENIED", "NOT_VISIBLE", "conditions")
        mine = (await client.created(conditions=allowed)).subscription.subscription_id
        assert (await client.refused(update(mine, "conditions")))[1] == "NOT_VISIBLE"
        for request in (
            fetch(hidden),
            update(hidden, "conditions", conditions=allowed),
            w.RotateWebhookSecretRequest(subscription_id=hidden),
            w.DeleteWebhookSubscriptionRequest(subscription_id=hidden),
            w.ListWebhookAttemptsRequest(subscription_id=hidden),
        ):
            assert (await client.refused(request))[0] == grpc.StatusCode.NOT_FOUND.name
        listed = (await client.call(w.ListWebhookSubscriptionsRequest())).subscriptions
        assert [one.subscription_id for one in listed] == [mine]


async def test_a_removed_subscription_gets_no_more(side: Any) -> None:
    async with Receiver() as receiver, serving(side, private_allowed=True) as client:
        mine = (await client.created(url=receiver.url)).subscription.subscription_id
        await side.counter()
        await client.call(w.DeleteWebhookSubscriptionRequest(subscription_id=mine))
        assert await (await side.dispatcher()).run_once() == 0
        assert receiver.received == []
        assert (await client.refused(fetch(mine)))[0] == grpc.StatusCode.NOT_FOUND.name


async def test_a_subscription_begins_with_what_comes_after_it(side: Any) -> None:
    await side.counter()
    async with Receiver() as receiver, serving(side, private_allowed=True) as client:
        await client.created(url=receiver.url)
        later = await side.counter()
        dispatcher = await side.dispatcher()
        while await dispatcher.run_once():
            pass
        assert [one.event["data"]["stream"] for one in receiver.accepted] == [later.name]
