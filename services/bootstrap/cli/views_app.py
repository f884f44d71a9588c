"""The commands of `erx views`, registered; their work is in `views` and `parked`."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from bootstrap.cli.options import with_settings
from bootstrap.settings import Settings
from eventkernel.ids import DEFAULT_TENANT

Tenant = Annotated[str, typer.Option(help="Whose data.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
Name = Annotated[str, typer.Argument(metavar="VIEW", help="The view's name.")]
Stream = Annotated[str, typer.Argument(metavar="STREAM", help="The stream's name, for example prescription-<id>.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")]
Force = Annotated[bool, typer.Option("--force", help="Although tables differ or streams stand further in the other.")]

app = typer.Typer(help="Read models: rebuild them while they serve, free streams that wait.", no_args_is_help=True)
parked = typer.Typer(help="Streams that wait behind an event a view cannot apply.", no_args_is_help=True)
app.add_typer(parked, name="parked")


@app.command()
@with_settings
def status(
    settings: Settings,
    names: Annotated[list[str] | None, typer.Argument(metavar="[VIEW]...", help="None: all.")] = None,
    *,
    tenant: Tenant = DEFAULT_TENANT,
    as_json: AsJson = False,
) -> None:
    """Say which generation of each view answers, what is parked, and how its rebuild stands."""
    from bootstrap.cli.views import status as run

    run(settings, names or [], tenant=tenant, as_json=as_json)


@app.command()
@with_settings
def rebuild(
    settings: Settings,
    names: Annotated[list[str] | None, typer.Argument(metavar="[VIEW]...", help="None: all of them.")] = None,
    *,
    stream: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this stream, in the table that answers.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --stream: only say what would change.")] = False,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Fold anew what has events recorded from then on, copy the rest.")
    ] = None,
    switch: Annotated[bool, typer.Option("--switch", help="Switch when old, new and a fresh fold agree.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Throw away what an earlier start has filled.")] = False,
    wait: Annotated[bool, typer.Option(help="Follow it to its end.")] = True,
    tenant: Tenant = DEFAULT_TENANT,
    as_json: AsJson = False,
) -> None:
    """Fill a new table from the log beside the one that answers, or go on with one that was stopped."""
    from bootstrap.cli import views

    _fits_together(stream, dry_run=dry_run, others={"--since": bool(since), "--switch": switch, "--restart": restart})
    if stream is None:
        views.rebuild(
            settings,
            names or [],
            since=since,
            switch=switch,
            restart=restart,
            wait=wait,
            tenant=tenant,
            as_json=as_json,
        )
        return
    if not names or len(names) != 1:
        raise typer.BadParameter("name the one view whose stream is meant", param_hint="VIEW")
    views.rebuild_stream(settings, names[0], stream, dry_run=dry_run, tenant=tenant, as_json=as_json)


def _fits_together(stream: str | None, *, dry_run: bool, others: Mapping[str, bool]) -> None:
    """Refuse options that would be passed over: who asks for a dry run must not get a rebuild."""
    if stream is None and dry_run:
        raise typer.BadParameter("says what would change of one stream: name it with --stream", param_hint="--dry-run")
    if stream is not None and (given := [name for name, said in others.items() if said]):
        raise typer.BadParameter(
            "a stream is rebuilt in the table that answers: it goes without --stream", param_hint=", ".join(given)
        )


@app.command()
@with_settings
def stop(settings: Settings, name: Name, *, tenant: Tenant = DEFAULT_TENANT, as_json: AsJson = False) -> None:
    """Stop a rebuild; `rebuild` goes on where it was."""
    from erx.eventlog.v1 import view_admin_service_pb2 as pb

    _change(settings, "StopRebuild", pb.StopRebuildRequest(view=name), tenant=tenant, as_json=as_json)


@app.command()
@with_settings
def switch(
    settings: Settings, name: Name, *, force: Force = False, tenant: Tenant = DEFAULT_TENANT, as_json: AsJson = False
) -> None:
    """Let the rebuilt table answer."""
    from erx.eventlog.v1 import view_admin_service_pb2 as pb

    _change(settings, "SwitchView", pb.SwitchViewRequest(view=name, force=force), tenant=tenant, as_json=as_json)


@app.command()
@with_settings
def rollback(
    settings: Settings, name: Name, *, force: Force = False, tenant: Tenant = DEFAULT_TENANT, as_json: AsJson = False
) -> None:
    """Let the table before the switch answer again."""
    from erx.eventlog.v1 import view_admin_service_pb2 as pb

    _change(settings, "RollBackView", pb.RollBackViewRequest(view=name, force=force), tenant=tenant, as_json=as_json)


def _change(settings: Settings, method: str, request: Any, *, tenant: str, as_json: bool) -> None:
    from bootstrap.cli.views import change

    change(settings, method, request, tenant=tenant, as_json=as_json)


@parked.command("list")
@with_settings
def lanes(
    settings: Settings,
    names: Annotated[list[str] | None, typer.Argument(metavar="[VIEW]...", help="None: all.")] = None,
    *,
    tenant: Tenant = DEFAULT_TENANT,
    as_json: AsJson = False,
) -> None:
    """List the streams that wait, and for what."""
    from bootstrap.cli.parked import lanes as run

    run(settings, names or [], tenant=tenant, as_json=as_json)


@parked.command()
@with_settings
def show(
    settings: Settings, name: Name, stream: Stream, *, tenant: Tenant = DEFAULT_TENANT, as_json: AsJson = False
) -> None:
    """Show a lane: the event in the way with its raw bytes, schema version and error, and what waits behind it."""
    from bootstrap.cli.parked import show as run

    run(settings, name, stream, tenant=tenant, as_json=as_json)


@parked.command()
@with_settings
def retry(
    settings: Settings,
    name: Name,
    stream: Stream,
    *,
    dry_run: DryRun = False,
    tenant: Tenant = DEFAULT_TENANT,
    as_json: AsJson = False,
) -> None:
    """Apply a lane with today's upcasters, or say what that would change."""
    from bootstrap.cli.parked import retry as run

    run(settings, name, stream, dry_run=dry_run, tenant=tenant, as_json=as_json)


@parked.command()
@with_settings
def discard(
    settings: Settings,
    name: Name,
    stream: Stream,
    version: Annotated[int, typer.Argument(min=1, help="The first version of the lane.")],
    *,
    reason: Annotated[str, typer.Option(help="Why nobody needs the event; it is kept.")],
    tenant: Tenant = DEFAULT_TENANT,
    as_json: AsJson = False,
) -> None:
    """Give up on the event in the way: the view goes on behind it, without its effect."""
    from bootstrap.cli.parked import discard as run

    run(settings, name, stream, version, reason=reason, tenant=tenant, as_json=as_json)


@parked.command()
@with_settings
def discards(settings: Settings, name: Name, *, tenant: Tenant = DEFAULT_TENANT, as_json: AsJson = False) -> None:
    """List what was given up on, by whom, when and why."""
    from bootstrap.cli.parked import discards as run

    run(settings, name, tenant=tenant, as_json=as_json)
