from collections.abc import AsyncIterator
from itertools import cycle
from pathlib import Path
from uuid import uuid4

import pytest

from eventkernel.ports.event_subscription import EventSubscription
from eventkernel.testing.contracts.bus import BusUnderTest
from eventkernel.testing.contracts.event_bus import EventBusContract
from eventkernel.testing.contracts.features import Feature
from eventkernel_sqlite.bus_tail import SqliteBusTail
from eventkernel_sqlite.event_bus import Bus
from eventkernel_sqlite.event_publisher import SqliteEventPublisher
from eventkernel_sqlite.event_subscription import SqliteEventSubscription

SESSION_SECONDS = 3.0


class Opened:
    """One file opened twice, as two processes would, and again when asked to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._buses: list[Bus] = []

    def open(self) -> BusUnderTest:
        one, two = Bus(self._path), Bus(self._path)
        self._buses += [one, two]
        sides = cycle([one, two])

        async def create_topic(partitions: int) -> str:
            name = f"topic-{uuid4().hex}"
            await one.create_topic(name, partitions)
            return name

        def subscribe(group: str, topic: str) -> EventSubscription:
            return SqliteEventSubscription(next(sides), group, [topic], session_seconds=SESSION_SECONDS)

        return BusUnderTest(
            SqliteEventPublisher(one),
            SqliteEventPublisher(two),
            SqliteBusTail(two),
            create_topic,
            subscribe,
            crash,
            self.reopen,
        )

    async def reopen(self) -> BusUnderTest:
        await self.close()
        return self.open()

    async def close(self) -> None:
        for bus in self._buses:
            await bus.close()


async def crash(subscription: EventSubscription) -> None:
    assert isinstance(subscription, SqliteEventSubscription)
    await subscription.abandon()


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[BusUnderTest]:
    opened = Opened(tmp_path / "bus.db")
    yield opened.open()
    await opened.close()


class TestSqliteBus(EventBusContract):
    features = frozenset({Feature.DURABLE, Feature.TAKEOVER})
