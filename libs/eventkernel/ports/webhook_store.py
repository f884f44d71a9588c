"""Subscriptions of HTTP endpoints, and what is on its way to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol
from uuid import UUID


class SubscriptionState(Enum):
    """Whether a subscription delivers."""

    ACTIVE = "active"
    PAUSED = "paused"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """A signing secret as it is stored: sealed, with what may be told of it. None: the current one, without an end."""

    sealed: bytes
    fingerprint: str
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Subscription:
    """An endpoint and what it is told. ``conditions``: by column the values of which a row must have one; none: all rows.

    ``version`` is 1 when it is added and grows by one with every ``replace``. ``schema_version``: the one in which it is told
    events, 0 for each in its newest.
    """

    tenant: str
    id: str
    url: str
    event_types: tuple[str, ...]
    conditions: tuple[tuple[str, tuple[str, ...]], ...]
    description: str
    state: SubscriptionState
    state_reason: str
    secrets: tuple[SealedSecret, ...]
    created_at: datetime
    updated_at: datetime
    version: int = 1
    schema_version: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one endpoint. Those of one stream are a lane, in the order of versions.

    ``due_at``: when the head of a lane is tried next; while somebody tries it, until when it is theirs. None: not the head,
    or parked.
    """

    subscription_id: str
    tenant: str
    stream: str
    version: int
    event_id: UUID
    event_type: str
    failed_attempts: int = 0
    due_at: datetime | None = None
    parked: bool = False
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of trying a delivery once. ``http_status`` 0: no answer. ``error`` empty: delivered."""

    stream: str
    version: int
    event_id: UUID
    event_type: str
    at: datetime
    number: int
    http_status: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The endpoint has it: the delivery goes, the next of its lane is due."""


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Not yet; ``pause_until`` holds up the whole endpoint, because it asked for that."""

    due_at: datetime
    pause_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Park:
    """No more by itself: the lane's deliveries wait, in order, for somebody to replay or drop them."""


Settlement = Delivered | TryAgain | Park


class WebhookSubscriptions(Protocol):
    """Subscriptions by tenant and id. Durable, conditional on versions. Errors: ``StoreUnavailable``."""

    async def add(self, subscription: Subscription, positions: Mapping[int, int]) -> Subscription:
        """Store it with its cursor on the bus; where the tenant's id is taken, give what is stored and change nothing."""

    async def get(self, tenant: str, subscription_id: str) -> Subscription | None:
        """The subscription."""

    async def select(self, tenant: str | None, after: str, limit: int) -> Sequence[Subscription]:
        """By id, those after one; of a tenant, or of all."""

    async def replace(self, subscription: Subscription) -> bool:
        """Store it with the next version, if the stored one has its version; False where it has not."""

    async def remove(self, tenant: str, subscription_id: str) -> bool:
        """Forget it with its cursor, deliveries and attempts; False where there is none."""


class WebhookQueue(Protocol):
    """Each subscription's cursor and lanes.

    Taking is conditional on the cursor, claiming leases the heads of lanes: any number of processes may work at once. A
    lease that runs out makes its delivery due again, so that nothing is lost with a process and duplicates are possible.
    """

    async def positions(self, subscription_id: str) -> Mapping[int, int]:
        """The cursor: by partition, the next offset; empty where there is no such subscription."""

    async def take(
        self, subscription_id: str, before: Mapping[int, int], after: Mapping[int, int], new: Sequence[Delivery]
    ) -> bool:
        """Move the cursor and add deliveries, in one step, if the cursor is at ``before``; those known are left as they are.

        ``due_at`` of a new delivery holds if it is the head of its lane. Behind parked ones it is parked.
        """

    async def claim(self, subscription_id: str, now: datetime, until: datetime, limit: int) -> Sequence[Delivery]:
        """Heads of lanes that are due, longest first, now leased until ``until``; none while the endpoint pauses."""

    async def settle(self, delivery: Delivery, settlement: Settlement, attempt: Attempt) -> bool:
        """Say what came of a claimed delivery; False, and nothing changes, where the lease is no longer this one."""

    async def counts(self, subscription_id: str) -> tuple[int, int]:
        """How many wait, and how many are parked."""


class WebhookParking(Protocol):
    """What people look at and decide."""

    async def deliveries(
        self, subscription_id: str, *, parked: bool, after: tuple[str, int], limit: int
    ) -> Sequence[Delivery]:
        """By stream and version, those after one."""

    async def replay(self, subscription_id: str, stream: str | None, now: datetime) -> int:
        """Parked lanes (one, or all) wait again, their heads due now, without failed attempts. Gives how many deliveries."""

    async def drop(self, subscription_id: str, stream: str, up_to: int, now: datetime) -> int:
        """Forget a lane's parked deliveries up to a version; what is left of it waits again. Gives how many went."""

    async def attempts(self, subscription_id: str, limit: int) -> Sequence[Attempt]:
        """The newest attempts, newest first; the store keeps at least ``ATTEMPTS_KEPT`` of each subscription."""


class WebhookStore(WebhookSubscriptions, WebhookQueue, WebhookParking, Protocol):
    """All of it, as adapters implement it."""


ATTEMPTS_KEPT = 1_000
