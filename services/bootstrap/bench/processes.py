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

START_SECONDS = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Server:
    """A server process that has said it is ready, and the addresses it named."""

    process: asyncio.subprocess.Process
    addresses: dict[str, str]

    @property
    def cpu_seconds(self) -> float:
        """User and system time so far, from the kernel's own account."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    @property
    def rss_mib(self) -> float:
        """Resident memory now."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1024 / 1024


@asynccontextmanager
async def server(*arguments: str, environment: dict[str, str] | None = None) -> AsyncIterator[Server]:
    """Run ``python -m ARGUMENTS`` until the end of the block; it must print ``NAME server on ADDRESS`` and ``ready``."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **(environment or {})},
    )
    try:
        addresses = await asyncio.wait_for(_ready(process, arguments), START_SECONDS)
        yield Server(process, addresses)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        # Its output must be read to the end, or a full pipe would keep it from ending.
        await process.communicate()


async def _ready(process: asyncio.subprocess.Process, arguments: Sequence[str]) -> dict[str, str]:
    addresses: dict[str, str] = {}
    if process.stdout is None:
        raise RuntimeError("a server's output is read through a pipe")
    async for raw in process.stdout:
        line = raw.decode().strip()
        name, said, address = line.partition(" server on ")
        if said:
            addresses[name] = address
        if line.startswith("ready"):
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
    kind: str, address: str, *, clients: int, processes: int, seconds: float, calls_max: int = 1_000_000_000
) -> Load:
    """Run a load from several processes at once; the percentiles are the worst process's."""
    each = max(1, clients // processes)
    outputs = await asyncio.gather(
        *(
            _run("bootstrap.bench.load", kind, address, str(each), str(seconds), str(calls_max // processes))
            for _ in range(processes)
        )
    )
    facts = [json.loads(output) for output in outputs]
    return Load(
        calls=sum(fact["calls"] for fact in facts),
        made=sum(fact["made"] for fact in facts),
        seconds=max(fact["seconds"] for fact in facts),
        p50_ms=max(fact["p50_ms"] for fact in facts),
        p99_ms=max(fact["p99_ms"] for fact in facts),
        busy=max(fact["busy"] for fact in facts),
    )


async def _run(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", *arguments, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)} ended with code {process.returncode}")
    return output.decode()
