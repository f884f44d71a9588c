"""Rules that are looked after at every step, so that a breach is told at the step where it happens."""

from collections.abc import Callable, Sequence
from typing import Any

from eventkernel.ids import StreamId, shard_of
from eventkernel.ports import BusRecord, Checkpoint, TopicPartition
from eventkernel.runtime.cloudevents import version_of
from eventkernel_cassandra.generations import is_active
from eventkernel_cassandra.session import Statement
from eventkernel_simulation.cluster import Cluster, place_of
from eventkernel_simulation.database import Database, at_once
from eventkernel_simulation.tally import TALLIES


class Watching:
    """``breach`` is told rule and facts; it ends the schedule."""

    def __init__(
        self, breach: Callable[[str], None], streams: Sequence[StreamId], cluster: Cluster, database: Database
    ) -> None:
        self._breach = breach
        self._cluster = cluster
        self._streams = list(streams)
        self._database = database
        self._heads: dict[str, int] = {}
        self._on_topic: dict[StreamId, int] = {}
        self._folded: dict[StreamId, int] = {}
        self.truncated: set[TopicPartition] = set()

    def executed(self, statement: Statement, values: Sequence[Any], applied: bool) -> None:
        """No fork: an append begins where the one before ended. No cursor moves over what is not on the topic. What is not
        published is found: its generation is odd, and a pending row says so.
        """
        if statement.name == "delete_pending":
            self._is_found(values[1], values[2])
        place = place_of(statement, values)
        if not applied or place is None:
            return
        self._is_found(*place)
        name, _, count = statement.name.partition(":")
        if count:
            begins = values[0] - int(count)
            head = self._heads.get(place[0], 0)
            if begins != head:
                self._breach(f"a stream does not fork: {place[0]} was at {head}, and an append follows {begins}")
            self._heads[place[0]] = values[0]
        elif name in ("advance", "advance_and_retire"):
            reached = self._on_topic.get(StreamId.from_key(place[0]), 0)
            if values[0] > reached:
                told = f"{place[0]} to {values[0]}, the topic has {reached}"
                self._breach(f"a cursor moves over nothing that the topic does not have: {told}")

    def _is_found(self, key: str, bucket: int) -> None:
        found = self._cluster.store.journal.get((key, bucket))
        if found is None or (found.head or 0) <= (found.published or 0):
            return
        rows = self._cluster.store.pending[shard_of(StreamId.from_key(key), self._cluster.shard_count)]
        if (key, bucket, found.gen) not in rows or not is_active(found.gen or 0):
            told = f"{key} bucket {bucket}, generation {found.gen}, has rows {sorted(rows)}"
            self._breach(f"a pending row stands behind what is not published: {told}")

    def published(self, record: BusRecord) -> None:
        """First occurrences are in order, without gap."""
        stream, version = version_of(record)
        highest = self._on_topic.get(stream, 0)
        if version > highest + 1 and TopicPartition(record.topic, record.partition) not in self.truncated:
            self._breach(f"first occurrences are in order: {stream.key} version {version} comes after {highest}")
        self._on_topic[stream] = max(highest, version)

    def committed(self) -> None:
        """Every event took effect once, in order; no checkpoint goes back; nothing is folded that was never stored."""
        for stream, at, row in at_once(self._rows()):
            if at.version < self._folded.get(stream, 0):
                self._breach(f"a checkpoint does not go back: {stream.key} from {self._folded[stream]} to {at.version}")
            if at.version > self._heads.get(stream.key, 0):
                self._breach(f"nothing is folded that is not stored: {stream.key} version {at.version}")
            if row is not None and row["events"] != at.version:
                self._breach(f"each event counts once: {stream.key} at {at.version} has counted {row['events']}")
            self._folded[stream] = at.version

    async def _rows(self) -> list[tuple[StreamId, Checkpoint, Any]]:
        found = []
        async with self._database.tables.reading() as reading:
            checkpoints = await reading.checkpoints(TALLIES, self._streams)
            for stream in self._streams:
                row = await reading.get(TALLIES, stream.tenant, (stream.id,))
                found.append((stream, checkpoints[stream], row.values if row else None))
        return found
