"""`erx views` while the program is busy: no query fails, no answer goes backwards, old and new agree."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bootstrap.testing.calls import Caller, caller
from bootstrap.testing.data import settled
from bootstrap.testing.program import Child, Erx, servers_on
from prescriptions.views import VIEWS


@pytest.fixture
def server(erx: Erx, tmp_path: Path) -> Iterator[Child]:
    started = erx.serve(tmp_path / "data")
    yield started
    started.stopped()


class Watcher:
    """Asks for lists, single prescriptions and counts again and again, and remembers what each has reached."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self.seen: dict[str, int] = {}
        self.prescriptions = 0
        self.answers = 0

    async def look(self) -> None:
        found = await self._caller.ask("FetchAllPrescriptions", page_size=200)
        for prescription in found.prescriptions:
            self._reached(prescription)
        for prescription_id in sorted(self.seen)[:3]:
            self._reached((await self._caller.ask("FetchPrescription", prescription_id=prescription_id)).prescription)
        totals = (await self._caller.ask("FetchStatistics")).totals
        assert totals.prescriptions >= self.prescriptions
        self.prescriptions = totals.prescriptions
        self.answers += 1

    def _reached(self, prescription: Any) -> None:
        assert prescription.version >= self.seen.get(prescription.prescription_id, 0)
        self.seen[prescription.prescription_id] = prescription.version


async def test_every_view_is_rebuilt_while_an_import_runs(
    erx: Erx, server: Child, sample: Path, tmp_path: Path
) -> None:
    servers = servers_on(server)
    importer = erx.start("import", "synthea", sample, "--json", *servers)
    commands = [("rebuild", "--switch"), ("rebuild", "--switch"), ("rollback", "prescription_view")]
    async with caller(server.address("command"), server.address("query")) as asking:
        watcher = Watcher(asking)
        done = []
        for words in commands:
            child = erx.start("views", *words, "--json", "--query-address", server.address("query"))
            while child.running:
                await watcher.look()
            done.append(child.ended())
        while importer.running:
            await watcher.look()
        await watcher.look()
    assert importer.ended().code == 0
    for ended in done[:2]:
        assert ended.code == 0, ended.errors + ended.output
        rebuilds = json.loads(ended.output)["rebuilds"]
        assert {r["view"] for r in rebuilds} == {view.name for view in VIEWS}
        assert {(r["phase"], r["comparison"]["agrees"]) for r in rebuilds} == {("REBUILD_PHASE_SWITCHED", True)}
    back = json.loads(done[2].output)["rebuild"]
    assert (back["phase"], back["active_generation"]) == ("REBUILD_PHASE_ROLLED_BACK", "1")
    assert watcher.answers > len(commands)
    found = await settled(tmp_path / "data")
    assert found.differences == ()


async def test_a_rebuild_goes_on_after_the_program_was_killed_in_the_middle(
    erx: Erx, sample: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    first = erx.serve(data)
    assert erx.run("import", "synthea", sample, *servers_on(first)).code == 0
    await settled(data)
    begun = erx.run("views", "rebuild", "--no-wait", "--query-address", first.address("query"))
    assert begun.code == 0, begun.errors
    first.kill()
    second = erx.serve(data)
    done = erx.run("views", "rebuild", "--json", "--query-address", second.address("query"))
    assert done.code == 0, done.errors
    assert {r["phase"] for r in json.loads(done.output)["rebuilds"]} == {"REBUILD_PHASE_READY"}
    switched = erx.run("views", "switch", "medication_list", "--query-address", second.address("query"))
    assert switched.output == "medication_list: switched, generation 1 answers\n"
    shown = erx.run("views", "status", "--json", "--query-address", second.address("query"))
    generations = {r["view"]: r.get("active_generation", "0") for r in json.loads(shown.output)["rebuilds"]}
    assert generations == {view.name: "1" if view.name == "medication_list" else "0" for view in VIEWS}
    assert (await settled(data)).differences == ()
    second.stopped()


def test_lanes_and_single_streams_from_the_command_line(erx: Erx, server: Child, sample: Path, tmp_path: Path) -> None:
    query = ("--query-address", server.address("query"))
    assert erx.run("import", "synthea", sample, *servers_on(server)).code == 0
    asyncio.run(settled(tmp_path / "data"))
    listed = erx.run("views", "parked", "list", "--json", *query)
    assert (listed.code, json.loads(listed.output)) == (0, {})
    unknown = erx.run("views", "parked", "retry", "prescription_view", "prescription-none", *query)
    assert (unknown.code, "LANE_EMPTY" in unknown.errors) == (1, True)
    unsaid = erx.run("views", "parked", "discard", "prescription_view", "prescription-none", "1", *query)
    assert (unsaid.code, "--reason" in unsaid.errors) == (2, True)
    assert erx.run("views", "parked", "discards", "prescription_view", *query).code == 0
    nothing = erx.run("views", "stop", "prescription_view", *query)
    assert (nothing.code, "NOTHING_RUNS" in nothing.errors) == (1, True)
