"""Processes of a measurement: servers that are waited for, loads that are read, and what both cost."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_SECONDS = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Server:
    """A server process that has said it is ready, and the addresses it named."""

    process: asyncio.subprocess.Process
    addresses: dict[str, str]

    @property
    def cpu_seconds(self) -> float:
        """User and system time so far, of the process and its workers."""
        return sum(map(cpu_seconds, family(self.process.pid)))

    @property
    def rss_mib(self) -> float:
        """Resident memory now."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1024 / 1024

    @property
    def peak_mib(self) -> float:
        """The most memory that the process and its workers ever held."""
        return sum(map(peak_mib, family(self.process.pid)))


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, from the kernel's own account."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def peak_mib(pid: int) -> float:
    """The most memory a process ever held."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def family(pid: int) -> list[int]:
    """A process and those it started by itself."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [pid, *(int(child) for task in tasks for child in task.read_text(encoding="ascii").split())]


@asynccontextmanager
async def server(*arguments: str, environment: dict[str, str] | None = None, workers: int = 1) -> AsyncIterator[Server]:
    """Run ``python -m ARGUMENTS`` until the end of the block; it must print ``NAME server on ADDRESS`` and ``ready``, the
    latter as often as it has workers.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **(environment or {})},
    )
    try:
        addresses = await asyncio.wait_for(_ready(process, arguments, workers), START_SECONDS)
        yield Server(process, addresses)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        # Its output must be read to the end, or a full pipe would keep it from ending.
        await process.communicate()


async def _ready(process: asyncio.subprocess.Process, arguments: Sequence[str], workers: int) -> dict[str, str]:
    addresses: dict[str, str] = {}
    if process.stdout is None:
        raise RuntimeError("a server's output is read through a pipe")
    async for raw in process.stdout:
        line = raw.decode().strip()
        name, said, address = line.partition(" server on ")
        if said:
            addresses[name] = address
        workers -= line.startswith("ready")
        if not workers:
            return addresses
    raise RuntimeError(f"{' '.join(arguments)} ended with code {await process.wait()} before it was ready")


@dataclass(frozen=True, slots=True)
class Load:
    """What several load processes did together: ``calls`` in the time, ``made`` with those before it.

    ``busy``: processor time per second of the busiest.
    """

    calls: int
    made: int
    seconds: float
    p50_ms: float
    p99_ms: float
    busy: float

    @property
    def per_second(self) -> float:
        """Calls per second."""
        return self.calls / self.seconds


async def load(
    kind: str,
    address: str,
    *,
    clients: int,
    processes: int,
    seconds: float,
    calls_max: int = 1_000_000_000,
    channels: int = 1,
) -> Load:
    """Run a load from several processes at once; the percentiles are the worst process's."""
    each = max(1, clients // processes)
    words = (kind, address, str(each), str(seconds), str(calls_max // processes), str(channels))
    facts = await asyncio.gather(*(child("bootstrap.bench.load", *words) for _ in range(processes)))
    return Load(
        calls=sum(fact["calls"] for fact in facts),
        made=sum(fact["made"] for fact in facts),
        seconds=max(fact["seconds"] for fact in facts),
        p50_ms=max(fact["p50_ms"] for fact in facts),
        p99_ms=max(fact["p99_ms"] for fact in facts),
        busy=max(fact["busy"] for fact in facts),
    )


async def child(*arguments: str, environment: dict[str, str] | None = None) -> dict[str, Any]:
    """Run ``python -m ARGUMENTS`` to its end; its last line is JSON."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **(environment or {})},
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments[:2])} ended with code {process.returncode}")
    facts: dict[str, Any] = json.loads(output.decode().splitlines()[-1])
    return facts
