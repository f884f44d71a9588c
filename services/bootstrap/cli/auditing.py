"""`erx audit`: whether the bus and the views say what the journal says."""

import asyncio
import json
from dataclasses import asdict

import typer

from bootstrap.audit import Audit
from bootstrap.audit import audit as compare
from bootstrap.cli.stacking import with_local_stack
from bootstrap.settings import Settings, SettingsError
from bootstrap.stores import open_stores
from eventkernel.errors import KernelError

SHOWN_MAX = 50


def audit(settings: Settings, *, as_json: bool) -> None:
    """Compare and print; exit code 1 where anything differs."""
    try:
        found = asyncio.run(_audit(with_local_stack(settings)))
    except (KernelError, SettingsError) as error:
        typer.secho(f"audit: {error}", err=True, fg="red")
        raise typer.Exit(1) from error
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
    else:
        typer.echo(summary(found))
        for line in found.differences[:SHOWN_MAX]:
            typer.secho(line, err=True, fg="red")
        if len(found.differences) > SHOWN_MAX:
            typer.secho(f"... and {len(found.differences) - SHOWN_MAX:,} more", err=True, fg="red")
    if found.differences:
        raise typer.Exit(1)


def summary(found: Audit) -> str:
    """One line: what was compared and how it came out."""
    came = f"{len(found.differences):,} differences" if found.differences else "all agree"
    return (
        f"{found.streams:,} streams, {found.events:,} events ({found.repeats:,} on the bus more than once),"
        f" {found.rows:,} rows of views: {came}"
    )


async def _audit(settings: Settings) -> Audit:
    stores = await open_stores(settings)
    try:
        return await compare(stores)
    finally:
        await stores.close()
