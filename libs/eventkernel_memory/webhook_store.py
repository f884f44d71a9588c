"""Webhook subscriptions in memory: the shortest complete store of them."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from eventkernel.ports.webhook_store import (
    ATTEMPTS_KEPT,
    Attempt,
    Delivered,
    Delivery,
    Park,
    Settlement,
    Subscription,
    TryAgain,
)


@dataclass(slots=True)
class _Endpoint:
    """One subscription with its cursor, lanes by stream and version, and attempts."""

    subscription: Subscription
    positions: dict[int, int]
    lanes: dict[str, dict[int, Delivery]] = field(default_factory=dict)
    attempts: deque[Attempt] = field(default_factory=lambda: deque(maxlen=ATTEMPTS_KEPT))
    paused_until: datetime | None = None

    def all(self, *, parked: bool) -> list[Delivery]:
        found = [delivery for lane in self.lanes.values() for delivery in lane.values() if delivery.parked is parked]
        return sorted(found, key=lambda delivery: (delivery.stream, delivery.version))

    def head_is_due(self, stream: str, now: datetime) -> None:
        lane = self.lanes.get(stream)
        if not lane:
            self.lanes.pop(stream, None)
            return
        head = min(lane)
        lane[head] = replace(lane[head], due_at=now)


class MemoryWebhookStore:
    """Dictionaries; every method is one step."""

    def __init__(self) -> None:
        self._endpoints: dict[str, _Endpoint] = {}

    async def add(self, subscription: Subscription, positions: Mapping[int, int]) -> Subscription:
        """Store it unless the id is taken."""
        known = await self.get(subscription.tenant, subscription.id)
        if known is not None:
            return known
        self._endpoints[subscription.id] = _Endpoint(subscription, dict(positions))
        return subscription

    async def get(self, tenant: str, subscription_id: str) -> Subscription | None:
        """By tenant and id."""
        found = self._endpoints.get(subscription_id)
        return found.subscription if found is not None and found.subscription.tenant == tenant else None

    async def select(self, tenant: str | None, after: str, limit: int) -> Sequence[Subscription]:
        """By id."""
        found = [endpoint.subscription for _, endpoint in sorted(self._endpoints.items())]
        return [one for one in found if one.id > after and tenant in (None, one.tenant)][:limit]

    async def replace(self, subscription: Subscription) -> bool:
        """The next version."""
        known = await self.get(subscription.tenant, subscription.id)
        if known is None or known.version != subscription.version:
            return False
        self._endpoints[subscription.id].subscription = replace(subscription, version=subscription.version + 1)
        return True

    async def remove(self, tenant: str, subscription_id: str) -> bool:
        """With everything."""
        if await self.get(tenant, subscription_id) is None:
            return False
        del self._endpoints[subscription_id]
        return True

    async def positions(self, subscription_id: str) -> Mapping[int, int]:
        """The cursor."""
        found = self._endpoints.get(subscription_id)
        return dict(found.positions) if found else {}

    async def take(
        self, subscription_id: str, before: Mapping[int, int], after: Mapping[int, int], new: Sequence[Delivery]
    ) -> bool:
        """Cursor and lanes at once."""
        endpoint = self._endpoints.get(subscription_id)
        if endpoint is None or endpoint.positions != dict(before):
            return False
        endpoint.positions = dict(after)
        for delivery in new:
            lane = endpoint.lanes.setdefault(delivery.stream, {})
            if delivery.version not in lane:
                parked = any(other.parked for other in lane.values())
                lane[delivery.version] = replace(delivery, due_at=None if lane else delivery.due_at, parked=parked)
        return True

    async def claim(self, subscription_id: str, now: datetime, until: datetime, limit: int) -> Sequence[Delivery]:
        """Lease the heads."""
        endpoint = self._endpoints.get(subscription_id)
        if endpoint is None or (endpoint.paused_until is not None and endpoint.paused_until > now):
            return []
        due = [(one.due_at, one) for one in endpoint.all(parked=False) if one.due_at is not None and one.due_at <= now]
        due.sort(key=lambda pair: pair[0])
        claimed = [replace(delivery, due_at=until) for _, delivery in due[:limit]]
        for delivery in claimed:
            endpoint.lanes[delivery.stream][delivery.version] = delivery
        return claimed

    async def settle(self, delivery: Delivery, settlement: Settlement, attempt: Attempt) -> bool:
        """By the lease."""
        endpoint = self._endpoints.get(delivery.subscription_id)
        lane = endpoint.lanes.get(delivery.stream, {}) if endpoint else {}
        held = lane.get(delivery.version)
        if endpoint is None or held is None or held.due_at != delivery.due_at:
            return False
        endpoint.attempts.append(attempt)
        failed = replace(held, failed_attempts=held.failed_attempts + 1, last_error=attempt.error)
        match settlement:
            case Delivered():
                del lane[delivery.version]
                endpoint.head_is_due(delivery.stream, attempt.at)
            case TryAgain(due_at, pause_until):
                lane[delivery.version] = replace(failed, due_at=due_at)
                endpoint.paused_until = pause_until or endpoint.paused_until
            case Park():
                lane[delivery.version] = failed
                for version, one in lane.items():
                    lane[version] = replace(one, parked=True, due_at=None)
        return True

    async def counts(self, subscription_id: str) -> tuple[int, int]:
        """Waiting and parked."""
        endpoint = self._endpoints.get(subscription_id)
        return (len(endpoint.all(parked=False)), len(endpoint.all(parked=True))) if endpoint else (0, 0)

    async def deliveries(
        self, subscription_id: str, *, parked: bool, after: tuple[str, int], limit: int
    ) -> Sequence[Delivery]:
        """By stream and version."""
        endpoint = self._endpoints.get(subscription_id)
        found = endpoint.all(parked=parked) if endpoint else []
        return [one for one in found if (one.stream, one.version) > after][:limit]

    async def replay(self, subscription_id: str, stream: str | None, now: datetime) -> int:
        """Parked lanes wait again."""
        endpoint = self._endpoints.get(subscription_id)
        parked = [one for one in endpoint.all(parked=True) if stream in (None, one.stream)] if endpoint else []
        for one in parked:
            assert endpoint is not None
            endpoint.lanes[one.stream][one.version] = replace(one, parked=False, failed_attempts=0)
            endpoint.head_is_due(one.stream, now)
        return len(parked)

    async def drop(self, subscription_id: str, stream: str, up_to: int, now: datetime) -> int:
        """Forget, and let the rest go on."""
        endpoint = self._endpoints.get(subscription_id)
        lane = endpoint.lanes.get(stream, {}) if endpoint else {}
        gone = [version for version, one in lane.items() if one.parked and version <= up_to]
        for version in gone:
            del lane[version]
        if gone and endpoint is not None:
            await self.replay(subscription_id, stream, now)
            endpoint.head_is_due(stream, now)
        return len(gone)

    async def attempts(self, subscription_id: str, limit: int) -> Sequence[Attempt]:
        """Newest first."""
        endpoint = self._endpoints.get(subscription_id)
        return list(reversed(endpoint.attempts))[:limit] if endpoint else []


if TYPE_CHECKING:
    from eventkernel.ports.webhook_store import WebhookStore

    _: type[WebhookStore] = MemoryWebhookStore
