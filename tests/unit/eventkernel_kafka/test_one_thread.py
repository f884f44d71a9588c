import asyncio
from functools import partial
from threading import Event

import pytest
from confluent_kafka import KafkaError, KafkaException

from eventkernel.errors import StoreUnavailable
from eventkernel_kafka.one_thread import OneThread

DEADLINE_SECONDS = 60.0


def nothing() -> None:
    """The last call of a thread that holds nothing."""


async def test_calls_are_run_one_after_another_in_their_order() -> None:
    thread, seen = OneThread("test", DEADLINE_SECONDS), list[int]()
    await asyncio.gather(*(thread.run(partial(seen.append, number)) for number in range(50)))
    await thread.close(nothing)
    assert seen == list(range(50))


async def test_an_error_of_the_driver_is_translated_and_a_mistake_passes() -> None:
    thread = OneThread("test", DEADLINE_SECONDS)

    def failing(error: Exception) -> None:
        raise error

    with pytest.raises(StoreUnavailable, match="_TIMED_OUT"):
        await thread.run(lambda: failing(KafkaException(KafkaError(KafkaError._TIMED_OUT))))
    with pytest.raises(KeyError):
        await thread.run(lambda: failing(KeyError()))
    assert await thread.run(lambda: 7) == 7
    await thread.close(nothing)


async def test_nobody_waits_for_a_call_longer_than_its_time_and_what_was_not_begun_is_skipped() -> None:
    thread, free, seen = OneThread("test", 0.05), Event(), list[str]()
    with pytest.raises(StoreUnavailable, match=r"no answer within 0\.05 s"):
        await thread.run(lambda: free.wait(DEADLINE_SECONDS))
    with pytest.raises(StoreUnavailable):
        await thread.run(lambda: seen.append("skipped"))
    free.set()
    await thread.run(lambda: seen.append("later"), DEADLINE_SECONDS)
    await thread.close(nothing)
    assert seen == ["later"]


async def test_closing_gives_up_a_thread_that_does_not_come_back() -> None:
    thread, free = OneThread("test", 0.05), Event()
    with pytest.raises(StoreUnavailable):
        await thread.run(lambda: free.wait(DEADLINE_SECONDS))
    await asyncio.wait_for(thread.close(nothing), DEADLINE_SECONDS)
    with pytest.raises(StoreUnavailable, match="closed"):
        await thread.run(nothing)
    free.set()


async def test_a_caller_that_is_cancelled_leaves_the_thread_to_the_next() -> None:
    thread, free = OneThread("test", DEADLINE_SECONDS), Event()
    waiting = asyncio.ensure_future(thread.run(lambda: free.wait(DEADLINE_SECONDS)))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    free.set()
    assert await thread.run(lambda: 7) == 7
    await thread.close(nothing)
    await thread.close(nothing)
