import asyncio
import socket
import sys

import pytest

from bootstrap.settings import load
from bootstrap.workers import WORKER_VARIABLE, Worker, reserved_port, supervise, workers_of


def test_workers_get_the_settings_their_port_and_a_metrics_port_each() -> None:
    settings = load(profile="acute", metrics_address="127.0.0.1:9100")
    one, two = workers_of(settings, ["command"], 2, {"ERX_COMMAND_ADDRESS": "127.0.0.1:5"})
    assert one.arguments == ("bootstrap", "serve", "command")
    assert one.environment["ERX_METRICS_ADDRESS"] == "127.0.0.1:9101"
    assert two.environment == one.environment | {"ERX_METRICS_ADDRESS": "127.0.0.1:9102"}
    assert one.environment["ERX_COMMAND_ADDRESS"] == "127.0.0.1:5"
    assert one.environment["ERX_PROFILE"] == "acute"
    assert one.environment["ERX_REUSE_PORT"] == "true"
    assert WORKER_VARIABLE in one.environment


def test_a_reserved_port_is_held_and_can_be_shared() -> None:
    with reserved_port("127.0.0.1", 0) as holder:
        port = holder.getsockname()[1]
        with reserved_port("127.0.0.1", port) as second:
            assert second.getsockname()[1] == port
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind(("127.0.0.1", port))


async def test_a_worker_that_ends_by_itself_is_started_again_until_stopped() -> None:
    stop = asyncio.Event()
    heard: list[str] = []

    def say(line: str) -> None:
        heard.append(line)
        if len(heard) == 2:
            stop.set()

    worker = Worker(1, ("platform",), {})
    async with asyncio.timeout(60):
        await supervise([worker], say, stop)
    assert heard[0].startswith("worker 1 ended with code 0, starting it again")
    assert len(heard) == 2


async def test_stopping_ends_the_workers_and_waits_for_them() -> None:
    stop = asyncio.Event()
    waits_for_its_parent = Worker(1, ("timeit", "-n", "1", "-r", "1", "import sys; sys.stdin.read()"), {})
    running = asyncio.create_task(supervise([waits_for_its_parent], print, stop))
    stop.set()
    async with asyncio.timeout(60):
        await running
    assert sys.executable
