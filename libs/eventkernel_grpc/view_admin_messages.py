"""Rebuilds, lanes and differences as messages of ``ViewAdminService``."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from erx.eventlog.v1 import envelope_pb2
from erx.eventlog.v1 import view_admin_service_pb2 as pb
from eventkernel.envelope import RecordedEvent
from eventkernel.errors import EventUnreadable
from eventkernel.ids import StreamId
from eventkernel.ports import LaneHead, ParkedEvent, ViewStatus
from eventkernel.runtime.discards import Discard
from eventkernel.runtime.parked_lanes import LaneRetry
from eventkernel.runtime.rebuild_record import Comparison, Phase, Rebuild, TableDigest
from eventkernel.runtime.rebuild_stream import StreamRebuild
from eventkernel.view import Change, View
from eventkernel_grpc.wire_types import to_duration, to_timestamp

WireName = Callable[[str, int], str]
"""The full name of an event's shape, by its type and schema version."""

VALUE_CHARS_MAX = 2_000

PHASES = {
    Phase.FILLING: pb.REBUILD_PHASE_FILLING,
    Phase.CATCHING_UP: pb.REBUILD_PHASE_CATCHING_UP,
    Phase.COMPARING: pb.REBUILD_PHASE_COMPARING,
    Phase.READY: pb.REBUILD_PHASE_READY,
    Phase.SWITCHED: pb.REBUILD_PHASE_SWITCHED,
    Phase.ROLLED_BACK: pb.REBUILD_PHASE_ROLLED_BACK,
    Phase.FAILED: pb.REBUILD_PHASE_FAILED,
}


def rebuild_to(view: View[Any, Any], active: int, status: ViewStatus, rebuild: Rebuild | None) -> pb.ViewRebuild:
    """A view and its rebuild."""
    made = pb.ViewRebuild(
        view=view.name, view_version=view.version, active_generation=active, parked_streams=status.parked_streams
    )
    if rebuild is None:
        return made
    made.generation = rebuild.generation
    made.previous_generation = rebuild.previous
    made.phase = PHASES[rebuild.phase]
    made.wanted = rebuild.working
    made.streams_total, made.streams_done = rebuild.streams_total, rebuild.streams_done
    made.events_total, made.events_done = rebuild.events_total, rebuild.events_done
    made.events_per_second = rebuild.events_per_second
    if rebuild.time_left is not None:
        made.time_left.CopyFrom(to_duration(rebuild.time_left))
    made.time_taken.CopyFrom(to_duration(timedelta(seconds=rebuild.seconds)))
    for target, moment in (
        (made.since_time, rebuild.since),
        (made.start_time, rebuild.started_at),
        (made.change_time, rebuild.changed_at),
    ):
        if moment is not None:
            target.CopyFrom(to_timestamp(moment))
    made.started_by, made.error, made.worker = rebuild.by, rebuild.error, rebuild.owner
    if rebuild.comparison is not None:
        made.comparison.CopyFrom(_comparison_to(rebuild.comparison))
    return made


def lane_to(view: View[Any, Any], lane: LaneHead) -> pb.ParkedLane:
    """A lane at a glance."""
    return pb.ParkedLane(
        view=view.name,
        stream=lane.stream.name,
        first_version=lane.first_version,
        last_version=lane.last_version,
        events=lane.events,
        error=lane.error,
        park_time=to_timestamp(lane.parked_at),
    )


def parked_to(parked: ParkedEvent, context: str, wire_name: WireName) -> pb.ParkedEvent:
    """One event of a lane."""
    envelope = _envelope_to(parked.event, context, wire_name)
    return pb.ParkedEvent(envelope=envelope, error=parked.error, park_time=to_timestamp(parked.parked_at))


def outcome_to(done: LaneRetry) -> pb.LaneOutcome:
    """What a retry or a discard came to."""
    return pb.LaneOutcome(
        view=done.view,
        stream=done.stream.name,
        from_version=done.from_version,
        to_version=done.to_version,
        differences=_differences(done.changes),
        still_parked=done.still_parked,
        error=done.error,
        dry_run=done.dry_run,
    )


def stream_outcome_to(done: StreamRebuild) -> pb.LaneOutcome:
    """What a rebuild of one stream came to."""
    return pb.LaneOutcome(
        view=done.view,
        stream=done.stream.name,
        from_version=done.from_version,
        to_version=done.to_version,
        differences=_differences(done.changes),
        still_parked=done.still_parked,
        error=done.error,
        dry_run=done.dry_run,
    )


def discard_to(view: View[Any, Any], discard: Discard) -> pb.Discard:
    """What was given up on."""
    return pb.Discard(
        view=view.name,
        stream=StreamId.from_key(discard.stream).name,
        version=discard.version,
        event_id=discard.event_id,
        event_type=discard.type,
        error=discard.error,
        reason=discard.reason,
        decided_by=discard.by,
        decide_time=to_timestamp(discard.at),
    )


def _comparison_to(found: Comparison) -> pb.RebuildComparison:
    return pb.RebuildComparison(
        streams=found.streams,
        streams_apart=found.apart,
        old=_digest_to(found.old),
        new=_digest_to(found.new),
        whole=_digest_to(found.whole),
        fresh=_digest_to(found.fresh),
        differing=found.differing,
        agrees=found.agrees,
    )


def _digest_to(digest: TableDigest) -> pb.TableDigest:
    return pb.TableDigest(rows=digest.rows, sha256=digest.sha256)


def _differences(changes: Sequence[Change]) -> list[pb.RowDifference]:
    return [_difference(change) for change in changes]


def _difference(change: Change) -> pb.RowDifference:
    before, after = change.before or {}, change.after or {}
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return pb.RowDifference(
        key=", ".join(map(str, change.key)),
        columns=[
            pb.ColumnDifference(column=name, before=_shown(before.get(name)), after=_shown(after.get(name)))
            for name in names
        ],
        added=change.before is None,
        removed=change.after is None,
    )


def _shown(value: Any) -> str:
    """A value for people: bytes by their number, long texts by their beginning."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    text = str(value)
    return text if len(text) <= VALUE_CHARS_MAX else f"{text[:VALUE_CHARS_MAX]}… ({len(text)} characters)"


def _envelope_to(event: RecordedEvent, context: str, wire_name: WireName) -> envelope_pb2.Envelope:
    """With the raw payload. An event of a shape that this program does not know has no name for it."""
    origin = event.meta.provenance
    try:
        payload_type = wire_name(event.type, event.schema_version)
    except EventUnreadable:
        payload_type = ""
    return envelope_pb2.Envelope(
        event_id=str(event.event_id),
        aggregate_id=event.stream.id,
        tenant=event.stream.tenant,
        context=context,
        sequence=event.version,
        event_type=event.type,
        schema_version=event.schema_version,
        occurred_at=to_timestamp(event.meta.occurred_at),
        recorded_at=to_timestamp(event.meta.recorded_at),
        actor=envelope_pb2.Actor(id=origin.actor.id, role=origin.actor.role, organisation=origin.actor.organisation),
        purpose_of_use=origin.purpose_of_use,
        command_id=str(event.meta.command_id),
        correlation_id=origin.correlation_id,
        causation_id=origin.causation_id,
        traceparent=origin.traceparent,
        payload=event.data,
        payload_type=payload_type,
        stream=event.stream.name,
    )
