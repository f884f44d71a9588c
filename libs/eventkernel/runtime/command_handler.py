"""The command side: one command in, exactly one event stored, the aggregate after it out.

Commands of one stream are taken in turn by that stream's lane: those that queue up while a write is under way are decided one
after the other on the growing state and stored together in one append. Different streams run side by side.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from eventkernel.envelope import EventMeta, NewEvent
from eventkernel.errors import (
    IdempotencyMismatch,
    InvalidCommand,
    KernelError,
    OutcomeUnknown,
    Overloaded,
    Refusal,
    StreamNotFound,
    VersionConflict,
)
from eventkernel.ids import StreamId, event_id_of
from eventkernel.ports import (
    Appended,
    Clock,
    CommandRecord,
    Conflict,
    Entry,
    EventStore,
    Position,
    Replayed,
    SnapshotStore,
    Unknown,
)
from eventkernel.runtime.aggregate import Aggregate, AggregateType, CommandRequest
from eventkernel.runtime.aggregate_cache import AggregateCache
from eventkernel.runtime.repository import Repository
from eventkernel.runtime.times import DEFAULT_TIME_RULES, TimeRules, event_times

_log = logging.getLogger(__name__)

C = TypeVar("C")
E = TypeVar("E")
S = TypeVar("S")
X = TypeVar("X")


@dataclass(frozen=True, slots=True)
class HandlerLimits:
    """Named limits. ``conflict_retries_max``: appends lost to other writers before the caller is told to try again;
    ``lane_commands_max``: commands waiting for one stream; ``batch_commands_max``: commands stored in one append;
    ``snapshot_every_events``: distance between snapshots, 0 for none.
    """

    conflict_retries_max: int = 8
    lane_commands_max: int = 256
    batch_commands_max: int = 32
    snapshot_every_events: int = 100


DEFAULT_LIMITS = HandlerLimits()


@dataclass(frozen=True, slots=True)
class CommandReply(Generic[S]):
    """The aggregate after the command's event; ``replayed`` when the command had been stored before."""

    aggregate: Aggregate[S]
    replayed: bool


class HandlerObserver(Protocol):
    """What a handler tells: counts for metrics."""

    def appended(self, events: int) -> None:
        """One append of so many events was applied."""

    def conflict(self) -> None:
        """An append lost against another writer."""

    def unknown(self) -> None:
        """An append's outcome stayed unknown."""


@dataclass(slots=True)
class _Waiting(Generic[C, S]):
    request: CommandRequest[C]
    reply: "asyncio.Future[CommandReply[S]]"


@dataclass(slots=True)
class _Staged(Generic[C, S]):
    """A command that was decided on the state before it and waits for the append; ``twins`` are repeats of it in flight."""

    waiting: _Waiting[C, S]
    entry: Entry
    after: Aggregate[S]
    twins: list[_Waiting[C, S]] = field(default_factory=list)


@dataclass(slots=True)
class _Lane(Generic[C, S]):
    waiting: deque[_Waiting[C, S]] = field(default_factory=deque)
    task: "asyncio.Task[None] | None" = None


class CommandHandler(Generic[C, E, S, X]):
    """Handles the commands of one aggregate type."""

    def __init__(
        self,
        kind: AggregateType[C, E, S, X],
        store: EventStore,
        snapshots: SnapshotStore,
        clock: Clock,
        cache: AggregateCache,
        *,
        limits: HandlerLimits = DEFAULT_LIMITS,
        times: TimeRules = DEFAULT_TIME_RULES,
        observer: HandlerObserver | None = None,
        on_appended: Callable[[StreamId], None] | None = None,
    ) -> None:
        self._kind = kind
        self._store = store
        self._snapshots = snapshots
        self._clock = clock
        self._cache = cache
        self._limits = limits
        self._times = times
        self._observer = observer
        self._on_appended = on_appended
        self.repository: Repository[E, S] = Repository(kind, store, snapshots)
        self._lanes: dict[StreamId, _Lane[C, S]] = {}
        self._behind: set[asyncio.Task[None]] = set()

    async def handle(self, request: CommandRequest[C]) -> CommandReply[S]:
        """Run one command.

        Raises the decider's ``Refusal``, ``InvalidCommand``, ``StreamNotFound``, ``VersionConflict``,
        ``IdempotencyMismatch``, ``Overloaded``, ``StoreUnavailable`` or ``OutcomeUnknown``. A caller that is cancelled
        leaves the command running; repeating it with the same id gives its reply.
        """
        lane = self._lanes.get(request.stream)
        if lane is None:
            lane = self._lanes[request.stream] = _Lane()
        if len(lane.waiting) >= self._limits.lane_commands_max:
            raise Overloaded("lane_commands_max", at=self._limits.lane_commands_max)
        waiting = _Waiting(request, asyncio.get_running_loop().create_future())
        lane.waiting.append(waiting)
        if lane.task is None:
            lane.task = asyncio.create_task(self._run_lane(request.stream, lane))
        return await waiting.reply

    async def drain(self) -> None:
        """Wait until every command taken has its outcome and every snapshot under way is written."""
        while self._lanes or self._behind:
            tasks = [lane.task for lane in self._lanes.values() if lane.task] + list(self._behind)
            await asyncio.wait(tasks)

    async def _run_lane(self, stream: StreamId, lane: _Lane[C, S]) -> None:
        try:
            while lane.waiting:
                batch = [lane.waiting.popleft() for _ in range(min(len(lane.waiting), self._limits.batch_commands_max))]
                try:
                    await self._run_batch(stream, batch)
                except Exception as error:  # noqa: BLE001 - whatever broke belongs to the callers of this batch
                    self._cache.drop(stream)
                    for waiting in batch:
                        _fail(waiting, error)
        finally:
            del self._lanes[stream]

    async def _run_batch(self, stream: StreamId, batch: list[_Waiting[C, S]]) -> None:
        aggregate, fresh = self._cached(stream, batch)
        conflicts = 0
        while batch:
            if aggregate is None:
                aggregate, fresh = await self.repository.load(stream), True
            staged, later, doubtful = await self._decide_all(aggregate, batch, fresh=fresh)
            if doubtful:
                aggregate, fresh = await self.repository.refresh(aggregate), True
                continue
            if not staged:
                if aggregate.version:
                    self._cache.keep(aggregate)
                return
            outcome = await self._store.append(stream, aggregate.position, [item.entry for item in staged])
            if isinstance(outcome, Appended):
                self._settle(staged, outcome.position)
                for waiting, error in later:
                    _fail(waiting, error)
                return
            self._cache.drop(stream)
            if isinstance(outcome, Unknown):
                self._give_up(staged, outcome.cause)
            else:
                conflicts += 1
                self._lost(outcome, aggregate, conflicts)
            batch = [waiting for waiting in batch if not waiting.reply.done()]
            aggregate = None

    def _give_up(self, staged: Sequence[_Staged[C, S]], cause: str) -> None:
        """The append may or may not have happened: its callers are told so; what was decided on it is decided again."""
        if self._observer:
            self._observer.unknown()
        for item in staged:
            for waiting in (item.waiting, *item.twins):
                request = waiting.request
                _fail(waiting, OutcomeUnknown(request.stream.key, str(request.command_id), cause))

    def _lost(self, outcome: Conflict | Replayed, aggregate: Aggregate[S], conflicts: int) -> None:
        """Another writer was first, or a command id is taken: read again and decide again, within the limit."""
        actual = aggregate.version
        if isinstance(outcome, Conflict):
            actual = outcome.actual_version or actual
            if self._observer:
                self._observer.conflict()
        if conflicts > self._limits.conflict_retries_max:
            raise VersionConflict(aggregate.stream.key, expected=aggregate.version, actual=actual)

    def _cached(self, stream: StreamId, batch: Sequence[_Waiting[C, S]]) -> tuple[Aggregate[S] | None, bool]:
        """What is known of the stream without reading; a creating command may assume that there is none and let the
        conditional append find out.
        """
        kept = self._cache.get(stream)
        if kept is None and self._kind.creates(type(batch[0].request.command)):
            return self.repository.empty(stream), False
        return kept, False

    async def _decide_all(
        self, aggregate: Aggregate[S], batch: Sequence[_Waiting[C, S]], *, fresh: bool
    ) -> tuple[list[_Staged[C, S]], list[tuple[_Waiting[C, S], KernelError]], bool]:
        """Decide the batch in order on the growing state.

        Gives what is to be stored, the refusals that rest on state that is not stored yet (told after the append), and
        whether a refusal rests on state that may be stale: then nothing was told and the batch must be decided again.
        """
        staged: dict[Any, _Staged[C, S]] = {}
        later: list[tuple[_Waiting[C, S], KernelError]] = []
        now_told: list[tuple[_Waiting[C, S], Exception | CommandReply[S]]] = []
        current = aggregate
        for waiting in batch:
            request = waiting.request
            twin = staged.get(request.command_id)
            try:
                if twin is not None:
                    if twin.waiting.request.request_hash != request.request_hash:
                        raise IdempotencyMismatch(request.stream.key, str(request.command_id))
                    twin.twins.append(waiting)
                    continue
                record = await self._stored_before(aggregate, request)
                if record is not None:
                    now_told.append((waiting, await self._replay(aggregate, request, record)))
                    continue
                item = self._decide(current, waiting)
                staged[request.command_id] = item
                current = item.after
            except (Refusal, InvalidCommand, StreamNotFound, VersionConflict) as error:
                if not fresh:
                    return [], [], True
                (later if staged else now_told).append((waiting, error))
            except Exception as error:  # noqa: BLE001 - one command's failure is not its neighbours'
                now_told.append((waiting, error))
        for waiting, answer in now_told:
            if isinstance(answer, Exception):
                _fail(waiting, answer)
            else:
                _tell(waiting, answer)
        return list(staged.values()), later, False

    async def _stored_before(self, aggregate: Aggregate[S], request: CommandRequest[C]) -> CommandRecord | None:
        known = aggregate.commands
        if known is not None and request.command_id not in known:
            return None
        return await self._store.find_command(request.stream, request.command_id)

    async def _replay(
        self, aggregate: Aggregate[S], request: CommandRequest[C], record: CommandRecord
    ) -> CommandReply[S]:
        if record.request_hash != request.request_hash:
            raise IdempotencyMismatch(request.stream.key, str(request.command_id))
        if record.last_version == aggregate.version:
            return CommandReply(aggregate, replayed=True)
        return CommandReply(await self.repository.at_version(request.stream, record.last_version), replayed=True)

    def _decide(self, current: Aggregate[S], waiting: _Waiting[C, S]) -> _Staged[C, S]:
        request = waiting.request
        if request.expected_version is not None and request.expected_version != current.version:
            raise VersionConflict(request.stream.key, expected=request.expected_version, actual=current.version)
        if current.version == 0 and not self._kind.creates(type(request.command)):
            raise StreamNotFound(request.stream.key)
        occurred_at, recorded_at = event_times(self._times, current, request, self._clock.now())
        event = self._kind.decider.decide(current.state, request.command, self._kind.facts(request, occurred_at))
        encoded = self._kind.codecs.events.encode(event)
        meta = EventMeta(occurred_at, recorded_at, request.command_id, request.provenance)
        event_id = event_id_of(request.stream, request.command_id)
        new = NewEvent(event_id, encoded.type, encoded.schema_version, encoded.data, meta)
        state = self._kind.decider.evolve(current.state, event)
        after = current.advanced(state, meta, Position(current.version + 1))
        return _Staged(waiting, Entry(new, request.command_id, request.request_hash), after)

    def _settle(self, staged: Sequence[_Staged[C, S]], position: Position) -> None:
        last = staged[-1]
        kept = Aggregate(
            last.after.stream,
            last.after.state,
            position,
            last.after.created_at,
            last.after.occurred_at,
            last.after.recorded_at,
            last.after.commands,
        )
        self._cache.keep(kept)
        if self._observer:
            self._observer.appended(len(staged))
        if self._on_appended:
            self._on_appended(kept.stream)
        for item in staged:
            _tell(item.waiting, CommandReply(item.after, replayed=False))
            for twin in item.twins:
                _tell(twin, CommandReply(item.after, replayed=True))
        every = self._limits.snapshot_every_events
        if every and kept.version // every > (kept.version - len(staged)) // every:
            task = asyncio.create_task(self._save_snapshot(kept))
            self._behind.add(task)
            task.add_done_callback(self._behind.discard)

    async def _save_snapshot(self, aggregate: Aggregate[S]) -> None:
        try:
            await self._snapshots.save(aggregate.stream, self.repository.snapshot_of(aggregate))
        except KernelError as error:
            # A snapshot only saves time, and the next one is tried some events on.
            _log.warning("snapshot of %s not saved: %s", aggregate.stream.key, error)


def _tell(waiting: _Waiting[Any, S], reply: CommandReply[S]) -> None:
    if not waiting.reply.done():
        waiting.reply.set_result(reply)


def _fail(waiting: _Waiting[Any, Any], error: Exception) -> None:
    if not waiting.reply.done():
        waiting.reply.set_exception(error)
