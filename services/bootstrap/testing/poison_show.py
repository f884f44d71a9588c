"""An event that cannot be read, among many streams: its stream waits, the others flow, and a repaired reader drains the lane.

``python -m bootstrap.testing.poison_show [STREAMS] [--store stack --data DIRECTORY]`` runs it and prints what it saw. The event
is one of a release after this one. Journal, relay, bus, projector and views are real; only the reader is given: today's, then
one that knows the event. A test runs it small.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from bootstrap.carriers import projector_over
from bootstrap.local_stack import with_local_stack
from bootstrap.metrics import Metrics
from bootstrap.process import Process
from bootstrap.roles.relaying import relay
from bootstrap.settings import load
from bootstrap.stores import TOPIC, Stores, open_stores
from bootstrap.testing.program import eventually
from erx.eventlog.v1 import view_admin_service_pb2 as pb
from erx.eventlog.v1.view_admin_service_pb2_grpc import ViewAdminServiceStub, add_ViewAdminServiceServicer_to_server
from eventkernel.envelope import Actor, NewEvent, RecordedEvent
from eventkernel.ids import StreamId
from eventkernel.ports import Entry
from eventkernel.runtime.components import LoopComponent
from eventkernel.runtime.projector import ProjectorSettings
from eventkernel.runtime.rebuild_advance import Sources
from eventkernel.runtime.rebuild_stream import rebuild_stream
from eventkernel.view import View
from eventkernel_grpc import GrpcServer, ServerSettings, call_metadata, channel
from eventkernel_grpc.view_admin import ViewAdminService
from prescriptions.streams import CONTEXT
from prescriptions.testing.recorded import new_events, stream_of, untold
from prescriptions.views import VIEWS
from prescriptions.wire.events import NEWEST, PrescriptionEventCodec, decode_recorded

SECONDS = 3_600.0
CALL_SECONDS = 60.0
AT_ONCE = 64
CHECKPOINTS_AT_ONCE = 1_000
POISON_NUMBER = 0
POISON_AT = 3
OTHERS_EVENTS = 2
LATER_RELEASE = NEWEST + 1


@dataclass(slots=True)
class Reader:
    """How events are read; ``repaired``, it knows the one of a later release, which says the same in the same fields."""

    repaired: bool = False

    def __call__(self, event: RecordedEvent) -> Any:
        """The domain's event. Raises ``EventUnreadable``."""
        if self.repaired and event.schema_version == LATER_RELEASE:
            event = replace(event, schema_version=NEWEST)
        return decode_recorded(event)


@dataclass(slots=True)
class Seen:
    """What came of it."""

    streams: int
    events: int = 0
    seconds: float = 0.0
    behind: int = 0
    others_parked: int = 0
    lanes: dict[str, list[int]] = field(default_factory=dict)
    errors: set[str] = field(default_factory=set)
    dry_differences: int = 0
    drained: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lanes = sorted({tuple(lane) for lane in self.lanes.values()})
        return (
            f"{self.streams:,} streams with {self.events:,} events flowed past a poisoned one in {self.seconds:.0f} s"
            f" ({self.events / self.seconds:,.0f} events/s written, published and folded into {len(VIEWS)} views);"
            f" behind: {self.behind}, other streams parked: {self.others_parked}; lanes of the poisoned stream: {lanes} in"
            f" {len(self.lanes)} views; errors: {sorted(self.errors)}; the dry run told {self.dry_differences} changed rows and"
            f" changed none; the retry drained up to {sorted(set(self.drained.values()))}; wrong: {len(self.wrong)}"
        )


async def show(folder: Path, streams: int, **settings: Any) -> Seen:
    """Write, publish and project everything around the poison; look; repair; drain."""
    seen, reader = Seen(streams), Reader()
    async with _flowing(folder, reader, settings) as (stores, sources):
        poisoned, events = _poisoned_life()
        others = [stream_of(number) for number in range(POISON_NUMBER + 1, POISON_NUMBER + 1 + streams)]
        begun = time.monotonic()
        await _write(stores, others, (poisoned, events))
        seen.events = streams * OTHERS_EVENTS
        await _projected(stores)
        seen.seconds = time.monotonic() - begun
        await _looked(seen, stores, others, poisoned, events)
        async with _administered(sources) as operator:
            await _repaired(seen, operator, reader, stores, poisoned)
        # What comes afterwards flows again.
        await _append(stores, poisoned, events, len(events))
        await _projected(stores)
        for view in VIEWS:
            [version] = await _versions(stores, view, [poisoned])
            fresh = await rebuild_stream(sources, view, poisoned, dry_run=True)
            if version != len(events) or fresh.changes:
                seen.wrong.append(f"{view.name}: at {version}, and a fresh fold differs by {fresh.changes}")
    return seen


def _poisoned_life() -> tuple[StreamId, list[NewEvent]]:
    story = untold().create().sign().issue().claim().part(10, 1).dispense(20, 2)
    stream = stream_of(POISON_NUMBER)
    events = list(new_events(story, stream))
    events[POISON_AT - 1] = replace(events[POISON_AT - 1], schema_version=LATER_RELEASE)
    return stream, events


@asynccontextmanager
async def _flowing(
    folder: Path, reader: Reader, settings: Mapping[str, Any]
) -> AsyncIterator[tuple[Stores, Sources[Any]]]:
    """Relay and projector, running."""
    made = with_local_stack(load(**{"data_dir": folder, **settings}))
    async with AsyncExitStack() as stack:
        stores = await open_stores(made)
        stack.push_async_callback(stores.close)
        await stores.views.prepare(VIEWS)
        process = Process(made, stores, Metrics(), failed=asyncio.Event(), said=lambda _: None)
        projector = projector_over(stores, ProjectorSettings(), decode=reader)
        for part in (relay(process), LoopComponent("projector", projector.run, process.failed)):
            await part.start()
            stack.push_async_callback(part.stop)
        yield stores, Sources(stores.views, stores.events, stores.directory, reader, stores.clock)


async def _write(stores: Stores, others: Sequence[StreamId], poison: tuple[StreamId, Sequence[NewEvent]]) -> None:
    """The others' events, first all the first ones; the poisoned stream's lie between them, but for its last."""
    story = untold().create().sign()
    turns = [(stream, number) for number in range(1, OTHERS_EVENTS + 1) for stream in others]
    stream, events = poison
    dues = {round(len(turns) * upto / len(events)) // AT_ONCE: upto for upto in range(1, len(events))}
    for place in range(0, len(turns), AT_ONCE):
        if (upto := dues.pop(place // AT_ONCE, None)) is not None:
            await _append(stores, stream, events, upto)
        some = turns[place : place + AT_ONCE]
        await asyncio.gather(*(_append(stores, one, new_events(story, one), number) for one, number in some))
    await _append(stores, stream, events, len(events) - 1)


async def _append(stores: Stores, stream: StreamId, events: Sequence[NewEvent], upto: int) -> None:
    known = (await stores.events.load(stream)).position
    new = [Entry(event, event.meta.command_id, b"") for event in events[known.version : upto]]
    if new:
        await stores.events.append(stream, known, new)


async def _projected(stores: Stores) -> None:
    """Until the projector has read all that there is."""
    group = load().consumer_group

    async def done() -> bool:
        depth = await stores.outbox.depth()
        ends, committed = await stores.tail.end_offsets(TOPIC), await stores.tail.committed(group, TOPIC)
        return not depth.events and all(committed.get(place, 0) >= end for place, end in ends.items())

    await eventually("projection of everything", done, seconds=SECONDS)


async def _versions(stores: Stores, view: View[Any, Any], streams: Sequence[StreamId]) -> list[int]:
    found: list[int] = []
    async with stores.views.reading() as reading:
        for place in range(0, len(streams), CHECKPOINTS_AT_ONCE):
            some = streams[place : place + CHECKPOINTS_AT_ONCE]
            known = await reading.checkpoints(view, some)
            found += [known[stream].version for stream in some]
    return found


async def _looked(
    seen: Seen, stores: Stores, others: Sequence[StreamId], poisoned: StreamId, events: Sequence[NewEvent]
) -> None:
    """Others are where the journal is; the poisoned one stands before the poison, and the rest of it lies in its lane."""
    for view in VIEWS:
        versions = await _versions(stores, view, [*others, poisoned])
        seen.behind += sum(version != OTHERS_EVENTS for version in versions[:-1])
        if versions[-1] != POISON_AT - 1:
            seen.wrong.append(f"{view.name}: the poisoned stream stands at {versions[-1]}")
        async with stores.views.transaction() as transaction:
            lane = (await transaction.parked(view, [poisoned])).get(poisoned, ())
        [status] = await stores.views.status([view])
        seen.others_parked += status.parked_streams - bool(lane)
        seen.lanes[view.name] = [parked.event.version for parked in lane]
        seen.errors.add(lane[0].error if lane else "none")
        if [parked.event.data for parked in lane] != [event.data for event in events[POISON_AT - 1 : -1]]:
            seen.wrong.append(f"{view.name}: the lane has other bytes than the journal")


Operator: TypeAlias = Callable[..., Awaitable[Any]]


@asynccontextmanager
async def _administered(sources: Sources[Any]) -> AsyncIterator[Operator]:
    """The administration of the views over gRPC, as ``erx views parked`` asks it."""
    server = GrpcServer(ServerSettings(address="127.0.0.1:0"))
    wire_name = PrescriptionEventCodec().wire_name
    service = ViewAdminService(sources, VIEWS, context=CONTEXT, wire_name=wire_name, wanted=lambda: None)
    server.add(add_ViewAdminServiceServicer_to_server, service)
    metadata = call_metadata(tenant="default", actor=Actor("operator", "system"))
    async with server, channel(server.target) as opened:
        stub: Any = ViewAdminServiceStub(opened)

        async def ask(view: str, stream: StreamId, *, dry_run: bool) -> Any:
            request = pb.RetryParkedLaneRequest(view=view, stream=stream.name, dry_run=dry_run)
            return (await stub.RetryParkedLane(request, metadata=metadata, timeout=CALL_SECONDS)).outcome

        yield ask


async def _repaired(seen: Seen, ask: Operator, reader: Reader, stores: Stores, poisoned: StreamId) -> None:
    """A dry run before the repair, one after it, and the retry, which does what that one told."""
    for view in VIEWS:
        reader.repaired = False
        useless = await ask(view.name, poisoned, dry_run=True)
        if useless.differences or not useless.error:
            seen.wrong.append(f"{view.name}: a dry run before the repair told {useless}")
        reader.repaired = True
        dry = await ask(view.name, poisoned, dry_run=True)
        [version] = await _versions(stores, view, [poisoned])
        if version != POISON_AT - 1:
            seen.wrong.append(f"{view.name}: a dry run moved the stream to {version}")
        real = await ask(view.name, poisoned, dry_run=False)
        if list(real.differences) != list(dry.differences) or real.still_parked or real.error:
            seen.wrong.append(f"{view.name}: told {dry}, done {real}")
        seen.dry_differences += len(dry.differences)
        seen.drained[view.name] = real.to_version


def main() -> int:
    """Run the show at the size of the arguments and print what came of it."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("streams", type=int, nargs="?", default=100_000)
    asked.add_argument("--store", choices=("embedded", "stack"), default="embedded")
    asked.add_argument("--data", type=Path, help="where the local stack runs that is to be used")
    options = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        saw = asyncio.run(show(options.data or Path(folder), options.streams, store=options.store))
    sys.stdout.write(f"{saw}\n" + "".join(f"  {line}\n" for line in saw.wrong[:20]))
    return 1 if saw.wrong or saw.behind or saw.others_parked else 0


if __name__ == "__main__":
    sys.exit(main())
