"""Freshness is asked seldom, by one caller at a time, and its absence never costs an answer."""

import asyncio
from collections.abc import Mapping

import pytest

from eventkernel.errors import StoreUnavailable
from eventkernel.ports import TopicPartition
from eventkernel_memory.bus_tail import MemoryBusTail
from eventkernel_memory.event_bus import MemoryBus
from eventkernel_memory.view_store import MemoryViewStore
from prescriptions.queries.freshness import BUS_SECONDS, Cached, Freshnesses
from prescriptions.views import PRESCRIPTION_VIEW

TOPIC = "events"


class Asked:
    """Counts how often it is asked; answers when it is let go on."""

    def __init__(self) -> None:
        self.times = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self) -> int:
        self.times += 1
        await self.go_on.wait()
        return self.times


async def test_a_value_is_asked_once_while_it_is_young() -> None:
    asked = Asked()
    value = Cached(asked, 60)
    assert [await value.get() for _ in range(3)] == [1, 1, 1]


async def test_a_value_that_has_grown_old_is_asked_again() -> None:
    asked = Asked()
    value = Cached(asked, -1)
    assert [await value.get() for _ in range(3)] == [1, 2, 3]


async def test_callers_at_one_time_share_one_question() -> None:
    asked = Asked()
    value = Cached(asked, 60)
    asked.go_on.clear()
    callers = [asyncio.create_task(value.get()) for _ in range(5)]
    await asyncio.sleep(0)
    asked.go_on.set()
    assert await asyncio.gather(*callers) == [1] * 5


async def test_a_caller_who_gives_up_does_not_take_the_others_along() -> None:
    asked = Asked()
    value = Cached(asked, 60)
    asked.go_on.clear()
    hasty, patient = asyncio.create_task(value.get()), asyncio.create_task(value.get())
    await asyncio.sleep(0)
    hasty.cancel()
    await asyncio.wait({hasty})
    asked.go_on.set()
    assert await patient == 1


async def test_an_answer_that_took_longer_than_it_stays_young_serves_all_who_waited_for_it() -> None:
    asked = Asked()
    value = Cached(asked, 0)
    asked.go_on.clear()
    callers = [asyncio.create_task(value.get()) for _ in range(5)]
    await asyncio.sleep(0)
    asked.go_on.set()
    assert await asyncio.gather(*callers) == [1] * 5
    assert await value.get() == 2


async def test_an_error_reaches_all_who_waited_and_is_not_kept() -> None:
    failing = True

    async def ask() -> int:
        if failing:
            raise StoreUnavailable("views", "away")
        return 1

    value = Cached(ask, 60)
    told = await asyncio.gather(value.get(), value.get(), return_exceptions=True)
    assert [type(one) for one in told] == [StoreUnavailable] * 2
    failing = False
    assert await value.get() == 1


class SilentTail(MemoryBusTail):
    """A bus that does not answer."""

    async def committed(self, group: str, topic: str) -> Mapping[TopicPartition, int]:
        raise StoreUnavailable("bus", "no route")


async def test_where_the_bus_is_silent_the_distance_is_unknown_and_said_so(caplog: pytest.LogCaptureFixture) -> None:
    views = MemoryViewStore()
    await views.prepare([PRESCRIPTION_VIEW])
    made = await Freshnesses(views, SilentTail(MemoryBus()), topic=TOPIC, group="views").of(PRESCRIPTION_VIEW)
    assert not made.HasField("events_behind")
    assert not made.positions
    assert "positions on the bus are unknown" in caplog.text


class SlowTail(MemoryBusTail):
    """A bus that takes its time, beyond all patience."""

    asked = 0

    async def committed(self, group: str, topic: str) -> Mapping[TopicPartition, int]:
        self.asked += 1
        await asyncio.Event().wait()
        return {}


async def test_no_answer_waits_long_for_a_bus_that_does_not_answer(caplog: pytest.LogCaptureFixture) -> None:
    views = MemoryViewStore()
    await views.prepare([PRESCRIPTION_VIEW])
    freshness = Freshnesses(views, SlowTail(MemoryBus()), topic=TOPIC, group="views")
    async with asyncio.timeout(10 * BUS_SECONDS):
        made = await freshness.of(PRESCRIPTION_VIEW)
    assert not made.HasField("events_behind")
    assert "TimeoutError" in caplog.text


async def test_however_many_ask_while_the_bus_is_silent_it_is_asked_once_in_a_while() -> None:
    views, tail = MemoryViewStore(), SlowTail(MemoryBus())
    await views.prepare([PRESCRIPTION_VIEW])
    freshness = Freshnesses(views, tail, topic=TOPIC, group="views")
    for _ in range(3):
        await asyncio.gather(*(freshness.of(PRESCRIPTION_VIEW) for _ in range(100)))
    assert tail.asked == 1


async def test_a_view_that_has_applied_nothing_says_no_time() -> None:
    views, bus = MemoryViewStore(), MemoryBus()
    await views.prepare([PRESCRIPTION_VIEW])
    await bus.create_topic(TOPIC, 2)
    made = await Freshnesses(views, MemoryBusTail(bus), topic=TOPIC, group="views").of(PRESCRIPTION_VIEW)
    assert not made.HasField("applied_at")
    assert (made.events_behind, len(made.positions)) == (0, 2)
