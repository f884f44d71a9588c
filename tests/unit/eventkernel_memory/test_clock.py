import asyncio
from datetime import UTC, datetime, timedelta

from eventkernel_memory.clock import ManualClock, SystemClock

START = datetime(2026, 1, 1, tzinfo=UTC)


async def test_the_systems_time_is_in_utc() -> None:
    assert SystemClock().now().utcoffset() == timedelta(0)
    await SystemClock().sleep(0)


async def test_a_manual_clock_stands_still_until_it_is_moved() -> None:
    clock = ManualClock(START)
    assert clock.now() == clock.now() == START
    await clock.advance(1.5)
    assert clock.now() == START + timedelta(seconds=1.5)


async def test_sleepers_wake_in_the_order_of_their_times_and_see_their_own() -> None:
    clock = ManualClock(START)
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, *naps: float) -> None:
        for nap in naps:
            await clock.sleep(nap)
            woken.append((name, (clock.now() - START).total_seconds()))

    tasks = [asyncio.create_task(sleeper("a", 3)), asyncio.create_task(sleeper("b", 1, 1, 5))]
    await asyncio.sleep(0)
    await clock.advance(4)
    assert woken == [("b", 1), ("b", 2), ("a", 3)]
    await clock.advance(10)
    await asyncio.gather(*tasks)
    assert woken[-1] == ("b", 7)


async def test_a_cancelled_sleeper_is_passed_over() -> None:
    clock = ManualClock(START)
    task = asyncio.create_task(clock.sleep(1))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await clock.advance(2)


async def test_moving_the_clock_lets_others_run_even_if_nobody_sleeps() -> None:
    clock, happened = ManualClock(START), asyncio.Event()
    asyncio.get_running_loop().call_soon(happened.set)
    while not happened.is_set():
        await clock.advance(0.1)


def test_a_clock_may_jump_back() -> None:
    clock = ManualClock(START)
    clock.set(START - timedelta(days=1))
    assert clock.now() < START
