"""`erx simulate`: seeded schedules of append, relay and projector above simulated stores, until a rule is broken."""

import itertools
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import typer

from eventkernel_simulation.mutations import MUTATIONS
from eventkernel_simulation.runner import Outcome, run_schedules, run_side_by_side
from eventkernel_simulation.world import Verdict, run_schedule

SEEDS_MAX = 1_000_000_000
MARKED_SCHEDULES_MIN = 1_000
"""From so many schedules on, a mark that none of them went through is a failure."""
TOLD_LINES = 25
TOLD_SECONDS = 10.0


def simulate(
    *,
    schedules: int | None,
    seed: int | None,
    mutation: str,
    jobs: int,
    trace: bool,
    from_step: int,
    history: Path | None,
) -> None:
    """Run and print; exit code 1 on a breach, and where many schedules leave a mark out."""
    if mutation and mutation not in MUTATIONS:
        typer.secho(f"mutation: {mutation!r} is none of {', '.join(MUTATIONS)}", err=True, fg="red")
        raise typer.Exit(2)
    if history is not None and not history.absolute().parent.is_dir():
        typer.secho(f"history: {history.parent} is no folder", err=True, fg="red")
        raise typer.Exit(2)
    first = secrets.randbelow(SEEDS_MAX) if seed is None else seed
    seeds = itertools.islice(itertools.count(first), schedules)
    if trace:
        _show(seeds, mutation, from_step, history)
        return
    if mutation:
        typer.echo(f"mutation {mutation}: {MUTATIONS[mutation].says}")
    outcome = _run(seeds, first, mutation, jobs)
    for verdict in outcome.broken:
        _tell(verdict, mutation, history)
    if outcome.broken:
        raise typer.Exit(1)
    if history is not None and outcome.schedules:
        last = first + outcome.schedules - 1
        _save(run_schedule(last, MUTATIONS[mutation] if mutation else None, tracing=True), history)
    _tell_marks(outcome)


def _run(seeds: Iterator[int], first: int, mutation: str, jobs: int) -> Outcome:
    total, began, told = Outcome(), time.monotonic(), time.monotonic()
    parts = run_side_by_side(seeds, mutation, jobs) if jobs > 1 else _one_by_one(seeds, mutation)
    try:
        for part in parts:
            total.add(part)
            if time.monotonic() - told > TOLD_SECONDS:
                told = time.monotonic()
                typer.echo(_summary(total, first, told - began))
    except KeyboardInterrupt:
        typer.echo("interrupted")
    typer.echo(_summary(total, first, time.monotonic() - began))
    return total


def _one_by_one(seeds: Iterator[int], mutation: str) -> Iterator[Outcome]:
    for seed in seeds:
        outcome = run_schedules([seed], mutation)
        yield outcome
        if outcome.broken:
            return


def _summary(total: Outcome, first: int, took: float) -> str:
    return (
        f"{total.schedules:,} schedules from seed {first} on: {total.steps:,} steps, {total.seconds:,.0f} simulated seconds"
        f" in {took:,.1f}; {len(total.hits):,} marks hit, {len(total.broken)} schedules broke a rule"
    )


def _tell(verdict: Verdict, mutation: str, history: Path | None) -> None:
    """A breach, what led to it, and how to see it again."""
    again = run_schedule(verdict.seed, MUTATIONS[mutation] if mutation else None, tracing=True)
    same = (again.breach, again.steps) == (verdict.breach, verdict.steps)
    for line in again.trace[-TOLD_LINES:]:
        typer.echo(line)
    typer.secho(f"seed {verdict.seed}, step {verdict.steps}: {verdict.breach}", err=True, fg="red")
    typer.echo("it came again at the same step" if same else f"it came differently: step {again.steps}: {again.breach}")
    option = f" --mutation {mutation}" if mutation else ""
    typer.echo(f"see it again: erx simulate --seed {verdict.seed} --schedules 1 --trace{option}")
    _save(again, history)


def _show(seeds: Iterator[int], mutation: str, from_step: int, history: Path | None) -> None:
    """Every note of every schedule, from a step on."""
    for seed in seeds:
        verdict = run_schedule(seed, MUTATIONS[mutation] if mutation else None, tracing=True)
        typer.echo(f"seed {seed}: {verdict.plan}")
        for line in verdict.trace:
            if int(line.split(maxsplit=1)[0]) >= from_step:
                typer.echo(line)
        _save(verdict, history)
        typer.echo(f"seed {seed}: {verdict.steps} steps, {verdict.seconds:.3f} simulated seconds")
        if verdict.breach:
            typer.secho(f"seed {seed}, step {verdict.steps}: {verdict.breach}", err=True, fg="red")
            raise typer.Exit(1)


def _save(verdict: Verdict, history: Path | None) -> None:
    if history is not None and verdict.history is not None:
        verdict.history.save(history)
        typer.echo(f"its history is in {history}")


def _tell_marks(outcome: Outcome) -> None:
    for name, count in sorted(outcome.hits.items()):
        typer.echo(f"{count:>10,}  {name}")
    for name in outcome.never_hit:
        typer.secho(f"{'never':>10}  {name}", fg="yellow")
    if outcome.never_hit and outcome.schedules >= MARKED_SCHEDULES_MIN:
        typer.secho(f"{len(outcome.never_hit)} marks were never hit", err=True, fg="red")
        raise typer.Exit(1)
