"""Many watchers while events flow and connections are cut at random: does each see every matching change once, in order?

``python -m bootstrap.testing.watch_show [WATCHERS] [EVENTS]`` runs it on SQLite files and prints what it saw; the test of the
same name runs it small. Everything is real: journal, relay, bus, projector and a gRPC server, all in this process.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import grpc

from bootstrap.metrics import Metrics
from bootstrap.process import Process
from bootstrap.roles import components
from bootstrap.settings import load
from bootstrap.stores import Stores, open_stores
from bootstrap.testing.program import eventually
from erx.prescriptions.types.v1 import enums_pb2
from erx.prescriptions.v1 import filters_pb2
from erx.prescriptions.v1.watch_service_pb2 import WatchPrescriptionsRequest
from erx.prescriptions.v1.watch_service_pb2_grpc import PrescriptionWatchServiceStub
from eventkernel.envelope import NewEvent, RecordedEvent
from eventkernel.filters import Filter
from eventkernel.ports import Entry, Position
from eventkernel.runtime.watch_steps import seen
from eventkernel_grpc import call_metadata, channel
from eventkernel_memory.event_store import MemoryEventStore
from eventkernel_memory.journal import MemoryJournal
from prescriptions.domain.events import PrescriptionCreated
from prescriptions.queries.listing import filter_from
from prescriptions.testing.recorded import new_events, stream_of, untold
from prescriptions.watching import prescription_steps

CHANNELS = 16
SECONDS = 1_200.0
TENANTS = ("default", "other")
CUT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.CANCELLED)
"""How a stream ends that its reader goes on with: the server stops, asks for patience, or the connection is gone."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large a show is. ``cuts`` is after how many messages at most a connection is cut."""

    watchers: int
    events: int
    cuts: int = 25
    seed: int = 1


@dataclass(slots=True)
class Watching:
    """One watcher: what it asks, and for each prescription the versions it was told, removals negative."""

    tenant: str
    asked: filters_pb2.PrescriptionFilter
    told: dict[str, list[int]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    token: bytes = b""
    connections: int = 0
    count: int = 0
    endings: dict[str, int] = field(default_factory=dict)

    @property
    def where(self) -> Filter:
        """The filter as views have it."""
        return filter_from(self.asked)

    def take(self, message: Any) -> None:
        """One message."""
        self.token = message.resume_token
        kind = message.WhichOneof("told")
        if kind == "row":
            if message.row.prescription_id in self.rows:
                raise AssertionError(f"row {message.row.prescription_id} twice")
            self.rows[message.row.prescription_id] = message.row.version
        elif kind in ("changed", "removed"):
            changed = message.changed.prescription
            key = changed.prescription_id or message.removed.prescription_id
            self.told.setdefault(key, []).append(changed.version or -message.removed.version)
            self.count += 1

    async def run(self, stub: Any, random: Random, cuts: int) -> None:
        """Watch, cut, and watch on, until cancelled."""
        metadata = call_metadata(tenant=self.tenant)
        while True:
            request = WatchPrescriptionsRequest(filter=self.asked, resume_token=self.token)
            call = stub.WatchPrescriptions(request, metadata=metadata)
            self.connections += 1
            left = random.randint(1, cuts)
            try:
                async for message in call:
                    self.take(message)
                    left -= 1
                    if left == 0:
                        break
            except grpc.aio.AioRpcError as error:
                if error.code() not in CUT:
                    raise
                self.endings[error.code().name] = self.endings.get(error.code().name, 0) + 1
                await asyncio.sleep(random.random() * 0.1)
            finally:
                call.cancel()


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of it."""

    watchers: int
    events: int
    changes: int
    rows: int
    connections: int
    seconds: float
    endings: dict[str, int]
    wrong: tuple[str, ...]


@asynccontextmanager
async def serving(folder: Path, **settings: Any) -> AsyncIterator[tuple[Stores, str]]:
    """Relay, projector and query server on files of a folder; gives the stores and the server's address."""
    made = load(data_dir=folder, query_address="127.0.0.1:0", **settings)
    stores = await open_stores(made)
    said: list[str] = []
    process = Process(made, stores, Metrics(), failed=asyncio.Event(), said=said.append)
    parts = components(process, ["relay", "projector", "query"])
    started = []
    try:
        for part in parts:
            await part.start()
            started.append(part)
        yield stores, said[-1].partition("server on ")[2]
    finally:
        for part in reversed(started):
            await part.stop()
        await stores.close()


class Writer:
    """Writes the lives of prescriptions into the journal, interleaved."""

    def __init__(self, size: Size, patients: int, random: Random) -> None:
        self._random = random
        template = untold()
        template.create().sign().issue().claim().part(10, 1).dispense(20, 2)
        length = len(template.events)
        self.lives: list[tuple[Any, list[NewEvent]]] = []
        for number in range(-(-size.events // length)):
            story = untold(patient_id=f"patient-{number % patients}")
            first = template.events[0]
            if not isinstance(first, PrescriptionCreated):
                raise TypeError("a life begins with its creation")
            story.events = [PrescriptionCreated(replace(first.content, patient_id=story.content.patient_id))]
            story.events += template.events[1:]
            story.told = template.told
            stream = stream_of(number, TENANTS[number % len(TENANTS)])
            self.lives.append((stream, list(new_events(story, stream))))

    async def write(self, stores: Stores, share: float) -> int:
        """Write on in random order until this share of every life is written."""
        left = [(stream, events) for stream, events in self.lives for _ in range(2)]
        self._random.shuffle(left)
        written = 0

        async def one(stream: Any, events: list[NewEvent]) -> int:
            known = (await stores.events.load(stream)).position
            until = min(round(len(events) * share), known.version + self._random.randint(1, len(events)))
            return await append(stores, stream, known, events[known.version : until])

        for place in range(0, len(left), 64):
            batch = {stream.key: (stream, events) for stream, events in left[place : place + 64]}
            written += sum(await asyncio.gather(*(one(*each) for each in batch.values())))
        for stream, events in self.lives:
            known = (await stores.events.load(stream)).position
            written += await append(stores, stream, known, events[known.version : round(len(events) * share)])
        return written

    def events(self) -> list[list[RecordedEvent]]:
        """Everything there is, by stream."""
        return [
            [
                RecordedEvent(stream, version, e.event_id, e.type, e.schema_version, e.data, e.meta)
                for version, e in enumerate(events, 1)
            ]
            for stream, events in self.lives
        ]


async def append(stores: Stores, stream: Any, known: Position, events: list[NewEvent]) -> int:
    """Append events in one go."""
    if events:
        await stores.events.append(stream, known, [Entry(event, event.meta.command_id, b"") for event in events])
    return len(events)


async def show(folder: Path, size: Size) -> Seen:
    """Run it and compare what every watcher saw with what the journal says."""
    random = Random(size.seed)  # noqa: S311 - a seeded show
    watchers = [asking(number) for number in range(size.watchers)]
    writer = Writer(size, max(1, size.watchers - size.watchers // 100), random)
    wanted = await expectations(writer, watchers)
    async with AsyncExitStack() as opened:
        stores, address = await opened.enter_async_context(serving(folder))
        begun = time.perf_counter()
        written = 0
        stubs = [
            PrescriptionWatchServiceStub(await opened.enter_async_context(channel(address))) for _ in range(CHANNELS)
        ]
        tasks = []

        def begin(number: int) -> None:
            own = Random(size.seed * 10_007 + number)  # noqa: S311 - a seeded show
            tasks.append(asyncio.create_task(watchers[number].run(stubs[number % CHANNELS], own, size.cuts)))

        # A row that came and went before its watcher looked is nothing to it; so those who may meet such rows come first.
        early = [number for number, watching in enumerate(watchers) if number % 2 or not watching.asked.patient_id]
        for number in early:
            begin(number)

        async def looking() -> bool:
            return all(watchers[number].token for number in early)

        await eventually("first message at every early watcher", looking, seconds=SECONDS)
        written += await writer.write(stores, 0.5)
        for number in set(range(len(watchers))) - set(early):
            begin(number)
        written += await writer.write(stores, 1.0)
        waiting = list(range(len(watchers)))

        async def everything() -> bool:
            for task in tasks:
                if task.done():
                    task.result()
            while waiting and reached(watchers[waiting[-1]], wanted[waiting[-1]]):
                waiting.pop()
            return not waiting

        with suppress(AssertionError):
            await eventually("every change at every watcher", everything, seconds=SECONDS)
        seconds = time.perf_counter() - begun
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    wrong = [problem for watching, want in zip(watchers, wanted, strict=True) for problem in problems(watching, want)]
    return Seen(
        watchers=len(watchers),
        events=written,
        changes=sum(watching.count for watching in watchers),
        rows=sum(len(watching.rows) for watching in watchers),
        connections=sum(watching.connections for watching in watchers),
        seconds=seconds,
        endings=dict(sum((Counter(watching.endings) for watching in watchers), Counter())),
        wrong=tuple(wrong),
    )


def asking(number: int) -> Watching:
    """Most watch one patient; every hundredth watches all that is issued, and is there from the beginning."""
    tenant = TENANTS[number % len(TENANTS)]
    if number % 100 == 7:
        status = filters_pb2.PrescriptionFilter(statuses=[enums_pb2.PRESCRIPTION_STATUS_ISSUED])
        return Watching(tenant, status)
    return Watching(tenant, filters_pb2.PrescriptionFilter(patient_id=f"patient-{number}"))


async def expectations(writer: Writer, watchers: list[Watching]) -> list[dict[str, list[int]]]:
    """For each watcher what the whole journal will hold for its filter: versions by prescription, removals negative."""
    folder = prescription_steps(MemoryEventStore(MemoryJournal()))  # in order, so that it never has to look there
    wanted: list[dict[str, list[int]]] = [{} for _ in watchers]
    wheres = [watching.where for watching in watchers]
    by_patient: dict[str, list[int]] = {}
    others: list[int] = []
    for number, watching in enumerate(watchers):
        by_patient.setdefault(watching.asked.patient_id, []).append(number)
        if not watching.asked.patient_id:
            others.append(number)
    for events in writer.events():
        for event in events:
            step = await folder.step(event)
            if step is None:
                raise AssertionError(f"{event.stream.key} cannot be folded")
            patient = next(change.after["patient_id"] for change in step.changes if change.after)
            for number in (*by_patient.get(patient, ()), *others):
                if watchers[number].tenant != event.stream.tenant:
                    continue
                for row in seen(wheres[number], step):
                    versions = wanted[number].setdefault(event.stream.id, [])
                    versions.append(event.version if row.row is not None else -event.version)
    return wanted


def reached(watching: Watching, wanted: dict[str, list[int]]) -> bool:
    """Whether the watcher has the last change of everything that concerns it."""
    return all(
        (watching.told.get(key) or [watching.rows.get(key, 0)])[-1] == versions[-1] for key, versions in wanted.items()
    )


def problems(watching: Watching, wanted: dict[str, list[int]]) -> list[str]:
    """What is not as it should be: a change that is missing, told twice, out of order, or not its own."""
    found = [f"{watching.tenant} {key} is not its own" for key in watching.told.keys() - wanted.keys()]
    for key, versions in wanted.items():
        row = watching.rows.get(key, 0)
        # What was before the row is in it, and what came back after it is told as a change.
        due = [version for version in versions if abs(version) > row]
        told = watching.told.get(key, [])
        if told != due:
            found.append(f"{watching.tenant} {key}: told {told} after row {row}, due {due}")
    return found


def main() -> int:
    """Run the show at the size of the arguments and print what came of it."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("watchers", type=int, nargs="?", default=1_000)
    asked.add_argument("events", type=int, nargs="?", default=50_000)
    options = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        saw = asyncio.run(show(Path(folder), Size(options.watchers, options.events)))
    print(  # noqa: T201 - a script that prints
        f"{saw.watchers} watchers, {saw.events} events, {saw.changes} changes and {saw.rows} rows told over"
        f" {saw.connections} connections in {saw.seconds:.0f} s; ended by the server: {saw.endings};"
        f" wrong: {len(saw.wrong)}"
    )
    for line in saw.wrong[:20]:
        print(line)  # noqa: T201 - a script that prints
    return 1 if saw.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
