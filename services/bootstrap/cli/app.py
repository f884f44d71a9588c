"""The typer application: commands are registered here, their work is in modules imported when they run."""

import json
from typing import Annotated

import typer

from bootstrap.cli.options import with_settings
from bootstrap.settings import Settings, masked

app = typer.Typer(
    name="erx",
    help="Event-sourced e-prescribing services: serve them, fill them, read them, measure them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.command()
@with_settings
def serve(
    settings: Settings,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="command, relay, projector, query; none: all of them."),
    ] = None,
) -> None:
    """Run servers until SIGTERM; without names all of them in one process."""
    from bootstrap.cli.serving import serve as run

    run(settings, names or [])


@app.command()
@with_settings
def config(
    settings: Settings, *, as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False
) -> None:
    """Print the settings in force, secrets masked."""
    shown = masked(settings)
    if as_json:
        typer.echo(json.dumps(shown, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("setting", "value", "says", box=None)
    for name, value in shown.items():
        table.add_row(name, "" if value is None else str(value), Settings.model_fields[name].description or "")
    Console().print(table)


def main() -> None:
    """Run the command line."""
    app()
