"""The raw limit of the journal: the very batches of the commands, through a bare driver, with nothing of ours around them.

``python -m bootstrap.bench.raw_appends DRIVER HOST PORT KEYSPACE CLIENTS SECONDS``. One prepared statement holds a whole batch;
values are made beforehand but for key and ids. Three batches a prescription, one after the other, so many prescriptions at
once. Through acsylla the cursors of the prescriptions are moved afterwards: the raw limit of the relay's side of the journal.
"""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from bootstrap.bench.meter import Meter, tell
from bootstrap.bench.samples import three
from eventkernel_cassandra.generations import announced
from eventkernel_cassandra.statements import append_values, statements_of

WARM_UP_SECONDS = 1.0
TIMEOUT_SECONDS = 10.0
_MARK, _EVENT, _COMMAND = "tenant/marked", b"event-----------", b"command---------"


@dataclass(frozen=True, slots=True)
class Template:
    """One batch but for its key and ids, and where these go."""

    cql: str
    values: list[Any]
    keys: tuple[int, ...]
    event: int
    command: int

    def filled(self, key: str) -> list[Any]:
        """The values of one batch."""
        values = self.values.copy()
        for place in self.keys:
            values[place] = key
        values[self.event], values[self.command] = os.urandom(16), os.urandom(16)
        return values


def templates(keyspace: str) -> list[Template]:
    """The three batches of a prescription."""
    made = []
    for version, entry in enumerate(three()):
        first, generation = version == 0, announced(0) if version else 0
        values: list[Any] = append_values(
            _MARK,
            0,
            expected=version,
            generation=generation,
            announced=announced(0),
            first=first,
            attempt=b"bare",
            entries=[entry],
        )
        values = [
            _EVENT if value == entry.event.event_id.bytes else _COMMAND if value == entry.command_id.bytes else value
            for value in values
        ]
        keys = tuple(place for place, value in enumerate(values) if value == _MARK)
        cql = statements_of(keyspace).append(1, first=first).cql
        made.append(Template(cql, values, keys, values.index(_EVENT), values.index(_COMMAND)))
    return made


def new_key() -> str:
    """The stream of a prescription that nobody has."""
    return f"default/prescription-{uuid4()}"


async def acsylla_appends(host: str, port: int, keyspace: str, clients: int, seconds: float) -> None:
    """Through acsylla, each client a task."""
    import acsylla

    cluster = acsylla.create_cluster(
        [host],
        port=port,
        request_timeout=TIMEOUT_SECONDS,
        protocol_version=acsylla.ProtocolVersion.V4,
        retry_policy="fallthrough",
        log_level="critical",
    )
    session = await cluster.create_session()
    quorum, serial = acsylla.Consistency.QUORUM, acsylla.Consistency.SERIAL

    async def prepared(cql: str) -> Any:
        return await session.create_prepared(cql, consistency=quorum, serial_consistency=serial)

    steps = [(template, await prepared(template.cql)) for template in templates(keyspace)]
    advance = await prepared(statements_of(keyspace).advance.cql)
    whole: list[str] = []

    async def run(statement: Any, values: Sequence[Any], meter: Meter) -> None:
        began = time.perf_counter()
        result = await session.execute(statement.bind(values))
        meter.took(time.perf_counter() - began)
        if not result.first().as_tuple()[0]:
            raise RuntimeError("a batch was not applied, though nobody else writes")

    async def client(meter: Meter, for_seconds: float) -> None:
        while meter.seconds < for_seconds:
            key = new_key()
            for template, statement in steps:
                await run(statement, template.filled(key), meter)
            whole.append(key)

    async def mover(meter: Meter) -> None:
        while whole and meter.seconds < seconds:
            key = whole.pop()
            await run(advance, [len(steps), key, 0, 0, key, 0, len(steps)], meter)

    async def appending(for_seconds: float) -> Meter:
        meter = Meter()
        await asyncio.gather(*(client(meter, for_seconds) for _ in range(clients)))
        return meter

    await appending(WARM_UP_SECONDS)
    meter = await appending(seconds)
    facts = meter.facts(len(meter.latencies))
    meter = Meter()
    await asyncio.gather(*(mover(meter) for _ in range(clients)))
    tell(facts | {"cursors": meter.facts(len(meter.latencies))})
    await session.close()
    cluster.destroy()


class Lane:
    """One client of cassandra-driver: the answer of a batch sends the next, on the driver's own thread."""

    def __init__(self, session: Any, steps: Sequence[tuple[Template, Any]], meter: Meter, seconds: float) -> None:
        self._session = session
        self._steps = steps
        self._meter = meter
        self._seconds = seconds
        self._at = 0
        self._key = new_key()
        self._began = 0.0
        self.ended = threading.Event()
        self.error: BaseException | None = None

    def send(self) -> None:
        """Send what is next."""
        template, statement = self._steps[self._at]
        self._began = time.perf_counter()
        future = self._session.execute_async(statement.bind(template.filled(self._key)))
        future.add_callbacks(self._answered, self._failed)

    def _answered(self, rows: Any) -> None:
        self._meter.took(time.perf_counter() - self._began)
        if not rows[0][0]:
            self._failed(RuntimeError("a batch was not applied, though nobody else writes"))
            return
        self._at = (self._at + 1) % len(self._steps)
        if self._at == 0:
            if self._meter.seconds >= self._seconds:
                self.ended.set()
                return
            self._key = new_key()
        self.send()

    def _failed(self, error: BaseException) -> None:
        self.error = error
        self.ended.set()


def driver_appends(host: str, port: int, keyspace: str, clients: int, seconds: float) -> None:
    """Through cassandra-driver, without an event loop of ours."""
    from cassandra import ConsistencyLevel
    from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
    from cassandra.policies import FallthroughRetryPolicy, RoundRobinPolicy, TokenAwarePolicy
    from cassandra.query import tuple_factory

    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(RoundRobinPolicy()),
        retry_policy=FallthroughRetryPolicy(),
        request_timeout=TIMEOUT_SECONDS,
        row_factory=tuple_factory,
    )
    cluster = Cluster([host], port=port, protocol_version=4, execution_profiles={EXEC_PROFILE_DEFAULT: profile})
    session = cluster.connect()
    steps = []
    for template in templates(keyspace):
        statement = session.prepare(template.cql)
        statement.consistency_level = ConsistencyLevel.QUORUM
        statement.serial_consistency_level = ConsistencyLevel.SERIAL
        steps.append((template, statement))

    def appending(for_seconds: float) -> Meter:
        meter = Meter()
        lanes = [Lane(session, steps, meter, for_seconds) for _ in range(clients)]
        for lane in lanes:
            lane.send()
        for lane in lanes:
            lane.ended.wait()
            if lane.error is not None:
                raise lane.error
        return meter

    appending(WARM_UP_SECONDS)
    meter = appending(seconds)
    tell(meter.facts(len(meter.latencies)))
    cluster.shutdown()


if __name__ == "__main__":
    driver_name, host_name, port_text, keyspace_name, clients_text, seconds_text = sys.argv[1:]
    place = (host_name, int(port_text), keyspace_name, int(clients_text), float(seconds_text))
    if driver_name == "acsylla":
        asyncio.run(acsylla_appends(*place))
    else:
        driver_appends(*place)
