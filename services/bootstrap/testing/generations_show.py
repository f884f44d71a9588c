"""A store full of version 1 bytes, served by today's servers: `python -m bootstrap.testing.generations_show [STREAMS]`.

The streams are made of the golden set, and beside them lie the same events as today's version writes them. Both are published
and folded into fresh views, in turns, and what each takes is compared; then both are served, every query is asked of both,
and the answers must be the same. What the first version could not say must be told as unknown.
"""

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid5

from google.protobuf.json_format import MessageToDict

from bootstrap import collector
from bootstrap.audit import audit
from bootstrap.bench import catch_up
from bootstrap.checkout import ROOT
from bootstrap.metrics import Metrics
from bootstrap.process import Process
from bootstrap.roles import components
from bootstrap.settings import Settings, load
from bootstrap.stores import Stores, open_stores
from bootstrap.testing.generations_questions import questions, unknown_in
from erx.prescriptions.v1.query_service_pb2_grpc import PrescriptionQueryServiceStub
from eventkernel.envelope import Actor, EventMeta, NewEvent, Provenance
from eventkernel.ids import StreamId
from eventkernel.ports import Entry, Position
from eventkernel_grpc import call_metadata, channel
from prescriptions.testing.folding import Stored, as_today

GOLDEN: Final = ROOT / "tests" / "golden" / "prescriptions" / "events" / "v1"
BEGAN: Final = datetime(2012, 3, 6, 9, tzinfo=UTC)
ROUNDS: Final = 2
RATIO_MIN: Final = 0.7
APPENDS_AT_ONCE: Final = 64
_NAMESPACE: Final = UUID("6b2c6c5e-0c5e-5d0e-9a3f-5a6f6f1e0f11")
_WRITER: Final = Provenance(Actor("dr-grey", "prescriber", "clinic-1"))
_ISSUED: Final = ("PrescriptionCreated", "PrescriptionSigned", "PrescriptionIssued")
_FILLED: Final = (*_ISSUED, "PrescriptionClaimed", "PrescriptionFilled", "PrescriptionFilled.whole")
_STORIES: Final = (
    _FILLED,
    _FILLED,
    _FILLED,
    (*_ISSUED, "PrescriptionClaimed", "PrescriptionFilled", "DispenseReversed", "PrescriptionReturned"),
    (*_ISSUED, "PrescriptionClaimed"),
    (*_ISSUED, "PrescriptionCancelled"),
    (*_ISSUED, "PrescriptionExpired"),
    ("PrescriptionCreated.barely", "PrescriptionSigned", "PrescriptionIssued.no-date"),
    ("PrescriptionCreated", "PrescriptionEnteredInError"),
)


@dataclass(frozen=True, slots=True)
class Shown:
    """What was seen. Rates are events a second into all views, the best of the rounds; ratios are the first version's rate to
    the third's. ``cpu_ratio`` counts the processor's time alone, which other work on the machine does not change.
    """

    streams: int
    events: int
    first_version_per_second: float
    third_version_per_second: float
    ratio: float
    cpu_ratio: float
    questions: int
    differences: tuple[str, ...]
    unknown_not_told: tuple[str, ...]
    audit_differences: tuple[str, ...]


async def show(folder: Path, streams: int, *, rounds: int = ROUNDS) -> Shown:
    """Fill, catch up, ask."""
    first = [_stored(story) for story in _STORIES]
    third = [as_today(story) for story in first]
    rates: dict[str, list[catch_up.CatchUp]] = {"v1": [], "v3": []}
    events = 0
    for number, (name, stories) in itertools.product(range(rounds), (("v1", first), ("v3", third))):
        settings = _settings(folder / f"{name}-{number}")
        events = await _fill(settings, stories, streams)
        rates[name].append(await catch_up.measure(settings, events))
    last = rounds - 1
    with collector.relaxed():
        async with _served(folder / f"v1-{last}") as older, _served(folder / f"v3-{last}") as newer:
            asked = await _ask(older, newer, min(streams, 2 * len(_STORIES)))
            audited = (await audit(older.stores)).differences
    wall = {name: max(one.events_per_second for one in found) for name, found in rates.items()}
    cpu = {name: max(one.events_per_cpu_second for one in found) for name, found in rates.items()}
    ratio, cpu_ratio = wall["v1"] / wall["v3"], cpu["v1"] / cpu["v3"]
    return Shown(streams, events, wall["v1"], wall["v3"], ratio, cpu_ratio, *asked, tuple(audited))


def stream(number: int) -> StreamId:
    """The n-th stream."""
    return StreamId("default", f"prescription-{uuid5(_NAMESPACE, str(number))}")


def _stored(story: Sequence[str]) -> list[Stored]:
    return [(name.split(".")[0], 1, (GOLDEN / f"{name}.binpb").read_bytes()) for name in story]


def _settings(folder: Path) -> Settings:
    return load(data_dir=folder, query_address="127.0.0.1:0", log_level="error")


async def _fill(settings: Settings, stories: Sequence[Sequence[Stored]], streams: int) -> int:
    stores, events = await open_stores(settings), 0
    try:
        numbers = iter(range(streams))
        while batch := list(itertools.islice(numbers, APPENDS_AT_ONCE)):
            async with asyncio.TaskGroup() as group:
                for number in batch:
                    story = stories[number % len(stories)]
                    events += len(story)
                    made = _entries(stream(number), story)
                    group.create_task(_append(stores, stream(number), made))
    finally:
        await stores.close()
    return events


async def _append(stores: Stores, place: StreamId, entries: Sequence[Entry]) -> None:
    await stores.events.append(place, Position(0), entries)


def _entries(place: StreamId, story: Sequence[Stored]) -> list[Entry]:
    made = []
    for version, (name, schema_version, data) in enumerate(story, 1):
        moment, named = BEGAN + timedelta(hours=version), f"{place.key}/{version}"
        meta = EventMeta(moment, moment, uuid5(_NAMESPACE, f"command/{named}"), _WRITER)
        event = NewEvent(uuid5(_NAMESPACE, f"event/{named}"), name, schema_version, data, meta)
        made.append(Entry(event, meta.command_id, b""))
    return made


@dataclass(frozen=True, slots=True)
class _Server:
    stores: Stores
    stub: Any


@asynccontextmanager
async def _served(folder: Path) -> AsyncIterator[_Server]:
    heard: list[str] = []
    async with AsyncExitStack() as opened:
        stores = await open_stores(_settings(folder))
        opened.push_async_callback(stores.close)
        process = Process(_settings(folder), stores, Metrics(), failed=asyncio.Event(), said=heard.append)
        for part in components(process, ["query"]):
            await part.start()
            opened.push_async_callback(part.stop)
        target = next(line for line in heard if line.startswith("query")).rpartition(" ")[2]
        yield _Server(stores, PrescriptionQueryServiceStub(await opened.enter_async_context(channel(target))))


async def _ask(older: _Server, newer: _Server, sample: int) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
    """How many questions were asked, those whose answers differ, and what was told though it cannot be known."""
    metadata = call_metadata(tenant="default", provenance=Provenance(Actor("auditor-1", "auditor")))
    differ, told = [], []
    asked = [question for number in range(sample) for question in questions(stream(number).id)]
    unique = list({f"{method} {request}": (method, request) for method, request in asked}.values())
    for method, request in unique:
        mine, its = [await getattr(one.stub, method)(request, metadata=metadata) for one in (older, newer)]
        if _plain(mine) != _plain(its):
            differ.append(f"{method}: {MessageToDict(request)}")
        told += [f"{method}: {what}" for what in unknown_in(mine)]
    return len(unique), tuple(differ), tuple(told)


def _plain(answer: Any) -> Any:
    """An answer without what must differ: how fresh it is, tokens, and the bytes as they were stored."""
    return _without(MessageToDict(answer, preserving_proto_field_name=True))


def _without(value: Any) -> Any:
    left_out = {"as_of", "next_page_token", "payload", "payload_type", "schema_version", "event_type"}
    if isinstance(value, dict):
        return {name: _without(inner) for name, inner in value.items() if name not in left_out}
    return [_without(inner) for inner in value] if isinstance(value, list) else value


def main() -> None:
    """Show it, as JSON; exit 1 where anything differs or the ratio by the processor's time is below ``RATIO_MIN``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("streams", type=int, nargs="?", default=10_000)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="erx-generations-") as folder:
        shown = asyncio.run(show(Path(folder), given.streams, rounds=given.rounds))
    sys.stdout.write(json.dumps(asdict(shown), indent=2) + "\n")
    wrong = shown.differences or shown.unknown_not_told or shown.audit_differences
    raise SystemExit(1 if wrong or shown.cpu_ratio < RATIO_MIN else 0)


if __name__ == "__main__":
    main()
