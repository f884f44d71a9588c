"""`erx snapshots`: registered here, its work is in a module imported when it runs."""

from typing import Annotated

import typer

from bootstrap.cli.options import with_settings
from bootstrap.settings import Settings

app = typer.Typer(help="States kept to save folding: a cache that may go at any time.", no_args_is_help=True)

Streams = Annotated[list[str] | None, typer.Argument(metavar="[STREAM]...", help="tenant/name, name, or an id.")]
Tenant = Annotated[str | None, typer.Option(help="Whose; none: everybody's.")]
Unusable = Annotated[bool, typer.Option(help="Those that today's programs cannot use.")]
All = Annotated[bool, typer.Option("--all", help="Every one.")]


@app.command("list")
@with_settings
def list_(
    settings: Settings,
    streams: Streams = None,
    *,
    tenant: Tenant = None,
    unusable: Unusable = False,
    limit: Annotated[int, typer.Option(min=0, help="How many to print; all are counted.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Print the newest snapshot of each stream, and how many there are by schema."""
    from bootstrap.cli.snapshots import list_ as run

    run(settings, streams or [], tenant=tenant, unusable=unusable, shown_max=limit, as_json=as_json)


@app.command()
@with_settings
def drop(
    settings: Settings,
    streams: Streams = None,
    *,
    tenant: Tenant = None,
    unusable: Unusable = False,
    everything: All = False,
) -> None:
    """Forget snapshots; streams are replayed until there are new ones."""
    from bootstrap.cli.snapshots import drop as run

    run(settings, streams or [], tenant=tenant, unusable=unusable, everything=everything)


@app.command()
@with_settings
def rebuild(
    settings: Settings,
    streams: Streams = None,
    *,
    tenant: Tenant = None,
    unusable: Unusable = False,
    everything: All = False,
    min_events: Annotated[int, typer.Option(min=1, help="With --all: only streams of at least so many events.")] = 100,
) -> None:
    """Make snapshots anew by folding streams from their first event."""
    from bootstrap.cli.snapshots import rebuild as run

    run(settings, streams or [], tenant=tenant, unusable=unusable, everything=everything, events_min=min_events)
