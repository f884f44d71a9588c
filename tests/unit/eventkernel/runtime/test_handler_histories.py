"""Seeded interleavings: many clients, two handlers over one store, faults, callers that give up. Then the invariants."""

import asyncio
from random import Random
from typing import Any

import pytest

from eventkernel.errors import IdempotencyMismatch, KernelError, OutcomeUnknown, Refusal
from eventkernel.runtime.command_handler import HandlerLimits
from eventkernel.testing.counter import COUNTER, Add, Close, Open, decode, new_counter, request
from eventkernel.testing.faulty import Faults, FaultyEventStore

CLIENTS = 12
COMMANDS = 6


def random_command(random: Random) -> Any:
    return random.choices(
        [Open(), Add(random.randrange(-50, 200)), Close()], weights=[2, 12, 1 if random.random() < 0.2 else 0]
    )[0]


async def client(
    random: Random, handlers: list[Any], streams: list[Any], told: dict[Any, list[Any]], sent: list[Any]
) -> None:
    """Send commands, some again, some given up; note every definite answer by command id."""
    for _ in range(COMMANDS):
        if sent and random.random() < 0.2:
            asked = random.choice(sent)
        else:
            version = random.choice([None, None, None, random.randrange(5)])
            asked = request(random.choice(streams), random_command(random), expected_version=version)
            sent.append(asked)
        for _ in range(20):
            call = asyncio.create_task(random.choice(handlers).handle(asked))
            if random.random() < 0.15:
                for _ in range(random.randrange(6)):
                    await asyncio.sleep(0)
                call.cancel()
            try:
                answer: Any = await call
            except asyncio.CancelledError:
                continue
            except KernelError as error:
                if error.retriable:
                    continue
                answer = error
            told.setdefault(asked.command_id, []).append((asked, answer))
            break


def check(world: Any, streams: list[Any], told: dict[Any, list[Any]]) -> int:
    """Acknowledged: there once, at its version. Refused: nowhere. Asked again: the same reply. All of it one history."""
    acknowledged = 0
    for stream in streams:
        events = world.stored(stream)
        assert [event.version for event in events] == list(range(1, len(events) + 1))
        ids = [event.meta.command_id for event in events]
        assert len(set(ids)) == len(ids), "a command is stored twice"
        state, states = COUNTER.initial, []
        for event in events:
            state = COUNTER.evolve(state, decode(event))
            states.append(state)
            # The fold refuses nothing; that the history is one the decider allows shows in the totals it wrote.
            assert 0 <= state.total <= 1_000
        for command_id, answers in told.items():
            mine = [answer for asked, answer in answers if asked.stream == stream]
            replies = [answer for answer in mine if not isinstance(answer, Exception)]
            assert not any(isinstance(answer, (OutcomeUnknown, IdempotencyMismatch)) for answer in mine)
            for reply in replies:
                acknowledged += 1
                assert ids[reply.aggregate.version - 1] == command_id
                assert reply.aggregate.state == states[reply.aggregate.version - 1]
            if mine and not replies:
                assert command_id not in ids, "told as refused, and stored"
    return acknowledged


@pytest.mark.parametrize("seed", range(60))
async def test_what_is_acknowledged_is_there_once_and_what_is_refused_is_nowhere(world: Any, seed: int) -> None:
    random = Random(seed)
    rate = random.choice([0.0, 0.05, 0.2])
    faults = Faults(
        seed,
        append_lost=rate,
        append_stored=rate,
        append_late=rate,
        append_refused=rate,
        read_failed=rate / 2,
        turns=1.0,
    )
    limits = HandlerLimits(
        batch_commands_max=random.choice([1, 3, 32]),
        snapshot_every_events=random.choice([0, 1, 3]),
        batch_bytes_max=random.choice([40, 1_000_000]),
        conflict_retries_max=50,
    )
    store = FaultyEventStore(world.store, faults)
    handlers = [world.handler(store, limits=limits, aggregates_max=random.choice([0, 1, 100])) for _ in range(2)]
    streams = [new_counter() for _ in range(3)]
    told: dict[Any, list[Any]] = {}
    sent: list[Any] = []
    await asyncio.gather(*(client(Random(seed * 100 + n), handlers, streams, told, sent) for n in range(CLIENTS)))
    await asyncio.gather(*(handler.drain() for handler in handlers))
    await store.landed()
    assert check(world, streams, told) > 0
    faults.quiet()
    # Everything that was ever sent, once more: who was acknowledged gets the same reply, and everybody gets an answer.
    fresh = world.handler()
    before = {stream: len(world.stored(stream)) for stream in streams}
    for asked in sent:
        try:
            reply = await fresh.handle(asked)
        except Refusal:
            continue
        except KernelError:
            continue
        told.setdefault(asked.command_id, []).append((asked, reply))
        if any(asked.command_id == e.meta.command_id for e in world.stored(asked.stream)[: before[asked.stream]]):
            assert reply.replayed
    told = {key: [(a, r) for a, r in answers if not isinstance(r, Exception)] for key, answers in told.items()}
    check(world, streams, told)
