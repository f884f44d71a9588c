"""The program on real servers: Cassandra, Kafka and PostgreSQL, several processes of each kind, and each server killed."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped] # its stubs are a package of their own

from bootstrap.cli.topic import Continuity
from bootstrap.local_stack import with_local_stack
from bootstrap.settings import load
from bootstrap.stores import TOPIC, Part, open_stores
from bootstrap.testing.acknowledgements import acknowledged_in, lost
from bootstrap.testing.calls import Caller, caller
from bootstrap.testing.data import settled, stores_of
from bootstrap.testing.program import FREE_PORTS, Child, Erx, awaited, eventually, servers_on
from erx.eventlog.v1 import consistency_pb2
from eventkernel_grpc import RemoteError
from localstack import Stack

if TYPE_CHECKING:
    from localstack.server import Server

pytestmark = pytest.mark.stack

COMMANDS, PRESCRIPTIONS, FILLS = 916, 104, 302
SECONDS = 180.0
TIMES = 40
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@dataclass(frozen=True, slots=True)
class Place:
    """A data folder with a local stack of its own in it, as ``erx stack up --data`` makes it."""

    data: Path
    stack: Stack


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    data = tmp_path / "data"
    data.mkdir()
    stack = Stack(data / "stack")
    stack.up()
    yield Place(data, stack)
    stack.down()


def serve(erx: Erx, data: Path, *words: str) -> Child:
    return erx.start("serve", *words, "--store", "stack", "--data", data, *FREE_PORTS)


def roles(erx: Erx, data: Path) -> list[Child]:
    """Two command servers on one port, two relays, two projectors and a query server, all ready."""
    names = ("command --workers 2", "relay", "relay", "projector", "projector", "query")
    children = [serve(erx, data, *name.split()) for name in names]
    for child in children:
        child.says("ready")
    return children


def importing(erx: Erx, sample: Path, told: Path, servers: tuple[str, ...]) -> Child:
    return erx.start("import", "synthea", sample, "--json", "--acknowledgements", told, *servers)


async def test_the_demo_agrees_on_the_real_stack_twice_and_a_mistyped_keyspace_is_refused(
    erx: Erx, place: Place
) -> None:
    for _ in range(2):
        ended = erx.start("demo", "--stack", "--data", place.data).ended(SECONDS)
        assert ended.code == 0, ended.errors
        assert f"The counts agree: {PRESCRIPTIONS} prescriptions, {FILLS} fills on both sides." in ended.output
    mistyped = ("--cassandra-keyspace", "exr")
    for name in ("command", "relay"):
        ended = erx.start("serve", name, "--store", "stack", "--data", place.data, *FREE_PORTS, *mistyped).ended(
            SECONDS
        )
        assert ended.code == 1
        assert "expected a journal in keyspace exr, or cassandra_create to begin one" in ended.errors
        assert "journals in erx" in ended.errors
        assert "Traceback" not in ended.errors
    serve(erx, place.data, "command", *mistyped, "--cassandra-create").says("ready")


async def test_each_real_server_may_be_killed_while_an_import_runs(
    erx: Erx, place: Place, sample: Path, tmp_path: Path
) -> None:
    children = roles(erx, place.data)
    servers = servers_on(children)
    killed: list[Server] = [place.stack.cassandra, place.stack.kafka, place.stack.postgres]
    for number, server in enumerate(killed):
        told = tmp_path / f"told-{number}"
        importer = importing(erx, sample, told, servers)
        wanted = (number + 1) * 200
        awaited(
            f"{wanted} acknowledged commands",
            lambda told=told, wanted=wanted, importer=importer: (  # type: ignore[misc] # bound to this round
                len(acknowledged_in(told)) >= wanted or not importer.running
            ),
            seconds=SECONDS,
            saw=lambda importer=importer: importer.errors,  # type: ignore[misc] # bound to this round
        )
        assert importer.running, importer.errors
        server.kill9()
        importer.kill()
        server.restart()
        # Before anything is sent again: a repeated import would hide what was lost.
        async with stores_of(place.data, store="stack") as stores:
            assert await lost(stores, acknowledged_in(told)) == []
    last = importing(erx, sample, tmp_path / "told-all", servers).ended(SECONDS)
    assert last.code == 0, last.errors
    facts = json.loads(last.output)
    assert (facts["accepted"], facts["fills"], facts["refused"]) == (COMMANDS, FILLS, {})
    audited = await settled(place.data, store="stack", seconds=SECONDS)
    assert (audited.streams, audited.events) == (PRESCRIPTIONS, COMMANDS)
    async with caller(*(word for word in servers if ":" in word)) as c:
        totals = (await c.ask("FetchStatistics")).totals
        assert (totals.prescriptions, totals.fills) == (PRESCRIPTIONS, FILLS)
    assert (await topic_of(place.data)).sound
    for child in children:
        child.terminate()
    assert [child.ended().code for child in children] == [0] * len(children)


async def test_servers_wait_for_a_store_that_is_down_and_serve_when_it_comes(erx: Erx, place: Place) -> None:
    cassandra, postgres = place.stack.cassandra, place.stack.postgres
    before = serve(erx, place.data, "command", "query").says("ready")
    addresses = (before.address("command"), before.address("query"))
    async with caller(*addresses) as c:
        await many(c.write)
        threads = threads_of(before)
        cassandra.freeze()
        assert await refusals(partial(c.write_within, 5.0), 5) == {("UNAVAILABLE", "OUTCOME_UNKNOWN")}
        cassandra.thaw()
        cassandra.kill9()
        await eventually("a refusal by a server that has seen the end of its connections", partial(is_away, c.write))
        assert await refusals(c.write) == {("UNAVAILABLE", "STORE_UNAVAILABLE")}
        postgres.kill9()
        assert await refusals(partial(c.ask, "FetchStatistics")) == {("UNAVAILABLE", "STORE_UNAVAILABLE")}
        assert threads_of(before) < threads + TIMES // 2

        waiting = serve(erx, place.data, "command", "query")
        waiting.says("query server waits on ")
        awaited("a word about waiting", lambda: "start waits" in waiting.errors, saw=lambda: waiting.errors)
        async with caller(*(waiting.address(name, "waits on") for name in ("command", "query"))) as early:
            assert await refusals(early.write, 1) == {("UNAVAILABLE", "STORE_UNAVAILABLE")}
            assert await refusals(partial(early.ask, "FetchStatistics"), 1) == {("UNAVAILABLE", "STORE_UNAVAILABLE")}
            told = await health_of(early)
        assert set(told.values()) == {NOT_SERVING}
        postgres.restart()
        cassandra.restart()
        waiting.says("ready")
        async with caller(waiting.address("command"), waiting.address("query")) as late:
            assert await health_of(late) == dict.fromkeys(told, SERVING)
        await eventually("a write by the server that was there before", partial(works, c.write))
        await eventually("an answer by the server that was there before", partial(works, c.ask, "FetchStatistics"))
    assert [child.stopped().code for child in (before, waiting)] == [0, 0]


async def test_a_role_waits_for_the_stores_it_needs_and_for_no_other(erx: Erx, place: Place) -> None:
    cassandra, kafka, postgres = place.stack.cassandra, place.stack.kafka, place.stack.postgres
    for server in (kafka, postgres):
        server.kill9()
    measured = ("--metrics-address", "127.0.0.1:0")
    relay = serve(erx, place.data, "relay", "--audit-seconds", "1", *measured)
    query = serve(erx, place.data, "query", *measured)
    command = serve(erx, place.data, "command").says("ready")
    awaited("two that wait", lambda: all("start waits" in child.errors for child in (relay, query)))
    async with caller(command.address("command"), "127.0.0.1:1") as early:
        told = await early.write()
    kafka.restart()
    relay.says("ready")
    stores = await open_stores(with_local_stack(load(data_dir=place.data, store="stack")), {Part.JOURNAL, Part.BUS})

    async def published() -> bool:
        return sum((await stores.tail.end_offsets(TOPIC)).values()) == 1

    await eventually("an event on the topic", published)
    await stores.close()
    kafka.kill9()
    failed = "audit failed, tried again"
    awaited("failed audit while the views are away", lambda: failed in relay.errors, saw=lambda: relay.errors)
    postgres.restart()
    query.says("ready")
    async with caller(command.address("command"), query.address("query")) as c:
        await c.ask("FetchStatistics")
        kafka.restart()
        asked = {"token": told.token, "consistency": consistency_pb2.CONSISTENCY_MODE_OVERLAY}
        read = partial(c.ask, "FetchPrescription", prescription_id=told.prescription.prescription_id, **asked)
        assert (await read()).prescription == told.prescription
        following = "an overlay that follows the bus"
        awaited(following, lambda: query.metrics()["erx_overlay_events"] == 1, saw=lambda: query.errors)
    awaited("an audit by the relay", lambda: relay.metrics()["erx_audit_streams"] == 1, saw=lambda: relay.errors)
    cassandra.kill9()
    reader = serve(erx, place.data, "query").says("ready")
    async with caller("127.0.0.1:1", reader.address("query")) as c:
        await c.ask("FetchStatistics")
        history = partial(c.ask, "FetchHistory", prescription_id=told.prescription.prescription_id)
        assert await refusals(history, 1) == {("UNAVAILABLE", "STORE_UNAVAILABLE")}
        cassandra.restart()
        await eventually("a history", partial(works, history))
    assert [child.stopped().code for child in (command, relay, query, reader)] == [0, 0, 0, 0]


async def test_workers_wait_side_by_side_for_a_store_that_is_down(erx: Erx, tmp_path: Path) -> None:
    nobody = ("--cassandra-contact-points", "127.0.0.1:1", "--kafka-bootstrap-servers", "127.0.0.1:1")
    child = serve(erx, tmp_path, "command", "--workers", "2", *nobody)
    awaited("two that wait", lambda: child.output.count("command server waits on ") == 2, saw=lambda: child.errors)
    async with caller(child.address("command", "waits on"), "127.0.0.1:1") as early:
        assert await refusals(early.write, 1) == {("UNAVAILABLE", "STORE_UNAVAILABLE")}
    assert child.stopped().code == 0
    assert "ended with code" not in child.output + child.errors


async def many(call: Callable[[], Awaitable[Any]], times: int = TIMES) -> list[Any]:
    """So many calls at once; what they gave or raised."""
    return await asyncio.gather(*(call() for _ in range(times)), return_exceptions=True)


async def refusals(call: Callable[[], Awaitable[Any]], times: int = TIMES) -> set[tuple[str, str]]:
    """How these calls are refused, all of them with a time to come back."""
    found = set()
    for answer in await many(call, times):
        assert isinstance(answer, RemoteError), answer
        assert answer.retry_after_seconds, answer
        found.add((answer.code.name, answer.reason))
    return found


async def is_away(call: Callable[[], Awaitable[Any]]) -> bool:
    """Whether a call is refused for a store that is known to be away; what was sent to it as it died is in doubt."""
    (refusal,) = await refusals(call, 1)
    assert refusal[0] == "UNAVAILABLE", refusal
    return refusal[1] == "STORE_UNAVAILABLE"


async def works(call: Callable[..., Awaitable[Any]], *words: str) -> bool:
    """Whether a call is answered now."""
    (answer,) = await many(partial(call, *words), 1)
    if isinstance(answer, BaseException):
        assert isinstance(answer, RemoteError), answer
        assert answer.code.name == "UNAVAILABLE", answer
        return False
    return True


async def health_of(people: Caller) -> dict[str, int]:
    """What both servers say of each of their services."""
    found: dict[str, int] = {}
    for channel in (people.commands, people.queries):
        answer = await health_pb2_grpc.HealthStub(channel).List(health_pb2.HealthListRequest())
        found |= {name: one.status for name, one in answer.statuses.items()}
    return found


def threads_of(child: Child) -> int:
    """The threads of a running process."""
    return len(list(Path(f"/proc/{child.process.pid}/task").iterdir()))


async def topic_of(data: Path) -> Continuity:
    """The whole topic's versions per key."""
    seen = Continuity()
    async with stores_of(data, store="stack") as stores:
        for place, end in (await stores.tail.end_offsets(TOPIC)).items():
            offset = 0
            while offset < end:
                records = await stores.tail.read(place, offset, 1_000)
                for record in records:
                    seen.take(record)
                offset = records[-1].offset + 1 if records else end
    return seen
