"""Reads while the projector is stopped under load: is every OVERLAY answer right, is memory bounded, does it drain afterwards?

``python -m bootstrap.testing.pause_show [SECONDS] [--store stack --data DIRECTORY]`` runs it and prints what it saw: once with
room for all that is pending, once with room for a few hundred events only, where questions wait and say so. Every role is a
process of its own; the projector's is started, ended and started again. A test runs it for a few seconds.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import grpc

from bootstrap.testing.calls import Caller, caller, signing
from bootstrap.testing.data import settled
from bootstrap.testing.program import FREE_PORTS, Child, Erx, NotSeen, eventually
from bootstrap.testing.scrape import memory_of, metrics_of
from erx.eventlog.v1 import consistency_pb2 as cp
from eventkernel_grpc import RemoteError, decode_token, encode_token, merge_positions

if TYPE_CHECKING:
    from eventkernel.envelope import StreamPosition

OVERLAY = cp.CONSISTENCY_MODE_OVERLAY
DRAIN_SECONDS = 600.0
LOOK_SECONDS = 0.5
PATIENT_PRESCRIPTIONS_MAX = 20
TENANT = "default"
WAITED = ("TOKEN_NOT_REACHED", "DEADLINE_EXCEEDED")
"""How a question ends that waited for views which did not come: not an answer, and so not a wrong one."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large a show is. Of the writers so many ask, too; ``patience_seconds``: the deadline of a question.

    It lasts at least so many ``seconds``, and until more was written than there is room for, where that is ``filled``.
    """

    seconds: float
    events_max: int
    writers: int = 8
    askers: int = 8
    patience_seconds: float = 30.0
    filled: bool = False
    words: tuple[str, ...] = ()


@dataclass(slots=True)
class Seen:
    """What came of it."""

    events_max: int
    events: int = 0
    events_before_drain: int = 0
    questions: int = 0
    overlaid: int = 0
    waited: int = 0
    wrong: list[str] = field(default_factory=list)
    pending_max: float = 0
    pending_bytes_max: float = 0
    memory_before: int = 0
    memory_max: int = 0
    journal_reads: float = 0
    degraded: float = 0
    drain_seconds: float = 0
    left: float = 0
    differences: tuple[str, ...] = ()

    def __str__(self) -> str:
        later = self.events - self.events_before_drain
        return (
            f"{self.events_before_drain:,} events while the projector stood still and {later:,}"
            f" while it came back, room for {self.events_max:,};"
            f" {self.questions:,} questions: {self.overlaid:,} answered with overlay, {self.waited:,} waited in vain and said"
            f" so, wrong: {len(self.wrong)}; pending at most {self.pending_max:,.0f} events,"
            f" {self.pending_bytes_max / 2**20:.1f} MiB; the query server's memory went from {self.memory_before / 2**20:.0f}"
            f" to at most {self.memory_max / 2**20:.0f} MiB; read from the journal: {self.journal_reads:.0f} streams; drained"
            f" in {self.drain_seconds:.1f} s, left: {self.left:.0f}; differences after it: {len(self.differences)}"
        )


class Writer:
    """Writes for patients of its own, so that it knows what every answer about them has to be."""

    def __init__(self, number: int, people: Caller, seen: Seen, size: Size, random: Random) -> None:
        self._people = people
        self._seen = seen
        self._asks = number < size.askers
        self._patience = size.patience_seconds
        self._random = random
        self._name = f"patient-{uuid4().hex[:12]}"  # a store may have been shown on before
        self._patients = 0
        self._known: dict[str, int] = {}
        self._drafts: list[Any] = []
        self._positions: tuple[StreamPosition, ...] = ()

    @property
    def patient(self) -> str:
        """The one written for just now."""
        return f"{self._name}-{self._patients}"

    @property
    def token(self) -> bytes:
        """All that this patient's answers must have seen."""
        return encode_token(self._positions, tenant=TENANT)

    async def run(self, over: asyncio.Event) -> None:
        """Write and ask until told to stop."""
        while not over.is_set():
            told = await self._write()
            self._seen.events += 1
            self._positions = merge_positions(self._positions, decode_token(told.token, tenant=TENANT))
            if self._asks:
                await self._ask_one(told)
                await self._ask_all()

    async def _write(self) -> Any:
        if self._drafts and self._random.random() < 0.4:
            draft = self._drafts.pop(self._random.randrange(len(self._drafts)))
            told = await self._people.do("SignPrescription", **signing(draft))
        else:
            if len(self._known) == PATIENT_PRESCRIPTIONS_MAX:
                self._patients += 1
                self._known, self._drafts, self._positions = {}, [], ()
            told = await self._people.write(patient_id=self.patient)
            self._drafts.append(told.prescription)
        self._known[told.prescription.prescription_id] = told.prescription.version
        return told

    async def _ask_one(self, told: Any) -> None:
        key = told.prescription.prescription_id
        answer = await self._asked("FetchPrescription", prescription_id=key)
        if answer is not None and answer.prescription != told.prescription:
            self._seen.wrong.append(
                f"{key}: version {answer.prescription.version}, written {told.prescription.version}"
            )

    async def _ask_all(self) -> None:
        answer = await self._asked("FetchAllPrescriptions", filter={"patient_id": self.patient}, page_size=200)
        if answer is not None:
            listed = {one.prescription_id: one.version for one in answer.prescriptions}
            if listed != self._known:
                self._seen.wrong.append(f"{self.patient}: listed {listed}, written {self._known}")

    async def _asked(self, method: str, **fields: Any) -> Any:
        self._seen.questions += 1
        try:
            answer = await self._people.ask_within(
                self._patience, method, token=self.token, consistency=OVERLAY, **fields
            )
        except RemoteError as error:
            if error.code is grpc.StatusCode.NOT_FOUND:
                self._seen.wrong.append(f"{method} {fields}: {error}")
                return None
            if error.reason not in WAITED and error.code is not grpc.StatusCode.DEADLINE_EXCEEDED:
                raise
            self._seen.waited += 1
            return None
        self._seen.overlaid += answer.as_of.events_overlaid > 0
        return answer


async def show(folder: Path, data: Path, size: Size) -> Seen:
    """Run it: a moment with the projector, the time without it under load, and the load for a little longer with it again."""
    seen = Seen(size.events_max)
    erx = Erx(folder)
    try:
        async with _servers(erx, data, size) as (people, query):
            metrics = query.metrics_address()
            first = await _projector(erx, data, size)
            told = await people.write(patient_id="patient-before")
            await people.ask("FetchPrescription", prescription_id=told.prescription.prescription_id, token=told.token)
            await asyncio.to_thread(first.stopped)
            before = await metrics_of(metrics)
            seen.memory_before = seen.memory_max = await memory_of(query.process.pid)
            over, random = asyncio.Event(), Random(1)  # noqa: S311 - a seeded show
            writers = [Writer(number, people, seen, size, random) for number in range(size.writers)]
            running = [asyncio.create_task(writer.run(over)) for writer in writers]
            await _watched(seen, metrics, query, time.monotonic() + size.seconds, running, filled=size.filled)
            after = await metrics_of(metrics)
            seen.events_before_drain, begun = seen.events, time.monotonic()
            await _projector(erx, data, size)
            await _watched(seen, metrics, query, time.monotonic() + min(5.0, size.seconds / 4), running)
            over.set()
            await asyncio.gather(*running)

            async def drained() -> bool:
                return (await metrics_of(metrics))["erx_overlay_events"] == 0

            # An overlay is empty also while the last events are still on their way to it.
            store = "stack" if "stack" in size.words else "embedded"
            seen.differences = (await settled(data, store=store, seconds=DRAIN_SECONDS)).differences
            await eventually("empty overlay", drained, seconds=DRAIN_SECONDS)
            seen.drain_seconds = time.monotonic() - begun
            seen.left = (await metrics_of(metrics))["erx_overlay_events"]
            for writer in writers:  # whatever waited before is answered now
                await people.ask("FetchAllPrescriptions", token=writer.token, filter={"patient_id": writer.patient})
            for name in ("journal_reads", "degraded"):
                full = f"erx_overlay_{name}_total"
                setattr(seen, name, after[full] - before[full])
    finally:
        erx.close()
    return seen


@asynccontextmanager
async def _servers(erx: Erx, data: Path, size: Size) -> AsyncIterator[tuple[Caller, Child]]:
    # A busy machine is no reason to refuse calls here: what is looked for is wrong answers.
    common: tuple[str | Path, ...] = ("--data", data, *FREE_PORTS, *size.words, "--queue-seconds-max", "0")
    bound = ("--overlay-events-max", str(size.events_max), "--overlay-bytes-max", str(2**30))
    # A relay that is alive may be slow on a busy machine; the journal is the answer to one that is not there.
    query = erx.start(
        "serve", "query", *common, *bound, "--overlay-bus-seconds", "60", "--metrics-address", "127.0.0.1:0"
    )
    command = erx.start("serve", "command", "relay", *common)
    for child in (query, command):
        await asyncio.to_thread(child.says, "ready")
    async with caller(command.address("command"), query.address("query")) as people:
        yield people, query


async def _projector(erx: Erx, data: Path, size: Size) -> Child:
    started = erx.start("serve", "projector", "--data", data, *FREE_PORTS, *size.words)
    return await asyncio.to_thread(started.says, "ready")


async def _watched(
    seen: Seen,
    metrics: str,
    query: Child,
    until: float,
    running: "list[asyncio.Task[None]]",
    *,
    filled: bool = False,
) -> None:
    """Look at memory until then, and until questions were refused an overlay where it is to be ``filled``."""
    full = not filled
    while (left := until - time.monotonic()) > 0 or not full:
        if left < -DRAIN_SECONDS:
            raise NotSeen(f"no full overlay; seen: {seen}")
        pause = min(LOOK_SECONDS, left) if left > 0 else LOOK_SECONDS
        await asyncio.wait(running, timeout=pause, return_when=asyncio.FIRST_EXCEPTION)
        for task in running:
            if task.done():
                task.result()
        now = await metrics_of(metrics)
        seen.pending_max = max(seen.pending_max, now["erx_overlay_events"])
        seen.pending_bytes_max = max(seen.pending_bytes_max, now["erx_overlay_bytes"])
        seen.memory_max = max(seen.memory_max, await memory_of(query.process.pid))
        full = full or (now["erx_overlay_degraded_total"] > 0 and seen.events > seen.events_max)


def sizes(seconds: float, words: tuple[str, ...] = ()) -> tuple[Size, Size]:
    """With room for everything, and with room for little."""
    return Size(seconds, 1_000_000, words=words), Size(
        seconds, 300, askers=4, patience_seconds=1.0, filled=True, words=words
    )


def main() -> int:
    """Run both shows and print what came of them."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("seconds", type=float, nargs="?", default=60.0)
    asked.add_argument("--store", choices=("embedded", "stack"), default="embedded")
    asked.add_argument("--data", type=Path, help="where the local stack runs that is to be used")
    options = asked.parse_args()
    wrong = 0
    for size in sizes(options.seconds, ("--store", options.store)):
        with tempfile.TemporaryDirectory() as folder:
            data = options.data or Path(folder) / "data"
            saw = asyncio.run(show(Path(folder), data, size))
        sys.stdout.write(f"{saw}\n" + "".join(f"  {line}\n" for line in [*saw.wrong, *saw.differences][:20]))
        wrong += len(saw.wrong) + len(saw.differences)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
