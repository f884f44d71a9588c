"""Ports: what the runtime asks of a store or a bus, one Protocol a module, in the kernel's own types.

Each docstring states order, atomicity, duplicates, errors, and what happens on an unknown outcome; the contract suites in
``eventkernel.testing`` hold every adapter to it.
"""

from eventkernel.ports.bus_tail import BusTail
from eventkernel.ports.clock import Clock
from eventkernel.ports.event_publisher import BusMessage, EventPublisher
from eventkernel.ports.event_store import (
    Appended,
    AppendOutcome,
    CommandRecord,
    Conflict,
    Entry,
    EventStore,
    Loaded,
    Position,
    Replayed,
    Unknown,
)
from eventkernel.ports.event_subscription import BusRecord, EventSubscription, TopicPartition
from eventkernel.ports.outbox import Outbox, OutboxDepth, OutboxRun, PendingStream
from eventkernel.ports.shard_leases import ShardLeases
from eventkernel.ports.snapshot_store import Snapshot, SnapshotStore
from eventkernel.ports.stream_directory import StreamDirectory, StreamHead
from eventkernel.ports.view_catalogue import LaneHead, ViewCatalogue, ViewNotes
from eventkernel.ports.view_store import (
    Checkpoint,
    CheckpointMark,
    JointChange,
    ParkedEvent,
    StoredRow,
    StreamChange,
    ViewReading,
    ViewStatus,
    ViewStore,
    ViewTransaction,
    mark_of,
)

__all__ = [
    "AppendOutcome",
    "Appended",
    "BusMessage",
    "BusRecord",
    "BusTail",
    "Checkpoint",
    "CheckpointMark",
    "Clock",
    "CommandRecord",
    "Conflict",
    "Entry",
    "EventPublisher",
    "EventStore",
    "EventSubscription",
    "JointChange",
    "LaneHead",
    "Loaded",
    "Outbox",
    "OutboxDepth",
    "OutboxRun",
    "ParkedEvent",
    "PendingStream",
    "Position",
    "Replayed",
    "ShardLeases",
    "Snapshot",
    "SnapshotStore",
    "StoredRow",
    "StreamChange",
    "StreamDirectory",
    "StreamHead",
    "TopicPartition",
    "Unknown",
    "ViewCatalogue",
    "ViewNotes",
    "ViewReading",
    "ViewStatus",
    "ViewStore",
    "ViewTransaction",
    "mark_of",
]
