"""`erx views parked`: streams that wait behind an event a view cannot apply."""

from typing import Any

import typer

from bootstrap.cli.administering import admin
from bootstrap.cli.clients import run
from bootstrap.cli.printing import console, listing
from bootstrap.cli.reading import print_json, time_text
from bootstrap.settings import Settings
from erx.eventlog.v1 import view_admin_service_pb2 as pb

BYTES_SHOWN = 64
PAGE_SIZE = 200


def lanes(settings: Settings, names: list[str], *, tenant: str, as_json: bool) -> None:
    """Print every lane of these views, or of all."""

    async def ask(stub: Any, meta: Any) -> pb.ListParkedLanesResponse:
        found = pb.ListParkedLanesResponse()
        views = names or [v.view for v in (await stub.ListRebuilds(pb.ListRebuildsRequest(), metadata=meta)).rebuilds]
        for name in views:
            request = pb.ListParkedLanesRequest(view=name, page_size=PAGE_SIZE)
            while True:
                page = await stub.ListParkedLanes(request, metadata=meta)
                found.lanes.extend(page.lanes)
                request.page_token = page.next_page_token
                if not page.next_page_token:
                    break
        return found

    answer = run(lambda: admin(settings, ask, tenant))
    if as_json:
        print_json(answer)
        return
    table = listing("view", "stream", "stands in the way", "waiting", "since", "error")
    for lane in answer.lanes:
        table.add_row(
            lane.view,
            lane.stream,
            f"version {lane.first_version}",
            f"{lane.events:,}",
            time_text(lane.park_time),
            lane.error,
        )
    console().print(table)


def show(settings: Settings, name: str, stream: str, *, tenant: str, as_json: bool) -> None:
    """Print a lane: what stands in the way, with its raw bytes, and what waits behind."""

    async def ask(stub: Any, meta: Any) -> Any:
        return await stub.FetchParkedLane(pb.FetchParkedLaneRequest(view=name, stream=stream), metadata=meta)

    answer = run(lambda: admin(settings, ask, tenant))
    if as_json:
        print_json(answer)
        return
    typer.echo(f"{name} has applied {stream} up to version {answer.applied_version}; {answer.events_total:,} wait")
    table = listing("version", "type", "schema", "recorded", "bytes", "error")
    for parked in answer.events:
        envelope = parked.envelope
        table.add_row(
            str(envelope.sequence),
            envelope.event_type,
            str(envelope.schema_version),
            time_text(envelope.recorded_at),
            _bytes_text(envelope.payload),
            parked.error,
        )
    console().print(table)


def retry(settings: Settings, name: str, stream: str, *, dry_run: bool, tenant: str, as_json: bool) -> None:
    """Try a lane again, or say what that would change; exit code 1 where something still waits."""

    async def ask(stub: Any, meta: Any) -> Any:
        request = pb.RetryParkedLaneRequest(view=name, stream=stream, dry_run=dry_run)
        return await stub.RetryParkedLane(request, metadata=meta)

    print_outcome(run(lambda: admin(settings, ask, tenant)).outcome, as_json=as_json)


def discard(
    settings: Settings, name: str, stream: str, version: int, *, reason: str, tenant: str, as_json: bool
) -> None:
    """Give up on the first event of a lane."""

    async def ask(stub: Any, meta: Any) -> Any:
        request = pb.DiscardParkedEventRequest(view=name, stream=stream, version=version, reason=reason)
        return await stub.DiscardParkedEvent(request, metadata=meta)

    print_outcome(run(lambda: admin(settings, ask, tenant)).outcome, as_json=as_json)


def discards(settings: Settings, name: str, *, tenant: str, as_json: bool) -> None:
    """Print what was given up on."""

    async def ask(stub: Any, meta: Any) -> Any:
        return await stub.ListDiscards(pb.ListDiscardsRequest(view=name), metadata=meta)

    answer = run(lambda: admin(settings, ask, tenant))
    if as_json:
        print_json(answer)
        return
    table = listing("stream", "version", "type", "reason", "by", "at", "error")
    for found in answer.discards:
        version, decided = str(found.version), time_text(found.decide_time)
        table.add_row(found.stream, version, found.event_type, found.reason, found.decided_by, decided, found.error)
    console().print(table)


def print_outcome(outcome: pb.LaneOutcome, *, as_json: bool) -> None:
    """What was changed or would be; exit code 1 where something still waits."""
    if as_json:
        print_json(outcome)
    else:
        would = "would go" if outcome.dry_run else "went"
        typer.echo(
            f"{outcome.view} {would} from version {outcome.from_version} of {outcome.stream}"
            f" to {outcome.to_version}; {outcome.still_parked:,} still wait"
        )
        table = listing("row", "column", "before", "after")
        for row in outcome.differences:
            said = " (new)" if row.added else " (gone)" if row.removed else ""
            for place, column in enumerate(row.columns):
                table.add_row(f"{row.key}{said}" if not place else "", column.column, column.before, column.after)
        if outcome.differences:
            console().print(table)
        if outcome.error:
            typer.secho(outcome.error, err=True, fg="red")
    if outcome.still_parked:
        raise typer.Exit(1)


def _bytes_text(data: bytes) -> str:
    shown = data[:BYTES_SHOWN].hex(" ")
    return shown if len(data) <= BYTES_SHOWN else f"{shown} … ({len(data):,} bytes)"
