"""From a command's reply until a query shows it: ``python -m bootstrap.bench.visible COMMAND QUERY RATE SECONDS``.

Prescriptions are created, signed and issued at an even rate of so many commands a second, whatever the answers take; of some of
them the query server is asked right after the last reply, with the reply's version, and answers once its view has it.
"""

import asyncio
import sys
import time
from array import array
from uuid import uuid4

import grpc

from bootstrap.bench.load import commands_sent
from bootstrap.bench.meter import Meter, percentiles, tell
from erx.prescriptions.v1 import query_service_pb2
from erx.prescriptions.v1.query_service_pb2_grpc import PrescriptionQueryServiceStub
from eventkernel.envelope import Actor
from eventkernel_grpc import call_metadata

PROBES_PER_SECOND = 40
COMMANDS = 3
DEADLINE_SECONDS = 20.0
WARM_UP_SECONDS = 1.0


async def main(command: str, query: str, rate: float, seconds: float) -> None:
    """Run both and print."""
    metadata = call_metadata(actor=Actor("prescriber-bench", "prescriber", "practice-bench"))
    every = max(1, round(rate / COMMANDS / PROBES_PER_SECOND))
    replies, seen = array("d"), array("d")
    late = 0
    async with grpc.aio.insecure_channel(command) as commands, grpc.aio.insecure_channel(query) as queries:
        send = commands_sent(commands)
        ask = PrescriptionQueryServiceStub(queries).FetchPrescription
        meter = Meter()

        async def one(number: int) -> None:
            nonlocal late
            prescription_id = str(uuid4())
            took = await send(prescription_id)
            measured = meter.seconds > WARM_UP_SECONDS
            if measured:
                replies.extend(took)
            if number % every:
                return
            replied = time.perf_counter()
            wanted = query_service_pb2.FetchPrescriptionRequest(prescription_id=prescription_id, min_version=COMMANDS)
            try:
                await ask(wanted, metadata=metadata, timeout=DEADLINE_SECONDS)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                    raise
                late += 1
            if measured:
                seen.append(time.perf_counter() - replied)

        pause, running = COMMANDS / rate, []
        for number in range(round((WARM_UP_SECONDS + seconds) / pause)):
            await asyncio.sleep(max(0.0, number * pause - meter.seconds))
            running.append(asyncio.create_task(one(number)))
        await asyncio.gather(*running)
    made = len(running) * COMMANDS
    tell(
        meter.facts(made)
        | percentiles(seen)
        | {"probes": len(seen), "late": late, "offered_per_second": rate, "reply": percentiles(replies)}
    )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])))
