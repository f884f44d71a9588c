"""`erx snapshots` on an embedded store."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from bootstrap.cli.app import app
from bootstrap.settings import load
from bootstrap.snapshots import Snapshots
from bootstrap.stores import open_stores
from eventkernel.ids import StreamId
from eventkernel.ports import Entry, Position
from prescriptions.testing.recorded import new_events, untold

OLD = "prescription/0/0123456789abcdef"


@pytest.fixture
def streams(data_dir: Path) -> tuple[StreamId, StreamId, StreamId]:
    """Three prescriptions of three events: with a snapshot, with one of an older state, and without."""
    found = tuple(StreamId("default", f"prescription-{uuid4()}") for _ in range(3))

    async def fill() -> None:
        stores = await open_stores(load(data_dir=data_dir))
        for stream in found:
            story: Any = untold()
            story.create()
            story.sign()
            story.issue()
            entries = [Entry(event, event.meta.command_id, bytes(32)) for event in new_events(story, stream)]
            await stores.events.append(stream, Position(0), entries)
        for stream in found[:2]:
            await Snapshots(stores).rebuild(stream)
        kept = await stores.snapshots.latest(found[1])
        assert kept is not None
        await stores.snapshots.save(found[1], replace(kept, schema=OLD))
        await stores.close()

    asyncio.run(fill())
    return found[0], found[1], found[2]


def run(data_dir: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["snapshots", *arguments, "--data", str(data_dir)])


def listed(data_dir: Path, *arguments: str) -> dict[str, bool]:
    result = run(data_dir, "list", "--json", *arguments)
    assert result.exit_code == 0, result.output
    return {kept["stream"]: kept["usable"] for kept in json.loads(result.stdout)["snapshots"]}


def test_the_list_says_which_can_be_used(data_dir: Path, streams: tuple[StreamId, ...]) -> None:
    good, old, none = streams
    assert listed(data_dir) == {good.key: True, old.key: False}
    assert listed(data_dir, "--unusable") == {old.key: False}
    assert listed(data_dir, good.id, none.name) == {good.key: True}
    shown = run(data_dir, "list").stdout
    assert f"1 streams with a snapshot of {OLD}: another schema, replayed instead" in shown


def test_those_of_no_use_are_made_anew_and_only_those(data_dir: Path, streams: tuple[StreamId, ...]) -> None:
    good, old, _ = streams
    assert run(data_dir, "rebuild", "--unusable").stdout.startswith("made 1 snapshots anew")
    assert listed(data_dir) == {good.key: True, old.key: True}


def test_every_long_stream_gets_one(data_dir: Path, streams: tuple[StreamId, ...]) -> None:
    assert run(data_dir, "rebuild", "--all", "--min-events", "4").stdout.startswith("made 0 snapshots")
    assert run(data_dir, "rebuild", "--all", "--min-events", "3").stdout.startswith("made 3 snapshots")
    assert listed(data_dir) == {stream.key: True for stream in streams}


def test_dropping_takes_what_is_named(data_dir: Path, streams: tuple[StreamId, ...]) -> None:
    good, old, _ = streams
    assert run(data_dir, "drop", good.key).exit_code == 0
    assert listed(data_dir) == {old.key: False}
    assert run(data_dir, "drop", "--unusable").exit_code == 0
    assert run(data_dir, "list").stdout == "no snapshots\n"


@pytest.mark.parametrize(
    "arguments", [("drop",), ("rebuild",), ("drop", "--all", "--unusable"), ("rebuild", "x", "--all")]
)
def test_one_choice_must_be_made(data_dir: Path, arguments: tuple[str, ...]) -> None:
    result = run(data_dir, *arguments)
    assert (result.exit_code, "name streams, or say --unusable, or --all" in result.output) == (2, True)


def test_a_stream_that_is_none_is_named(data_dir: Path, streams: tuple[StreamId, ...]) -> None:
    assert run(data_dir, "drop", "default/order-1").exit_code == 1
    missing = run(data_dir, "rebuild", str(uuid4()))
    assert (missing.exit_code, "there is no such stream" in missing.output) == (1, True)
