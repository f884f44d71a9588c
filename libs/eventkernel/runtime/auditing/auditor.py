"""One pass over everything there is: topic, journal, views; then what can be healed is.

Nothing that is under way is taken for lost. What the journal says is published is looked for once more on what has come to the
topic since; a view is compared at the version it stands at, in one snapshot of rows and checkpoints.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from eventkernel.envelope import RecordedEvent
from eventkernel.errors import KernelError, StoreUnavailable
from eventkernel.ids import StreamId
from eventkernel.ports import (
    BusTail,
    Clock,
    EventPublisher,
    EventStore,
    StreamDirectory,
    StreamHead,
    ViewStore,
)
from eventkernel.remembered import ByIdentity
from eventkernel.runtime.auditing.findings import Finding, Lack, Report
from eventkernel.runtime.auditing.sums import findings_of, put_right, wrong_sums
from eventkernel.runtime.auditing.topic_reach import Reach, TopicReach
from eventkernel.runtime.auditing.view_chunk import StreamInView, read_chunk, stray_rows
from eventkernel.runtime.cloudevents import WireName, to_message
from eventkernel.runtime.discards import Discards, load_discards
from eventkernel.runtime.rebuild_advance import Sources, advance
from eventkernel.runtime.rebuild_stream import rebuild_stream
from eventkernel.runtime.stream_fold import Decode
from eventkernel.view import TableKind, View

_log = logging.getLogger(__name__)

DECODED_EVENTS = 64


@dataclass(frozen=True, slots=True)
class AuditPace:
    """How much is read at once, and how long is waited between reads, so that a pass in the background disturbs nobody."""

    streams_max: int = 100
    records_max: int = 1_000
    events_max: int = 1_000
    pause_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class AuditSources:
    """What is compared, and how an event becomes a record again."""

    journal: EventStore
    directory: StreamDirectory
    tail: BusTail
    publisher: EventPublisher
    store: ViewStore
    views: Sequence[View[Any, Any]]
    decode: Decode[Any]
    clock: Clock
    topic: str
    source: str
    wire_name: WireName


class Auditor:
    """``look`` compares and changes nothing; ``heal`` puts right what a report found, as far as that goes."""

    def __init__(self, sources: AuditSources, pace: AuditPace = AuditPace()) -> None:
        # Every view folds the same event: it is decoded once.
        decode: Decode[Any] = ByIdentity(sources.decode, DECODED_EVENTS)
        self._s = sources = replace(sources, decode=decode)
        self._pace = pace
        self._sources: Sources[Any] = Sources(
            sources.store, sources.journal, sources.directory, sources.decode, sources.clock
        )

    async def look(self) -> Report:
        """Compare everything there is."""
        s, report = self._s, Report()
        await s.store.prepare(s.views)
        async with s.store.transaction() as transaction:
            discards = {view.table: await load_discards(transaction, view) for view in s.views}
        topic = TopicReach(s.tail, s.topic, self._pace.records_max, self._pause)
        await topic.read_on()
        suspects: list[tuple[StreamHead, int]] = []
        unseen = set(topic.streams)
        async for heads in _chunks(s.directory.streams(), self._pace.streams_max):
            unseen -= {head.stream for head in heads}
            suspects += await self._compare(heads, topic, discards, report)
            await self._pause()
        await self._judge_topic(suspects, topic, report)
        for stream in await self._absent(unseen):
            text = f"the topic has {topic.of(stream).version} versions of it, the journal has no such stream"
            report.findings.append(Finding(Lack.JOURNAL_STREAM, stream.key, text, "", 1, topic.of(stream).version))
        await self._look_for_strays(report)
        for view in s.views:
            if view.kind is TableKind.SUMMED:
                report.findings += findings_of(view, await wrong_sums(s.store, view))
        report.repeats = topic.repeats
        return report

    async def heal(self, report: Report, *, behind_since: datetime | None = None) -> Report:
        """Put right what can be, from the journal, and write down in the report what was. Look again to see what it came to.

        ``behind_since``: of views that are merely behind, only those that have been so from before this moment on; of the
        others their projectors take care.
        """
        sums: set[tuple[str, str]] = set()
        rebuilt: set[tuple[str, str]] = set()
        for finding in report.findings:
            if not finding.healable:
                continue
            if finding.lack is Lack.VIEW_BEHIND and behind_since and finding.since and finding.since > behind_since:
                continue
            try:
                await self._heal(finding, sums, rebuilt)
            except KernelError as error:
                report.failed.append(f"{finding}: {error}")
                continue
            _log.warning("healed: %s", finding)
            report.healed.append(finding)
            await self._pause()
        return report

    async def _compare(
        self, heads: Sequence[StreamHead], topic: TopicReach, discards: dict[str, Discards], report: Report
    ) -> list[tuple[StreamHead, int]]:
        """One chunk's journal and views; gives the streams that the topic seems to lack, and how far their journals go."""
        suspects = []
        by_tenant: dict[str, list[StreamHead]] = {}
        for head in heads:
            by_tenant.setdefault(head.stream.tenant, []).append(head)
        for some in by_tenant.values():
            streams = [head.stream for head in some]
            in_views = await read_chunk(self._s.store, self._s.views, streams, discards, self._s.decode)
            for head in some:
                last = await self._read(head, in_views[head.stream], topic.of(head.stream), report)
                if topic.of(head.stream).version < last:
                    suspects.append((head, last))
                for one in in_views[head.stream]:
                    report.rows += len(one.rows or ())
                    found = list(one.findings(last))
                    report.findings += await self._with_lanes(one, found)
        return suspects

    async def _read(self, head: StreamHead, in_views: Sequence[StreamInView], reach: Reach, report: Report) -> int:
        """Read a stream once, for everybody; gives how far it goes without a gap."""
        report.streams += 1
        stream, count, last = head.stream, 0, 0
        on_topic = Reach()
        missing: list[str] = []
        first_missing = 0
        async for event in self._events(stream):
            count += 1
            if event.version != last + 1:
                missing.append(f"{last + 1}..{event.version - 1}")
                first_missing = first_missing or last + 1
            last = event.version
            if event.version == on_topic.version + 1 <= reach.version:
                on_topic = on_topic.then(event)
            for one in in_views:
                one.take(event)
        report.events += count
        if last < head.head:
            missing.append(f"{last + 1}..{head.head}")
            first_missing = first_missing or last + 1
        if missing:
            text = f"versions {', '.join(missing)} are missing, the head is {head.head}"
            report.findings.append(Finding(Lack.JOURNAL_GAP, stream.key, text, "", first_missing, head.head))
        elif reach.version > last:
            text = f"the topic has versions up to {reach.version}, the journal up to {last}"
            report.findings.append(Finding(Lack.JOURNAL_GAP, stream.key, text, "", last + 1, reach.version))
        elif on_topic.digest != reach.digest:
            text = f"among versions 1..{reach.version} the topic has an event that is not the journal's"
            report.findings.append(Finding(Lack.TOPIC_DIFFERS, stream.key, text, "", 1, reach.version))
        return first_missing - 1 if first_missing else last

    async def _judge_topic(self, suspects: Sequence[tuple[StreamHead, int]], topic: TopicReach, report: Report) -> None:
        """Versions that were published before the topic is read on must be there now; those above wait for their relay."""
        if not suspects:
            return
        await topic.read_on()
        for head, last in suspects:
            reach = topic.of(head.stream).version
            published = min(head.published, last)
            if reach < published:
                since = await self._recorded_at(head.stream, reach + 1)
                text = f"versions {reach + 1}..{published} were published and are not there in order"
                report.findings.append(Finding(Lack.TOPIC_LOST, head.stream.key, text, "", reach + 1, published, since))
            begins = max(reach, published)
            if begins < last:
                since = await self._recorded_at(head.stream, begins + 1)
                text = f"versions {begins + 1}..{last} wait for the relay"
                report.findings.append(Finding(Lack.TOPIC_BEHIND, head.stream.key, text, "", begins + 1, last, since))

    async def _with_lanes(self, one: StreamInView, found: list[Finding]) -> list[Finding]:
        """What is behind because it waits in a lane waits for a person."""
        if not any(finding.lack is Lack.VIEW_BEHIND for finding in found):
            return found
        async with self._s.store.transaction() as transaction:
            lane = (await transaction.parked(one.view, [one.stream])).get(one.stream)
        if not lane:
            return found
        error = f"parked: {lane[0].error}"
        kept = [finding for finding in found if finding.lack is not Lack.VIEW_BEHIND]
        first, last = lane[0].event.version, lane[-1].event.version
        waits = Finding(
            Lack.VIEW_WAITS, one.stream.key, error, one.view.name, first, last, lane[0].event.meta.recorded_at
        )
        return [*kept, waits]

    async def _look_for_strays(self, report: Report) -> None:
        """Checkpoints of streams that the journal does not know, and rows of streams that have no checkpoint."""
        for view in self._s.views:
            async with self._s.store.reading() as reading:
                known = [(stream, at.version) async for stream, at in reading.scan(view)]
                if view.kind is TableKind.OWNED:
                    report.findings += await stray_rows(reading, view, {stream for stream, _ in known})
            absent = set(await self._absent(stream for stream, _ in known))
            for stream, version in known:
                if stream in absent:
                    text = f"folded to version {version}, the journal has no such stream"
                    report.findings.append(Finding(Lack.VIEW_STRAY, stream.key, text, view.name, 1, version))

    async def _absent(self, streams: Iterable[StreamId]) -> list[StreamId]:
        wanted, absent = list(streams), []
        for place in range(0, len(wanted), self._pace.streams_max):
            heads = await self._s.directory.heads(wanted[place : place + self._pace.streams_max])
            absent += [head.stream for head in heads if head.head == 0]
        return absent

    async def _heal(self, finding: Finding, sums: set[tuple[str, str]], rebuilt: set[tuple[str, str]]) -> None:
        place = (finding.view, finding.stream)
        view = next((view for view in self._s.views if view.name == finding.view), None)
        if view is None:
            await self._publish_again(StreamId.from_key(finding.stream), finding.first, finding.last)
        elif finding.lack is Lack.VIEW_SUMS:
            if place not in sums:
                sums.add(place)
                await put_right(self._s.store, view, finding.stream)
        elif finding.lack is Lack.VIEW_DIFFERS:
            rebuilt.add(place)
            await rebuild_stream(self._sources, view, StreamId.from_key(finding.stream))
        elif place not in rebuilt:
            stream = StreamId.from_key(finding.stream)
            events = [event async for event in self._events(stream, after=finding.first - 1)]
            async with self._s.store.transaction() as transaction:
                await advance(transaction, view, {stream: events}, decode=self._s.decode, clock=self._s.clock)

    async def _publish_again(self, stream: StreamId, first: int, last: int) -> None:
        """From the first version that is missing on, in order: what lies behind it on the topic comes again."""
        batch = []
        async for event in self._events(stream, after=first - 1):
            if event.version > last:
                break
            batch.append(event)
            if len(batch) == self._pace.events_max:
                await self._publish(batch)
                batch = []
        if batch:
            await self._publish(batch)

    async def _publish(self, events: Sequence[RecordedEvent]) -> None:
        s = self._s
        await s.publisher.publish(
            [to_message(event, topic=s.topic, source=s.source, wire_name=s.wire_name) for event in events]
        )

    async def _events(self, stream: StreamId, *, after: int = 0) -> AsyncIterator[RecordedEvent]:
        """What there is, in order. A store may refuse to read over a gap: then version by version."""
        while True:
            try:
                page = (await self._s.journal.load(stream, after=after, events_max=self._pace.events_max)).events
            except StoreUnavailable:
                [head] = await self._s.directory.heads([stream])
                for version in range(after + 1, head.head + 1):
                    event = await self._one(stream, version)
                    if event is not None:
                        yield event
                return
            for event in page:
                yield event
            if len(page) < self._pace.events_max:
                return
            after = page[-1].version

    async def _one(self, stream: StreamId, version: int) -> RecordedEvent | None:
        """One event, or None where a store that answers does not give it, asked twice. A store that is away raises."""
        for _ in range(2):
            try:
                found = (await self._s.journal.load(stream, after=version - 1, up_to=version)).events
            except StoreUnavailable:
                await self._s.directory.heads([stream])
            else:
                return found[0] if found else None
        return None

    async def _recorded_at(self, stream: StreamId, version: int) -> datetime | None:
        event = await self._one(stream, version)
        return event.meta.recorded_at if event else None

    async def _pause(self) -> None:
        if self._pace.pause_seconds:
            await self._s.clock.sleep(self._pace.pause_seconds)
        else:
            await asyncio.sleep(0)


async def _chunks(heads: AsyncIterator[StreamHead], size: int) -> AsyncIterator[list[StreamHead]]:
    chunk: list[StreamHead] = []
    async for head in heads:
        chunk.append(head)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
