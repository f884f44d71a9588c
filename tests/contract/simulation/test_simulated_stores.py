from uuid import uuid4

import pytest

from eventkernel.testing.contracts.bus import BusUnderTest
from eventkernel.testing.contracts.event_bus import EventBusContract
from eventkernel.testing.contracts.event_store import EventStoreContract
from eventkernel.testing.contracts.features import Feature
from eventkernel.testing.contracts.journal import Journal
from eventkernel.testing.contracts.outbox import OutboxContract
from eventkernel.testing.contracts.shard_leases import LeasesUnderTest, ShardLeasesContract
from eventkernel.testing.contracts.snapshot_store import SnapshotStoreContract
from eventkernel.testing.contracts.stream_directory import StreamDirectoryContract
from eventkernel.testing.contracts.view_reading import ViewReadingContract
from eventkernel.testing.contracts.view_store import ViewStoreContract
from eventkernel.testing.contracts.views import ViewsUnderTest
from eventkernel_cassandra.event_store import CassandraEventStore
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
from eventkernel_simulation.weather import SkewedClock, Weather

STATEMENTS = statements_of("simulated")
LAYOUT = Layout(bucket_events=256, shard_count=16)


def driver_on(cluster: Cluster, weather: Weather) -> SimulatedDriver:
    return SimulatedDriver(cluster, weather, Process("test"))


@pytest.fixture
async def journal(loop: SimulatedLoop) -> Journal:
    weather = Weather(loop, {})
    cluster = Cluster(weather)

    async def open_it() -> Journal:
        one, two = driver_on(cluster, weather), driver_on(cluster, weather)
        clock, pace = SkewedClock(loop, Process("test")), Pace(look_seconds_max=0.0)
        return Journal(
            CassandraEventStore(one, STATEMENTS, LAYOUT, clock),
            CassandraEventStore(two, STATEMENTS, LAYOUT, clock),
            CassandraOutbox(one, STATEMENTS, LAYOUT, clock, pace=pace),
            CassandraOutbox(two, STATEMENTS, LAYOUT, clock, pace=pace),
            CassandraStreamDirectory(one, STATEMENTS, LAYOUT),
            LAYOUT.shard_count,
            open_it,
        )

    return await open_it()


@pytest.fixture
async def snapshots(loop: SimulatedLoop) -> CassandraSnapshotStore:
    weather = Weather(loop, {})
    return CassandraSnapshotStore(driver_on(Cluster(weather), weather), STATEMENTS)


@pytest.fixture
async def under_test(loop: SimulatedLoop) -> LeasesUnderTest:
    weather = Weather(loop, {})
    cluster, clock = Cluster(weather), SkewedClock(loop, Process("test"))
    one, two = (CassandraShardLeases(driver_on(cluster, weather), STATEMENTS, "context") for _ in range(2))
    return LeasesUnderTest(one, two, clock.sleep)


@pytest.fixture
async def bus(loop: SimulatedLoop) -> BusUnderTest:
    broker = Broker(Weather(loop, {}))

    async def create_topic(partitions: int) -> str:
        name = f"topic-{uuid4().hex}"
        broker.create_topic(name, partitions)
        return name

    process = Process("test")
    return BusUnderTest(
        SimulatedPublisher(broker),
        SimulatedPublisher(broker),
        SimulatedTail(broker),
        create_topic,
        lambda group, topic: SimulatedSubscription(broker, group, [topic], process),
    )


@pytest.fixture
async def views(loop: SimulatedLoop) -> ViewsUnderTest:
    database = Database(Weather(loop, {}))
    return ViewsUnderTest(SimulatedViewStore(database, Process("one")), SimulatedViewStore(database, Process("two")))


class TestEventStore(EventStoreContract):
    features = frozenset({Feature.DURABLE})


class TestOutbox(OutboxContract):
    features = frozenset({Feature.DURABLE})


class TestStreamDirectory(StreamDirectoryContract):
    features = frozenset({Feature.DURABLE})


class TestSnapshotStore(SnapshotStoreContract):
    pass


class TestShardLeases(ShardLeasesContract):
    pass


class TestBus(EventBusContract):
    pass


class TestViewStore(ViewStoreContract):
    pass


class TestViewReading(ViewReadingContract):
    pass
