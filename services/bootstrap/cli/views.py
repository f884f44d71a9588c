"""`erx views`: rebuild views beside the ones that answer, with progress, rate and time left."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from bootstrap.cli.administering import admin
from bootstrap.cli.clients import run
from bootstrap.cli.parked import print_outcome
from bootstrap.cli.printing import console, listing
from bootstrap.cli.reading import print_json
from bootstrap.settings import Settings
from erx.eventlog.v1 import view_admin_service_pb2 as pb
from eventkernel_grpc.wire_types import to_timestamp

LOOK_SECONDS = 0.5
LINE_SECONDS = 5.0
"""How often progress is told where there is no terminal to draw on."""
OVER = {pb.REBUILD_PHASE_READY, pb.REBUILD_PHASE_SWITCHED, pb.REBUILD_PHASE_ROLLED_BACK, pb.REBUILD_PHASE_FAILED}


def status(settings: Settings, names: Sequence[str], *, tenant: str, as_json: bool) -> None:
    """Print the views, their generations, parked streams and rebuilds."""

    async def ask(stub: Any, meta: Any) -> Any:
        return await stub.ListRebuilds(pb.ListRebuildsRequest(views=names), metadata=meta)

    answer = run(lambda: admin(settings, ask, tenant))
    if as_json:
        print_json(answer)
        return
    table = listing("view", "generation", "parked streams", "rebuild", "progress", "rate", "left", "error")
    for view in answer.rebuilds:
        table.add_row(
            f"{view.view} v{view.view_version}",
            str(view.active_generation),
            f"{view.parked_streams:,}",
            _phase(view),
            _share(view),
            f"{view.events_per_second:,.0f}/s" if view.events_per_second else "",
            f"{view.time_left.seconds} s" if view.HasField("time_left") else "",
            view.error,
        )
    console().print(table)
    for view in answer.rebuilds:
        if view.HasField("comparison"):
            _print_comparison(view)


def rebuild(
    settings: Settings,
    names: Sequence[str],
    *,
    since: str | None,
    switch: bool,
    restart: bool,
    wait: bool,
    tenant: str,
    as_json: bool,
) -> None:
    """Start rebuilds, or continue them, and follow them to their end; exit code 1 where one does not agree or fails."""
    begun = pb.StartRebuildRequest(views=names, switch_when_equal=switch, restart=restart)
    if since is not None:
        begun.since_time.CopyFrom(to_timestamp(_moment(since)))

    async def work(stub: Any, meta: Any) -> list[pb.ViewRebuild]:
        started = list((await stub.StartRebuild(begun, metadata=meta)).rebuilds)
        if not wait:
            return started
        views = [view.view for view in started]
        with _Shown(Console(stderr=True)) as shown:
            while True:
                answer = await stub.ListRebuilds(pb.ListRebuildsRequest(views=views), metadata=meta)
                shown.tell(answer.rebuilds)
                if not any(view.wanted for view in answer.rebuilds):
                    return list(answer.rebuilds)
                await asyncio.sleep(LOOK_SECONDS)

    done = run(lambda: admin(settings, work, tenant))
    if as_json:
        print_json(pb.ListRebuildsResponse(rebuilds=done))
    else:
        for view in done:
            typer.echo(f"{view.view}: {_phase(view)}{f': {view.error}' if view.error else ''}")
            if view.HasField("comparison"):
                _print_comparison(view)
    if wait and not all(view.phase in OVER and view.comparison.agrees for view in done):
        raise typer.Exit(1)


def rebuild_stream(settings: Settings, name: str, stream: str, *, dry_run: bool, tenant: str, as_json: bool) -> None:
    """Rebuild one stream in the table that answers."""

    async def ask(stub: Any, meta: Any) -> Any:
        request = pb.RebuildStreamRequest(view=name, stream=stream, dry_run=dry_run)
        return await stub.RebuildStream(request, metadata=meta)

    print_outcome(run(lambda: admin(settings, ask, tenant)).outcome, as_json=as_json)


def change(settings: Settings, method: str, request: Any, *, tenant: str, as_json: bool) -> None:
    """Stop, switch or roll back, and print how the rebuild stands then."""

    async def ask(stub: Any, meta: Any) -> Any:
        return await getattr(stub, method)(request, metadata=meta)

    answer = run(lambda: admin(settings, ask, tenant))
    if as_json:
        print_json(answer)
        return
    view = answer.rebuild
    typer.echo(f"{view.view}: {_phase(view)}, generation {view.active_generation} answers")


class _Shown:
    """Progress of several rebuilds: bars on a terminal, else lines now and then."""

    def __init__(self, to: Console) -> None:
        self._console = to
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._told_at = time.monotonic()
        if to.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]:>8,.0f}/s"),
                TimeElapsedColumn(),
                TextColumn("{task.fields[left]}"),
                console=to,
            )

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def tell(self, views: Sequence[pb.ViewRebuild]) -> None:
        """Show how far they are."""
        if self._bars is not None:
            for view in views:
                self._draw(self._bars, view)
        elif time.monotonic() - self._told_at >= LINE_SECONDS:
            self._told_at = time.monotonic()
            for view in views:
                left = f", {view.time_left.seconds} s left" if view.HasField("time_left") else ""
                said = f"{view.view}: {_phase(view)}, {_share(view)}, {view.events_per_second:,.0f}/s{left}"
                self._console.print(said, highlight=False)

    def _draw(self, bars: Progress, view: pb.ViewRebuild) -> None:
        if view.view not in self._tasks:
            self._tasks[view.view] = bars.add_task(view.view, total=None, rate=0.0, left="")
        bars.update(
            self._tasks[view.view],
            description=f"{view.view} {_phase(view)}",
            total=view.events_total or None,
            completed=view.events_done,
            rate=view.events_per_second,
            left=f"{view.time_left.seconds} s left" if view.HasField("time_left") else "",
        )


def _print_comparison(view: pb.ViewRebuild) -> None:
    found = view.comparison
    came = "agree" if found.agrees else "DIFFER"
    apart = f" ({found.streams_apart:,} apart)" if found.streams_apart else ""
    typer.echo(
        f"{view.view}: old, new and a fresh fold {came}: {found.streams:,} streams{apart},"
        f" {found.old.rows:,} rows {found.old.sha256[:16]} old, {found.new.rows:,} rows {found.new.sha256[:16]} new,"
        f" {found.whole.rows:,} rows {found.whole.sha256[:16]} in all, {found.fresh.sha256[:16]} folded afresh"
    )
    for line in found.differing:
        typer.secho(f"  {line}", err=True, fg="red")


def _phase(view: pb.ViewRebuild) -> str:
    if view.phase == pb.REBUILD_PHASE_UNSPECIFIED:
        return "none"
    name = pb.RebuildPhase.Name(view.phase).removeprefix("REBUILD_PHASE_").lower().replace("_", " ")
    return name if view.wanted or view.phase in OVER else f"stopped while {name}"


def _share(view: pb.ViewRebuild) -> str:
    return f"{view.events_done:,} of {view.events_total:,} events" if view.events_total else ""


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no ISO 8601 time", param_hint="--since") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)
