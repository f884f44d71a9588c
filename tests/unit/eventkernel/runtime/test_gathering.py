import asyncio
from datetime import timedelta

from eventkernel.runtime.waiting import gather
from eventkernel_memory.clock import ManualClock


async def begun(task: "asyncio.Task[None]") -> bool:
    """Whether it waits, after it has had every chance to end."""
    for _ in range(5):
        await asyncio.sleep(0)
    return not task.done()


async def test_the_next_round_begins_no_sooner_than_the_distance_after_the_last_began() -> None:
    clock = ManualClock()
    began = clock.now()
    await clock.advance(0.015)
    task = asyncio.create_task(gather(asyncio.Event(), clock, began, 0.02))
    assert await begun(task)
    await clock.advance(0.004)
    assert await begun(task)
    await clock.advance(0.002)
    await task
    assert clock.now() - began >= timedelta(seconds=0.02)


async def test_a_round_that_took_longer_is_followed_at_once() -> None:
    clock = ManualClock()
    began = clock.now()
    await clock.advance(0.03)
    await gather(asyncio.Event(), clock, began, 0.02)


async def test_nobody_waits_without_a_distance_or_after_a_stop_or_for_a_clock_that_jumped_back() -> None:
    clock, stop = ManualClock(), asyncio.Event()
    await gather(stop, clock, clock.now(), 0.0)
    await gather(stop, clock, clock.now() + timedelta(hours=1), 0.02)
    stop.set()
    await gather(stop, clock, clock.now(), 0.02)
