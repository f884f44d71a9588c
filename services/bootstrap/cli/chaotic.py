"""`erx chaos`: run it, tell what was done while it goes on, and what came of it."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path

import typer

from bootstrap.chaos.run import Report
from bootstrap.chaos.run import chaos as run
from bootstrap.chaos.toxiproxy import ToxiproxyError
from localstack import LocalStackError


def chaos(*, seconds: float, seed: int, clients: int, nodes: int, keep: Path | None, as_json: bool) -> None:
    """Run and print; exit code 1 where anything was found, 2 where it cannot run here."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)

    def said(line: str) -> None:
        typer.secho(line, err=True, dim=True)

    try:
        report = asyncio.run(run(seconds=seconds, seed=seed, clients=clients, nodes=nodes, keep=keep, said=said))
    except (ToxiproxyError, LocalStackError) as error:
        typer.secho(f"chaos: {error}", err=True, fg="red")
        raise typer.Exit(2) from error
    typer.echo(json.dumps(asdict(report), indent=2) if as_json else summary(report))
    if not report.sound:
        raise typer.Exit(1)


def summary(report: Report) -> str:
    """For people."""
    judged = "was not asked: there is no Go" if report.not_linearizable is None else f"{len(report.not_linearizable)}"
    troubles = ", ".join(f"{name} {count}" for name, count in report.troubles.items())
    seen = (
        f"{report.streams:,} streams, {report.events:,} events; drained in {report.drain_seconds:.1f} s,"
        f" {report.healed} healed of what was truncated"
    )
    failed = f"the audit found {len(report.audit)}; clients and processes that failed: {len(report.failed)}"
    lines = [
        f"seed {report.seed}, {report.seconds:g} s: {troubles}",
        f"writes: {report.writes}; reads: {report.reads}; {seen}",
        f"violations: {len(report.violations)}; streams the second judge cannot explain: {judged}; {failed}",
    ]
    found = [*report.violations, *(report.not_linearizable or ()), *report.audit, *report.failed]
    if report.history:
        lines.append(f"history: {report.history}")
    return "\n".join([*lines, *found] if found else [*lines, "Nothing was lost, doubled, reordered or invented."])
