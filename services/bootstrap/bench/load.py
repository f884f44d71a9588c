"""A load of gRPC calls from a process of its own. ``python -m bootstrap.bench.load KIND ADDRESS CLIENTS SECONDS CALLS CONNS``.

KIND is ``echo``, ``creates`` (one command each), ``commands`` (create, sign and issue a prescription) or ``queries`` (fetch one
prescription of those that are listed first), again and again until the seconds are over or so many calls were made. The clients
share so many connections: where several workers listen on one port, each connection is one worker's. Requests are serialised
beforehand where they do not change and replies are not parsed, so that the client costs as little as it can. Prints one line
of JSON; in it ``busy`` is the processor time this process took per second: near 1 the client is the limit, not the server.
"""

import asyncio
import itertools
import json
import sys
import time
from array import array
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from decimal import Decimal
from uuid import uuid4

import grpc
from google.type.decimal_pb2 import Decimal as DecimalMessage

from bootstrap.bench.echo import METHOD
from erx.prescriptions.types.v1 import enums_pb2, parties_pb2, values_pb2
from erx.prescriptions.v1 import lifecycle_commands_pb2, prescription_pb2, query_service_pb2
from eventkernel.envelope import Actor
from eventkernel_grpc import call_metadata
from prescriptions.domain.hashing import content_sha256
from prescriptions.domain.values import Coding, Dosage, PersonRef, PrescriptionContent, Quantity

SERVICE = "/erx.prescriptions.v1.PrescriptionCommandService/"
QUERIES = "/erx.prescriptions.v1.PrescriptionQueryService/"
QUERY_IDS = 200
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
ECHO_BYTES = 420  # about what a CreatePrescription request of this load weighs

Call = Callable[[bytes], Awaitable[bytes]]
Work = Callable[[], Awaitable[int]]


def content_message() -> prescription_pb2.PrescriptionContent:
    """One content for every prescription, so that its hash is known without reading replies."""
    return prescription_pb2.PrescriptionContent(
        patient_id="patient-bench",
        prescriber=parties_pb2.PersonRef(id="prescriber-bench", npi="1234567893"),
        medication=[values_pb2.Coding(system=RXNORM, code="849574", display="Naproxen sodium 220 MG Oral Tablet")],
        schedule=enums_pb2.SCHEDULE_NONE,
        quantity=values_pb2.Quantity(value=DecimalMessage(value="30"), unit_text="tablet"),
        refills_allowed=2,
        dosage=values_pb2.Dosage(text="one tablet twice a day with food"),
        substitution=enums_pb2.SUBSTITUTION_ALLOWED,
    )


def content_hash() -> bytes:
    """The same content's hash, as a prescriber's program would compute it."""
    return content_sha256(
        PrescriptionContent(
            patient_id="patient-bench",
            prescriber=PersonRef(id="prescriber-bench", npi="1234567893"),
            quantity=Quantity(Decimal(30), unit_text="tablet"),
            medication=(Coding(RXNORM, "849574", "Naproxen sodium 220 MG Oral Tablet"),),
            refills_allowed=2,
            dosage=Dosage("one tablet twice a day with food"),
        )
    )


def creates_work(channel: grpc.aio.Channel) -> Work:
    """Create one prescription."""
    call: Call = channel.unary_unary(f"{SERVICE}CreatePrescription")  # type: ignore[assignment] # bytes in, bytes out
    content = content_message()
    metadata = call_metadata(actor=Actor("prescriber-bench", "prescriber", "practice-bench"))

    async def work() -> int:
        create = lifecycle_commands_pb2.CreatePrescriptionRequest(request_id=str(uuid4()), content=content)
        await timed(call(create.SerializeToString(), metadata=metadata))  # type: ignore[call-arg]
        return 1

    return work


def commands_work(channel: grpc.aio.Channel) -> Work:
    """Create, sign and issue one prescription; gives the number of commands."""
    send = commands_sent(channel)

    async def work() -> int:
        took = await send(str(uuid4()))
        LATENCIES.extend(took)
        return len(took)

    return work


def commands_sent(channel: grpc.aio.Channel) -> Callable[[str], Awaitable[list[float]]]:
    """Creates, signs and issues the prescription of this id; gives how long each took."""
    calls: dict[str, Call] = {
        name: channel.unary_unary(f"{SERVICE}{name}Prescription")  # type: ignore[misc] # bytes in, bytes out
        for name in ("Create", "Sign", "Issue")
    }
    content, digest = content_message(), content_hash()
    metadata = call_metadata(actor=Actor("prescriber-bench", "prescriber", "practice-bench"))

    async def send(prescription_id: str) -> list[float]:
        create = lifecycle_commands_pb2.CreatePrescriptionRequest(
            request_id=str(uuid4()), prescription_id=prescription_id, content=content
        )
        sign = lifecycle_commands_pb2.SignPrescriptionRequest(
            request_id=str(uuid4()),
            prescription_id=prescription_id,
            content_sha256=digest,
            signature=b"signature",
            algorithm="none",
            certificate_id="bench",
            factors=[enums_pb2.SIGNING_FACTOR_KNOWLEDGE],
        )
        issue = lifecycle_commands_pb2.IssuePrescriptionRequest(
            request_id=str(uuid4()), prescription_id=prescription_id
        )
        took = []
        for name, request in (("Create", create), ("Sign", sign), ("Issue", issue)):
            began = time.perf_counter()
            await calls[name](request.SerializeToString(), metadata=metadata)  # type: ignore[call-arg]
            took.append(time.perf_counter() - began)
        return took

    return send


def echo_work(channel: grpc.aio.Channel) -> Work:
    """One echo."""
    call: Call = channel.unary_unary(METHOD)  # type: ignore[assignment] # bytes in, bytes out
    payload = bytes(ECHO_BYTES)

    async def work() -> int:
        await timed(call(payload))
        return 1

    return work


async def queries_work(channel: grpc.aio.Channel) -> Work:
    """Fetch one prescription, each time another."""
    call: Call = channel.unary_unary(f"{QUERIES}FetchPrescription")  # type: ignore[assignment] # bytes in, bytes out
    listing: Call = channel.unary_unary(f"{QUERIES}FetchAllPrescriptions")  # type: ignore[assignment] # likewise
    metadata = call_metadata(actor=Actor("prescriber-bench", "prescriber", "practice-bench"))
    asked = query_service_pb2.FetchAllPrescriptionsRequest(page_size=QUERY_IDS)
    answer = await listing(asked.SerializeToString(), metadata=metadata)  # type: ignore[call-arg]
    listed = query_service_pb2.FetchAllPrescriptionsResponse.FromString(answer).prescriptions
    requests = itertools.cycle(
        query_service_pb2.FetchPrescriptionRequest(prescription_id=one.prescription_id).SerializeToString()
        for one in listed
    )

    async def work() -> int:
        await timed(call(next(requests), metadata=metadata))  # type: ignore[call-arg]
        return 1

    return work


LATENCIES = array("d")


async def timed(call: Awaitable[bytes]) -> None:
    """Await a call and keep how long it took."""
    started = time.perf_counter()
    await call
    LATENCIES.append(time.perf_counter() - started)


async def main(kind: str, address: str, clients: int, seconds: float, calls_max: int, *, channels: int) -> None:
    """Run the load and print calls, seconds and latencies in ms."""
    make = {"echo": echo_work, "creates": creates_work, "commands": commands_work}
    # Without a pool of its own a channel shares its connection with every other channel to the same address.
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with AsyncExitStack() as opened:
        works = []
        for _ in range(channels):
            channel = await opened.enter_async_context(grpc.aio.insecure_channel(address, options=options))
            works.append(await queries_work(channel) if kind == "queries" else make[kind](channel))
        made_before = sum([await work() for work in works])
        del LATENCIES[:]
        done = 0
        ends = time.perf_counter() + seconds

        async def client(work: Work) -> None:
            nonlocal done
            while done < calls_max and time.perf_counter() < ends:
                calls = await work()
                done += calls

        cpu = time.process_time()
        started = time.perf_counter()
        await asyncio.gather(*(client(works[number % channels]) for number in range(clients)))
        elapsed = time.perf_counter() - started
    busy = (time.process_time() - cpu) / elapsed
    ordered = sorted(LATENCIES)
    facts = {
        "calls": done,
        "made": made_before + done,
        "seconds": elapsed,
        "busy": busy,
        "p50_ms": ordered[len(ordered) // 2] * 1_000,
        "p99_ms": ordered[int(len(ordered) * 0.99)] * 1_000,
    }
    sys.stdout.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    asyncio.run(
        main(
            sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]), channels=int(sys.argv[6])
        )
    )
