"""One run: everything up, clients and nemesis at work, then heal, drain, look at the stores, and judge."""

import asyncio
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from bootstrap.audit import auditor, healed
from bootstrap.chaos.clients import crowd
from bootstrap.chaos.nemesis import Nemesis
from bootstrap.chaos.place import Place
from bootstrap.chaos.toxiproxy import Toxiproxy, build
from bootstrap.settings import Settings, load
from bootstrap.stores import TOPIC, Stores, open_stores
from bootstrap.testing.judge import judge, whole_commands
from bootstrap.testing.program import Erx
from eventkernel.runtime.auditing import Lack
from eventkernel.testing.history import History, Recorder, Truncation, check, collect
from localstack import Stack
from prescriptions.views import VIEWS
from prescriptions.wire.events import decode_recorded

DRAIN_SECONDS = 300.0
LOST_SECONDS = 60.0
LOOK_SECONDS = 1.0
TOLD_MAX = 20


@dataclass(slots=True)
class Report:
    """What came of it. ``sound``: nobody found anything."""

    seed: int
    seconds: float
    troubles: dict[str, int] = field(default_factory=dict)
    writes: dict[str, int] = field(default_factory=dict)
    reads: int = 0
    streams: int = 0
    events: int = 0
    violations: list[str] = field(default_factory=list)
    not_linearizable: list[str] | None = None
    failed: list[str] = field(default_factory=list)
    audit: list[str] = field(default_factory=list)
    healed: int = 0
    drain_seconds: float = 0.0
    history: str = ""

    @property
    def sound(self) -> bool:
        """Neither judge, nor the audit, nor a client or process has anything to say."""
        return not (self.violations or self.not_linearizable or self.failed or self.audit)


async def chaos(
    *, seconds: float, seed: int, clients: int, nodes: int, keep: Path | None, said: Callable[[str], None]
) -> Report:
    """Run it in a folder of its own, which stays where ``keep`` names one or something was found."""
    folder = await asyncio.to_thread(_folder)
    report = Report(seed, seconds)
    said("building toxiproxy")
    program = await asyncio.to_thread(build, folder)
    proxies = Toxiproxy(program, folder / "toxiproxy.log")
    place = Place(folder / "data", Erx(folder / "run"), Stack(folder / "stack", nodes), proxies)
    try:
        said("starting three servers, seven processes and the proxies between them")
        await asyncio.to_thread(place.open)
        await _under_stress(place, report, folder, clients, said)
    finally:
        await asyncio.to_thread(place.close)
        await asyncio.to_thread(_keep, folder, keep, report)
    return report


def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="erx-chaos-"))
    folder.chmod(0o755)  # PostgreSQL may run as another user
    (folder / "run").mkdir()
    return folder


def _keep(folder: Path, keep: Path | None, report: Report) -> None:
    """The history and the logs, where somebody wants them or something was found; the rest goes."""
    finished = bool(report.history)
    if keep is not None:
        shutil.copytree(folder / "run", keep / "logs", dirs_exist_ok=True)
        for file in folder.glob("*.jsonl"):
            shutil.copy(file, keep)
        report.history = str(keep / "history.jsonl")
    if keep is not None or (finished and report.sound):
        shutil.rmtree(folder)
        report.history = report.history if keep is not None else ""


async def _under_stress(place: Place, report: Report, folder: Path, clients: int, said: Callable[[str], None]) -> None:
    recorder = Recorder(folder / "calls.jsonl")
    nemesis = Nemesis(place, report.seed, report.seconds, said)
    stop = asyncio.Event()
    tenant = f"chaos-{uuid4().hex[:8]}"
    commands = [place.addresses["command-1"], place.addresses["command-2"]]
    async with crowd(commands, place.addresses["query-1"], recorder, tenant) as people:
        working = asyncio.create_task(people.run(clients, stop))
        try:
            await nemesis.run()
            said("healing")
            report.failed += await asyncio.to_thread(place.heal)
        finally:
            stop.set()
            await working
        report.failed += people.failed
    report.troubles = nemesis.done
    recorder.close()
    history = History.load(folder / "calls.jsonl")
    history.truncations += [Truncation(partition) for partition in nemesis.truncated]
    stores = await open_stores(_settings(place))
    try:
        said("draining")
        await _drained(stores, report, truncated=bool(nemesis.truncated))
        said("reading journal, topic and views")
        await collect(
            history,
            directory=stores.directory,
            events=stores.events,
            tail=stores.tail,
            topic=TOPIC,
            views=VIEWS,
            store=stores.views,
            decode=decode_recorded,
        )
    finally:
        await stores.close()
    saved = folder / "history.jsonl"
    history.save(saved)
    report.history = str(saved)
    report.writes = dict(Counter(write.outcome.value for write in history.writes))
    report.reads = len(history.reads)
    report.violations = [str(one) for one in check(history)]
    said("asking the second judge")
    judged = folder / "whole-commands.jsonl"
    whole_commands(history).save(judged)
    report.not_linearizable = await asyncio.to_thread(judge, judged, folder)


def _settings(place: Place) -> Settings:
    named = {name.removeprefix("ERX_").lower(): value for name, value in place.environment.items()}
    values: dict[str, Any] = {**named, "data_dir": place.data}
    return load(**values)


async def _drained(stores: Stores, report: Report, *, truncated: bool) -> None:
    """Until everything that was stored is on the bus and in every view, or for too long; then what was truncated is healed.

    Whatever else is missing by then is a finding, healed or not.
    """
    began = time.monotonic()
    looking = auditor(stores)
    while True:
        found = await looking.look()
        report.streams, report.events = found.streams, found.events
        # What was on the topic and is not any more, a view that had not read it yet cannot come to know by itself.
        lost = {Lack.TOPIC_LOST, Lack.VIEW_BEHIND} if time.monotonic() - began > LOST_SECONDS else {Lack.TOPIC_LOST}
        left = [one for one in found.findings if not (truncated and one.lack in lost)]
        report.audit = [str(one) for one in left[:TOLD_MAX]]
        report.drain_seconds = time.monotonic() - began
        if not left or report.drain_seconds > DRAIN_SECONDS:
            break
        await asyncio.sleep(LOOK_SECONDS)
    if not report.audit and found.findings:
        healing: list[int] = []
        after = await healed(stores, heard=lambda one: healing.append(len(one.healed)))
        report.healed = sum(healing)
        report.audit = [str(one) for one in after.findings[:TOLD_MAX]]
