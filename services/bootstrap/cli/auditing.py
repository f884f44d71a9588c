"""`erx audit`: whether the bus and the views say what the journal says, and making them say it."""

import asyncio
import json
from dataclasses import asdict
from typing import Any

import typer

from bootstrap.audit import Audit, auditor, healed
from bootstrap.local_stack import with_local_stack
from bootstrap.settings import Settings, SettingsError
from bootstrap.stores import open_stores
from eventkernel.errors import KernelError
from eventkernel.runtime.auditing import Finding, Report

SHOWN_MAX = 50


def audit(settings: Settings, *, heal: bool, as_json: bool) -> None:
    """Compare, heal if asked to, and print; exit code 1 where anything differs in the end."""
    passes: list[Report] = []
    try:
        last = asyncio.run(_audit(with_local_stack(settings), passes, heal=heal))
    except (KernelError, SettingsError) as error:
        typer.secho(f"audit: {error}", err=True, fg="red")
        raise typer.Exit(1) from error
    done = [finding for report in passes for finding in report.healed]
    failed = [text for report in passes for text in report.failed]
    if as_json:
        typer.echo(json.dumps(_facts(last, done, failed), indent=2))
    else:
        for finding in done[:SHOWN_MAX]:
            typer.secho(f"healed: {finding}", fg="yellow")
        typer.echo(summary(_plain(last)))
        told = [*map(str, last.findings), *failed]
        for line in told[:SHOWN_MAX]:
            typer.secho(line, err=True, fg="red")
        if len(told) > SHOWN_MAX:
            typer.secho(f"... and {len(told) - SHOWN_MAX:,} more", err=True, fg="red")
    if last.findings:
        raise typer.Exit(1)


def summary(found: Audit) -> str:
    """One line: what was compared and how it came out."""
    came = f"{len(found.differences):,} differences" if found.differences else "all agree"
    return (
        f"{found.streams:,} streams, {found.events:,} events ({found.repeats:,} on the bus more than once),"
        f" {found.rows:,} rows of views: {came}"
    )


async def _audit(settings: Settings, passes: list[Report], *, heal: bool) -> Report:
    stores = await open_stores(settings)
    try:
        if heal:
            return await healed(stores, heard=passes.append)
        return await auditor(stores).look()
    finally:
        await stores.close()


def _plain(report: Report) -> Audit:
    return Audit(report.streams, report.events, report.rows, report.repeats, tuple(map(str, report.findings)))


def _facts(report: Report, done: list[Finding], failed: list[str]) -> dict[str, Any]:
    return {
        **asdict(_plain(report)),
        "findings": [_fact(finding) for finding in report.findings],
        "healed": [_fact(finding) for finding in done],
        "failed": failed,
    }


def _fact(finding: Finding) -> dict[str, Any]:
    since = finding.since.isoformat() if finding.since else None
    return {**asdict(finding), "since": since, "healable": finding.healable}
