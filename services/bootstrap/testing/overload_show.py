"""What a command server does when more is asked of it than it can do.

``python -m bootstrap.testing.overload_show SECONDS [CLIENTS]``: one command server on a SQLite store of its own; first as many
clients as bring the peak, then several times as many as it has places, once such that wait as RetryInfo asks and once such
that try again at once. Meanwhile its health is asked for again and again, and its memory is looked at. Prints JSON: goodput
as a ratio to the peak of the same run, how fast refusals and health answers came, and memory.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]  # its stubs are another package

from bootstrap.bench.processes import Server, child, server
from bootstrap.testing.overload_load import quantile_ms

PEAK_CLIENTS = 64
CLIENTS_PER_PLACE = 4
PLACES = 128
LOAD_PROCESSES = 2
HEALTH_SECONDS = 15.0
HEALTH_PAUSE_SECONDS = 0.1
FREE = ("--command-address", "127.0.0.1:0", "--log-level", "error", "--calls-max", str(PLACES))

Facts = dict[str, Any]


async def show(seconds: float, clients: int = PLACES * CLIENTS_PER_PLACE) -> Facts:
    """Peak, overload by patient clients, overload by impatient ones; ratios are to the peak."""
    with tempfile.TemporaryDirectory(prefix="erx-overload-") as folder:
        async with server("bootstrap", "serve", "command", "--data", str(Path(folder) / "data"), *FREE) as serving:
            await _phase(serving, PEAK_CLIENTS, min(seconds, 2.0), patient=True)  # warm
            peak = await _phase(serving, PEAK_CLIENTS, seconds, patient=True)
            facts: Facts = {"places": PLACES, "clients": clients, "peak": peak}
            for name, patient in (("patient", True), ("impatient", False)):
                phase = await _phase(serving, clients, seconds, patient=patient)
                facts[name] = phase | {"goodput_ratio": phase["per_second"] / peak["per_second"]}
            after = await _phase(serving, PEAK_CLIENTS, seconds, patient=True)
            facts["after"] = after | {"goodput_ratio": after["per_second"] / peak["per_second"]}
    return facts


async def _phase(serving: Server, clients: int, seconds: float, *, patient: bool) -> Facts:
    address = serving.addresses["command"]
    asking = asyncio.create_task(_health(address))
    try:
        words = (address, str(clients // LOAD_PROCESSES), str(seconds), str(int(patient)))
        told = await asyncio.gather(*(child("bootstrap.testing.overload_load", *words) for _ in range(LOAD_PROCESSES)))
    finally:
        asking.cancel()
        answered, missed = (await asyncio.gather(asking, return_exceptions=False))[0]
    codes: Counter[str] = Counter()
    for one in told:
        codes.update(one["codes"])
    worst = {
        name: max((one[name] for one in told if one[name] is not None), default=None)
        for name in ("served_p50_ms", "served_p99_ms", "refused_p50_ms", "refused_p99_ms")
    }
    return {
        "codes": dict(codes),
        "per_second": sum(one["per_second"] for one in told),
        **worst,
        "health_answers": len(answered),
        "health_missed": missed,
        "health_p99_ms": quantile_ms(answered, 0.99),
        "rss_mib": serving.rss_mib,
        "peak_mib": serving.peak_mib,
    }


async def _health(address: str) -> tuple[list[float], int]:
    """Ask for the health until cancelled: how long each answer took, and how many did not come or were not SERVING."""
    took: list[float] = []
    missed = 0
    async with grpc.aio.insecure_channel(address, options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            while True:
                began = time.perf_counter()
                try:
                    answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=HEALTH_SECONDS)
                    missed += answer.status != health_pb2.HealthCheckResponse.SERVING
                    took.append(time.perf_counter() - began)
                except grpc.aio.AioRpcError:
                    missed += 1
                await asyncio.sleep(HEALTH_PAUSE_SECONDS)
        except asyncio.CancelledError:
            return took, missed


def main() -> None:
    """Run and print."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("seconds", type=float, nargs="?", default=10.0)
    asked.add_argument("clients", type=int, nargs="?", default=PLACES * CLIENTS_PER_PLACE)
    options = asked.parse_args()
    sys.stdout.write(json.dumps(asyncio.run(show(options.seconds, options.clients)), indent=2) + "\n")


if __name__ == "__main__":
    main()
