"""Connecting that is given up: at once, in the middle, or just before its end."""

import asyncio
from random import Random

import pytest

from eventkernel_cassandra.connect import Driver, open_session
from eventkernel_cassandra.session import Kind, Statement
from eventkernel_cassandra.settings import ConnectionSettings

SECONDS = 120.0
ASK = Statement("ask", "SELECT release_version FROM system.local", Kind.READ)


@pytest.mark.parametrize("pause", [0.0, 0.001, 0.005, 0.02, 0.04])
async def test_whoever_is_cancelled_while_connecting_comes_back_and_others_connect(
    settings: ConnectionSettings, driver: Driver, pause: float
) -> None:
    spread = Random(1)
    async with asyncio.timeout(SECONDS):
        for _ in range(4):
            connecting = asyncio.create_task(open_session(settings, driver))
            await asyncio.wait({connecting}, timeout=pause * spread.uniform(0.5, 1.5))
            connecting.cancel()
            await asyncio.wait({connecting})
            if not connecting.cancelled():
                await connecting.result().close()
        session = await open_session(settings, driver)
        assert len(await session.read(ASK, [])) == 1
        await session.close()
