"""The simulated stores on the simulated loop, in calm weather: then they must be what their ports say."""

import asyncio
from collections.abc import Callable, Mapping
from uuid import uuid4

import pytest

from eventkernel_simulation.loop import SimulatedLoop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Loops whose time passes when nobody can run, each in another order."""
    return {"simulated": lambda: SimulatedLoop(uuid4().hex)}


@pytest.fixture
async def loop() -> SimulatedLoop:
    running = asyncio.get_running_loop()
    assert isinstance(running, SimulatedLoop)
    return running
