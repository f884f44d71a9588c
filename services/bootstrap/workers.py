"""Several processes of one server on one port: `erx serve command --workers N`.

The parent holds the port with SO_REUSEPORT and starts the workers; the kernel spreads connections over them. A worker that
ends by itself is started again with growing pauses; the parent's SIGTERM is theirs, and it waits until they have drained.
A worker's standard input is a pipe from its parent: when it ends, the parent is gone, and the worker stops.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bootstrap.settings import Settings, as_environment
from eventkernel.runtime.components import stop_on_signals

PAUSE_SECONDS_FIRST = 0.2
PAUSE_SECONDS_MAX = 10.0
STEADY_SECONDS = 30.0
WORKER_VARIABLE = "ERX_IS_WORKER"


@dataclass(frozen=True, slots=True)
class Worker:
    """How to start one: its number, its command line and its environment."""

    number: int
    arguments: tuple[str, ...]
    environment: dict[str, str]


def workers_of(settings: Settings, names: Sequence[str], count: int, address: dict[str, str]) -> list[Worker]:
    """The workers of these servers: the settings travel in the environment, ``address`` overrides the servers' addresses.

    Where metrics are served, each worker serves its own, on the ports after the given one.
    """
    host, _, port = settings.metrics_address.rpartition(":")
    environment = {**as_environment(settings), **address, "ERX_REUSE_PORT": "true", WORKER_VARIABLE: "1"}
    workers = []
    for number in range(1, count + 1):
        own = dict(environment)
        if settings.metrics_address:
            own["ERX_METRICS_ADDRESS"] = f"{host}:{int(port) + number if int(port) else 0}"
        workers.append(Worker(number, ("bootstrap", "serve", *names), own))
    return workers


async def stop_without_parent(stop: asyncio.Event) -> None:
    """In a worker: set ``stop`` when the parent is gone."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
    stop.set()


def reserved_port(host: str, port: int) -> socket.socket:
    """A socket that holds the port for this process's workers without listening; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    holder = socket.socket(family, socket.SOCK_STREAM)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    holder.bind((host.strip("[]"), port))
    return holder


async def supervise(workers: list[Worker], say: Callable[[str], None], stop: asyncio.Event | None = None) -> None:
    """Run the workers until ``stop`` (or a signal), then end them and wait for every one."""
    if stop is None:
        stop = asyncio.Event()
        stop_on_signals(stop)
    async with asyncio.TaskGroup() as group:
        for worker in workers:
            group.create_task(_keep(worker, say, stop))


async def _keep(worker: Worker, say: Callable[[str], None], stop: asyncio.Event) -> None:
    pause = PAUSE_SECONDS_FIRST
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        started = loop.time()
        # A session of its own: the terminal's Ctrl-C reaches the parent alone, which passes it on once.
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *worker.arguments,
            env={**os.environ, **worker.environment},
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        ended = asyncio.create_task(process.wait())
        asked = asyncio.create_task(stop.wait())
        await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if stop.is_set():
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            await ended
            return
        if loop.time() - started > STEADY_SECONDS:
            pause = PAUSE_SECONDS_FIRST
        say(f"worker {worker.number} ended with code {process.returncode}, starting it again in {pause:g} s")
        waiting = asyncio.create_task(stop.wait())
        await asyncio.wait({waiting}, timeout=pause)
        waiting.cancel()
        pause = min(pause * 2, PAUSE_SECONDS_MAX)
