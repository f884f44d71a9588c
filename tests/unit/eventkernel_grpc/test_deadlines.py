import asyncio

import pytest

from eventkernel_grpc.deadlines import Deadlines
from eventkernel_grpc.errors import DeadlinePassed


async def answer(event: asyncio.Event) -> str:
    await event.wait()
    return "answer"


async def test_a_call_that_ends_in_time_gives_its_reply_and_is_forgotten() -> None:
    deadlines, event = Deadlines(60), asyncio.Event()
    event.set()
    assert await deadlines.within(answer(event), "/a/B") == "answer"
    assert len(deadlines) == 0


async def test_each_call_that_takes_longer_is_ended_and_the_others_go_on() -> None:
    deadlines, never, soon = Deadlines(0.01), asyncio.Event(), asyncio.Event()
    slow = [asyncio.create_task(deadlines.within(answer(never), "/a/Slow")) for _ in range(3)]
    for outcome in await asyncio.gather(*slow, return_exceptions=True):
        assert isinstance(outcome, DeadlinePassed)
    assert len(deadlines) == 0
    soon.set()
    assert await deadlines.within(answer(soon), "/a/B") == "answer"
    with pytest.raises(DeadlinePassed):
        await deadlines.within(answer(never), "/a/Slow")


async def test_a_call_with_a_nearer_deadline_is_ended_before_older_ones_and_they_in_their_time() -> None:
    deadlines, never, first = Deadlines(60), asyncio.Event(), asyncio.Event()
    oldest = asyncio.create_task(deadlines.within(answer(first), "/a/Oldest"))
    later = asyncio.create_task(deadlines.within(answer(never), "/a/Later", 0.03))
    nearest = asyncio.create_task(deadlines.within(answer(never), "/a/Nearest", 0.01))
    with pytest.raises(DeadlinePassed, match=r"Nearest did not finish within 0\.01 s"):
        await nearest
    with pytest.raises(DeadlinePassed, match=r"Later did not finish within 0\.03 s"):
        await later
    assert not oldest.done()
    first.set()
    assert await oldest == "answer"
    assert len(deadlines) == 0


async def test_calls_that_ended_behind_one_that_lasts_do_not_pile_up() -> None:
    deadlines, first, done = Deadlines(60), asyncio.Event(), asyncio.Event()
    done.set()
    oldest = asyncio.create_task(deadlines.within(answer(first), "/a/B"))
    await asyncio.sleep(0)
    for _ in range(3_000):
        await deadlines.within(answer(done), "/a/B")
    assert len(deadlines) < 2_000
    first.set()
    assert await oldest == "answer"
    assert len(deadlines) == 0


async def test_what_ended_behind_an_older_call_is_forgotten_with_it() -> None:
    deadlines, first, done = Deadlines(60), asyncio.Event(), asyncio.Event()
    done.set()
    oldest = asyncio.create_task(deadlines.within(answer(first), "/a/B"))
    await asyncio.sleep(0)
    await deadlines.within(answer(done), "/a/B")
    assert len(deadlines) == 2
    first.set()
    await oldest
    assert len(deadlines) == 0


async def test_a_call_that_is_cancelled_by_others_is_cancelled_not_late() -> None:
    deadlines = Deadlines(60)
    task = asyncio.create_task(deadlines.within(answer(asyncio.Event()), "/a/B"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(deadlines) == 0


async def test_a_time_out_of_the_handler_s_own_is_not_the_deadline() -> None:
    async def gives_up() -> str:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await Deadlines(60).within(gives_up(), "/a/B")


async def test_cancelling_is_undone_so_that_the_task_may_answer() -> None:
    async def call() -> int:
        with pytest.raises(DeadlinePassed):
            await Deadlines(0.001).within(answer(asyncio.Event()), "/a/B")
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert await asyncio.create_task(call()) == 0
