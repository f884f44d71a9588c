"""Against a receiver that is there, down, slow, failing, gone, busy, moved, and one that must not be reached."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from random import Random
from typing import Any

import pytest

from bootstrap.testing.webhook_receiver import OK, Received, Receiver, Reply
from eventkernel.errors import StoreUnavailable
from eventkernel.ports.webhook_store import SubscriptionState
from eventkernel.testing.counter import Add, Close
from eventkernel_webhooks.schedule import RetrySchedule
from eventkernel_webhooks.signing import SecretBox, new_secret, webhook_id

BAD = Reply(500)


def told(receiver: Receiver) -> list[tuple[str, int]]:
    """What the receiver has taken, in order, repeats left out."""
    found = [(one.event["data"]["stream"], one.event["data"]["version"]) for one in receiver.accepted]
    return list(dict.fromkeys(found))


def versions(receiver: Receiver, stream: Any) -> list[int]:
    return [version for name, version in told(receiver) if name == stream.name]


async def drained(dispatcher: Any) -> None:
    """Until nothing is due."""
    while await dispatcher.run_once():
        pass


async def test_a_message_carries_id_time_and_a_signature_that_the_standard_package_accepts(side: Any) -> None:
    stream = await side.counter()
    async with Receiver() as receiver:
        made = await side.subscribed(receiver.url)
        await drained(await side.dispatcher())
    (one,) = receiver.accepted
    (event,) = (await side.journal.load(stream)).events
    assert one.id == webhook_id(made.id, event.event_id)
    assert one.signed_with(side.secret)
    assert not one.signed_with(new_secret())
    assert one.event["type"] == "Opened"
    assert one.headers["content-type"] == "application/json"
    assert not replace(one, body=one.body + b" ").signed_with(side.secret)


async def test_only_what_was_asked_for_comes(side: Any) -> None:
    theirs, mine = await side.counter(1, tenant="theirs"), await side.counter(2)
    other = await side.counter(4)
    await side.happen(mine, Close())
    async with Receiver() as everything, Receiver() as closed, Receiver() as big:
        await side.subscribed(everything.url)
        await side.subscribed(closed.url, event_types=("Closed",))
        await side.subscribed(big.url, conditions=(("status", ("CLOSED",)), ("id", (mine.id,))))
        await drained(await side.dispatcher())
    assert sorted(told(everything)) == sorted(
        [(mine.name, v) for v in (1, 2, 3, 4)] + [(other.name, v + 1) for v in range(5)]
    )
    assert told(closed) == told(big) == [(mine.name, 4)]
    assert theirs.name not in {name for name, _ in told(everything)}


async def test_a_failing_aggregate_keeps_its_order_and_holds_up_no_other(side: Any) -> None:
    broken, fine = await side.counter(2), await side.counter(2)

    def answer(one: Received) -> Reply:
        return BAD if one.event["data"]["stream"] == broken.name else OK

    async with Receiver(answer) as receiver:
        await side.subscribed(receiver.url)
        dispatcher = await side.dispatcher()
        await drained(dispatcher)
        assert told(receiver) == [(fine.name, 1), (fine.name, 2), (fine.name, 3)]
        receiver.answer = lambda _: OK
        await drained(dispatcher)
        assert versions(receiver, broken) == []
        await side.clock.advance(5.0)
        await drained(dispatcher)
        assert versions(receiver, broken) == [1, 2, 3]


async def test_attempts_keep_the_schedule_and_its_jitter(side: Any) -> None:
    await side.counter()
    async with Receiver(lambda _: BAD) as receiver:
        made = await side.subscribed(receiver.url)
        schedule = RetrySchedule((5.0, 300.0, 3_600.0), jitter=0.5)
        dispatcher = await side.dispatcher(schedule=schedule, seed=7)
        random, due = Random(7), side.clock.now()
        for pause in schedule.pauses_seconds:
            await drained(dispatcher)
            seconds = pause * (1 + 0.5 * random.random())
            due += timedelta(seconds=seconds)
            (waiting,) = await side.store.deliveries(made.id, parked=False, after=("", 0), limit=10)
            assert abs((waiting.due_at - due).total_seconds()) < 0.001
            await side.clock.advance((waiting.due_at - side.clock.now()).total_seconds() - 0.001)
            assert await dispatcher.run_once() == 0
            await side.clock.advance(0.001)
            due = side.clock.now()
        await drained(dispatcher)
        assert len(receiver.received) == 4
        assert await side.store.counts(made.id) == (0, 1)


async def test_a_receiver_that_is_down_gets_everything_in_order_when_it_is_back(side: Any) -> None:
    streams = [await side.counter(3) for _ in range(4)]
    receiver = Receiver()
    async with receiver:
        await side.subscribed(receiver.url)
    dispatcher = await side.dispatcher()
    await drained(dispatcher)
    async with Receiver(port=receiver.port) as receiver:
        await side.clock.advance(5.0)
        await drained(dispatcher)
    for stream in streams:
        assert versions(receiver, stream) == [1, 2, 3, 4]
    assert all(one.signed_with(side.secret) for one in receiver.accepted)


@pytest.mark.parametrize("reply", [Reply(hangs=True), Reply(drops=True)], ids=["hangs", "drops"])
async def test_no_answer_in_time_counts_as_none(side: Any, reply: Reply) -> None:
    stream = await side.counter(1)
    async with Receiver(lambda _: reply) as receiver:
        made = await side.subscribed(receiver.url)
        dispatcher = await side.dispatcher(sender={"timeout_seconds": 0.2})
        await drained(dispatcher)
        (attempt,) = await side.store.attempts(made.id, 10)
        assert (attempt.http_status, attempt.error[:9]) == (0, "no answer")
        receiver.answer = lambda _: OK
        await side.clock.advance(5.0)
        await drained(await side.dispatcher())  # a patient one: an answer that does come is not to be late
        assert versions(receiver, stream) == [1, 2]
        assert len({one.id for one in receiver.received}) == 2, "what was tried again kept its id"


async def test_410_disables_the_subscription_and_loses_nothing(side: Any) -> None:
    stream = await side.counter(1)
    async with Receiver(lambda _: Reply(410)) as receiver:
        made = await side.subscribed(receiver.url)
        dispatcher = await side.dispatcher()
        await drained(dispatcher)
        await side.clock.advance(86_400.0)
        await side.happen(stream, Add(1))
        await drained(dispatcher)
        assert len(receiver.received) == 1
        found = await side.store.get("default", made.id)
        assert (found.state, "410" in found.state_reason) == (SubscriptionState.DISABLED, True)
        receiver.answer = lambda _: OK
        assert await side.store.replace(replace(found, state=SubscriptionState.ACTIVE))
        await drained(dispatcher)
        assert versions(receiver, stream) == [1, 2, 3]


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_retry_after_is_honoured_by_the_whole_endpoint(side: Any, status: int, form: str) -> None:
    side.clock.set(side.clock.now().replace(microsecond=0))
    await side.counter()
    until = side.clock.now() + timedelta(seconds=120)
    asked = "120" if form == "seconds" else format_datetime(until, usegmt=True)
    async with Receiver(lambda _: Reply(status, {"Retry-After": asked})) as receiver:
        await side.subscribed(receiver.url)
        dispatcher = await side.dispatcher()
        await drained(dispatcher)
        receiver.answer = lambda _: OK
        await side.counter()
        await side.clock.advance(119.0)
        await drained(dispatcher)
        assert len(receiver.received) == 1
        await side.clock.advance(1.0)
        await drained(dispatcher)
        assert len(receiver.accepted) == 2


async def test_a_redirect_is_a_failure_and_is_not_followed(side: Any) -> None:
    await side.counter()
    async with Receiver() as elsewhere, Receiver(lambda _: Reply(307, {"Location": elsewhere.url})) as receiver:
        made = await side.subscribed(receiver.url)
        await drained(await side.dispatcher())
        (attempt,) = await side.store.attempts(made.id, 10)
        assert (attempt.http_status, attempt.error) == (307, "HTTP 307")
        assert (len(receiver.received), elsewhere.received) == (1, [])


async def test_private_addresses_are_not_called_unless_allowed(side: Any) -> None:
    """Also where the name has a public address beside the private one, or says something else when asked again."""
    asked: list[str] = []
    known = {"both.example": ["93.184.215.14", "127.0.0.1"], "inner.example": ["127.0.0.1"]}

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return known.get(host, [host])

    await side.counter()
    async with Receiver() as receiver:
        hosts = ["both.example", "inner.example", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"]
        made = [await side.subscribed(f"http://{host}:{receiver.port}/") for host in hosts]
        dispatcher = await side.dispatcher(sender={"private_allowed": False, "resolve": resolve})
        assert await dispatcher.run_once() == len(hosts)
        for one in made:
            (attempt,) = await side.store.attempts(one.id, 10)
            assert "may not be called" in attempt.error
        assert receiver.received == []
        known["both.example"] = ["127.0.0.1"]
        allowed = await side.dispatcher(sender={"resolve": resolve})
        await side.clock.advance(5.0)
        await drained(allowed)
        reached = {one.headers["host"].partition(":")[0] for one in receiver.accepted}
        assert reached >= {"both.example", "inner.example", "127.0.0.1"}
        assert asked.count("both.example") == 2, "a name is looked up once for a connection"


async def test_what_all_attempts_failed_for_is_parked_and_replayed_by_hand(side: Any) -> None:
    stream, other = await side.counter(1), await side.counter()
    async with Receiver(lambda one: BAD if one.event["data"]["stream"] == stream.name else OK) as receiver:
        made = await side.subscribed(receiver.url)
        dispatcher = await side.dispatcher()
        for seconds in (0.0, 5.0, 300.0, 3_600.0, 86_400.0):
            await side.clock.advance(seconds)
            await drained(dispatcher)
        assert await side.store.counts(made.id) == (0, 2)
        await side.happen(stream, Add(1))
        await side.happen(other, Add(1))
        receiver.answer = lambda _: OK
        await drained(dispatcher)
        assert (versions(receiver, stream), versions(receiver, other)) == ([], [1, 2])
        assert await side.store.replay(made.id, None, side.clock.now()) == 3
        await drained(dispatcher)
        assert versions(receiver, stream) == [1, 2, 3]
        assert await side.store.counts(made.id) == (0, 0)


async def test_while_secrets_are_rotated_both_verify_and_then_the_new_one_alone(side: Any) -> None:
    new = new_secret()
    async with Receiver() as receiver:
        made = await side.subscribed(receiver.url)
        box = SecretBox(b"a key of these tests")
        older = replace(made.secrets[0], expires_at=side.clock.now() + timedelta(hours=1))
        assert await side.store.replace(replace(made, secrets=(box.seal(made.id, new), older)))
        dispatcher = await side.dispatcher()
        await side.counter()
        await drained(dispatcher)
        await side.clock.advance(3_600.0)
        await side.counter()
        await drained(dispatcher)
    during, after = receiver.accepted
    assert (during.signed_with(side.secret), during.signed_with(new)) == (True, True)
    assert (after.signed_with(side.secret), after.signed_with(new)) == (False, True)


async def test_a_process_that_dies_after_sending_sends_again_under_the_same_id(side: Any) -> None:
    class Dying:
        """A store that goes away between the answer and its record."""

        def __init__(self, store: Any) -> None:
            self._store = store

        def __getattr__(self, name: str) -> Any:
            return getattr(self._store, name)

        async def settle(self, *_: Any) -> bool:
            raise StoreUnavailable("webhooks", "gone")

    stream = await side.counter(1)
    async with Receiver() as receiver:
        await side.subscribed(receiver.url)
        await (await side.dispatcher(store=Dying(side.store))).run_once()
        successor = await side.dispatcher()
        assert await successor.run_once() == 0, "the lease still runs"
        await side.clock.advance(60.0)
        await drained(successor)
    assert [one.event["data"]["version"] for one in receiver.received] == [1, 1, 2]
    assert receiver.received[0].id == receiver.received[1].id
    assert versions(receiver, stream) == [1, 2]


async def test_dispatchers_side_by_side_send_everything_once_and_in_order(side: Any) -> None:
    streams = [await side.counter(4) for _ in range(12)]
    async with Receiver() as receiver:
        made = await side.subscribed(receiver.url)
        several = [await side.dispatcher(seed=seed) for seed in range(3)]
        while len(receiver.accepted) < 60 or sum(await side.store.counts(made.id)):
            await asyncio.gather(*(dispatcher.run_once() for dispatcher in several))
    sent = [(one.event["data"]["stream"], one.event["data"]["version"]) for one in receiver.received]
    assert len(sent) == len(set(sent)) == 60
    for stream in streams:
        assert [version for name, version in sent if name == stream.name] == [1, 2, 3, 4, 5]


async def test_records_that_lie_on_the_bus_twice_are_sent_once(side: Any) -> None:
    stream = await side.counter(2)
    await side.happen(stream, Add(1), again=2)
    async with Receiver() as receiver:
        await side.subscribed(receiver.url)
        await drained(await side.dispatcher())
    assert [one.event["data"]["version"] for one in receiver.received] == [1, 2, 3, 4]


async def test_a_full_backlog_leaves_the_rest_on_the_bus(side: Any) -> None:
    stream = await side.counter(9)
    async with Receiver(lambda _: BAD) as receiver:
        made = await side.subscribed(receiver.url)
        dispatcher = await side.dispatcher(backlog_max=4, take_events_max=2)
        for _ in range(10):
            await dispatcher.run_once()
        assert await side.store.counts(made.id) == (4, 0)
        receiver.answer = lambda _: OK
        for _ in range(30):
            await side.clock.advance(5.0)
            await dispatcher.run_once()
        assert versions(receiver, stream) == list(range(1, 11))


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_a_receiver_does_everything_arrives_at_least_once_in_order_and_verifies(
    side: Any, seed: int
) -> None:
    """Several processes, a receiver that fails in every way by seed and takes things twice, and events that keep coming."""
    random = Random(seed)
    bad = [
        BAD,
        Reply(drops=True),
        Reply(429, {"Retry-After": "7"}),
        Reply(302, {"Location": "/"}),
        Reply(503),
        Reply(404),
    ]

    def answer(_: Received) -> Reply:
        return random.choice(bad) if random.random() < 0.4 else OK

    schedule = RetrySchedule((1.0,) * 60, jitter=0.5)
    streams = [await side.counter(random.randint(0, 3)) for _ in range(12)]
    async with Receiver(answer) as receiver:
        made = await side.subscribed(receiver.url)
        processes = [await side.dispatcher(schedule=schedule, seed=n, take_events_max=5) for n in range(3)]
        for _ in range(15):
            await side.happen(random.choice(streams), Add(1), again=random.randint(0, 2))
            await random.choice(processes).run_once()
            await side.clock.advance(random.random() * 3)
        written = sum([(await side.journal.load(stream)).position.version for stream in streams])
        for _ in range(2_000):
            await random.choice(processes).run_once()
            await side.clock.advance(random.random() * 8)
            if len(told(receiver)) == written and await side.store.counts(made.id) == (0, 0):
                break
    for stream in streams:
        events = (await side.journal.load(stream)).events
        assert versions(receiver, stream) == [event.version for event in events]
    assert all(one.signed_with(side.secret) for one in receiver.received)


async def test_events_that_concern_nobody_cost_no_write_and_are_not_looked_at_for_ever(side: Any) -> None:
    async with Receiver() as receiver:
        made = await side.subscribed(receiver.url, event_types=("Closed",))
        dispatcher = await side.dispatcher(take_events_max=6)
        stream = await side.counter(2)
        await drained(dispatcher)
        assert sum((await side.store.positions(made.id)).values()) == 0
        await side.happen(stream, Add(1), Add(1), Add(1))
        await drained(dispatcher)
        assert sum((await side.store.positions(made.id)).values()) == 6
        await side.happen(stream, Add(1), Close())
        await drained(dispatcher)
        assert told(receiver) == [(stream.name, 8)]


async def test_an_event_that_cannot_be_told_is_parked_and_holds_up_no_other(side: Any) -> None:
    broken, fine = await side.counter(1), await side.counter(1)
    async with Receiver() as receiver:
        made = await side.subscribed(receiver.url)
        dispatcher = await side.dispatcher(schedule=RetrySchedule(()))
        whole = dispatcher._body

        def body(event: Any) -> bytes:
            if event.stream == broken:
                raise ZeroDivisionError("a patient's name")
            told: bytes = whole(event)
            return told

        dispatcher._body = body
        await drained(dispatcher)
        assert told(receiver) == [(fine.name, 1), (fine.name, 2)]
        parked = await side.store.deliveries(made.id, parked=True, after=("", 0), limit=10)
        assert [(one.version, one.last_error) for one in parked] == [
            (1, "the event cannot be told: ZeroDivisionError"),
            (2, ""),
        ]
