"""One schedule from its seed to its verdict: the world is built, everything runs, then it is calm and all is compared."""

import asyncio
import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from eventkernel.ids import StreamId
from eventkernel.runtime.cloudevents import version_of
from eventkernel.testing.counter import decode
from eventkernel.testing.history import History, Recorder, Truncation, check, collect
from eventkernel_cassandra.event_store import CassandraEventStore
from eventkernel_cassandra.generations import is_active
from eventkernel_cassandra.simulated_session import SimulatedSession
from eventkernel_cassandra.stream_directory import CassandraStreamDirectory
from eventkernel_cassandra.sweep import PendingSweep
from eventkernel_simulation.broker import Broker
from eventkernel_simulation.bus import SimulatedTail
from eventkernel_simulation.clients import Client
from eventkernel_simulation.cluster import Cluster
from eventkernel_simulation.database import Database, SimulatedViewStore
from eventkernel_simulation.loop import Process, SimulatedLoop, Stuck, run_to_the_end
from eventkernel_simulation.mutations import Mutation, in_force
from eventkernel_simulation.nemesis import Nemesis
from eventkernel_simulation.nodes import STATEMENTS, TOPIC, VIEWS, Ground, Node
from eventkernel_simulation.plan import Plan, plan_of
from eventkernel_simulation.watching import Watching
from eventkernel_simulation.weather import LONGEST_SECONDS, SkewedClock, Weather

CALM_SECONDS = 60.0
"""After the last fault everything must be published, folded and at rest in this time, none of it the machine's."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a schedule. ``breach`` is empty where every rule held; ``step`` is where it was found."""

    seed: int
    plan: Plan
    steps: int
    seconds: float
    breach: str
    trace: tuple[str, ...]
    history: History | None


class Breach(Exception):
    """A rule was broken."""


class World:
    """Everything of one schedule."""

    def __init__(self, seed: int, mutation: Mutation | None, *, tracing: bool) -> None:
        self.plan = plan = plan_of(seed)
        self.loop = SimulatedLoop(f"schedule {seed}")
        self.weather = Weather(self.loop, plan.rates, slow=plan.slow)
        self.weather.tracing = tracing
        periodic = mutation is not None and mutation.periodic_commit_log
        self.cluster = Cluster(self.weather, shard_count=plan.shard_count, periodic=periodic)
        self.broker = Broker(self.weather)
        self.broker.create_topic(TOPIC, plan.partitions)
        self.database = Database(self.weather)
        self.ground = Ground(
            self.loop, self.weather, plan, self.cluster, self.broker, self.database, mutation, self._broken
        )
        self.recorder = Recorder(now=lambda: self.loop.steps)
        self.streams = [StreamId("default", f"counter-{UUID(int=number + 1)}") for number in range(plan.streams)]
        self.nodes = [
            Node(self.ground, f"{'+'.join(parts)}-{number}", parts, plan.skew_seconds * (number % 3 - 1))
            for number, parts in enumerate(plan.nodes)
        ]
        self.breach = ""
        self.watching = watching = Watching(self._breached, self.streams, self.cluster, self.database)
        self.cluster.heard = watching.executed
        self.broker.heard = watching.published
        self.database.heard = watching.committed
        self.loop.set_exception_handler(self._unexpected)

    async def run(self) -> History:
        """To the end; raises ``Breach``."""
        await self.database.tables.prepare(VIEWS)
        for node in self.nodes:
            node.start()
        clients = [
            Client(f"client-{number}", self.ground, self.nodes, self.streams, self.recorder)
            for number in range(self.plan.clients)
        ]
        process = Process("clients")
        working = [self.loop.spawn(process, client.run()) for client in clients]
        nemesis = Nemesis(self.ground, self.nodes, self.watching.truncated.add)
        await asyncio.gather(nemesis.run(), *working)
        nemesis.make_good()
        self.weather.calm = True
        await self._rest()
        return await self._compare()

    async def _rest(self) -> None:
        """Wait until nothing is left to do; what is late still comes."""
        await asyncio.sleep(LONGEST_SECONDS)
        until = self.loop.time() + CALM_SECONDS
        left = self._left_to_do()
        while left and self.loop.time() < until:
            await asyncio.sleep(0.5)
            left = self._left_to_do()
        if left:
            raise Breach(f"everything drains: after {CALM_SECONDS:g} calm seconds {left}")

    def _left_to_do(self) -> str:
        """Something that is not done yet; empty where all is."""
        for (key, bucket), found in self.cluster.store.journal.items():
            if (found.head or 0) > (found.published or 0):
                return f"{key} bucket {bucket} has {found.head} events, its cursor stands at {found.published}"
            if is_active(found.gen or 0):
                return f"{key} bucket {bucket} is not at rest: generation {found.gen}"
        for rows in self.cluster.store.pending.values():
            if rows:
                return f"pending rows are left: {sorted(rows)}"
        if self.cluster.open_doubts:
            return "an append is in doubt"
        return self._left_to_publish() or self._left_to_fold()

    def _left_to_publish(self) -> str:
        """What the topic lost and the auditor has not brought back."""
        if not self.watching.truncated:
            return ""
        reach: dict[StreamId, int] = {}
        for partition in self.broker.partitions.values():
            for record in partition.records:
                stream, version = version_of(record)
                if version == reach.get(stream, 0) + 1:
                    reach[stream] = version
        for (key, _), found in self.cluster.store.journal.items():
            on_topic = reach.get(StreamId.from_key(key), 0)
            if (found.head or 0) > on_topic:
                return f"the topic has {key} up to {on_topic} of {found.head}"
        return ""

    def _left_to_fold(self) -> str:
        heads: dict[str, int] = {}
        for (key, _), found in self.cluster.store.journal.items():
            heads[key] = max(heads.get(key, 0), found.head or 0)
        for view in VIEWS:
            checkpoints = self.database.checkpoints(view, self.streams)
            for stream in self.streams:
                if checkpoints[stream].version != heads.get(stream.key, 0):
                    told = f"{view.name} has folded {stream.key} up to {checkpoints[stream].version}"
                    return f"{told} of {heads.get(stream.key, 0)}"
        return ""

    async def _compare(self) -> History:
        """Judge the whole history, read from the stores as they are."""
        session, layout = SimulatedSession(self.cluster.store), self.ground.layout
        process = Process("judge")
        history = await collect(
            self.recorder.history(),
            directory=CassandraStreamDirectory(session, STATEMENTS, layout),
            events=CassandraEventStore(session, STATEMENTS, layout, SkewedClock(self.loop, process)),
            tail=SimulatedTail(self.broker),
            topic=TOPIC,
            views=VIEWS,
            store=SimulatedViewStore(self.database, process),
            decode=decode,
        )
        history.truncations += [Truncation(place.partition) for place in sorted(self.watching.truncated)]
        found = check(history)
        if found:
            raise Breach("; ".join(map(str, found[:3])))
        swept = await PendingSweep(session, STATEMENTS, layout).run_once()
        if swept.waiting or swept.healed:
            raise Breach(f"a sweep finds nothing to do: {swept}")
        return history

    def _breached(self, told: str) -> None:
        """Told from inside a callback: the first one counts, and ends the loop."""
        if not self.breach:
            self.breach = told
            self.loop.stop()

    def _broken(self, who: str, error: BaseException) -> None:
        shown = "".join(traceback.format_exception(error)[-3:]) if self.weather.tracing else ""
        self._breached(f"nobody fails for good: {who}: {error!r} {shown}".strip())

    def _unexpected(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """A callback that raised is a mistake; a future that nobody asked any more is not."""
        error = context.get("exception")
        if "handle" in context and isinstance(error, BaseException):
            self._broken(str(context.get("message")), error)


def run_schedule(seed: int, mutation: Mutation | None = None, *, tracing: bool = False) -> Verdict:
    """One schedule. The same seed gives the same verdict and the same trace."""
    with in_force(mutation), _quiet():
        world = World(seed, mutation, tracing=tracing)
        history: History | None = None
        breach = ""
        try:
            history = run_to_the_end(world.loop, world.run())
        except Breach as error:
            breach = str(error)
        except Stuck:
            breach = "somebody can always go on: everybody waits, and for no time"
        except RuntimeError:
            # The loop was stopped before the schedule's end.
            if not world.breach:
                raise
        return Verdict(
            seed,
            world.plan,
            world.loop.steps,
            world.loop.time(),
            world.breach or breach,
            tuple(world.weather.trace),
            history,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """What the modules log of faults that were meant is not shown."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
