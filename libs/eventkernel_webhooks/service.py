"""The inbound port of webhooks: subscriptions, attempts, deliveries, replay. Secrets are told once, when they are made."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from erx.eventlog.v1 import webhook_service_pb2 as w
from erx.eventlog.v1.webhook_service_pb2_grpc import WebhookServiceServicer
from eventkernel.errors import InvalidCommand, Refusal, RefusalKind, StreamNotFound, VersionConflict
from eventkernel.filters import Eq, Order, Query
from eventkernel.ports import Clock
from eventkernel.ports.webhook_store import Subscription, SubscriptionState, WebhookStore
from eventkernel_grpc.call import current_call
from eventkernel_grpc.pages import PageTokens, page_size
from eventkernel_webhooks import wire
from eventkernel_webhooks.addresses import checked_url
from eventkernel_webhooks.signing import SecretBox, checked_secret, new_secret, subscription_id_of

OVERLAP_SECONDS_DEFAULT: Final = 86_400
SECRETS_MAX: Final = 5
PAGE_DEFAULT: Final = 50
PAGE_MAX: Final = 200
REPLACE_ATTEMPTS_MAX: Final = 8
VERSION_LAST: Final = 2**62

_STATES: Final = {
    w.WEBHOOK_STATE_ACTIVE: SubscriptionState.ACTIVE,
    w.WEBHOOK_STATE_PAUSED: SubscriptionState.PAUSED,
}

Ends = Callable[[], Awaitable[Mapping[int, int]]]


class WebhookService(WebhookServiceServicer):
    """``ends`` gives the end of the bus, where new subscriptions begin; ``columns`` are those of the view that conditions may
    name. The tenant comes from the call's metadata; another tenant's subscriptions do not exist. ``may_have``: whether the
    current caller may have such a subscription; others are refused, or do not exist where they are there.
    ``schema_versions``: those in which events can be told.
    """

    def __init__(
        self,
        store: WebhookStore,
        *,
        ends: Ends,
        secrets: SecretBox,
        pages: PageTokens,
        clock: Clock,
        columns: Collection[str],
        event_types: Collection[str],
        private_allowed: bool,
        may_have: Callable[[Subscription], bool] = lambda _: True,
        schema_versions: Collection[int] = (),
    ) -> None:
        self._may_have = may_have
        self._store = store
        self._ends = ends
        self._secrets = secrets
        self._pages = pages
        self._clock = clock
        self._columns = frozenset(columns)
        self._event_types = frozenset(event_types)
        self._private_allowed = private_allowed
        self._schema_versions = tuple(schema_versions)

    async def CreateWebhookSubscription(self, request: w.CreateWebhookSubscriptionRequest, context: Any) -> Any:  # noqa: N802
        """A repeated request gets what is there, and the secret again: it is the same caller's."""
        now = self._clock.now()
        tenant = current_call().tenant
        subscription_id = subscription_id_of(tenant, request.request_id)
        secret = checked_secret(request.secret) if request.secret else new_secret()
        made = Subscription(
            tenant=tenant,
            id=subscription_id,
            url=checked_url(request.url, private_allowed=self._private_allowed),
            event_types=self._types(request.event_types),
            conditions=self._conditions(request.conditions),
            description=request.description,
            state=SubscriptionState.ACTIVE,
            state_reason="",
            secrets=(self._secrets.seal(subscription_id, secret),),
            created_at=now,
            updated_at=now,
            schema_version=self._schema_version(request.schema_version),
        )
        # Under this request's id there may be one already: another caller's, whose secret it must not tell.
        stored = self._allowed(await self._store.add(self._allowed(made), await self._ends()))
        told = self._secrets.open(stored.id, stored.secrets[0]) if stored.secrets else ""
        return w.CreateWebhookSubscriptionResponse(subscription=await self._told(stored), secret=told)

    async def FetchWebhookSubscription(self, request: w.FetchWebhookSubscriptionRequest, context: Any) -> Any:  # noqa: N802
        """One."""
        return w.FetchWebhookSubscriptionResponse(
            subscription=await self._told(await self._own(request.subscription_id))
        )

    async def ListWebhookSubscriptions(self, request: w.ListWebhookSubscriptionsRequest, context: Any) -> Any:  # noqa: N802
        """A page."""
        tenant = current_call().tenant
        size = page_size(request.page_size, default=PAGE_DEFAULT, at_most=PAGE_MAX)
        query = Query(tenant, order=Order(("id",)))
        (after,) = self._pages.decode(query, request.page_token, scope="webhooks") or ("",)
        found = await self._store.select(tenant, after, size + 1)
        more = len(found) > size
        return w.ListWebhookSubscriptionsResponse(
            subscriptions=[await self._told(one) for one in found[:size] if self._may_have(one)],
            next_page_token=self._pages.encode(query, (found[size - 1].id,), scope="webhooks") if more else "",
        )

    async def UpdateWebhookSubscription(self, request: w.UpdateWebhookSubscriptionRequest, context: Any) -> Any:  # noqa: N802
        """The fields of the mask."""
        expected = request.expected_version if request.HasField("expected_version") else None
        changed = await self._changed(request.subscription_id, lambda known: self._masked(known, request), expected)
        return w.UpdateWebhookSubscriptionResponse(subscription=await self._told(changed))

    async def DeleteWebhookSubscription(self, request: w.DeleteWebhookSubscriptionRequest, context: Any) -> Any:  # noqa: N802
        """With everything."""
        subscription_id = (await self._own(request.subscription_id)).id
        if not await self._store.remove(current_call().tenant, subscription_id):
            raise StreamNotFound(f"webhook-{subscription_id}")
        return w.DeleteWebhookSubscriptionResponse()

    async def RotateWebhookSecret(self, request: w.RotateWebhookSecretRequest, context: Any) -> Any:  # noqa: N802
        """The new one leads; those before it end."""
        secret = checked_secret(request.secret) if request.secret else new_secret()
        changed = await self._changed(
            request.subscription_id, lambda known: self._rotated(known, secret, request.overlap_seconds)
        )
        return w.RotateWebhookSecretResponse(subscription=await self._told(changed), secret=secret)

    async def ListWebhookAttempts(self, request: w.ListWebhookAttemptsRequest, context: Any) -> Any:  # noqa: N802
        """The newest."""
        known = await self._own(request.subscription_id)
        size = page_size(request.page_size, default=PAGE_DEFAULT, at_most=PAGE_MAX)
        found = await self._store.attempts(known.id, size)
        return w.ListWebhookAttemptsResponse(attempts=[wire.attempt_to(known.id, one) for one in found])

    async def ListWebhookDeliveries(self, request: w.ListWebhookDeliveriesRequest, context: Any) -> Any:  # noqa: N802
        """A page of what waits or is parked."""
        known = await self._own(request.subscription_id)
        size = page_size(request.page_size, default=PAGE_DEFAULT, at_most=PAGE_MAX)
        query = Query(known.tenant, Eq("parked", request.parked), Order(("stream", "version")))
        scope = f"webhooks/{known.id}"
        after = self._pages.decode(query, request.page_token, scope=scope) or ("", 0)
        found = await self._store.deliveries(
            known.id, parked=request.parked, after=(after[0], after[1]), limit=size + 1
        )
        more = len(found) > size
        last = (found[size - 1].stream, found[size - 1].version) if more else ()
        return w.ListWebhookDeliveriesResponse(
            deliveries=[wire.delivery_to(one) for one in found[:size]],
            next_page_token=self._pages.encode(query, last, scope=scope) if more else "",
        )

    async def ReplayWebhookDeliveries(self, request: w.ReplayWebhookDeliveriesRequest, context: Any) -> Any:  # noqa: N802
        """Parked ones wait again."""
        known = await self._own(request.subscription_id)
        count = await self._store.replay(known.id, request.stream or None, self._clock.now())
        return w.ReplayWebhookDeliveriesResponse(replayed_count=count)

    async def DropWebhookDeliveries(self, request: w.DropWebhookDeliveriesRequest, context: Any) -> Any:  # noqa: N802
        """Given up."""
        known = await self._own(request.subscription_id)
        up_to = request.up_to_version or VERSION_LAST
        count = await self._store.drop(known.id, request.stream, up_to, self._clock.now())
        return w.DropWebhookDeliveriesResponse(dropped_count=count)

    def _schema_version(self, version: int) -> int:
        if version and version not in self._schema_versions:
            offered = ", ".join(map(str, self._schema_versions)) or "0 alone"
            raise InvalidCommand("schema_version", f"events are told in {offered}, not in {version}")
        return version

    async def _own(self, subscription_id: str) -> Subscription:
        found = await self._store.get(current_call().tenant, subscription_id.lower())
        if found is None or not self._may_have(found):
            raise StreamNotFound(f"webhook-{subscription_id.lower()}")
        return found

    def _allowed(self, subscription: Subscription) -> Subscription:
        """Refuse what would tell its keeper of others."""
        if not self._may_have(subscription):
            message = "the conditions must keep the subscription to what the caller may see"
            raise Refusal("NOT_VISIBLE", message, kind=RefusalKind.PERMISSION, field="conditions")
        return subscription

    async def _told(self, subscription: Subscription) -> w.WebhookSubscription:
        waiting, parked = await self._store.counts(subscription.id)
        return wire.subscription_to(subscription, waiting=waiting, parked=parked)

    async def _changed(
        self, subscription_id: str, change: Callable[[Subscription], Subscription], expected: int | None = None
    ) -> Subscription:
        for _ in range(REPLACE_ATTEMPTS_MAX):
            known = await self._own(subscription_id)
            if expected is not None and known.version != expected:
                raise VersionConflict(f"webhook-{known.id}", expected=expected, actual=known.version)
            changed = self._allowed(replace(change(known), updated_at=self._clock.now()))
            if await self._store.replace(changed):
                return replace(changed, version=known.version + 1)
        known = await self._own(subscription_id)
        raise VersionConflict(f"webhook-{known.id}", expected=known.version - 1, actual=known.version)

    def _masked(self, known: Subscription, request: w.UpdateWebhookSubscriptionRequest) -> Subscription:
        changes: dict[str, Any] = {}
        for path in request.update_mask.paths:
            match path:
                case "url":
                    changes["url"] = checked_url(request.url, private_allowed=self._private_allowed)
                case "event_types":
                    changes["event_types"] = self._types(request.event_types)
                case "conditions":
                    changes["conditions"] = self._conditions(request.conditions)
                case "description":
                    changes["description"] = request.description
                case "state" if request.state in _STATES:
                    changes |= {"state": _STATES[request.state], "state_reason": ""}
                case "state":
                    raise InvalidCommand("state", "must be ACTIVE or PAUSED")
                case _:
                    raise InvalidCommand("update_mask", f"{path[:64]!r} is not a field that can be changed")
        return replace(known, **changes)

    def _rotated(self, known: Subscription, secret: str, overlap_seconds: int) -> Subscription:
        now = self._clock.now()
        ends = now + timedelta(seconds=overlap_seconds or OVERLAP_SECONDS_DEFAULT)
        older = tuple(
            replace(one, expires_at=ends if one.expires_at is None else min(one.expires_at, ends))
            for one in known.secrets
            if one.expires_at is None or one.expires_at > now
        )
        if len(older) >= SECRETS_MAX:
            raise InvalidCommand("secret", f"{SECRETS_MAX} secrets are in use; wait until one has ended")
        return replace(known, secrets=(self._secrets.seal(known.id, secret), *older))

    def _types(self, asked: Collection[str]) -> tuple[str, ...]:
        for name in asked:
            if name not in self._event_types:
                raise InvalidCommand("event_types", f"there is no event {name[:64]!r}")
        return tuple(sorted(set(asked)))

    def _conditions(self, asked: Collection[w.WebhookCondition]) -> tuple[tuple[str, tuple[str, ...]], ...]:
        for condition in asked:
            if condition.column not in self._columns:
                raise InvalidCommand("conditions", f"column must be one of {', '.join(sorted(self._columns))}")
        return tuple((condition.column, tuple(condition.values)) for condition in asked)
