"""Appends whose answers are missing, in every combination of what may have happened to each statement."""

from collections import Counter
from collections.abc import Sequence
from enum import Enum
from typing import Any

import pytest

from eventkernel.errors import StoreMismatch, StoreUnavailable
from eventkernel.ids import StreamId
from eventkernel.ports.event_store import Appended, AppendOutcome, Conflict, Entry, Position, Replayed, Unknown
from eventkernel.testing.contracts.journal import new_entry
from eventkernel_cassandra.errors import InDoubt, NotExecuted, ServerRefused
from eventkernel_cassandra.event_store import CassandraEventStore
from eventkernel_cassandra.exploring import Choices, every_history
from eventkernel_cassandra.faulty_session import Fault
from eventkernel_cassandra.journal import ROUNDS_MAX
from eventkernel_cassandra.session import Kind, Row, Statement, Value, Verdict
from eventkernel_cassandra.settings import Layout
from eventkernel_cassandra.simulated_session import SimulatedSession, SimulatedStore
from eventkernel_cassandra.statements import append_values, statements_of
from eventkernel_memory.clock import ManualClock

STATEMENTS = statements_of("simulated")
LAYOUT = Layout(bucket_events=64, shard_count=1)
STREAM = StreamId("default", "order-1")
KEY = STREAM.key
READ_FAULTS = (None, Fault.REFUSED)
WRITE_FAULTS = (None, *Fault)


class Meanwhile(Enum):
    """What others may do before a statement runs."""

    NOTHING = "nothing"
    LAND = "what is late is executed"
    RIVAL = "another append at the same position wins"
    SAME_COMMAND = "the same command, sent by somebody else, wins"
    PASS_BY = "a relay passes the generation by"


class InstantClock(ManualClock):
    """Sleeps that take no time."""

    async def sleep(self, seconds: float) -> None:
        return


class ChosenSession:
    """A session on which everything that may happen does, as the choices say, within a budget of faults and events."""

    def __init__(
        self,
        store: SimulatedStore,
        choices: Choices,
        entries: Sequence[Entry],
        faults_max: int,
        events: Sequence[Meanwhile],
    ):
        self._store = store
        self._choices = choices
        self._entries = entries
        self._events = list(events)
        self._late: list[tuple[Statement, Sequence[Value]]] = []
        self._faults_left = faults_max
        self.marks: list[str] = []

    async def read(self, statement: Statement, values: Sequence[Value]) -> Sequence[Row]:
        self._happen()
        if self._fault(READ_FAULTS) is not None:
            self.marks.append(f"{statement.name} refused")
            raise NotExecuted("no answer")
        rows: Sequence[Row] = self._store.run(statement, values)
        self.marks.append(f"{statement.name} found {len(rows)}")
        return rows

    async def write(self, statement: Statement, values: Sequence[Value]) -> None:
        self._execute(statement, values)

    async def apply(self, statement: Statement, values: Sequence[Value]) -> Verdict:
        verdict: Verdict = self._execute(statement, values)
        return verdict

    async def define(self, cql: str) -> None:
        raise AssertionError(cql)

    async def close(self) -> None:
        self.land()

    def land(self) -> None:
        late, self._late = self._late, []
        for statement, values in late:
            verdict = self._store.run(statement, values)
            if verdict is not None:
                self.marks.append(f"late append {'applied' if verdict.applied else 'not applied'}")

    def _execute(self, statement: Statement, values: Sequence[Value]) -> Any:
        self._happen()
        fault = self._fault(WRITE_FAULTS)
        name = statement.name.partition(":")[0]
        if fault is not None:
            self.marks.append(f"{name} {fault.name.lower()}")
        match fault:
            case None:
                verdict = self._store.run(statement, values)
                if statement.kind is Kind.CONDITIONAL:
                    self.marks.append(f"{name} {'applied' if verdict.applied else 'not applied'}")
                return verdict
            case Fault.REFUSED:
                raise NotExecuted("too few replicas")
            case Fault.REPLY_LOST:
                self._store.run(statement, values)
            case Fault.LATE:
                self._late.append((statement, values))
            case Fault.LOST:
                pass
        raise InDoubt(fault.value)

    def _fault(self, faults: Sequence[Fault | None]) -> Fault | None:
        fault = faults[self._choices.pick(len(faults))] if self._faults_left else None
        self._faults_left -= fault is not None
        return fault

    def _happen(self) -> None:
        """One of the things that others may do, each at most once; landing whenever something is late."""
        possible = [Meanwhile.NOTHING, *self._events, *([Meanwhile.LAND] if self._late else [])]
        happens = possible[self._choices.pick(len(possible))] if len(possible) > 1 else Meanwhile.NOTHING
        if happens in self._events:
            self._events.remove(happens)
        if happens is not Meanwhile.NOTHING:
            self.marks.append(happens.name.lower())
        match happens:
            case Meanwhile.LAND:
                self.land()
            case Meanwhile.RIVAL:
                self._append_as_another([new_entry(STREAM)])
            case Meanwhile.SAME_COMMAND:
                self._append_as_another(self._entries[-1:])
            case Meanwhile.PASS_BY:
                partition = self._store.journal.get((KEY, 0))
                found = partition.gen if partition is not None else None
                if (found or 0) % 2 == 0:
                    self._store.run(STATEMENTS.pass_by, [(found or 0) + 2, KEY, 0, found])
            case Meanwhile.NOTHING:
                pass

    def _append_as_another(self, entries: Sequence[Entry]) -> None:
        partition = self._store.journal.get((KEY, 0))
        head, generation = (partition.head, partition.gen) if partition is not None else (None, None)
        if head is None:
            under = (generation or 0) | 1
            self._store.run(STATEMENTS.insert_pending, [0, KEY, 0, under])
            values = append_values(
                *(KEY, 0),
                expected=0,
                generation=generation or 0,
                announced=under,
                first=True,
                attempt=b"another",
                entries=entries,
            )
            assert self._store.run(STATEMENTS.append(len(entries), first=True), values).applied


def stored(store: SimulatedStore) -> list[bytes]:
    partition = store.journal.get((KEY, 0))
    return [] if partition is None else [partition.events[seq][1] for seq in sorted(partition.events)]


async def outcome_of(store: CassandraEventStore, entries: Sequence[Entry]) -> AppendOutcome | StoreUnavailable:
    try:
        return await store.append(STREAM, Position(0), entries)
    except StoreUnavailable as error:
        return error


async def walk(
    faults_max: int, entry_count: int, events: Sequence[Meanwhile] = ()
) -> tuple[Counter[str], Counter[str]]:
    """Every history: what was answered must be true then, stay true when all that is late has landed, and be settled by
    a retry. Gives the outcomes and the marks that were met.
    """
    outcomes: Counter[str] = Counter()
    marks: Counter[str] = Counter()
    for choices in every_history():
        entries = [new_entry(STREAM) for _ in range(entry_count)]
        ids = [entry.event.event_id.bytes for entry in entries]
        tables = SimulatedStore(ManualClock())
        session = ChosenSession(tables, choices, entries, faults_max, events)
        outcome = await outcome_of(CassandraEventStore(session, STATEMENTS, LAYOUT, InstantClock()), entries)
        session.land()
        history = (session.marks, outcome)
        by_us = tables.journal.get((KEY, 0)) is not None and [
            row[0] for row in tables.journal[KEY, 0].commands.values() if row[1] != b"another"
        ]
        match outcome:
            case Appended(position):
                assert stored(tables) == ids, history
                assert by_us == [entry.command_id.bytes for entry in entries], history
                assert position.version == entry_count, history
            case Replayed(record):
                assert not by_us, history
                assert record.command_id == entries[-1].command_id, history
                assert stored(tables) == ids[-1:], history
            case Conflict() | StoreUnavailable():
                assert not by_us, history
            case Unknown():
                assert stored(tables).count(ids[0]) <= 1, history
        await check_that_a_retry_settles_it(tables, entries, outcome)
        outcomes[type(outcome).__name__] += 1
        marks.update(set(session.marks))
    return outcomes, marks


async def check_that_a_retry_settles_it(tables: SimulatedStore, entries: Sequence[Entry], outcome: object) -> None:
    before = stored(tables)
    again = await outcome_of(CassandraEventStore(SimulatedSession(tables), STATEMENTS, LAYOUT, InstantClock()), entries)
    ids = [entry.event.event_id.bytes for entry in entries]
    match again:
        case Replayed():
            assert stored(tables) == before
            assert ids[-1] in before
        case Appended():
            assert before == []
            assert stored(tables) == ids
            assert isinstance(outcome, (Unknown, StoreUnavailable))
        case Conflict():
            assert not set(before) & set(ids)
        case other:
            raise AssertionError(other)
    for seq, row in tables.journal[KEY, 0].events.items():
        assert seq == row[0]
    partition = tables.journal[KEY, 0]
    assert (KEY, 0, partition.gen) in tables.pending[0]


async def test_every_answer_is_true_whatever_happened_to_the_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventkernel_cassandra.journal.ROUNDS_MAX", 3)  # so that three faults can use them up
    outcomes, marks = await walk(faults_max=3, entry_count=1)
    assert set(outcomes) == {"Appended", "NotExecuted", "Unknown"}
    for mark in (
        "insert_pending lost",
        "insert_pending refused",
        "append_first lost",
        "append_first reply_lost",
        "append_first late",
        "append_first refused",
        "select_commands_serially refused",
        "select_commands_serially found 0",
        "select_commands_serially found 1",
        "late append applied",
        "late append not applied",
        "append_first not applied",
    ):
        assert marks[mark], mark


@pytest.mark.parametrize("entry_count", [1, 2])
async def test_every_answer_is_true_whatever_others_do_meanwhile(entry_count: int) -> None:
    for events in ([Meanwhile.RIVAL, Meanwhile.PASS_BY], [Meanwhile.SAME_COMMAND, Meanwhile.PASS_BY]):
        outcomes, marks = await walk(2, entry_count, events)
        assert {"Appended", "NotExecuted"} <= set(outcomes)
        assert set(outcomes) & {"Conflict", "Replayed"}
        for mark in ("pass_by", "land", "late append applied", "late append not applied", "append_first not applied"):
            assert marks[mark], (mark, marks)


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.REPLY_LOST, Fault.LATE])
async def test_a_doubt_that_no_read_resolves_is_said_to_be_one(fault: Fault) -> None:
    tables = SimulatedStore(ManualClock())
    entry = new_entry(STREAM)
    session = HopelessSession(tables, fault)
    store = CassandraEventStore(session, STATEMENTS, LAYOUT, InstantClock())
    outcome = await store.append(STREAM, Position(0), [entry])
    assert isinstance(outcome, Unknown)
    assert session.appends == 1, "it was sent again before a read had said that it may be"
    assert session.reads == ROUNDS_MAX - 1
    healthy = CassandraEventStore(SimulatedSession(tables), STATEMENTS, LAYOUT, InstantClock())
    settled = await healthy.append(STREAM, Position(0), [entry])
    assert isinstance(settled, Replayed if fault is Fault.REPLY_LOST else Appended)


async def test_a_refusal_by_the_server_does_not_end_a_doubt() -> None:
    class Locked(HopelessSession):
        """The password was changed between the append and the read that would settle it."""

        async def read(self, statement: Statement, values: Sequence[Value]) -> Sequence[Row]:
            raise ServerRefused(statement.name, "bad credentials")

    tables = SimulatedStore(ManualClock())
    store = CassandraEventStore(Locked(tables, Fault.REPLY_LOST), STATEMENTS, LAYOUT, InstantClock())
    outcome = await store.append(STREAM, Position(0), [new_entry(STREAM)])
    assert isinstance(outcome, Unknown)
    assert "bad credentials" in outcome.cause
    with pytest.raises(StoreMismatch):
        await store.load(STREAM)


async def test_what_is_refused_before_any_doubt_is_not_one() -> None:
    store = CassandraEventStore(
        HopelessSession(SimulatedStore(ManualClock()), Fault.REFUSED), STATEMENTS, LAYOUT, InstantClock()
    )
    with pytest.raises(StoreUnavailable, match="too few replicas"):
        await store.append(STREAM, Position(0), [new_entry(STREAM)])


class HopelessSession(SimulatedSession):
    """Appends meet one fault, and no serial read is answered."""

    def __init__(self, store: SimulatedStore, fault: Fault) -> None:
        super().__init__(store)
        self._fault = fault
        self.appends = 0
        self.reads = 0

    async def read(self, statement: Statement, values: Sequence[Value]) -> Sequence[Row]:
        self.reads += 1
        raise NotExecuted("no answer")

    async def apply(self, statement: Statement, values: Sequence[Value]) -> Verdict:
        self.appends += 1
        if self._fault is Fault.REFUSED:
            raise NotExecuted("too few replicas")
        if self._fault is Fault.REPLY_LOST:
            await super().apply(statement, values)
        raise InDoubt(self._fault.value)
