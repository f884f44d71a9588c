"""One stream of very many events: what its appends, loads, as-of reads and pages of history cost at the end and at the start.

``python -m bootstrap.testing.long_stream_show EVENTS [DATA_FOLDER_OF_A_STACK]``: on SQLite in a scratch folder, or on the real
stack that runs in the given data folder. Prints JSON; figures of the last tenth are ratios to those of the first.
"""

import asyncio
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bootstrap.testing.data import stores_of
from eventkernel.ids import StreamId
from eventkernel.ports import Clock, EventStore, SnapshotStore
from eventkernel.runtime.aggregate_cache import AggregateCache
from eventkernel.runtime.command_handler import CommandHandler, HandlerLimits
from eventkernel.testing.counter import COUNTERS, Add, Open, new_counter, request

AT_ONCE = 64
HISTORY_PAGE = 200
LOOKS = 40


@dataclass(slots=True)
class LongStream:
    """The stream and what was seen of it. ``wrong`` names answers that are not what was written."""

    events: EventStore
    snapshots: SnapshotStore
    clock: Clock
    stream: StreamId = field(default_factory=new_counter)
    wrong: list[str] = field(default_factory=list)

    def handler(self) -> CommandHandler[Any, Any, Any, Any]:
        """A command server's; each has a cache of its own."""
        limits = HandlerLimits(batch_commands_max=AT_ONCE, snapshot_every_events=500)
        return CommandHandler(COUNTERS, self.events, self.snapshots, self.clock, AggregateCache(1_000), limits=limits)

    async def write(self, count: int) -> dict[str, Any]:
        """Append so many events, by commands; gives the rates of the first and of the last tenth."""
        handler = self.handler()
        await handler.handle(request(self.stream, Open()))
        written, seconds = 1, []
        while written < count:
            began = time.perf_counter()
            some = min(AT_ONCE, count - written)
            adds = [request(self.stream, Add(1 if number % 2 else -1)) for number in range(1, some + 1)]
            await asyncio.gather(*map(handler.handle, adds))
            written += some
            seconds.append((time.perf_counter() - began) / some)
        await handler.drain()
        tenth = max(1, len(seconds) // 10)
        first, last = sum(seconds[:tenth]) / tenth, sum(seconds[-tenth:]) / tenth
        return {"appends_per_second": round(count / (sum(seconds) * AT_ONCE)), "last_tenth_to_first": last / first}

    async def look(self, count: int) -> dict[str, Any]:
        """Load the head by a server that knows nothing, states of old versions and times, and pages of history."""
        chooser = random.Random(7)  # noqa: S311 - to be repeated
        versions = [chooser.randint(1, count) for _ in range(LOOKS)]
        moments = {}
        for version in versions:
            [event] = (await self.events.load(self.stream, after=version - 1, events_max=1)).events
            moments[version] = event.meta.recorded_at
        repository = self.handler().repository
        loads = [await self._timed(repository.load(self.stream)) for _ in range(LOOKS)]
        by_version = [await self._timed(repository.at_version(self.stream, version)) for version in versions]
        by_time = [
            await self._timed(repository.at_time(self.stream, moments[version], recorded=True)) for version in versions
        ]
        pages = [
            await self._timed(self.events.load(self.stream, after=version - 1, events_max=HISTORY_PAGE))
            for version in versions
        ]
        self._compare("head", [aggregate.version for aggregate, _ in loads], [count] * LOOKS)
        self._compare("as of a version", [aggregate.version for aggregate, _ in by_version], versions)
        self._compare("additions", [one.state.additions for one, _ in by_version], [v - 1 for v in versions])
        for version, (aggregate, _) in zip(versions, by_time, strict=True):
            if aggregate.version < version or aggregate.recorded_at != moments[version]:
                self.wrong.append(f"as of the time of version {version}: version {aggregate.version}")
        for version, (page, _) in zip(versions, pages, strict=True):
            wanted = list(range(version, min(count, version + HISTORY_PAGE - 1) + 1))
            self._compare("history", [event.version for event in page.events], wanted)
        named = {"load": loads, "as_of_version": by_version, "as_of_time": by_time, "history_page": pages}
        return {f"{name}_ms": _spread([seconds for _, seconds in found]) for name, found in named.items()}

    async def _timed(self, work: Awaitable[Any]) -> tuple[Any, float]:
        began = time.perf_counter()
        return await work, time.perf_counter() - began

    def _compare(self, what: str, found: list[int], wanted: list[int]) -> None:
        if found != wanted:
            self.wrong.append(f"{what}: {found[:5]} in the place of {wanted[:5]}")


def _spread(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {"p50": round(ordered[len(ordered) // 2] * 1_000, 2), "max": round(ordered[-1] * 1_000, 2)}


async def show(count: int, data: Path, *, store: str = "embedded") -> dict[str, Any]:
    """Write and look; memory is this process's peak."""
    async with stores_of(data, store=store) as stores:
        stream = LongStream(stores.events, stores.snapshots, stores.clock)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        written = await stream.write(count)
        looked = await stream.look(count)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"events": count, **written, **looked, "memory_grown_mib": grown // 1024, "wrong": stream.wrong}


def main() -> None:
    """Run and print."""
    count = int(sys.argv[1])
    if len(sys.argv) > 2:
        facts = asyncio.run(show(count, Path(sys.argv[2]), store="stack"))
    else:
        with tempfile.TemporaryDirectory(prefix="erx-long-") as folder:
            facts = asyncio.run(show(count, Path(folder)))
    sys.stdout.write(json.dumps(facts, indent=2) + "\n")
    raise SystemExit(bool(facts["wrong"]))


if __name__ == "__main__":
    main()
