"""`erx import`: files into running servers, with progress, and a report of what went in."""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from bootstrap.cli.clients import tls_to
from bootstrap.cli.options import settings_errors
from bootstrap.cli.printing import console, listing
from bootstrap.roles.commanding import profile_of
from bootstrap.settings import Settings
from prescriptions.imports.errors import ImportRefused
from prescriptions.imports.imports import Target, import_fhir, import_synthea
from prescriptions.imports.report import Acknowledged, ImportReport, OnAcknowledged, OnProgress
from prescriptions.imports.report import Progress as Progressed

LINE_SECONDS = 5.0
"""How often progress is told where there is no terminal to draw on."""

Import = Callable[[OnProgress], Coroutine[Any, Any, ImportReport]]


def synthea(
    settings: Settings, directory: Path, *, tenant: str, as_json: bool, acknowledgements: Path | None = None
) -> None:
    """Import a Synthea CSV export."""
    target, profile = _target(settings, tenant), _profile(settings)
    with written_to(acknowledgements) as heard:
        report(
            lambda tell: import_synthea(directory, target, profile=profile, progress=tell, acknowledged=heard),
            as_json=as_json,
        )


def fhir(
    settings: Settings, directory: Path, *, tenant: str, as_json: bool, acknowledgements: Path | None = None
) -> None:
    """Import FHIR R4 MedicationRequests and MedicationDispenses."""
    target, profile = _target(settings, tenant), _profile(settings)
    with written_to(acknowledgements) as heard:
        report(
            lambda tell: import_fhir(directory, target, profile=profile, progress=tell, acknowledged=heard),
            as_json=as_json,
        )


@contextmanager
def written_to(file: Path | None) -> Iterator[OnAcknowledged | None]:
    """Add one line for each acknowledged command to a file, as it comes: tenant, prescription, request, version."""
    if file is None:
        yield None
        return
    try:
        opened = file.open("a", encoding="ascii", buffering=1)
    except OSError as error:
        typer.secho(f"import: {file}: {error.strerror}", err=True, fg="red")
        raise typer.Exit(1) from error
    with opened:

        def heard(one: Acknowledged) -> None:
            opened.write(f"{one.tenant} {one.prescription_id} {one.request_id} {one.version}\n")

        yield heard


def target_of(settings: Settings, address: str, tenant: str = "") -> Target:
    """Where commands go, with TLS where the servers use it."""
    return Target(address, tenant, tls_to(settings))


def report(work: Import, *, as_json: bool) -> None:
    """Run an import under a progress bar and print its report; exit code 1 when not everything took effect."""
    try:
        done = asyncio.run(with_progress(work, Console(stderr=True)))
    except ImportRefused as error:
        typer.secho(str(error), err=True, fg="red")
        raise typer.Exit(1) from error
    if as_json:
        typer.echo(json.dumps(report_facts(done), indent=2))
    else:
        print_report(done, console())
    if not done.complete:
        raise typer.Exit(1)


async def with_progress(work: Import, console: Console) -> ImportReport:
    """Show commands done, rate and time left while it runs: a bar on a terminal, else a line now and then."""
    if not console.is_terminal:
        return await work(_lines(console))
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:>7.0f}/s"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("commands", total=None, rate=0.0)

        def tell(progress: Progressed) -> None:
            bar.update(
                task,
                total=progress.commands_total,
                completed=progress.commands_done,
                rate=progress.commands_per_second,
            )

        return await work(tell)


def _lines(console: Console) -> OnProgress:
    told_at = time.monotonic()

    def tell(progress: Progressed) -> None:
        nonlocal told_at
        if time.monotonic() - told_at >= LINE_SECONDS:
            told_at = time.monotonic()
            console.print(
                f"{progress.commands_done:,} of {progress.commands_total:,} commands,"
                f" {progress.commands_per_second:,.0f}/s, {progress.seconds_left or 0:,.0f} s left",
                highlight=False,
            )

    return tell


def report_facts(done: ImportReport) -> dict[str, Any]:
    """The report for programs; ``files`` only where files have outcomes."""
    facts: dict[str, Any] = {
        "sources": done.sources,
        "prescriptions": done.prescriptions,
        "commands": done.commands,
        "accepted": done.accepted,
        "new": done.new,
        "known_before": done.known_before,
        "fills": done.fills,
        "retries": done.retries,
        "refused": done.refusals,
        "seconds": round(done.seconds, 3),
        "commands_per_second": round(done.accepted / done.seconds) if done.seconds else 0,
    }
    if done.files:
        facts["files"] = [
            {"file": f.file, "outcome": f.outcome.value, "reason": f.reason, "status": f.status, "supplied": f.supplied}
            for f in done.files
        ]
    return facts


def print_report(done: ImportReport, out: Console) -> None:
    """The report for people, with each file's outcome where files have one, and each refusal."""
    if done.files:
        files = listing("file", "outcome", "reason or status", "supplied by rule")
        for f in done.files:
            files.add_row(f.file, f.outcome.value.replace("_", " "), f.reason or f.status, ", ".join(f.supplied))
        out.print(files)
    table = Table.grid(padding=(0, 2))
    for name, value in report_facts(done).items():
        if name == "refused":
            table.add_row("refused", f"{len(done.refused):,}")
        elif name != "files":
            table.add_row(name.replace("_", " "), f"{value:,}")
    out.print(table)
    for refused in done.refused:
        out.print(f"[red]refused[/] {refused.source}: {refused.command}: {refused.reason}: {refused.message}")


def _profile(settings: Settings) -> Any:
    with settings_errors(2):
        return profile_of(settings)


def _target(settings: Settings, tenant: str) -> Target:
    with settings_errors(1):
        return target_of(settings, settings.command_address, tenant)
