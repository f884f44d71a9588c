"""The command side: one command in, exactly one event stored, the aggregate after it out.

Commands of one stream are taken in turn by that stream's lane: those that queue up while a write is under way are decided one
after the other on the growing state and stored together in one append. Different streams run side by side.
"""

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from eventkernel import failpoints, marks
from eventkernel.envelope import EventMeta, NewEvent
from eventkernel.errors import (
    IdempotencyMismatch,
    InvalidCommand,
    KernelError,
    OutcomeUnknown,
    Overloaded,
    Refusal,
    StoreUnavailable,
    StreamNotFound,
    VersionConflict,
)
from eventkernel.evolving import quickly_made
from eventkernel.ids import StreamId, event_id_of
from eventkernel.ports import (
    Appended,
    AppendOutcome,
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
from eventkernel.ports.event_store import ENTRIES_MAX
from eventkernel.runtime.aggregate import Aggregate, AggregateType, CommandRequest
from eventkernel.runtime.aggregate_cache import AggregateCache
from eventkernel.runtime.repository import Repository
from eventkernel.runtime.snapshotting import SnapshotPolicy, Snapshotting
from eventkernel.runtime.times import DEFAULT_TIME_RULES, TimeRules, event_times

_log = logging.getLogger(__name__)

C = TypeVar("C")
E = TypeVar("E")
S = TypeVar("S")
X = TypeVar("X")

_REFUSED = (Refusal, InvalidCommand, StreamNotFound, VersionConflict)
"""What a decision on a state answers instead of an event. On a state that may be stale none of it is told."""


@dataclass(frozen=True, slots=True)
class HandlerLimits:
    """Named limits. ``conflict_retries_max``: appends lost to other writers before the caller is told to try again;
    ``unknown_retries_max``: repeats of an append whose outcome is unknown; ``lane_commands_max``: commands waiting for one
    stream; ``batch_commands_max`` and ``batch_bytes_max``: what is stored in one append; ``snapshot_every_events``,
    ``snapshot_load_seconds``, ``snapshots_behind_max`` and ``snapshots_kept``: as in ``SnapshotPolicy``.
    """

    conflict_retries_max: int = 8
    unknown_retries_max: int = 1
    lane_commands_max: int = 256
    batch_commands_max: int = 32
    batch_bytes_max: int = 1_000_000
    snapshot_every_events: int = 100
    snapshot_load_seconds: float = 0.0
    snapshots_behind_max: int = 64
    snapshots_kept: int = 3

    def __post_init__(self) -> None:
        """Refuse a batch that no store takes."""
        if not 1 <= self.batch_commands_max <= ENTRIES_MAX:
            raise ValueError(f"batch_commands_max must be 1 to {ENTRIES_MAX}, not {self.batch_commands_max}")


DEFAULT_LIMITS = HandlerLimits()


@quickly_made
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
    """A command and where its caller waits. ``in_doubt``: why an append that held it may be stored, else empty."""

    request: CommandRequest[C]
    reply: "asyncio.Future[CommandReply[S]]"
    in_doubt: str = ""


@dataclass(slots=True)
class _Staged(Generic[C, S]):
    """A command that was decided on the state before it and waits for the append; ``twins`` are repeats of it in flight."""

    waiting: _Waiting[C, S]
    entry: Entry
    after: Aggregate[S]
    twins: list[_Waiting[C, S]] = field(default_factory=list)

    @property
    def callers(self) -> "list[_Waiting[C, S]]":
        return [self.waiting, *self.twins]


@dataclass(slots=True)
class _Decided(Generic[C, S]):
    """What came of a batch: what is to be stored, what can be told now, and what rests on state that is not stored yet."""

    staged: list[_Staged[C, S]] = field(default_factory=list)
    now: "list[tuple[_Waiting[C, S], Exception | CommandReply[S]]]" = field(default_factory=list)
    later: list[tuple[_Waiting[C, S], KernelError]] = field(default_factory=list)


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
        self._clock = clock
        self._cache = cache
        self._limits = limits
        self._times = times
        self._observer = observer
        self._on_appended = on_appended
        self.repository: Repository[E, S] = Repository(kind, store, snapshots)
        self._lanes: dict[StreamId, _Lane[C, S]] = {}
        policy = SnapshotPolicy(
            limits.snapshot_every_events,
            limits.snapshot_load_seconds,
            limits.snapshots_behind_max,
            limits.snapshots_kept,
        )
        self._snapshotting: Snapshotting[S] = Snapshotting(self.repository, snapshots, policy)

    async def handle(self, request: CommandRequest[C]) -> CommandReply[S]:
        """Run one command.

        Raises the decider's ``Refusal``, ``InvalidCommand``, ``StreamNotFound``, ``VersionConflict``,
        ``IdempotencyMismatch``, ``Overloaded``, ``StoreUnavailable`` or ``OutcomeUnknown``. A caller that is cancelled while
        its command still queues takes it back; once it is on its way to the store it runs on, and repeating it with the same
        id gives its reply.
        """
        lane = self._lanes.get(request.stream)
        if lane is None:
            lane = self._lanes[request.stream] = _Lane()
        if len(lane.waiting) >= self._limits.lane_commands_max:
            raise Overloaded("lane_commands_max", at=self._limits.lane_commands_max)
        waiting = _Waiting(request, asyncio.get_running_loop().create_future())
        lane.waiting.append(waiting)
        if lane.task is None:
            # A context of its own: the lane works for every caller, not for the one that happened to begin it.
            lane.task = asyncio.create_task(self._run_lane(request.stream, lane), context=contextvars.Context())
        return await waiting.reply

    async def drain(self) -> None:
        """Wait until every command taken has its outcome and every snapshot under way is written."""
        while self._lanes or self._snapshotting.behind:
            tasks = [lane.task for lane in self._lanes.values() if lane.task] + list(self._snapshotting.behind)
            await asyncio.wait(tasks)

    async def _run_lane(self, stream: StreamId, lane: _Lane[C, S]) -> None:
        batch: list[_Waiting[C, S]] = []
        try:
            while lane.waiting:
                batch = [lane.waiting.popleft() for _ in range(min(len(lane.waiting), self._limits.batch_commands_max))]
                try:
                    await self._run_batch(stream, batch)
                except Exception as error:  # noqa: BLE001 - whatever broke belongs to the callers of this batch
                    self._cache.drop(stream)
                    if not isinstance(error, KernelError):
                        _log.error("commands of %s failed", stream.key, exc_info=error)
                    for waiting in batch:
                        _fail(waiting, error)
        finally:
            del self._lanes[stream]
            # Only a cancelled lane leaves callers behind.
            for waiting in (*batch, *lane.waiting):
                _fail(waiting, StoreUnavailable("command handler", "it was stopped"))

    async def _run_batch(self, stream: StreamId, batch: Sequence[_Waiting[C, S]]) -> None:
        aggregate, fresh = self._cached(stream, batch)
        lost = 0
        while batch := [waiting for waiting in batch if not waiting.reply.done()]:
            if aggregate is None:
                aggregate, fresh = await self._load(stream), True
            decided = await self._decide_all(aggregate, batch, fresh=fresh)
            if decided is None:
                marks.hit("handler: a refusal on what may be stale, read again")
                again = self.repository.refresh(aggregate) if aggregate.version else self._load(stream)
                aggregate, fresh = await again, True
                continue
            for waiting, answer in decided.now:
                _answer(waiting, answer)
            if not decided.staged:
                if aggregate.version:
                    self._cache.keep(aggregate)
                return
            outcome = await self._append(stream, aggregate.position, decided.staged)
            if isinstance(outcome, Appended):
                failpoints.reached("appended-reply-to-caller-lost")
                aggregate, fresh = self._settle(decided.staged, outcome.position), True
                for waiting, error in decided.later:
                    _fail(waiting, error)
                continue
            self._cache.drop(stream)
            aggregate = None
            if isinstance(outcome, Unknown):
                marks.hit("handler: outcome stays unknown")
                self._give_up(decided.staged, outcome.cause)
                continue
            marks.hit(
                "handler: lost to another writer" if isinstance(outcome, Conflict) else "handler: found it stored"
            )
            lost += 1
            if isinstance(outcome, Conflict) and self._observer:
                self._observer.conflict()
            if lost > self._limits.conflict_retries_max:
                raise Overloaded("conflict_retries_max", at=self._limits.conflict_retries_max)

    async def _load(self, stream: StreamId) -> Aggregate[S]:
        now = asyncio.get_running_loop().time
        began = now()
        loaded = await self.repository.loaded(stream)
        self._snapshotting.loaded(loaded, now() - began)
        return loaded.aggregate

    async def _append(self, stream: StreamId, expected: Position, staged: Sequence[_Staged[C, S]]) -> AppendOutcome:
        """Append; while the outcome is unknown the same entries are sent again, which settles it.

        A conflict settles it as well: nothing that expects this position can be stored any more.
        """
        entries = [item.entry for item in staged]
        callers = [waiting for item in staged for waiting in item.callers]
        outcome: AppendOutcome = Unknown("")
        doubt = ""
        for _ in range(1 + self._limits.unknown_retries_max):
            _doubt(callers, doubt or "the append was broken off")
            try:
                outcome = await self._store.append(stream, expected, entries)
            except StoreUnavailable:
                marks.hit("handler: not executed, but unknown before" if doubt else "handler: not executed")
                _doubt(callers, doubt)
                raise
            if not isinstance(outcome, Unknown):
                if doubt:
                    marks.hit("handler: unknown, settled by sending again")
                _doubt(callers, doubt if isinstance(outcome, Replayed) else "")
                break
            doubt = outcome.cause
        return outcome

    def _give_up(self, staged: Sequence[_Staged[C, S]], cause: str) -> None:
        """The append may or may not have happened: its callers are told so; what was decided on it is decided again."""
        if self._observer:
            self._observer.unknown()
        for item in staged:
            for waiting in item.callers:
                request = waiting.request
                _fail(waiting, OutcomeUnknown(request.stream.key, str(request.command_id), cause))
        if self._on_appended:
            self._on_appended(staged[-1].waiting.request.stream)

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
    ) -> _Decided[C, S] | None:
        """Decide the batch in order on the growing state, as far as one append takes it.

        None when a refusal rests on state that may be stale: then nothing may be told and the batch is to be decided again
        on what the store has now.
        """
        decided: _Decided[C, S] = _Decided()
        by_id: dict[Any, _Staged[C, S]] = {}
        current = aggregate
        bytes_staged = 0
        for waiting in batch:
            if waiting.reply.done():
                continue
            if bytes_staged >= self._limits.batch_bytes_max:
                break
            request = waiting.request
            twin = by_id.get(request.command_id)
            if twin is not None:
                if twin.waiting.request.request_hash == request.request_hash:
                    twin.twins.append(waiting)
                else:
                    decided.later.append((waiting, IdempotencyMismatch(request.stream.key, str(request.command_id))))
                continue
            try:
                record = await self._stored_before(aggregate, request, fresh=fresh)
                if record is not None:
                    decided.now.append((waiting, await self._replay(aggregate, request, record)))
                    continue
                item = self._decide(current, waiting)
            except _REFUSED as error:
                if not fresh:
                    return None
                (decided.later if decided.staged else decided.now).append((waiting, error))
            except Exception as error:  # noqa: BLE001 - one command's failure is not its neighbours'
                decided.now.append((waiting, error))
            else:
                decided.staged.append(item)
                by_id[request.command_id] = item
                current = item.after
                bytes_staged += len(item.entry.event.data)
        return decided

    async def _stored_before(
        self, aggregate: Aggregate[S], request: CommandRequest[C], *, fresh: bool
    ) -> CommandRecord | None:
        """The command's record, if it was stored before.

        Where not all ids of the stream are known, a first look at a cached state saves the question: if the command is
        accepted the append finds a taken id, and if it is refused it is looked at again.
        """
        known = aggregate.commands
        if (known is None and not fresh) or (known is not None and request.command_id not in known):
            return None
        return await self._store.find_command(request.stream, request.command_id)

    async def _replay(
        self, aggregate: Aggregate[S], request: CommandRequest[C], record: CommandRecord
    ) -> CommandReply[S]:
        if record.request_hash != request.request_hash:
            raise IdempotencyMismatch(request.stream.key, str(request.command_id))
        marks.hit("handler: first reply again")
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
        after = current.advanced(state, meta, Position(current.version + 1), event_bytes=len(encoded.data))
        return _Staged(waiting, Entry(new, request.command_id, request.request_hash), after)

    def _settle(self, staged: Sequence[_Staged[C, S]], position: Position) -> Aggregate[S]:
        """Everything is stored: tell the callers before anything else, then whoever else wants to know."""
        kept = staged[-1].after.placed(position)
        self._cache.keep(kept)
        for item in staged:
            _answer(item.waiting, CommandReply(item.after, replayed=False))
            for twin in item.twins:
                _answer(twin, CommandReply(item.after, replayed=True))
        if self._on_appended:
            self._on_appended(kept.stream)
        if self._observer:
            self._observer.appended(len(staged))
        self._snapshotting.appended(kept, len(staged))
        return kept


def _answer(waiting: _Waiting[Any, S], answer: Exception | CommandReply[S]) -> None:
    if isinstance(answer, Exception):
        _fail(waiting, answer)
    elif not waiting.reply.done():
        waiting.reply.set_result(answer)


def _fail(waiting: _Waiting[Any, Any], error: Exception) -> None:
    if waiting.in_doubt and not isinstance(error, (*_REFUSED, IdempotencyMismatch, OutcomeUnknown)):
        request = waiting.request
        error = OutcomeUnknown(request.stream.key, str(request.command_id), f"{waiting.in_doubt}; {error}")
    if not waiting.reply.done():
        waiting.reply.set_exception(error)


def _doubt(callers: Sequence[_Waiting[Any, Any]], cause: str) -> None:
    for waiting in callers:
        waiting.in_doubt = cause
