"""The typer application: commands are registered here, their work is in modules imported when they run."""

import json
from pathlib import Path
from typing import Annotated

import typer

from bootstrap.cli.options import with_settings
from bootstrap.cli.schemas_app import events, schemas
from bootstrap.cli.snapshots_app import app as snapshots
from bootstrap.cli.views_app import app as views
from bootstrap.settings import Settings, masked, with_store
from eventkernel.ids import DEFAULT_TENANT

app = typer.Typer(
    name="erx",
    help="Event-sourced e-prescribing services: serve them, fill them, read them, measure them.",
    epilog="For developers, in a checkout: test, lint, gen, clients, and install to prepare what they need.",
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
        typer.Argument(metavar="[NAME]...", help="command, relay, projector, query, webhooks; none: all of them."),
    ] = None,
    *,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes side by side, on one port.")] = 1,
) -> None:
    """Run servers until SIGTERM; without names all of them in one process."""
    from bootstrap.cli.serving import serve as run

    run(settings, names or [], workers=workers)


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
    from bootstrap.cli.printing import console, listing

    table = listing("setting", "value", "says")
    for name, value in shown.items():
        table.add_row(name, "" if value is None else str(value), Settings.model_fields[name].description or "")
    console().print(table)


Tenant = Annotated[str, typer.Option(help="Whose data.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]

imports = typer.Typer(
    help="Import files into running servers; running an import again changes nothing.", no_args_is_help=True
)
app.add_typer(imports, name="import")


@app.command()
@with_settings
def demo(
    settings: Settings,
    *,
    on_stack: Annotated[bool, typer.Option("--stack", help="On the real stack: --store stack.")] = False,
) -> None:
    """Run the whole loop on a bundled sample, apart from other data, and check that both sides agree."""
    from bootstrap.cli.demo import demo as run

    run(with_store(settings, "stack") if on_stack else settings)


Acknowledgements = Annotated[
    Path | None,
    typer.Option(help="File to add a line to for each command as it is acknowledged: tenant, ids, version."),
]


@imports.command()
@with_settings
def synthea(
    settings: Settings,
    directory: Path,
    *,
    tenant: Tenant = DEFAULT_TENANT,
    acknowledgements: Acknowledgements = None,
    as_json: AsJson = False,
) -> None:
    """Import a Synthea CSV export: every medication row as a chain of prescriptions with its fills."""
    from bootstrap.cli.importing import synthea as run

    run(settings, directory, tenant=tenant, as_json=as_json, acknowledgements=acknowledgements)


@imports.command()
@with_settings
def fhir(
    settings: Settings,
    directory: Path,
    *,
    tenant: Tenant = DEFAULT_TENANT,
    acknowledgements: Acknowledgements = None,
    as_json: AsJson = False,
) -> None:
    """Import FHIR R4 MedicationRequests with their MedicationDispenses, one JSON file each."""
    from bootstrap.cli.importing import fhir as run

    run(settings, directory, tenant=tenant, as_json=as_json, acknowledgements=acknowledgements)


@app.command()
@with_settings
def audit(
    settings: Settings,
    *,
    heal: Annotated[bool, typer.Option("--heal", help="Put right what can be put right from the journal.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fold the journal anew and compare it with the bus and every row of every view; ask while nothing is written."""
    from bootstrap.cli.auditing import audit as run

    run(settings, heal=heal, as_json=as_json)


@app.command()
@with_settings
def show(
    settings: Settings,
    prescription_id: str,
    *,
    at: Annotated[
        str | None, typer.Option(metavar="VERSION|TIME", help="As of a version, or of an ISO 8601 time.")
    ] = None,
    recorded: Annotated[bool, typer.Option(help="The time is when it was recorded, not when it took effect.")] = False,
    tenant: Tenant = DEFAULT_TENANT,
    as_json: AsJson = False,
) -> None:
    """Print a prescription, now or as of before."""
    from bootstrap.cli.reading import show as run

    run(settings, prescription_id, at=at, recorded=recorded, tenant=tenant, as_json=as_json)


@app.command()
@with_settings
def history(
    settings: Settings, prescription_id: str, *, tenant: Tenant = DEFAULT_TENANT, as_json: AsJson = False
) -> None:
    """Print every event of a prescription."""
    from bootstrap.cli.reading import history as run

    run(settings, prescription_id, tenant=tenant, as_json=as_json)


@app.command()
@with_settings
def stats(
    settings: Settings,
    *,
    medications: Annotated[int, typer.Option(min=0, max=1000, help="How many medications to list.")] = 20,
    tenant: Tenant = DEFAULT_TENANT,
    as_json: AsJson = False,
) -> None:
    """Print what the statistics view says."""
    from bootstrap.cli.reading import stats as run

    run(settings, medications=medications, tenant=tenant, as_json=as_json)


@app.command()
@with_settings
def access(
    settings: Settings,
    patient_id: str,
    *,
    at_most: Annotated[int, typer.Option(min=1, max=10_000, help="How many, the newest first.")] = 50,
    tenant: Tenant = DEFAULT_TENANT,
    as_json: AsJson = False,
) -> None:
    """Print who read or wrote what of a patient."""
    from bootstrap.cli.accessing import access as run

    run(settings, patient_id, at_most=at_most, tenant=tenant, as_json=as_json)


app.add_typer(views, name="views")
app.add_typer(schemas, name="schemas")
app.add_typer(events, name="events")
app.add_typer(snapshots, name="snapshots")

stack = typer.Typer(help="Real Cassandra, Kafka and PostgreSQL as local processes.", no_args_is_help=True)
app.add_typer(stack, name="stack")


@stack.command()
@with_settings
def up(
    settings: Settings,
    *,
    nodes: Annotated[int, typer.Option(min=1, max=3, help="Cassandra nodes.")] = 1,
    commitlog_sync: Annotated[
        str,
        typer.Option(
            metavar="group|batch|periodic", help="Cassandra's durability; periodic loses acknowledged writes."
        ),
    ] = "group",
) -> None:
    """Start what is not running."""
    from bootstrap.cli.stacking import up as run

    run(settings, nodes=nodes, commitlog_sync=commitlog_sync)


@stack.command()
@with_settings
def down(
    settings: Settings, *, keep_data: Annotated[bool, typer.Option(help="Leave the data for the next up.")] = False
) -> None:
    """Stop the servers and remove their data."""
    from bootstrap.cli.stacking import down as run

    run(settings, keep_data=keep_data)


@stack.command()
@with_settings
def status(settings: Settings) -> None:
    """Say what runs and where."""
    from bootstrap.cli.stacking import status as run

    run(settings)


@stack.command()
@with_settings
def logs(
    settings: Settings,
    name: Annotated[str, typer.Argument(help="One server; none: all.")] = "",
    *,
    lines: Annotated[int, typer.Option(min=1, help="How many lines of each.")] = 100,
) -> None:
    """Print the end of the servers' logs."""
    from bootstrap.cli.stacking import logs as run

    run(settings, name, lines=lines)


topic = typer.Typer(help="The bus.", no_args_is_help=True)
app.add_typer(topic, name="topic")


@topic.command()
@with_settings
def tail(
    settings: Settings,
    *,
    count: Annotated[int, typer.Option(min=1, help="About how many of the newest records.")] = 24,
    follow: Annotated[bool, typer.Option(help="Go on with what comes.")] = False,
    check: Annotated[bool, typer.Option(help="Read everything; exit 1 where versions of a key do not follow.")] = False,
    as_json: AsJson = False,
    as_version: Annotated[
        str, typer.Option("--as", help="Print events as this schema version says them, e.g. v2.")
    ] = "",
) -> None:
    """Print records of the event topic: partition, offset, key and CloudEvents headers."""
    from bootstrap.cli.topic import tail as run

    run(settings, count=count, follow=follow, check=check, as_json=as_json, as_version=as_version)


@app.command()
def simulate(
    *,
    schedules: Annotated[int | None, typer.Option(min=1, help="How many; without it, until a rule is broken.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the first one; those after it count up from it.")] = None,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Processes side by side.")] = 1,
    mutation: Annotated[str, typer.Option(help="Put a known mistake back, to see it found.")] = "",
    trace: Annotated[bool, typer.Option(help="Print everything that happens.")] = False,
    from_step: Annotated[int, typer.Option(min=0, help="Print it from this step on.")] = 0,
    history: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Save what clients and stores saw in the one that broke a rule, else in the last."
        ),
    ] = None,
) -> None:
    """Run append, relay and projector on seeded schedules above stores that fail in every way; exit 1 on a broken rule."""
    from bootstrap.cli.simulating import simulate as run

    run(
        schedules=schedules,
        seed=seed,
        jobs=jobs,
        mutation=mutation,
        trace=trace,
        from_step=from_step,
        history=history,
    )


@app.command()
def chaos(
    *,
    seconds: Annotated[float, typer.Option(min=5, help="How long things are broken.")] = 60.0,
    seed: Annotated[int, typer.Option(help="What is broken, and in which order, follows from it.")] = 1,
    clients: Annotated[int, typer.Option(min=1, help="Clients at once.")] = 12,
    nodes: Annotated[int, typer.Option(min=1, max=3, help="Cassandra nodes: 1, or a ring of 3.")] = 1,
    keep: Annotated[Path | None, typer.Option(help="Folder for the history and the logs.")] = None,
    as_json: AsJson = False,
) -> None:
    """Load on a real stack of its own while its processes and stores fail, then check that nothing was lost or doubled."""
    from bootstrap.cli.chaotic import chaos as run

    run(seconds=seconds, seed=seed, clients=clients, nodes=nodes, keep=keep, as_json=as_json)


benches = typer.Typer(help="Measure, as ratios to a raw limit in the same run.", no_args_is_help=True)
app.add_typer(benches, name="bench")


@benches.command()
def embedded(
    *,
    seconds: Annotated[float, typer.Option(min=1, help="How long each load runs.")] = 10.0,
    aggregates: Annotated[int, typer.Option(help="Most aggregates in the memory measure.")] = 100_000,
    as_json: AsJson = False,
) -> None:
    """The embedded store: commands, catch-up, memory."""
    from bootstrap.bench.embedded import bench as run

    run(seconds=seconds, aggregates_max=aggregates, as_json=as_json)


@benches.command("rebuild")
def bench_rebuild(
    directory: Annotated[Path, typer.Argument(help="A Synthea CSV export to import meanwhile.")],
    *,
    data: Annotated[
        Path | None, typer.Option(help="Use the stack that runs in this folder; else all is embedded.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Rebuilds of every view while an import runs, and of everything after it."""
    from bootstrap.bench.rebuild import bench as run

    run(directory, data=data, as_json=as_json)


def _parts(value: str) -> str:
    if not set(value) <= set("abcdefg"):
        raise typer.BadParameter("letters of a to g")
    return value


@benches.command(name="stack")
def bench_stack(
    *,
    seconds: Annotated[float, typer.Option(min=1, max=30, help="How long each measure runs.")] = 5.0,
    data: Annotated[
        Path | None, typer.Option(help="Use the stack that runs in this folder, which must hold no events yet.")
    ] = None,
    only: Annotated[
        str, typer.Option(metavar="PARTS", help="These parts, as ae or f, with those they stand on.", callback=_parts)
    ] = "",
    chart: Annotated[Path | None, typer.Option(metavar="FILE.svg", help="Also draw the rates.")] = None,
    as_json: AsJson = False,
) -> None:
    """The real stack, on servers of its own: appends, commands, relay, views, loads and queries beside the bare drivers."""
    from bootstrap.bench.stack import bench as run

    run(seconds=seconds, data=data, only=only, as_json=as_json, chart_file=chart)


def main() -> None:
    """Run the command line."""
    app(prog_name="./erx")
