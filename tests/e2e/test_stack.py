"""The program on real servers: Cassandra, Kafka and PostgreSQL, several processes of each kind, and each server killed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bootstrap.cli.topic import Continuity
from bootstrap.stores import TOPIC
from bootstrap.testing.acknowledgements import acknowledged_in, lost
from bootstrap.testing.calls import caller
from bootstrap.testing.data import settled, stores_of
from bootstrap.testing.program import FREE_PORTS, Child, Erx, awaited, servers_on
from localstack import Stack

if TYPE_CHECKING:
    from localstack.server import Server

pytestmark = pytest.mark.stack

COMMANDS, PRESCRIPTIONS, FILLS = 916, 104, 302
SECONDS = 180.0


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


async def test_the_demo_agrees_on_the_real_stack_twice(erx: Erx, place: Place) -> None:
    for _ in range(2):
        ended = erx.start("demo", "--stack", "--data", place.data).ended(SECONDS)
        assert ended.code == 0, ended.errors
        assert f"The counts agree: {PRESCRIPTIONS} prescriptions, {FILLS} fills on both sides." in ended.output


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
    place.stack.cassandra.stop()
    child = serve(erx, place.data, "command")
    awaited("a word about waiting", lambda: "start waits" in child.errors, saw=lambda: child.errors)
    assert child.running
    place.stack.cassandra.restart()
    child.says("ready")
    assert child.stopped().code == 0


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
