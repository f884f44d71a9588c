"""`erx events`: another version of an event."""

import typer

from bootstrap.checkout import ROOT
from bootstrap.devtools import gen
from bootstrap.schemas.check import check
from bootstrap.schemas.contexts import contexts
from bootstrap.schemas.new_version import NewVersionRefused, Written, skeletons, write


def new_version(event_type: str, *, context_name: str) -> None:
    """Make the skeletons, generate the code of the new contract, and say what is left to do."""
    if not (ROOT / "protos").is_dir():
        _refuse("the contracts are not here; this is for a checkout of the sources")
    registered = contexts()
    found = [c for c in registered if context_name in ("", c.name) and event_type in c.upcasters.newest]
    if not found:
        known = sorted(name for c in registered if context_name in ("", c.name) for name in c.upcasters.newest)
        _refuse(f"{event_type} is no event of today; there are {', '.join(known)}")
    files: list[Written] = []
    try:
        files = skeletons(found[0], event_type, ROOT)
    except NewVersionRefused as error:
        _refuse(str(error))
    before = set(check(registered, ROOT))
    write(files, ROOT)
    for file in files:
        typer.echo(f"{file.path}: written")
    if gen.main([]):
        raise typer.Exit(1)
    typer.echo("\nLeft to do, as `./erx schemas check` goes on saying (docs/versioning.md):")
    for problem in check(registered, ROOT):
        if problem not in before:
            typer.echo(f"- {problem}")


def _refuse(why: str) -> None:
    typer.secho(f"events: {why}", err=True, fg="red")
    raise typer.Exit(1)
