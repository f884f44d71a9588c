"""What runs in a process: the modules that ship, wired as production wires them, above the simulated stores of one world."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from eventkernel.errors import KernelError
from eventkernel.ids import StreamId
from eventkernel.ports import EventStore, Loaded, Position
from eventkernel.runtime.aggregate_cache import AggregateCache
from eventkernel.runtime.auditing import Auditor, AuditSources
from eventkernel.runtime.command_handler import CommandHandler, HandlerLimits
from eventkernel.runtime.projector import Projector, ProjectorSettings
from eventkernel.runtime.relay import Relay, RelaySettings
from eventkernel.testing.counter import CODEC, COUNTERS, decode
from eventkernel_cassandra.event_store import CassandraEventStore
from eventkernel_cassandra.generations import judge
from eventkernel_cassandra.outbox import CassandraOutbox
from eventkernel_cassandra.settings import Layout
from eventkernel_cassandra.shard_leases import CassandraShardLeases
from eventkernel_cassandra.snapshot_store import CassandraSnapshotStore
from eventkernel_cassandra.statements import statements_of
from eventkernel_cassandra.stream_directory import CassandraStreamDirectory
from eventkernel_cassandra.watch import Pace
from eventkernel_simulation.broker import Broker
from eventkernel_simulation.bus import SimulatedPublisher, SimulatedSubscription, SimulatedTail
from eventkernel_simulation.cluster import Cluster
from eventkernel_simulation.database import Database, SimulatedViewStore
from eventkernel_simulation.driver import SimulatedDriver
from eventkernel_simulation.loop import Process, SimulatedLoop
from eventkernel_simulation.mutations import Mutation
from eventkernel_simulation.plan import Plan
from eventkernel_simulation.tally import TALLIES, TALLY_SUMS
from eventkernel_simulation.weather import SkewedClock, Weather

STATEMENTS = statements_of("simulated")
TOPIC, GROUP, SOURCE, CONTEXT = "events", "projectors", "/simulation", "counters"
VIEWS = (TALLIES, TALLY_SUMS)
AUDIT_SECONDS = 4.0


class SmallLayout(Layout):
    """A layout of buckets so small that a short history runs through several; no append here is longer than one."""

    def __post_init__(self) -> None:
        """Any size will do."""


class ForgetfulEventStore:
    """``EventStore`` that now and then gives a position without what its adapter put into it, as a snapshot would."""

    def __init__(self, store: EventStore, ground: "Ground") -> None:
        self._store = store
        self._random = ground.loop.random
        self._rate = ground.plan.forgetful
        self.append, self.find_command, self.close = store.append, store.find_command, store.close

    async def load(
        self, stream: StreamId, *, after: int = 0, up_to: int | None = None, events_max: int | None = None
    ) -> Loaded:
        """Load, and perhaps forget."""
        loaded = await self._store.load(stream, after=after, up_to=up_to, events_max=events_max)
        if loaded.position.version and self._random.random() < self._rate:
            return replace(loaded, position=Position(loaded.position.version))
        return loaded


@dataclass(slots=True)
class Ground:
    """What outlives every process."""

    loop: SimulatedLoop
    weather: Weather
    plan: Plan
    cluster: Cluster
    broker: Broker
    database: Database
    mutation: Mutation | None
    broken: Callable[[str, BaseException], None]

    @property
    def layout(self) -> Layout:
        """How the journal is laid out."""
        return SmallLayout(self.plan.bucket_events, self.plan.shard_count)


@dataclass(slots=True)
class Node:
    """A machine that runs the parts of its list, in one incarnation after the other."""

    ground: Ground
    name: str
    parts: tuple[str, ...]
    skew: float
    process: Process = field(init=False)
    driver: SimulatedDriver = field(init=False)
    events: EventStore = field(init=False)
    handler: "CommandHandler[Any, Any, Any, Any] | None" = None
    subscription: SimulatedSubscription | None = None
    outstanding: list["asyncio.Future[Any]"] = field(default_factory=list)
    incarnation: int = 0

    def start(self) -> None:
        """Begin an incarnation."""
        ground, self.incarnation = self.ground, self.incarnation + 1
        self.process = Process(f"{self.name}.{self.incarnation}", self.skew)
        loop, clock = ground.loop, SkewedClock(ground.loop, self.process)
        retries = ground.mutation is not None and ground.mutation.driver_retries
        self.driver = SimulatedDriver(ground.cluster, ground.weather, self.process, retries=retries)
        # As the program does: what is made here belongs to the process from its first line on.
        before, loop.current = loop.current, self.process
        try:
            self.events = CassandraEventStore(self.driver, STATEMENTS, ground.layout, clock)
            pokes: list[Callable[[StreamId], None]] = []
            if "relay" in self.parts:
                self._run("relay", self._relay(clock, pokes).run(asyncio.Event()))
            if "projector" in self.parts:
                self._run("projector", self._projector(clock).run(asyncio.Event()))
            if "auditor" in self.parts:
                self._run("auditor", self._audit(clock))
            if "command" in self.parts:
                self.handler = self._handler(clock, pokes)
        finally:
            loop.current = before

    def kill(self) -> None:
        """As by kill -9. Whoever waits for an answer hears after a while that the connection is gone."""
        ground = self.ground
        ground.loop.kill(self.process)
        self.handler = None
        for answer in self.outstanding:
            ground.loop.later(ground.weather.trip(), _cut, answer)
        self.outstanding = []
        if self.subscription is not None:
            self.subscription.missed()
            self.subscription = None

    def freeze(self) -> None:
        """As by SIGSTOP."""
        self.ground.loop.freeze(self.process)
        if self.subscription is not None:
            self.subscription.missed()

    def thaw(self) -> None:
        """As by SIGCONT."""
        self.ground.loop.thaw(self.process)

    def _run(self, part: str, work: Any) -> None:
        loop, name = self.ground.loop, f"{self.process.name} {part}"
        task = loop.spawn(self.process, work, name)
        task.add_done_callback(lambda done: self._ended(name, done))

    def _ended(self, name: str, task: "asyncio.Task[Any]") -> None:
        """A part runs until it is killed; one that ends has met an error it should not have."""
        error = None if task.cancelled() else task.exception()
        self.ground.broken(name, error or RuntimeError("it has ended"))

    def _handler(
        self, clock: SkewedClock, pokes: list[Callable[[StreamId], None]]
    ) -> "CommandHandler[Any, Any, Any, Any]":
        plan = self.ground.plan

        def appended(stream: StreamId) -> None:
            for poke in pokes:
                poke(stream)

        return CommandHandler(
            COUNTERS,
            ForgetfulEventStore(self.events, self.ground) if plan.forgetful else self.events,
            CassandraSnapshotStore(self.driver, STATEMENTS),
            clock,
            AggregateCache(plan.cached),
            limits=HandlerLimits(batch_commands_max=plan.batch_commands_max, snapshot_every_events=plan.snapshot_every),
            on_appended=appended,
        )

    def _relay(self, clock: SkewedClock, pokes: list[Callable[[StreamId], None]]) -> Relay:
        ground, plan = self.ground, self.ground.plan
        mutation = ground.mutation
        outbox = CassandraOutbox(
            self.driver,
            STATEMENTS,
            ground.layout,
            clock,
            pace=Pace(
                rest_seconds=plan.rest_seconds,
                grace_seconds=plan.grace_seconds,
                look_seconds_max=0.5,
                serial_seconds=1.0,
                scan_seconds=plan.scan_seconds,
            ),
            judge=mutation.judge if mutation and mutation.judge else judge,
        )
        kind = mutation.relay if mutation and mutation.relay else Relay
        relay = kind(
            self.process.name,
            outbox,
            SimulatedPublisher(ground.broker),
            tail=SimulatedTail(ground.broker),
            leases=CassandraShardLeases(self.driver, STATEMENTS, CONTEXT),
            clock=clock,
            topic=TOPIC,
            source=SOURCE,
            wire_name=CODEC.wire_name,
            settings=RelaySettings(
                shard_count=plan.shard_count,
                events_max=plan.events_max,
                poll_seconds=0.3,
                gather_seconds=plan.gather_seconds,
                cursor_seconds=plan.cursor_seconds,
                cursors_behind_max=plan.cursors_behind_max,
                lease_seconds=2.0,
                backoff_seconds_max=1.0,
            ),
        )
        pokes += [outbox.poke, relay.poke]
        return relay

    async def _audit(self, clock: SkewedClock) -> None:
        """As the audit in a relay's process does, only oftener."""
        ground = self.ground
        auditor = Auditor(
            AuditSources(
                self.events,
                CassandraStreamDirectory(self.driver, STATEMENTS, ground.layout),
                SimulatedTail(ground.broker),
                SimulatedPublisher(ground.broker),
                SimulatedViewStore(ground.database, self.process),
                VIEWS,
                decode,
                clock,
                TOPIC,
                SOURCE,
                CODEC.wire_name,
            )
        )
        while True:
            await clock.sleep(AUDIT_SECONDS)
            try:
                report = await auditor.look()
                if ground.mutation is None or not ground.mutation.unheeded_audit:
                    await auditor.heal(report)
            except KernelError as error:
                if not error.retriable:
                    raise
                continue
            if ground.weather.tracing:
                for finding in report.findings:
                    ground.weather.note(self.process.name, f"{finding}")

    def _projector(self, clock: SkewedClock) -> "Projector[Any]":
        ground = self.ground
        self.subscription = SimulatedSubscription(ground.broker, GROUP, [TOPIC], self.process)
        kind = ground.mutation.projector if ground.mutation and ground.mutation.projector else Projector
        return kind(
            VIEWS,
            self.subscription,
            SimulatedViewStore(ground.database, self.process),
            journal=self.events,
            decode=decode,
            clock=clock,
            settings=ProjectorSettings(records_max=10, poll_seconds=2.0, backoff_seconds_max=1.0),
        )


def _cut(answer: "asyncio.Future[Any]") -> None:
    if not answer.done():
        answer.set_exception(ConnectionError("the connection is gone"))
