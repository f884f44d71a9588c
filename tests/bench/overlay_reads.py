"""Read your writes while the projector stands still, beside plain reads of the same size in the same run. Run it: it prints.

    python tests/bench/overlay_reads.py [--rounds 10000] [--projected 500] [--page 50] [--clear 0.02]

Each round writes a prescription and reads it at once, by its id and in a list, with OVERLAY; then it reads one that the views
have had all along, by its id and in a list, with ANY. Servers, relay and caller share one process. Every answer is checked.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

from bootstrap.metrics import Metrics
from bootstrap.process import Process
from bootstrap.roles import components
from bootstrap.roles.projecting import projector
from bootstrap.settings import load
from bootstrap.stores import open_stores
from bootstrap.testing.calls import Caller, caller
from erx.eventlog.v1 import consistency_pb2 as cp

ANY, OVERLAY, AT_LEAST = (
    cp.CONSISTENCY_MODE_ANY,
    cp.CONSISTENCY_MODE_OVERLAY,
    cp.CONSISTENCY_MODE_AT_LEAST,
)


class Timed:
    """Durations by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    async def __call__(self, name: str, call: Any) -> Any:
        begin = time.perf_counter()
        answer = await call
        self.seconds.setdefault(name, []).append(time.perf_counter() - begin)
        return answer

    def at(self, name: str, share: float) -> float:
        """Milliseconds under which this share of the durations lies."""
        ordered = sorted(self.seconds[name])
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1_000


async def main(rounds: int, projected: int, page: int, clear: float) -> None:
    """Measure and print."""
    random, timed = Random(1), Timed()
    heard: dict[str, str] = {}

    def said(line: str) -> None:
        name, _, address = line.partition(" server on ")
        heard[name] = address

    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        settings = load(
            data_dir=folder,
            command_address="127.0.0.1:0",
            query_address="127.0.0.1:0",
            overlay_events_max=max(20_000, rounds * 2),
            queue_seconds_max=0,
        )
        stores = await open_stores(settings)
        stack.push_async_callback(stores.close)
        process = Process(settings, stores, Metrics(), failed=asyncio.Event(), said=said)
        for part in components(process, ["relay", "query", "command"]):
            await part.start()
            stack.push_async_callback(part.stop)
        people = await stack.enter_async_context(caller(heard["command"], heard["query"]))
        known = await _fill(process, people, projected)
        for number in range(rounds):
            patient = f"patient-{number % 500}"
            told = await timed("command", people.write(patient_id=patient))
            if random.random() < clear and process.overlays is not None:
                process.overlays.cache.clear()
            new = told.prescription.prescription_id
            one = people.ask("FetchPrescription", prescription_id=new, token=told.token, consistency=OVERLAY)
            assert (await timed("get, OVERLAY", one)).prescription == told.prescription
            many = people.ask("FetchAllPrescriptions", page_size=page, token=told.token, consistency=OVERLAY)
            assert (await timed("list, OVERLAY", many)).prescriptions[0] == told.prescription
            one = people.ask("FetchPrescription", prescription_id=random.choice(known), consistency=ANY)
            await timed("get, plain", one)
            many = people.ask("FetchAllPrescriptions", page_size=page, consistency=ANY)
            assert len((await timed("list, plain", many)).prescriptions) == min(page, projected)
        _print(timed, process)


async def _fill(process: Process, people: Caller, projected: int) -> list[str]:
    """What the views have when the projector stops."""
    part = projector(process)
    await part.start()
    known, token = [], b""
    for number in range(projected):
        told = await people.write(patient_id=f"patient-{number % 500}")
        known.append(told.prescription.prescription_id)
        token = told.token
    await people.ask("FetchPrescription", prescription_id=known[-1], token=token, consistency=AT_LEAST)
    await people.ask("FetchStatistics", token=token, consistency=AT_LEAST)
    await part.stop()
    return known


def _print(timed: Timed, process: Process) -> None:
    _say(f"{'':16}{'p50 ms':>8}{'p99 ms':>8}{'p99.9 ms':>10}")
    for name in timed.seconds:
        _say(f"{name:16}{timed.at(name, 0.5):8.2f}{timed.at(name, 0.99):8.2f}{timed.at(name, 0.999):10.2f}")
    for what in ("get", "list"):
        ratio = timed.at(f"{what}, OVERLAY", 0.99) / timed.at(f"{what}, plain", 0.99)
        _say(f"{what}: p99 with overlay is {ratio:.2f} of plain")
    registry = process.metrics.registry
    hit, miss = (registry.get_sample_value("erx_row_cache_total", {"found": found}) or 0 for found in ("hit", "miss"))
    _say(f"pending events in memory: {registry.get_sample_value('erx_overlay_events'):,.0f}")
    _say(f"streams read from the journal: {registry.get_sample_value('erx_overlay_journal_reads_total'):,.0f}")
    _say(f"cache of rows: {hit:,.0f} hits, {miss:,.0f} misses")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--rounds", type=int, default=10_000)
    asked.add_argument("--projected", type=int, default=500)
    asked.add_argument("--page", type=int, default=50)
    asked.add_argument("--clear", type=float, default=0.02, help="share of rounds in which the cache is flushed")
    options = asked.parse_args()
    asyncio.run(main(options.rounds, options.projected, options.page, options.clear))
