"""One transaction over rows, checkpoints and lanes.

Locks are taken in one order everywhere, so that transactions wait for one another and do not deadlock: the active generations,
the checkpoints by stream, then shared rows by key, then the counters by view.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from eventkernel.errors import Divergence
from eventkernel.ids import StreamId
from eventkernel.ports.view_advance import check_lanes
from eventkernel.ports.view_store import Checkpoint, JointChange, ParkedEvent, StreamChange, ViewTransaction
from eventkernel.sql import Statement
from eventkernel.view import TableKind, View
from eventkernel.view_sums import deltas
from eventkernel_postgres import parked_lanes
from eventkernel_postgres.batches import PreparedViews, ViewBatches, converted
from eventkernel_postgres.checkpoints import by_tenant, checkpoint_row, found_checkpoints, in_order
from eventkernel_postgres.connection import Session
from eventkernel_postgres.joint_batches import lock_marked, put_checkpoints, put_rows
from eventkernel_postgres.view_catalogue import PostgresViewCatalogue, PostgresViewNotes

COUNT_APPLIED = """
    INSERT INTO view_progress AS p (view, slot, streams, events_applied, updated_at)
    SELECT view, pg_backend_pid() %% 16, streams, events, clock_timestamp()
    FROM unnest(%b::text[], %b::bigint[], %b::bigint[]) AS m (view, streams, events)
    ON CONFLICT (view, slot) DO UPDATE SET streams = p.streams + excluded.streams,
        events_applied = p.events_applied + excluded.events_applied, updated_at = excluded.updated_at
"""


class PostgresViewTransaction:
    """Each call is a few statements over all of its streams; the commit brings the counters along."""

    def __init__(self, session: Session, prepared: PreparedViews) -> None:
        self._session = session
        self._prepared = prepared
        self._versions: dict[str, dict[StreamId, int]] = {}
        self._applied: dict[str, tuple[int, int]] = {}
        self.catalogue = PostgresViewCatalogue(session, prepared)
        self.notes = PostgresViewNotes(session)

    async def load(self, view: View[Any, Any], streams: Sequence[StreamId]) -> Mapping[StreamId, Checkpoint]:
        """The checkpoints, locked. New streams get a row of version 0 first: what is not there cannot be locked."""
        batches = await self._of(view)
        wanted = in_order(streams)
        if not wanted:
            return {}
        names = list(by_tenant(wanted))
        await self._session.run([Statement(batches.begin_checkpoints, some) for some in names])
        rows = [row for some in names for row in await self._session.fetch(batches.tables.checkpoints_locked, some)]
        found = found_checkpoints(wanted, rows)
        self._versions.setdefault(batches.tables.view.table, {}).update(
            {stream: at.version for stream, at in found.items()}
        )
        return found

    async def save(self, view: View[Any, Any], steps: Sequence[StreamChange]) -> None:
        """One statement a table. Versions are compared with those that this transaction holds locked."""
        if not steps:
            return
        batches = await self._of(view)
        versions = self._versions.setdefault(batches.tables.view.table, {})
        await self.load(view, [step.stream for step in steps if step.stream not in versions])
        for step in steps:
            actual = versions[step.stream]
            if actual != step.from_version:
                raise Divergence(
                    step.stream.key,
                    version=step.checkpoint.version,
                    expected=f"checkpoint at version {step.from_version}",
                    actual=f"checkpoint at version {actual}",
                )
            versions[step.stream] = step.checkpoint.version
        last = {step.stream: step.checkpoint for step in steps}
        statements = list(batches.put_checkpoint.of([checkpoint_row(stream, at) for stream, at in last.items()]))
        rows = _owned if view.kind is TableKind.OWNED else _summed
        await self._session.run([*statements, *rows(batches, steps)])
        self._count(batches.tables.view.table, steps)

    async def advance(self, joint: Sequence[JointChange]) -> None:
        """A few statements for all views: the checkpoints, then the rows that streams own with a look at the lanes, then sums.

        Lanes change under the locks of checkpoints alone, so that a look which begins behind these sees what there is.
        """
        for change in joint:
            await self._move(change)
        for change in joint:
            await self._rows(change)

    async def _move(self, change: JointChange) -> None:
        """Lock and write the checkpoints of all views, each compared with its mark."""
        tables = [(await self._of(view)).tables.view.table for view, _ in change.steps]
        steps = change.steps[0][1]
        for step in steps:
            if change.before[step.stream].version != step.from_version:
                raise ValueError(f"{step.stream.key}: a step from a version that is not the mark's")
        new = [step for step in steps if not step.from_version]
        known = [step for step in steps if step.from_version]
        if known:
            marks = [(step.stream, change.before[step.stream]) for step in known]
            await self._all(tables, lock_marked(tables, marks), known)
            await self._all(tables, put_checkpoints(tables, known, new=False), known)
        if new:
            await self._all(tables, put_checkpoints(tables, new, new=True), new)
        for table in tables:
            self._versions.setdefault(table, {}).update({step.stream: step.checkpoint.version for step in steps})

    async def _all(self, tables: Sequence[str], statement: Statement, steps: Sequence[StreamChange]) -> None:
        """Run it; what it counts by table must be all of the steps."""
        [counts] = await self._session.fetch(statement.text, statement.parameters)
        for table, count in zip(tables, counts, strict=True):
            if count != len(steps):
                first = steps[0]
                expected = f"{len(steps)} checkpoints of {table} at their marks"
                raise Divergence(first.stream.key, version=first.from_version, expected=expected, actual=str(count))

    async def _rows(self, change: JointChange) -> None:
        owned: list[Statement] = []
        sums: list[Statement] = []
        tables = []
        for view, steps in change.steps:
            batches = await self._of(view)
            tables.append(batches.tables.view.table)
            if view.kind is TableKind.OWNED:
                owned += _owned(batches, steps)
            else:
                sums += _summed(batches, steps)
            self._count(batches.tables.view.table, steps)
        streams = [step.stream for step in change.steps[0][1]]
        statement = put_rows(tables, streams, owned)
        [[waits]] = await self._session.fetch(statement.text, statement.parameters)
        if waits:
            check_lanes(change.steps[0][0], streams[:1])
        await self._session.run(sums)

    async def parked(
        self, view: View[Any, Any], streams: Sequence[StreamId]
    ) -> Mapping[StreamId, Sequence[ParkedEvent]]:
        """The lanes."""
        return await parked_lanes.load(self._session, await self._table(view), streams)

    async def park(self, view: View[Any, Any], events: Sequence[ParkedEvent]) -> None:
        """Add to the lanes."""
        await parked_lanes.add(self._session, await self._table(view), events)

    async def unpark(self, view: View[Any, Any], stream: StreamId, up_to: int) -> None:
        """Shorten a lane."""
        await parked_lanes.shorten(self._session, await self._table(view), stream, up_to)

    async def commit(self) -> None:
        """Count what was applied, and commit: the counters are shared rows, so they are locked last and shortly."""
        rows = [(view, *self._applied[view]) for view in sorted(self._applied)]
        await self._session.commit(
            [Statement(COUNT_APPLIED, tuple(map(list, zip(*rows, strict=True))))] if rows else ()
        )

    async def _of(self, view: View[Any, Any]) -> ViewBatches:
        return self._prepared.of(view, await self.catalogue.generations(view))

    async def _table(self, view: View[Any, Any]) -> str:
        return (await self._of(view)).tables.view.table

    def _count(self, table: str, steps: Sequence[StreamChange]) -> None:
        streams, events = self._applied.get(table, (0, 0))
        streams += sum(step.from_version == 0 for step in steps)
        events += sum(step.checkpoint.version - step.from_version for step in steps)
        self._applied[table] = (streams, events)


def _owned(batches: ViewBatches, steps: Sequence[StreamChange]) -> list[Statement]:
    """Of several changes to one row the last one counts. No row is both put and deleted."""
    last = {(step.stream.tenant, change.key): (step, change.after) for step in steps for change in step.changes}
    put = [(step, row) for step, row in last.values() if row is not None]
    gone = [batches.tables.key_parameters(*place) for place, (_, row) in last.items() if row is None]
    deleted = list(batches.delete.of(gone))
    if not put:
        return deleted
    owner: list[list[Any]] = [
        [step.stream.tenant for step, _ in put],
        [step.stream.name for step, _ in put],
        [step.checkpoint.version for step, _ in put],
    ]
    columns = (converted(convert, [row[name] for _, row in put]) for name, convert in batches.tables.encoders)
    return [*deleted, *batches.upsert.of_columns([*owner, *columns])]


def _summed(batches: ViewBatches, steps: Sequence[StreamChange]) -> list[Statement]:
    """Add to the sums, then remove the rows that came to zero, from either side."""
    changes = ((step.stream.tenant, change) for step in steps for change in step.changes)
    moved = sorted(deltas(batches.tables.view, changes).items())
    put = [batches.tables.summed_parameters(tenant, key, sums) for (tenant, key), sums in moved]
    touched = [batches.tables.key_parameters(*place) for place, _ in moved]
    return [*batches.upsert.of(put), *batches.delete.of(touched)]


if TYPE_CHECKING:
    _: type[ViewTransaction] = PostgresViewTransaction
