from uuid import uuid4

import pytest

from eventkernel.testing.contracts.bus import BusUnderTest
from eventkernel.testing.contracts.event_bus import EventBusContract
from eventkernel_memory.bus_tail import MemoryBusTail
from eventkernel_memory.event_bus import MemoryBus
from eventkernel_memory.event_publisher import MemoryEventPublisher
from eventkernel_memory.event_subscription import MemoryEventSubscription


@pytest.fixture
def bus() -> BusUnderTest:
    shared = MemoryBus()

    async def create_topic(partitions: int) -> str:
        name = f"topic-{uuid4().hex}"
        await shared.create_topic(name, partitions)
        return name

    return BusUnderTest(
        MemoryEventPublisher(shared),
        MemoryEventPublisher(shared),
        MemoryBusTail(shared),
        create_topic,
        lambda group, topic: MemoryEventSubscription(shared, group, [topic]),
    )


class TestMemoryBus(EventBusContract):
    pass
