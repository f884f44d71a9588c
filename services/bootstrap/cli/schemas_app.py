"""`erx schemas` and `erx events`: registered here, their work is in modules imported when they run."""

from pathlib import Path
from typing import Annotated, Literal

import typer

schemas = typer.Typer(help="The shapes that stored events have had: checks and comparisons.", no_args_is_help=True)


@schemas.command()
def check() -> None:
    """Find events without golden bytes, versions without a step, steps without use, and snapshots that would be misread."""
    from bootstrap.cli.schemas import check as run

    run()


@schemas.command()
def seal() -> None:
    """Write down the hashes of new golden files, and the shape of the state where its version is new."""
    from bootstrap.cli.schemas import seal as run

    run()


@schemas.command()
def diff(
    old: Annotated[Path | None, typer.Argument(help="A set of descriptors; none: the last release.")] = None,
    new: Annotated[Path | None, typer.Argument(help="Another one; none: this program's.")] = None,
    *,
    require: Annotated[
        Literal["none", "backward", "forward", "full"], typer.Option(help="Exit 1 where this is not kept.")
    ] = "backward",
    everything: Annotated[bool, typer.Option("--all", help="Also what costs nobody anything.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say what readers and writers of two sets of contracts can no longer do."""
    from bootstrap.cli.schemas import diff as run

    run(old, new, require=require, everything=everything, as_json=as_json)


events = typer.Typer(help="Stored events.", no_args_is_help=True)


@events.callback()
def _events() -> None:
    """Stored events."""


@events.command("new-version")
def new_version(
    event_type: Annotated[str, typer.Argument(metavar="TYPE", help="For example PrescriptionCancelled.")],
    *,
    context: Annotated[str, typer.Option(help="Whose, where two contexts have events of one name.")] = "",
) -> None:
    """Make what another version of an event needs: message, step, golden file, test; and say what a person must fill in."""
    from bootstrap.cli.events import new_version as run

    run(event_type, context_name=context)
