"""`erx topic tail`: what lies on the bus, with keys and CloudEvents headers, and whether versions follow one another."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import typer
from google.protobuf.json_format import MessageToDict

from bootstrap.local_stack import with_local_stack
from bootstrap.settings import Settings
from bootstrap.stores import TOPIC, open_stores
from eventkernel.errors import EventUnreadable, KernelError
from eventkernel.ports import BusRecord, BusTail
from eventkernel.runtime.cloudevents import BrokenRecord, from_record, version_of
from prescriptions.wire.events import message_class
from prescriptions.wire.shapes import VERSIONS, event_in

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


def tail(settings: Settings, *, count: int, follow: bool, check: bool, as_json: bool, as_version: str = "") -> None:
    """Print records; with ``check`` read the whole topic and exit 1 where versions do not follow one another.

    With ``as_version`` (``v2``) print the events as that schema version says them, and what it cannot say.
    """
    show = _shown_in(as_version) if as_version else _json if as_json else _line
    try:
        seen = asyncio.run(_tail(with_local_stack(settings), count, follow=follow, check=check, show=show))
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


async def _tail(
    settings: Settings, count: int, *, follow: bool, check: bool, show: Callable[[BusRecord], str]
) -> Continuity:
    stores = await open_stores(settings)
    seen = Continuity()
    try:
        async for record in _records(stores.tail, count, follow=follow, everything=check):
            seen.take(record)
            if not check:
                typer.echo(show(record))
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


def _json(record: BusRecord) -> str:
    return json.dumps(_facts(record))


def _shown_in(as_version: str) -> Callable[[BusRecord], str]:
    """Events as one schema version says them, without patients' details, a JSON object a line."""
    digits = as_version.removeprefix("v")
    if not digits.isdecimal() or int(digits) not in VERSIONS:
        raise typer.BadParameter(f"one of {', '.join(f'v{version}' for version in VERSIONS)}", param_hint="--as")

    def shown(record: BusRecord) -> str:
        told: dict[str, object] = {"partition": record.partition, "offset": record.offset}
        try:
            event = from_record(record)
            told |= {
                "stream": event.stream.key,
                "version": event.version,
                "stored_schema_version": event.schema_version,
            }
            shape = event_in(event, int(digits))
        except (BrokenRecord, EventUnreadable) as error:
            return json.dumps({**told, "unreadable": str(error)}, ensure_ascii=False)
        told |= {"event_type": shape.event_type, "schema_version": shape.schema_version}
        if shape.cannot_be_expressed:
            return json.dumps({**told, "cannot_be_expressed": shape.cannot_be_expressed}, ensure_ascii=False)
        message = message_class(shape.event_type, shape.schema_version).FromString(shape.payload)
        told["event"] = MessageToDict(message, preserving_proto_field_name=True)
        told["lost_fields"] = list(shape.lost_fields)
        return json.dumps(told, ensure_ascii=False)

    return shown


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
