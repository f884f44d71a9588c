"""The contract of ``WebhookStore``."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from eventkernel.ports.webhook_store import (
    ATTEMPTS_KEPT,
    Attempt,
    Delivered,
    Delivery,
    Park,
    SealedSecret,
    Settlement,
    Subscription,
    SubscriptionState,
    TryAgain,
    WebhookStore,
)
from eventkernel.testing.contracts.features import Suite

NOW = datetime(2026, 3, 1, 8, 0, 0, 123457, tzinfo=UTC)
LEASE = timedelta(seconds=60)
START = {0: 5, 1: 7}
ENDS = {0: 6, 1: 9}


def new_subscription(tenant: str = "default", **changes: Any) -> Subscription:
    """One with something in every field."""
    return replace(
        Subscription(
            tenant=tenant,
            id=str(uuid4()),
            url="https://example.org/hook",
            event_types=("Opened", "Closed"),
            conditions=(("status", ("OPEN", "CLOSED")),),
            description="for a test",
            state=SubscriptionState.ACTIVE,
            state_reason="",
            secrets=(SealedSecret(b"\x00sealed\xff", "0123abcd"), SealedSecret(b"old", "ffff0000", NOW)),
            created_at=NOW,
            updated_at=NOW,
        ),
        **changes,
    )


def new_delivery(subscription: Subscription, stream: str, version: int) -> Delivery:
    """An event on its way."""
    return Delivery(subscription.id, subscription.tenant, stream, version, uuid4(), "Opened", due_at=NOW)


def attempt_at(delivery: Delivery, at: datetime, error: str = "", status: int = 200) -> Attempt:
    """What came of it."""
    key = (delivery.stream, delivery.version, delivery.event_id, delivery.event_type)
    return Attempt(*key, at, delivery.failed_attempts + 1, status, error)


class WebhookStoreContract(Suite):
    """Give it a fixture ``webhooks``: a ``WebhookStore``."""

    async def taken(self, webhooks: WebhookStore, *lanes: tuple[str, int]) -> Subscription:
        """A subscription with these deliveries."""
        made = await webhooks.add(new_subscription(), START)
        assert await webhooks.take(made.id, START, ENDS, [new_delivery(made, *lane) for lane in lanes])
        return made

    async def claimed(self, webhooks: WebhookStore, made: Subscription, now: datetime = NOW) -> list[Delivery]:
        """Everything that is due."""
        return list(await webhooks.claim(made.id, now, now + LEASE, 100))

    async def settled(self, webhooks: WebhookStore, one: Delivery, settlement: Settlement, error: str = "") -> None:
        """Say what came of it."""
        assert await webhooks.settle(one, settlement, attempt_at(one, NOW, error))

    async def test_a_subscription_comes_back_equal_and_in_its_tenant_alone(self, webhooks: WebhookStore) -> None:
        made = await webhooks.add(new_subscription(), START)
        assert await webhooks.get("default", made.id) == made
        assert await webhooks.get("other", made.id) is None
        assert await webhooks.positions(made.id) == START

    async def test_adding_a_taken_id_gives_what_is_there(self, webhooks: WebhookStore) -> None:
        made = await webhooks.add(new_subscription(), START)
        again = await webhooks.add(replace(made, url="https://example.org/other"), ENDS)
        assert again == made
        assert await webhooks.positions(made.id) == START

    async def test_a_replacement_needs_the_version_and_grows_it(self, webhooks: WebhookStore) -> None:
        made = await webhooks.add(new_subscription(), START)
        paused = replace(made, state=SubscriptionState.PAUSED)
        assert await webhooks.replace(paused)
        assert not await webhooks.replace(paused)
        assert not await webhooks.replace(replace(paused, version=2, tenant="other"))
        assert await webhooks.get("default", made.id) == replace(paused, version=2)

    async def test_subscriptions_come_by_id_page_by_page(self, webhooks: WebhookStore) -> None:
        tenant = f"t{uuid4().hex}"
        made = sorted([(await webhooks.add(new_subscription(tenant), START)).id for _ in range(5)])
        first = await webhooks.select(tenant, "", 3)
        assert [one.id for one in first] == made[:3]
        assert [one.id for one in await webhooks.select(tenant, made[2], 3)] == made[3:]
        assert set(made) <= {one.id for one in await webhooks.select(None, "", 10_000)}

    async def test_removing_takes_everything_along(self, webhooks: WebhookStore) -> None:
        made = await self.taken(webhooks, ("counter-a", 1))
        assert not await webhooks.remove("other", made.id)
        assert await webhooks.remove("default", made.id)
        assert not await webhooks.remove("default", made.id)
        assert await webhooks.positions(made.id) == {}
        assert await webhooks.counts(made.id) == (0, 0)
        assert await self.claimed(webhooks, made) == []
        assert not await webhooks.take(made.id, ENDS, ENDS, [])

    async def test_taking_is_conditional_on_the_cursor_and_knows_what_it_has(self, webhooks: WebhookStore) -> None:
        made = await self.taken(webhooks, ("counter-a", 1))
        assert not await webhooks.take(made.id, START, ENDS, [new_delivery(made, "counter-a", 2)])
        known = (await webhooks.deliveries(made.id, parked=False, after=("", 0), limit=10))[0]
        assert await webhooks.take(made.id, ENDS, {0: 8, 1: 9}, [new_delivery(made, "counter-a", 1)])
        assert list(await webhooks.deliveries(made.id, parked=False, after=("", 0), limit=10)) == [known]
        assert await webhooks.positions(made.id) == {0: 8, 1: 9}

    async def test_only_heads_of_lanes_are_claimed_and_only_once(self, webhooks: WebhookStore) -> None:
        made = await self.taken(webhooks, ("counter-a", 1), ("counter-a", 2), ("counter-b", 4), ("counter-b", 5))
        heads = await self.claimed(webhooks, made)
        assert sorted((one.stream, one.version) for one in heads) == [("counter-a", 1), ("counter-b", 4)]
        assert {one.due_at for one in heads} == {NOW + LEASE}
        assert await self.claimed(webhooks, made) == []
        assert await self.claimed(webhooks, made, NOW - LEASE) == []

    async def test_a_lease_that_has_run_out_is_worth_nothing(self, webhooks: WebhookStore) -> None:
        made = await self.taken(webhooks, ("counter-a", 1))
        (lost,) = await self.claimed(webhooks, made)
        (held,) = await self.claimed(webhooks, made, NOW + LEASE)
        assert not await webhooks.settle(lost, Delivered(), attempt_at(lost, NOW))
        assert await webhooks.settle(held, Delivered(), attempt_at(held, NOW))
        assert not await webhooks.settle(held, Delivered(), attempt_at(held, NOW))
        assert await webhooks.counts(made.id) == (0, 0)

    async def test_what_is_delivered_makes_room_for_the_next_of_its_lane(self, webhooks: WebhookStore) -> None:
        made = await self.taken(webhooks, ("counter-a", 1), ("counter-a", 2), ("counter-a", 3))
        seen = []
        for _ in range(3):
            (one,) = await self.claimed(webhooks, made)
            seen.append(one.version)
            await self.settled(webhooks, one, Delivered())
        assert seen == [1, 2, 3]
        assert await webhooks.take(made.id, ENDS, ENDS, [new_delivery(made, "counter-a", 4)])
        assert [one.version for one in await self.claimed(webhooks, made)] == [4]

    async def test_what_failed_comes_again_when_it_is_due_and_holds_its_lane(self, webhooks: WebhookStore) -> None:
        made = await self.taken(webhooks, ("counter-a", 1), ("counter-a", 2), ("counter-b", 1))
        one = next(one for one in await self.claimed(webhooks, made) if one.stream == "counter-a")
        later = NOW + timedelta(hours=2)
        await self.settled(webhooks, one, TryAgain(later), "HTTP 500")
        assert [held.stream for held in await self.claimed(webhooks, made, NOW + LEASE)] == ["counter-b"]
        again = next(one for one in await self.claimed(webhooks, made, later) if one.stream == "counter-a")
        assert (again.version, again.failed_attempts, again.last_error) == (1, 1, "HTTP 500")

    async def test_a_pause_holds_up_the_whole_endpoint(self, webhooks: WebhookStore) -> None:
        made = await self.taken(webhooks, ("counter-a", 1), ("counter-b", 1))
        (one,) = await webhooks.claim(made.id, NOW, NOW + LEASE, 1)
        until = NOW + timedelta(seconds=30)
        await self.settled(webhooks, one, TryAgain(until, pause_until=until), "HTTP 429")
        assert await self.claimed(webhooks, made, until - timedelta(microseconds=1)) == []
        assert len(await self.claimed(webhooks, made, until)) == 2

    async def test_parking_takes_the_lane_and_what_comes_behind_it(self, webhooks: WebhookStore) -> None:
        made = await self.taken(webhooks, ("counter-a", 1), ("counter-a", 2), ("counter-b", 1))
        one = next(one for one in await self.claimed(webhooks, made) if one.stream == "counter-a")
        await self.settled(webhooks, one, Park(), "HTTP 500")
        assert await webhooks.take(made.id, ENDS, ENDS, [new_delivery(made, "counter-a", 3)])
        assert await webhooks.counts(made.id) == (1, 3)
        parked = await webhooks.deliveries(made.id, parked=True, after=("", 0), limit=10)
        assert [(held.version, held.last_error, held.due_at) for held in parked] == [
            (1, "HTTP 500", None),
            (2, "", None),
            (3, "", None),
        ]
        assert [held.stream for held in await self.claimed(webhooks, made, NOW + LEASE)] == ["counter-b"]

    async def test_a_replay_begins_the_lane_again(self, webhooks: WebhookStore) -> None:
        made = await self.taken(webhooks, *((f"counter-{name}", v) for name in "ab" for v in (1, 2)))
        for one in await self.claimed(webhooks, made):
            await self.settled(webhooks, one, Park(), "HTTP 500")
        assert await webhooks.replay(made.id, "counter-c", NOW) == 0
        assert await webhooks.replay(made.id, "counter-a", NOW) == 2
        (head,) = await self.claimed(webhooks, made)
        assert (head.stream, head.version, head.failed_attempts) == ("counter-a", 1, 0)
        assert await webhooks.replay(made.id, None, NOW) == 2
        assert [one.stream for one in await self.claimed(webhooks, made)] == ["counter-b"]

    async def test_what_is_dropped_lets_the_rest_of_its_lane_go_on(self, webhooks: WebhookStore) -> None:
        made = await self.taken(webhooks, ("counter-a", 1), ("counter-a", 2), ("counter-a", 3))
        (one,) = await self.claimed(webhooks, made)
        assert await webhooks.drop(made.id, "counter-a", 9, NOW) == 0, "only parked ones are given up"
        await self.settled(webhooks, one, Park(), "HTTP 500")
        assert await webhooks.drop(made.id, "counter-a", 1, NOW) == 1
        assert [held.version for held in await self.claimed(webhooks, made)] == [2]
        assert await webhooks.counts(made.id) == (2, 0)

    async def test_deliveries_come_by_stream_and_version_page_by_page(self, webhooks: WebhookStore) -> None:
        lanes = [("counter-a", 2), ("counter-a", 10), ("counter-b", 1)]
        made = await self.taken(webhooks, *lanes)
        found = await webhooks.deliveries(made.id, parked=False, after=("", 0), limit=2)
        assert [(one.stream, one.version) for one in found] == lanes[:2]
        rest = await webhooks.deliveries(made.id, parked=False, after=("counter-a", 10), limit=2)
        assert [(one.stream, one.version) for one in rest] == lanes[2:]

    async def test_attempts_are_told_newest_first_and_the_newest_are_kept(self, webhooks: WebhookStore) -> None:
        made = await self.taken(webhooks, ("counter-a", 1))
        for number in range(3):
            moment = NOW + number * LEASE
            (one,) = await self.claimed(webhooks, made, moment)
            attempt = attempt_at(one, moment, f"HTTP {500 + number}", 500 + number)
            assert await webhooks.settle(one, TryAgain(moment), attempt)
        found = await webhooks.attempts(made.id, ATTEMPTS_KEPT)
        assert [(one.number, one.http_status, one.error) for one in found] == [
            (3, 502, "HTTP 502"),
            (2, 501, "HTTP 501"),
            (1, 500, "HTTP 500"),
        ]
        assert [one.number for one in await webhooks.attempts(made.id, 1)] == [3]
