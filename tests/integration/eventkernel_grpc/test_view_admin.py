"""Views administered over a real channel: rebuilds, lanes, dry runs, retries, discards, and who may."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from erx.eventlog.v1 import view_admin_service_pb2 as pb
from erx.eventlog.v1.view_admin_service_pb2_grpc import ViewAdminServiceStub, add_ViewAdminServiceServicer_to_server
from eventkernel.envelope import Actor, RecordedEvent
from eventkernel.errors import UnknownSchemaVersion
from eventkernel.ids import StreamId
from eventkernel.ports import ViewStore
from eventkernel.runtime.aggregate_cache import AggregateCache
from eventkernel.runtime.command_handler import CommandHandler
from eventkernel.runtime.projector import Projector
from eventkernel.runtime.rebuild_advance import Sources
from eventkernel.runtime.rebuilder import Rebuilder, RebuilderSettings
from eventkernel.testing.counter import (
    CODEC,
    COUNTER_SUMS,
    COUNTER_VIEW,
    COUNTERS,
    Add,
    Open,
    decode,
    new_counter,
    request,
)
from eventkernel_grpc import GrpcServer, RemoteError, ServerSettings, call_metadata, channel, remote_errors
from eventkernel_grpc.view_admin import ViewAdminService
from eventkernel_grpc.wire_types import to_timestamp
from eventkernel_memory.clock import SystemClock
from eventkernel_memory.event_bus import MemoryBus
from eventkernel_memory.event_store import MemoryEventStore
from eventkernel_memory.event_subscription import MemoryEventSubscription
from eventkernel_memory.journal import MemoryJournal
from eventkernel_memory.snapshot_store import MemorySnapshotStore
from eventkernel_memory.stream_directory import MemoryStreamDirectory
from eventkernel_sqlite.view_store import SqliteViewStore

VIEWS = (COUNTER_VIEW, COUNTER_SUMS)
TOPIC = "counters"
REASON = "keyed in twice by the same clerk"
SECONDS = 20.0


@dataclass(slots=True)
class Shop:
    """Counters, their views, and a projector whose reader fails at events that a test names."""

    views: ViewStore
    bus: MemoryBus = field(default_factory=MemoryBus)
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    broken: set[tuple[StreamId, int]] = field(default_factory=set)
    decoded: list[tuple[StreamId, int]] = field(default_factory=list)
    wanted: asyncio.Event = field(default_factory=asyncio.Event)

    def decode(self, event: RecordedEvent) -> Any:
        self.decoded.append((event.stream, event.version))
        if (event.stream, event.version) in self.broken:
            raise UnknownSchemaVersion(event.type, version=9, newest=1)
        return decode(event)

    @property
    def sources(self) -> Sources[Any]:
        directory = MemoryStreamDirectory(self.journal)
        return Sources(self.views, MemoryEventStore(self.journal), directory, self.decode, SystemClock())

    async def write(self, *amounts: int, tenant: str = "default", stream: StreamId | None = None) -> StreamId:
        store, clock = MemoryEventStore(self.journal), SystemClock()
        handler = CommandHandler(COUNTERS, store, MemorySnapshotStore(), clock, AggregateCache(0))
        if stream is None:
            stream = new_counter(tenant)
            await handler.handle(request(stream, Open()))
        for amount in amounts:
            await handler.handle(request(stream, Add(amount)))
        return stream

    async def project(self) -> None:
        subscription = MemoryEventSubscription(self.bus, "views", [TOPIC])
        store, clock = MemoryEventStore(self.journal), SystemClock()
        projector = Projector(VIEWS, subscription, self.views, journal=store, decode=self.decode, clock=clock)
        await projector.apply({stream: list(kept.events) for stream, kept in self.journal.streams.items()})
        await subscription.close()

    async def rebuild(self) -> None:
        settings = RebuilderSettings(beat_seconds=0.01)
        await Rebuilder("one", self.sources, VIEWS, settings=settings).run_once(asyncio.Event())


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    views = SqliteViewStore(tmp_path / "views.db")
    await views.prepare(VIEWS)
    made = Shop(views)
    await made.bus.create_topic(TOPIC, 1)
    yield made
    await views.close()


@dataclass(frozen=True, slots=True)
class Operator:
    """Calls the service as somebody."""

    opened: grpc.aio.Channel

    async def do(self, method: str, *, role: str = "system", tenant: str = "default", **fields: Any) -> Any:
        made = getattr(pb, f"{method}Request")(**fields)
        metadata: Any = call_metadata(tenant=tenant, actor=Actor("op-7", role))
        with remote_errors():
            return await getattr(ViewAdminServiceStub(self.opened), method)(made, metadata=metadata, timeout=SECONDS)

    async def refused(self, method: str, **fields: Any) -> str:
        with pytest.raises(RemoteError) as caught:
            await self.do(method, **fields)
        return f"{caught.value.code.name} {caught.value.reason}"


@asynccontextmanager
async def serving(shop: Shop) -> AsyncIterator[Operator]:
    server = GrpcServer(ServerSettings(address="127.0.0.1:0"))
    service = ViewAdminService(
        shop.sources, VIEWS, context="counters", wire_name=CODEC.wire_name, wanted=shop.wanted.set
    )
    server.add(add_ViewAdminServiceServicer_to_server, service)
    async with server, channel(server.target) as opened:
        yield Operator(opened)


async def poisoned(shop: Shop) -> tuple[StreamId, StreamId]:
    """A stream whose second event cannot be read, and one beside it."""
    bad, good = await shop.write(1, 2, 3), await shop.write(10)
    shop.broken.add((bad, 2))
    await shop.project()
    return bad, good


async def test_every_view_is_shown_started_compared_switched_and_rolled_back(shop: Shop) -> None:
    async with serving(shop) as operator:
        for amount in range(5):
            await shop.write(amount)
        await shop.project()
        [first, second] = (await operator.do("ListRebuilds")).rebuilds
        assert (first.view, second.view) == ("counter_sums", "counter_view")
        assert (first.active_generation, first.phase) == (0, pb.REBUILD_PHASE_UNSPECIFIED)
        begun = (await operator.do("StartRebuild")).rebuilds
        assert [(r.phase, r.wanted, r.started_by) for r in begun] == [(pb.REBUILD_PHASE_FILLING, True, "op-7")] * 2
        assert shop.wanted.is_set()
        await shop.rebuild()
        for ready in (await operator.do("ListRebuilds")).rebuilds:
            assert (ready.phase, ready.wanted, ready.active_generation) == (pb.REBUILD_PHASE_READY, False, 0)
            assert (ready.streams_total, ready.streams_done, ready.events_total, ready.events_done) == (5, 5, 10, 10)
            assert ready.comparison.agrees
            assert ready.comparison.old == ready.comparison.new == ready.comparison.whole == ready.comparison.fresh
        switched = (await operator.do("SwitchView", view="counter_view")).rebuild
        assert (switched.phase, switched.active_generation) == (pb.REBUILD_PHASE_SWITCHED, 1)
        back = (await operator.do("RollBackView", view="counter_view")).rebuild
        assert (back.phase, back.active_generation) == (pb.REBUILD_PHASE_ROLLED_BACK, 0)
        assert await operator.refused("RollBackView", view="counter_view") == "FAILED_PRECONDITION NOTHING_TO_ROLL_BACK"
        assert await operator.refused("StopRebuild", view="counter_view") == "FAILED_PRECONDITION NOTHING_RUNS"


async def test_a_rebuild_is_stopped_and_continued(shop: Shop) -> None:
    async with serving(shop) as operator:
        await shop.write(1)
        since = to_timestamp(SystemClock().now() - timedelta(days=1))
        await operator.do("StartRebuild", views=["counter_sums"], since_time=since, switch_when_equal=True)
        stopped = (await operator.do("StopRebuild", view="counter_sums")).rebuild
        assert (stopped.phase, stopped.wanted, stopped.since_time) == (pb.REBUILD_PHASE_FILLING, False, since)
        await shop.rebuild()
        [still] = (await operator.do("ListRebuilds", views=["counter_sums"])).rebuilds
        assert still.phase == pb.REBUILD_PHASE_FILLING
        await operator.do("StartRebuild", views=["counter_sums"])
        await shop.rebuild()
        [done] = (await operator.do("ListRebuilds", views=["counter_sums"])).rebuilds
        assert (done.phase, done.error, done.comparison.streams_apart) == (pb.REBUILD_PHASE_SWITCHED, "", 1)
        assert done.comparison.new.rows == 0, "no stream stood at the same version in a table that nobody had filled"
        assert done.comparison.whole == done.comparison.fresh


async def test_a_lane_is_listed_and_shown_with_its_raw_bytes(shop: Shop) -> None:
    async with serving(shop) as operator:
        bad, _ = await poisoned(shop)
        [lane] = (await operator.do("ListParkedLanes", view="counter_view", role="auditor")).lanes
        assert (lane.stream, lane.first_version, lane.last_version, lane.events) == (bad.name, 2, 4, 3)
        assert lane.error.startswith("UnknownSchemaVersion")
        shown = await operator.do("FetchParkedLane", view="counter_view", stream=bad.name, role="auditor")
        assert (shown.applied_version, shown.events_total) == (1, 3)
        first, *behind = shown.events
        stored = shop.journal.streams[bad].events[1]
        assert (first.envelope.payload, first.envelope.schema_version) == (stored.data, 1)
        assert first.envelope.payload_type == "example.counters.v1.Added"
        assert (first.error, [parked.error for parked in behind]) == (lane.error, ["", ""])
        assert [parked.envelope.sequence for parked in shown.events] == [2, 3, 4]


async def test_a_dry_run_shows_the_difference_and_changes_nothing(shop: Shop) -> None:
    async with serving(shop) as operator:
        bad, _ = await poisoned(shop)
        shop.broken.clear()
        dry = (await operator.do("RetryParkedLane", view="counter_view", stream=bad.name, dry_run=True)).outcome
        assert (dry.from_version, dry.to_version, dry.still_parked, dry.dry_run) == (1, 4, 0, True)
        [row] = dry.differences
        assert [(c.column, c.before, c.after) for c in row.columns] == [("total", "0", "6")]
        assert len((await operator.do("ListParkedLanes", view="counter_view")).lanes) == 1
        [sums] = (
            await operator.do("RetryParkedLane", view="counter_sums", stream=bad.name, dry_run=True)
        ).outcome.differences
        assert {c.column: (c.before, c.after) for c in sums.columns} == {"total": ("0", "6")}


async def test_a_retry_runs_the_upcasters_again_and_drains_the_lane_in_order(shop: Shop) -> None:
    async with serving(shop) as operator:
        bad, good = await poisoned(shop)
        still = (await operator.do("RetryParkedLane", view="counter_view", stream=bad.name)).outcome
        assert (still.to_version, still.still_parked) == (1, 3)
        assert still.error.startswith("UnknownSchemaVersion")
        shop.broken.clear()
        shop.decoded.clear()
        done = (await operator.do("RetryParkedLane", view="counter_view", stream=bad.name)).outcome
        assert (done.to_version, done.still_parked, done.error) == (4, 0, "")
        assert shop.decoded == [(bad, 2), (bad, 3), (bad, 4)]
        assert not (await operator.do("ListParkedLanes", view="counter_view")).lanes
        fields = {"view": "counter_view", "stream": good.name}
        assert await operator.refused("RetryParkedLane", **fields) == "FAILED_PRECONDITION LANE_EMPTY"
        assert await operator.refused("FetchParkedLane", **fields) == "FAILED_PRECONDITION LANE_EMPTY"


async def test_a_discard_is_recorded_and_the_lane_goes_on_behind_it(shop: Shop) -> None:
    async with serving(shop) as operator:
        bad, _ = await poisoned(shop)
        fields = {"view": "counter_view", "stream": bad.name, "reason": REASON}
        assert (
            await operator.refused("DiscardParkedEvent", version=3, **fields) == "FAILED_PRECONDITION NOT_FIRST_OF_LANE"
        )
        done = (await operator.do("DiscardParkedEvent", version=2, **fields)).outcome
        assert (done.from_version, done.to_version, done.still_parked) == (1, 4, 0)
        [kept] = (await operator.do("ListDiscards", view="counter_view", role="auditor")).discards
        assert (kept.stream, kept.version, kept.reason, kept.decided_by) == (bad.name, 2, REASON, "op-7")
        assert kept.event_id == str(shop.journal.streams[bad].events[1].event_id)
        assert kept.error.startswith("UnknownSchemaVersion")
        assert not (await operator.do("ListDiscards", view="counter_sums")).discards, "a discard is of one view"
        assert not (await operator.do("ListDiscards", view="counter_view", tenant="other")).discards
        assert await operator.refused("DiscardParkedEvent", version=2, **fields) == "FAILED_PRECONDITION LANE_EMPTY"


async def test_one_stream_is_rebuilt_alone(shop: Shop) -> None:
    async with serving(shop) as operator:
        stream = await shop.write(1)
        await shop.project()
        await shop.write(4, stream=stream)
        dry = (await operator.do("RebuildStream", view="counter_view", stream=stream.name, dry_run=True)).outcome
        assert (dry.from_version, dry.to_version, dry.differences[0].columns[0].after) == (2, 3, "5")
        done = (await operator.do("RebuildStream", view="counter_view", stream=stream.name)).outcome
        assert (done.to_version, done.differences) == (3, dry.differences)
        missing = await operator.refused("RebuildStream", view="counter_view", stream="counter-none")
        assert missing == "NOT_FOUND NOT_FOUND"


async def test_lanes_come_in_pages_and_belong_to_their_tenant(shop: Shop) -> None:
    async with serving(shop) as operator:
        streams = [await shop.write(1, tenant=tenant) for tenant in ("default", "default", "default", "other")]
        shop.broken |= {(stream, 1) for stream in streams}
        await shop.project()
        seen: list[str] = []
        token = ""
        while True:
            page = await operator.do("ListParkedLanes", view="counter_view", page_size=2, page_token=token)
            seen += [lane.stream for lane in page.lanes]
            token = page.next_page_token
            if not token:
                break
        assert seen == sorted(stream.name for stream in streams[:3])
        [lane] = (await operator.do("ListParkedLanes", view="counter_view", tenant="other")).lanes
        assert lane.stream == streams[3].name
        assert await operator.refused("ListParkedLanes", view="counter_view", page_token="é") == (
            "INVALID_ARGUMENT BAD_PAGE_TOKEN"
        )


CHANGES: list[tuple[str, Callable[[], dict[str, Any]]]] = [
    ("StartRebuild", dict),
    ("StopRebuild", lambda: {"view": "counter_view"}),
    ("SwitchView", lambda: {"view": "counter_view"}),
    ("RollBackView", lambda: {"view": "counter_view"}),
    ("RebuildStream", lambda: {"view": "counter_view", "stream": "counter-1"}),
    ("RetryParkedLane", lambda: {"view": "counter_view", "stream": "counter-1"}),
    ("DiscardParkedEvent", lambda: {"view": "counter_view", "stream": "counter-1", "version": 1, "reason": REASON}),
]


@pytest.mark.parametrize(("method", "fields"), CHANGES, ids=[method for method, _ in CHANGES])
async def test_only_operators_change_anything(shop: Shop, method: str, fields: Callable[[], dict[str, Any]]) -> None:
    async with serving(shop) as operator:
        for role in ("auditor", "prescriber", "pharmacy"):
            assert await operator.refused(method, role=role, **fields()) == "PERMISSION_DENIED ROLE_NOT_ALLOWED"


async def test_raw_bytes_are_shown_to_operators_and_auditors_alone(shop: Shop) -> None:
    async with serving(shop) as operator:
        for method, fields in (
            ("FetchParkedLane", {"stream": "counter-1", "view": "counter_view"}),
            ("ListParkedLanes", {"view": "counter_view"}),
            ("ListDiscards", {"view": "counter_view"}),
            ("ListRebuilds", {}),
        ):
            assert await operator.refused(method, role="prescriber", **fields) == "PERMISSION_DENIED ROLE_NOT_ALLOWED"


async def test_a_view_that_is_not_declared_and_a_reason_that_says_nothing_are_named(shop: Shop) -> None:
    async with serving(shop) as operator:
        assert await operator.refused("SwitchView", view="nothing") == "INVALID_ARGUMENT UNKNOWN_VIEW"
        assert (
            await operator.refused(
                "DiscardParkedEvent", view="counter_view", stream="counter-1", version=1, reason="because"
            )
        ).startswith("INVALID_ARGUMENT")
