"""`erx topic tail`: what lies on the bus, with keys and CloudEvents headers, and whether versions follow one another."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import typer

from bootstrap.cli.stacking import with_local_stack
from bootstrap.settings import Settings
from bootstrap.stores import TOPIC, open_stores
from eventkernel.errors import KernelError
from eventkernel.ports import BusRecord, BusTail
from eventkernel.runtime.cloudevents import BrokenRecord, version_of

_PAGE = 1_000
_FOLLOW_SECONDS = 0.2


@dataclass(slots=True)
class Continuity:
    """Versions per key in the order of the topic: first occurrences must be 1, 2, 3 …; repeats are counted, gaps are named."""

    highest: dict[str, int] = field(default_factory=dict)
    records: int = 0
    repeats: int = 0
    broken: int = 0
    gaps: list[str] = field(default_factory=list)

    def take(self, record: BusRecord) -> None:
        """Count one record."""
        self.records += 1
        try:
            stream, version = version_of(record)
        except BrokenRecord:
            self.broken += 1
            return
        known = self.highest.get(stream.key, 0)
        if version <= known:
            self.repeats += 1
            return
        if version > known + 1:
            self.gaps.append(f"{stream.key}: version {version} follows {known}")
        self.highest[stream.key] = version

    @property
    def sound(self) -> bool:
        """Whether nothing is missing and everything is an event."""
        return not self.gaps and not self.broken


def tail(settings: Settings, *, count: int, follow: bool, check: bool, as_json: bool) -> None:
    """Print records; with ``check`` read the whole topic and exit 1 where versions do not follow one another."""
    try:
        seen = asyncio.run(_tail(with_local_stack(settings), count, follow=follow, check=check, as_json=as_json))
    except KernelError as error:
        typer.secho(f"topic: {error}", err=True, fg="red")
        raise typer.Exit(1) from error
    if not check:
        return
    for gap in seen.gaps:
        typer.secho(gap, err=True, fg="red")
    typer.echo(
        f"{seen.records:,} records, {len(seen.highest):,} keys, {sum(seen.highest.values()):,} versions,"
        f" {seen.repeats:,} repeats, {len(seen.gaps):,} gaps, {seen.broken:,} broken"
    )
    if not seen.sound:
        raise typer.Exit(1)


async def _tail(settings: Settings, count: int, *, follow: bool, check: bool, as_json: bool) -> Continuity:
    stores = await open_stores(settings)
    seen = Continuity()
    try:
        async for record in _records(stores.tail, count, follow=follow, everything=check):
            seen.take(record)
            if not check:
                typer.echo(json.dumps(_facts(record)) if as_json else _line(record))
    finally:
        await stores.close()
    return seen


async def _records(bus: BusTail, count: int, *, follow: bool, everything: bool) -> AsyncIterator[BusRecord]:
    ends = await bus.end_offsets(TOPIC)
    share = max(1, count // max(1, len(ends)))
    offsets = {place: 0 if everything else max(0, end - share) for place, end in ends.items()}
    while True:
        found = False
        for place, offset in offsets.items():
            records = await bus.read(place, offset, _PAGE)
            for record in records:
                yield record
            if records:
                found = True
                offsets[place] = records[-1].offset + 1
        if not found:
            if not follow:
                return
            await asyncio.sleep(_FOLLOW_SECONDS)


def _facts(record: BusRecord) -> dict[str, object]:
    headers = {name: value.decode(errors="replace") for name, value in record.headers if name != "es_meta"}
    return {
        "partition": record.partition,
        "offset": record.offset,
        "key": record.key.decode(errors="replace"),
        "bytes": len(record.value),
        "headers": headers,
    }


def _line(record: BusRecord) -> str:
    headers = {name: value.decode(errors="replace") for name, value in record.headers}
    told = " ".join(
        f"{name}={headers[name]}" for name in ("ce_sequence", "ce_type", "ce_time", "ce_id") if name in headers
    )
    return f"{record.partition:>3}/{record.offset:<8} {record.key.decode(errors='replace')}  {told}"
