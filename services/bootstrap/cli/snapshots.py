"""`erx snapshots`: what snapshots there are, and doing away with them or making them anew."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import typer

from bootstrap.cli.printing import console, listing
from bootstrap.local_stack import with_local_stack
from bootstrap.settings import Settings, SettingsError
from bootstrap.snapshots import Kept, Snapshots, SnapshotsUnknown
from bootstrap.stores import open_stores
from eventkernel.errors import KernelError
from eventkernel.ids import DEFAULT_TENANT, StreamId

T = TypeVar("T")


def list_(
    settings: Settings, names: list[str], *, tenant: str | None, unusable: bool, shown_max: int, as_json: bool
) -> None:
    """Print the newest snapshot of each stream, and how many there are of each schema."""

    async def work(snapshots: Snapshots) -> tuple[list[Kept], Counter[tuple[str, str]]]:
        shown: list[Kept] = []
        counted = Counter[tuple[str, str]]()
        async for kept in _chosen(snapshots, names, tenant):
            counted[kept.schema, kept.why] += 1
            if len(shown) < shown_max and not (unusable and kept.usable):
                shown.append(kept)
        return shown, counted

    shown, counted = _run(settings, work)
    if as_json:
        typer.echo(json.dumps({"snapshots": [_facts(kept) for kept in shown], "schemas": _counts(counted)}, indent=2))
        return
    table = listing("stream", "version", "schema", "", "bytes", "recorded")
    for kept in shown:
        recorded = kept.recorded_at.isoformat(timespec="seconds")
        table.add_row(kept.stream.key, str(kept.version), kept.schema, kept.why, f"{kept.bytes:,}", recorded)
    if shown:
        console().print(table)
    for (schema, why), count in sorted(counted.items()):
        typer.echo(f"{count:,} streams with a snapshot of {schema}{f': {why}, replayed instead' if why else ''}")
    if not counted:
        typer.echo("no snapshots")


def drop(settings: Settings, names: list[str], *, tenant: str | None, unusable: bool, everything: bool) -> None:
    """Forget the snapshots of these streams, of those that cannot be used, or all."""
    _needs_choice(names, unusable, everything)

    async def work(snapshots: Snapshots) -> int:
        streams = [k.stream async for k in _chosen(snapshots, names, tenant) if everything or names or not k.usable]
        for stream in streams:
            await snapshots.drop(stream)
        return len(streams)

    typer.echo(f"dropped the snapshots of {_run(settings, work):,} streams; they are replayed until there are new ones")


def rebuild(
    settings: Settings, names: list[str], *, tenant: str | None, unusable: bool, everything: bool, events_min: int
) -> None:
    """Make snapshots anew from the journal, of these streams, in place of unusable ones, or of every long stream."""
    _needs_choice(names, unusable, everything)

    async def work(snapshots: Snapshots) -> tuple[int, int]:
        found: list[int] = []
        if everything:
            found = [rebuilt.bytes async for rebuilt in snapshots.rebuild_all(tenant, events_min=events_min)]
            return len(found), sum(found)
        if names:
            streams = [snapshots.stream(name, tenant or DEFAULT_TENANT) for name in names]
        else:
            streams = [kept.stream async for kept in snapshots.all(tenant) if not kept.usable]
        for stream in streams:
            one = await snapshots.rebuild(stream)
            if one is None and names:
                typer.secho(f"{stream.key}: there is no such stream", err=True, fg="red")
            elif one is not None:
                found.append(one.bytes)
        return len(found), sum(found)

    count, size = _run(settings, work)
    typer.echo(f"made {count:,} snapshots anew, {size:,} bytes")
    if names and count < len(names):
        raise typer.Exit(1)


async def _chosen(snapshots: Snapshots, names: list[str], tenant: str | None) -> AsyncIterator[Kept]:
    if not names:
        async for kept in snapshots.all(tenant):
            yield kept
        return
    streams: list[StreamId] = [snapshots.stream(name, tenant or DEFAULT_TENANT) for name in names]
    for stream in streams:
        found = await snapshots.of(stream)
        if found is not None:
            yield found


def _needs_choice(names: list[str], unusable: bool, everything: bool) -> None:
    if sum((bool(names), unusable, everything)) != 1:
        typer.secho("snapshots: name streams, or say --unusable, or --all", err=True, fg="red")
        raise typer.Exit(2)


def _run(settings: Settings, work: Callable[[Snapshots], Awaitable[T]]) -> T:
    async def opened() -> T:
        stores = await open_stores(with_local_stack(settings))
        try:
            return await work(Snapshots(stores))
        finally:
            await stores.close()

    try:
        return asyncio.run(opened())
    except (KernelError, SettingsError, SnapshotsUnknown) as error:
        typer.secho(f"snapshots: {error}", err=True, fg="red")
        raise typer.Exit(1) from error


def _facts(kept: Kept) -> dict[str, object]:
    return {
        "stream": kept.stream.key,
        "version": kept.version,
        "schema": kept.schema,
        "usable": kept.usable,
        "why": kept.why,
        "bytes": kept.bytes,
        "recorded_at": kept.recorded_at.isoformat(),
    }


def _counts(counted: Counter[tuple[str, str]]) -> list[dict[str, object]]:
    return [{"schema": schema, "why": why, "streams": count} for (schema, why), count in sorted(counted.items())]
