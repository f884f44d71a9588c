"""`erx schemas`: whether the history of events is whole, what two sets of contracts can say to one another, and the seal."""

import json
from collections.abc import Sequence
from pathlib import Path

import typer

from bootstrap.checkout import ROOT
from bootstrap.cli.printing import console, listing
from bootstrap.schemas import golden, states
from bootstrap.schemas.check import check as problems_of
from bootstrap.schemas.check import golden_bytes, states_of
from bootstrap.schemas.contexts import contexts
from bootstrap.schemas.described import describe
from bootstrap.schemas.diff import Ability, Change, Difference, compare
from bootstrap.schemas.images import RELEASED, ImageError, built_in, read_image
from eventkernel.errors import UpcasterGap

OURS = "erx."


def check() -> None:
    """Print every problem; exit code 1 where there is one."""
    _in_checkout()
    try:
        registered = contexts()
    except UpcasterGap as error:
        _tell(error.gaps)  # a codec that finds gaps does not even come to be imported
        return
    except Exception as error:  # noqa: BLE001 - a codec beside contracts that it does not fit can break in any way
        _tell([f"the codecs cannot be imported: {error!r}"])
        return
    _tell(problems_of(registered, ROOT))
    shapes = sum(len(context.messages) for context in registered)
    steps = sum(len(context.steps) for context in registered)
    typer.echo(f"{shapes} shapes of events and {steps} steps are in order")


def seal() -> None:
    """Write down what is new among golden files; refuse where a known one differs."""
    _in_checkout()
    for context in contexts():
        for name in states.record(context, ROOT, states_of(context, golden_bytes(context, ROOT))):
            typer.echo(f"{name}: written")
    try:
        added = golden.seal(ROOT)
    except golden.SealRefused as error:
        typer.secho(str(error), err=True, fg="red")
        raise typer.Exit(1) from error
    typer.echo("\n".join(f"{name}: sealed" for name in added) or "every golden file is sealed already")


def diff(old: Path | None, new: Path | None, *, require: str, everything: bool, as_json: bool) -> None:
    """Print what changes between two sets and what is lost by it; exit code 1 where what is required is not kept."""
    try:
        before = describe(read_image(old or RELEASED), prefix="" if old else OURS)
        after = describe(read_image(new) if new else built_in(), prefix="" if new else OURS)
    except ImageError as error:
        typer.secho(str(error), err=True, fg="red")
        raise typer.Exit(2) from error
    found = compare(before, after)
    if as_json:
        typer.echo(json.dumps(_facts(found), indent=2))
    else:
        _print(found, everything=everything)
    needed = [ability for ability in (Ability.BACKWARD, Ability.FORWARD) if require in (ability.value, "full")]
    if any(found.losing(ability) for ability in needed):
        raise typer.Exit(1)


def _tell(problems: Sequence[str]) -> None:
    for problem in problems:
        typer.echo(problem)
    if problems:
        raise typer.Exit(1)


def _print(found: Difference, *, everything: bool) -> None:
    shown = [change for change in found.changes if everything or change.lost]
    table = listing("element", "change", "keeps", "lost")
    for change in shown:
        table.add_row(change.element, change.change, change.keeps, _lost(change))
    if shown:
        console().print(table)
    harmless = len(found.changes) - len(shown)
    rest = f", {harmless} of them harmless and not shown" if harmless else ""
    typer.echo(f"{len(found.changes)} changes{rest}; compatible: {found.keeps}")


def _lost(change: Change) -> str:
    return "\n".join(f"{ability.value}: {text}" for ability, text in change.lost)


def _facts(found: Difference) -> dict[str, object]:
    return {
        "compatible": found.keeps,
        "changes": [
            {
                "element": change.element,
                "change": change.change,
                "compatible": change.keeps,
                "lost": [{"direction": ability.value, "why": text} for ability, text in change.lost],
            }
            for change in found.changes
        ],
    }


def _in_checkout() -> None:
    if not (ROOT / golden.FOLDER).is_dir():
        typer.secho(f"schemas: {golden.FOLDER} is not here; this is for a checkout of the sources", err=True, fg="red")
        raise typer.Exit(2)
