"""`kill -9` in the middle of an import: what was acknowledged stays, and the next import brings the same end."""

import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bootstrap.testing.acknowledgements import acknowledged_in, lost
from bootstrap.testing.calls import caller
from bootstrap.testing.data import settled, stores_of
from bootstrap.testing.house import free_address
from bootstrap.testing.program import Child, Ended, Erx, awaited, servers_on
from prescriptions.imports.report import Acknowledged

if TYPE_CHECKING:
    from uuid import UUID

COMMANDS, PRESCRIPTIONS, FILLS = 916, 104, 302


def importing(erx: Erx, sample: Path, told: Path, servers: tuple[str, ...]) -> Child:
    return erx.start("import", "synthea", sample, "--json", "--acknowledgements", told, *servers)


def reaches(importer: Child, told: Path, count: int) -> list[Acknowledged]:
    """Wait until so many commands are acknowledged; the import must not be over by then."""
    awaited(
        f"{count} acknowledged commands",
        lambda: len(acknowledged_in(told)) >= count or not importer.running,
        saw=lambda: f"{len(acknowledged_in(told))} and {importer.errors}",
    )
    assert importer.running, f"the import was over before it could be interrupted: {importer.output}{importer.errors}"
    return acknowledged_in(told)


def facts_of(ended: Ended) -> Any:
    assert ended.code == 0, ended.errors
    return json.loads(ended.output)


async def none_lost(data: Path, told: Path) -> list[Acknowledged]:
    acknowledged = acknowledged_in(told)
    async with stores_of(data) as stores:
        assert await lost(stores, acknowledged) == []
    return acknowledged


async def histories_reach(server: Child, acknowledged: list[Acknowledged]) -> None:
    """The query server tells at least as many events of each prescription as were acknowledged."""
    newest: dict[UUID, int] = defaultdict(int)
    for one in acknowledged:
        newest[one.prescription_id] = max(newest[one.prescription_id], one.version)
    async with caller(server.address("command"), server.address("query")) as c:
        for prescription_id, version in newest.items():
            events = await c.history(str(prescription_id))
            assert [entry.envelope.sequence for entry in events] == list(range(1, len(events) + 1))
            assert len(events) >= version


async def test_a_killed_server_keeps_what_it_acknowledged(erx: Erx, sample: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    server = erx.serve(data)
    for moment in (1, 200, 550):
        told = tmp_path / f"told-{moment}"
        importer = importing(erx, sample, told, servers_on(server))
        reaches(importer, told, moment)
        server.kill()
        importer.kill()
        await none_lost(data, told)
        server = erx.serve(data)
        await histories_reach(server, acknowledged_in(told))
    told = tmp_path / "told-all"
    facts = facts_of(importing(erx, sample, told, servers_on(server)).ended())
    assert (facts["accepted"], facts["prescriptions"], facts["fills"]) == (COMMANDS, PRESCRIPTIONS, FILLS)
    assert facts["known_before"] >= 550
    assert {one.version for one in acknowledged_in(told)} == set(
        range(1, max(one.version for one in acknowledged_in(told)) + 1)
    )
    audited = await settled(data)
    assert (audited.streams, audited.events) == (PRESCRIPTIONS, COMMANDS)
    again = facts_of(importing(erx, sample, tmp_path / "again", servers_on(server)).ended())
    assert (again["new"], again["known_before"]) == (0, COMMANDS)


async def test_each_of_four_processes_may_be_killed_while_an_import_runs(
    erx: Erx, sample: Path, tmp_path: Path
) -> None:
    data, told = tmp_path / "data", tmp_path / "told"
    addresses = {"command": free_address(), "query": free_address()}

    def role(name: str) -> Child:
        flags = [word for server, address in addresses.items() for word in (f"--{server}-address", address)]
        return erx.start("serve", name, "--data", data, *flags)

    running = {name: role(name) for name in ("projector", "relay", "query", "command")}
    for child in running.values():
        child.says("ready")
    importer = importing(erx, sample, told, servers_on(running.values()))
    for moment, name in ((50, "relay"), (100, "projector"), (200, "command"), (500, "command")):
        reaches(importer, told, moment)
        running[name].kill()
        if name == "command":
            assert len(await none_lost(data, told)) >= moment
        running[name] = role(name)
    facts = facts_of(importer.ended())
    assert (facts["accepted"], facts["fills"], facts["refused"]) == (COMMANDS, FILLS, {})
    assert facts["retries"] > 0
    assert len(await none_lost(data, told)) == COMMANDS
    audited = await settled(data)
    assert (audited.streams, audited.events) == (PRESCRIPTIONS, COMMANDS)
    async with caller(addresses["command"], addresses["query"]) as c:
        totals = (await c.ask("FetchStatistics")).totals
        assert (totals.prescriptions, totals.fills) == (PRESCRIPTIONS, FILLS)
