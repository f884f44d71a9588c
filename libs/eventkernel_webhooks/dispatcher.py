"""From the bus to endpoints: takes events into lanes, tries what is due, and says what came of it.

Any number of processes may do so over one store: cursors move conditionally, heads of lanes are leased. A process that dies
leaves leases that run out; then another tries again, and the endpoint may get a message twice, with the same id.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random
from typing import Final, Protocol

from eventkernel.envelope import RecordedEvent
from eventkernel.errors import EventUnreadable, KernelError
from eventkernel.ids import StreamId
from eventkernel.ports import Clock, EventStore
from eventkernel.ports.webhook_store import (
    Attempt,
    Delivery,
    Park,
    Subscription,
    SubscriptionState,
    TryAgain,
    WebhookStore,
)
from eventkernel.runtime.waiting import BACKOFF_SECONDS_MAX, FIRST_BACKOFF_SECONDS, first_of
from eventkernel.runtime.watch_log import StepLog
from eventkernel_webhooks.errors import AddressRefused, NoAnswer
from eventkernel_webhooks.filtering import concerns
from eventkernel_webhooks.schedule import Gone, RetrySchedule, judged, said
from eventkernel_webhooks.sender import Answer, Sender
from eventkernel_webhooks.signing import SecretBox, headers, webhook_id

_log = logging.getLogger(__name__)

SUBSCRIPTIONS_PAGE: Final = 200
Body = Callable[[RecordedEvent], bytes]
BodyIn = Callable[[RecordedEvent, int], bytes]


@dataclass(frozen=True, slots=True)
class DispatcherSettings:
    """Named limits: deliveries of one subscription that may wait or be parked before its cursor stands still, events looked at
    in one take, messages on their way to one endpoint and in all, and for how long a process may hold one.

    An endpoint whose last message failed is tried with one at a time.
    """

    backlog_max: int = 100_000
    take_events_max: int = 1_000
    endpoint_in_flight_max: int = 8
    in_flight_max: int = 64
    lease_seconds: float = 60.0
    poll_seconds: float = 0.1
    schedule: RetrySchedule = field(default_factory=RetrySchedule)


class DispatcherObserver(Protocol):
    """What a dispatcher tells, for metrics."""

    def attempted(self, outcome: str, seconds: float) -> None:
        """One attempt: ``delivered``, ``failed``, ``parked`` or ``gone``."""

    def taken(self, deliveries: int) -> None:
        """Events were taken from the bus for an endpoint."""


class Dispatcher:
    """Delivers the subscriptions of a store. ``body`` makes what is sent of an event, ``body_in`` likewise for a subscription
    that asked for a schema version; both must give the same every time.
    """

    def __init__(
        self,
        store: WebhookStore,
        log: StepLog,
        journal: EventStore,
        sender: Sender,
        *,
        secrets: SecretBox,
        body: Body,
        clock: Clock,
        random: Random,
        settings: DispatcherSettings = DispatcherSettings(),
        observer: DispatcherObserver | None = None,
        body_in: BodyIn | None = None,
    ) -> None:
        self._store = store
        self._log = log
        self._body_in = body_in
        self._journal = journal
        self._sender = sender
        self._secrets = secrets
        self._body = body
        self._clock = clock
        self._random = random
        self._settings = settings
        self._observer = observer
        self._under_way: dict[asyncio.Task[None], str] = {}
        self._failing: set[str] = set()
        self._looked: dict[str, tuple[Mapping[int, int], Mapping[int, int]]] = {}
        self._wake = asyncio.Event()
        self._begun = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until ``stop``; then what is under way ends first. Stores that are away are waited for."""
        backoff = 0.0
        try:
            while not stop.is_set():
                self._wake.clear()
                try:
                    busy = await self._begin()
                    backoff = 0.0
                except KernelError as error:
                    if not error.retriable:
                        raise
                    _log.warning("webhooks wait: %s", error)
                    busy, backoff = False, min(BACKOFF_SECONDS_MAX, backoff * 2 or FIRST_BACKOFF_SECONDS)
                if not busy:
                    pause = self._clock.sleep(backoff or self._settings.poll_seconds)
                    await first_of(stop.wait(), self._wake.wait(), pause)
        finally:
            await self._idle()

    async def run_once(self) -> int:
        """Take what is there, try what is due now, and wait for it; gives how many attempts were made."""
        before = self._begun
        await self._begin()
        await self._idle()
        return self._begun - before

    async def _begin(self) -> bool:
        """One round; whether there may be more to do at once."""
        if not await self._store.select(None, "", 1):
            # Nobody to tell: the bus is not followed. A subscription that comes says itself from where on.
            return False
        await self._read_on()
        busy = False
        after = ""
        while page := await self._store.select(None, after, SUBSCRIPTIONS_PAGE):
            after = page[-1].id
            active = [one for one in page if one.state is SubscriptionState.ACTIVE]
            for subscription in active:
                busy |= await self._take(subscription)
                await self._try_due(subscription)
        return busy

    async def _read_on(self) -> None:
        if not self._log.started:
            await self._log.start()
        async with aclosing(self._log.read_on()) as entries:
            async for _ in entries:
                pass

    async def _take(self, subscription: Subscription) -> bool:
        """Put what is new on the bus into the subscription's lanes; whether there is more."""
        before = await self._store.positions(subscription.id)
        stored, looked = self._looked.get(subscription.id, (before, before))
        start = looked if stored == before else before
        behind = [p for p, offset in self._log.positions.items() if start.get(p, 0) < offset]
        if not behind or sum(await self._store.counts(subscription.id)) >= self._settings.backlog_max:
            return False
        after, new, left = dict(start), list[Delivery](), self._settings.take_events_max
        for partition in behind:
            async with aclosing(self._log.entries(partition, start.get(partition, 0))) as entries:
                async for entry in entries:
                    if left == 0:
                        break
                    left -= 1
                    after[partition] = entry.next_offset
                    if concerns(subscription, entry.step):
                        new.append(self._delivery(subscription, entry.step.event))
                else:
                    after[partition] = max(after.get(partition, 0), self._log.positions[partition])
        if not new and sum(after.values()) - sum(before.values()) < self._settings.take_events_max:
            # What concerns nobody is no reason to write; after a restart it is looked at once more.
            self._looked[subscription.id] = (before, after)
            return left == 0
        self._looked.pop(subscription.id, None)
        taken = await self._store.take(subscription.id, before, after, new)
        if taken and new and self._observer:
            self._observer.taken(len(new))
        return left == 0

    def _delivery(self, subscription: Subscription, event: RecordedEvent) -> Delivery:
        return Delivery(
            subscription_id=subscription.id,
            tenant=subscription.tenant,
            stream=event.stream.name,
            version=event.version,
            event_id=event.event_id,
            event_type=event.type,
            due_at=self._clock.now(),
        )

    async def _try_due(self, subscription: Subscription) -> None:
        own = sum(1 for held in self._under_way.values() if held == subscription.id)
        most = 1 if subscription.id in self._failing else self._settings.endpoint_in_flight_max
        free = min(most - own, self._settings.in_flight_max - len(self._under_way))
        if free <= 0:
            return
        now = self._clock.now()
        until = now + timedelta(seconds=self._settings.lease_seconds)
        for delivery in await self._store.claim(subscription.id, now, until, free):
            task = asyncio.create_task(self._deliver(subscription, delivery), name=f"webhook {delivery.event_id}")
            self._begun += 1
            self._under_way[task] = subscription.id
            task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        del self._under_way[task]
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # Its lease runs out, and it is tried again.
            _log.error("a delivery was broken off", exc_info=error)

    async def _deliver(self, subscription: Subscription, delivery: Delivery) -> None:
        begun = self._clock.now()
        answer, failure = await self._attempt(subscription, delivery)
        now = self._clock.now()
        verdict = judged(answer, delivery.failed_attempts, now, self._settings.schedule, self._random)
        error = said(answer, failure)
        if error:
            self._failing.add(subscription.id)
            _log.info("webhook %s: %s version %d: %s", subscription.id, delivery.stream, delivery.version, error)
        else:
            self._failing.discard(subscription.id)
        if isinstance(verdict, Gone):
            await self._disable(subscription, error)
        settlement = TryAgain(now) if isinstance(verdict, Gone) else verdict
        number = delivery.failed_attempts + 1
        status = answer.status if answer else 0
        key = (delivery.stream, delivery.version, delivery.event_id, delivery.event_type)
        await self._store.settle(delivery, settlement, Attempt(*key, now, number, status, error))
        if self._observer:
            outcome = "gone" if isinstance(verdict, Gone) else "parked" if isinstance(verdict, Park) else "failed"
            self._observer.attempted(outcome if error else "delivered", (now - begun).total_seconds())

    async def _attempt(self, subscription: Subscription, delivery: Delivery) -> tuple[Answer | None, str]:
        """The answer, or why there is none."""
        try:
            event = await self._event(delivery)
            version = subscription.schema_version
            body = self._body_in(event, version) if version and self._body_in else self._body(event)
        except KernelError as error:
            if error.retriable:
                raise
            return None, str(error)
        except Exception as error:  # noqa: BLE001 - what cannot be told is tried again and then parked, like what fails
            return None, f"the event cannot be told: {type(error).__name__}"
        now = self._clock.now()
        live = [secret for secret in subscription.secrets if secret.expires_at is None or secret.expires_at > now]
        signing = [self._secrets.open(subscription.id, secret) for secret in live]
        sent = {
            "content-type": "application/json",
            "user-agent": "erx-webhooks/1",
            **headers(webhook_id(subscription.id, delivery.event_id), now, body, signing),
        }
        try:
            return await self._sender.post(subscription.url, body, sent), ""
        except (NoAnswer, AddressRefused) as error:
            return None, str(error)

    async def _event(self, delivery: Delivery) -> RecordedEvent:
        stream = StreamId(delivery.tenant, delivery.stream)
        found: Sequence[RecordedEvent] = (
            await self._journal.load(stream, after=delivery.version - 1, up_to=delivery.version)
        ).events
        if not found:
            raise EventUnreadable(f"{stream.key} version {delivery.version} is not in the journal")
        return found[0]

    async def _disable(self, subscription: Subscription, reason: str) -> None:
        """Whoever changes the subscription at the same time wins: a lost race ends in one more answer of the same kind."""
        reason = f"the endpoint answered 410 Gone ({reason})"
        disabled = replace(
            subscription, state=SubscriptionState.DISABLED, state_reason=reason, updated_at=self._clock.now()
        )
        if await self._store.replace(disabled):
            _log.warning("webhook %s is disabled: %s", subscription.id, reason)

    async def _idle(self) -> None:
        while self._under_way:
            await asyncio.wait(set(self._under_way))
