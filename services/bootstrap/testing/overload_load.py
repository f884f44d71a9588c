"""Clients that ask for more than a server can do, from a process of their own.

``python -m bootstrap.testing.overload_load ADDRESS CLIENTS SECONDS PATIENT``. Each client creates one prescription after the
other. A refused one waits as long as the answer's RetryInfo asks and half as long again at random (PATIENT 1), or tries again
at once (PATIENT 0). Prints one line of JSON: calls that succeeded, were refused and ended otherwise, and latencies in ms.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import grpc

from bootstrap.bench.load import SERVICE, content_message
from erx.prescriptions.v1 import lifecycle_commands_pb2
from eventkernel.envelope import Actor
from eventkernel_grpc import call_metadata, remote_error

CONNECTIONS = 4
CALL_SECONDS = 20.0


class Clients:
    """The clients of this process and what came back to them."""

    def __init__(self, *, patient: bool) -> None:
        self.patient = patient
        self.codes: Counter[str] = Counter()
        self.in_time = 0
        self.served: list[float] = []
        self.refused: list[float] = []
        self._random = random.Random()  # noqa: S311 - it spreads clients out, it keeps no secret
        self._metadata = call_metadata(actor=Actor("prescriber-bench", "prescriber", "practice-bench"))
        self._content = content_message()

    async def client(self, channel: grpc.aio.Channel, ends: float) -> None:
        """Create prescriptions until the time is over."""
        call: Any = channel.unary_unary(f"{SERVICE}CreatePrescription")
        while time.perf_counter() < ends:
            request = lifecycle_commands_pb2.CreatePrescriptionRequest(request_id=str(uuid4()), content=self._content)
            began = time.perf_counter()
            try:
                await call(request.SerializeToString(), metadata=self._metadata, timeout=CALL_SECONDS)
            except grpc.aio.AioRpcError as error:
                self.codes[error.code().name] += 1
                if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                    self.refused.append(time.perf_counter() - began)
                if self.patient:
                    await asyncio.sleep(min(self._pause(error), max(0.0, ends - time.perf_counter())))
            else:
                self.codes["OK"] += 1
                self.in_time += time.perf_counter() <= ends
                self.served.append(time.perf_counter() - began)

    def _pause(self, error: grpc.aio.AioRpcError) -> float:
        asked = remote_error(error).retry_after_seconds or 1.0
        return asked * self._random.uniform(1.0, 1.5)


def quantile_ms(seconds: list[float], share: float) -> float | None:
    """The latency below which this share of the calls stayed; None without calls."""
    return sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * share))] * 1_000 if seconds else None


async def main(address: str, clients: int, seconds: float, *, patient: bool) -> None:
    """Run the clients and print what came back."""
    them = Clients(patient=patient)
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with AsyncExitStack() as opened:
        channels = [
            await opened.enter_async_context(grpc.aio.insecure_channel(address, options=options))
            for _ in range(CONNECTIONS)
        ]
        ends = time.perf_counter() + seconds
        await asyncio.gather(*(them.client(channels[number % CONNECTIONS], ends) for number in range(clients)))
    facts = {
        "codes": dict(them.codes),
        "per_second": them.in_time / seconds,
        "served_p50_ms": quantile_ms(them.served, 0.5),
        "served_p99_ms": quantile_ms(them.served, 0.99),
        "refused_p50_ms": quantile_ms(them.refused, 0.5),
        "refused_p99_ms": quantile_ms(them.refused, 0.99),
    }
    sys.stdout.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), patient=sys.argv[4] == "1"))
