"""The event store beside a model of it: random histories whose every answer must be the model's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid5

from eventkernel.ids import StreamId
from eventkernel.ports.event_store import (
    Appended,
    AppendOutcome,
    CommandRecord,
    Conflict,
    Entry,
    EventStore,
    Position,
    Replayed,
)
from eventkernel.testing.contracts.journal import as_recorded, new_entry, new_stream, settled

STREAMS = 3
COMMANDS = 12


@dataclass(slots=True)
class _Model:
    """One stream as a list of entries; a position is kept for every version, so that stale ones are real."""

    stream: StreamId
    entries: list[Entry] = field(default_factory=list)
    positions: list[Position] = field(default_factory=lambda: [Position(0)])

    def record(self, command_id: UUID) -> CommandRecord | None:
        for version, entry in enumerate(self.entries, 1):
            if entry.command_id == command_id:
                return CommandRecord(command_id, entry.request_hash, version, version)
        return None

    def append(self, expected: Position, entries: Sequence[Entry]) -> AppendOutcome:
        for entry in entries:
            record = self.record(entry.command_id)
            if record is not None:
                return Replayed(record)
        if expected.version != len(self.entries):
            return Conflict(len(self.entries))
        self.entries += entries
        return Appended(Position(len(self.entries)))


async def walk(stores: Sequence[EventStore], draw: Callable[[int], int], steps: int) -> None:
    """Take random steps on new streams and compare every answer. ``draw(n)`` gives a number below n.

    ``stores`` are instances over the same data; each step takes one of them. Positions are those that appends and loads to
    the head have given, the newest or an older one.
    """
    models = [_Model(new_stream()) for _ in range(STREAMS)]
    for _ in range(steps):
        model, store = models[draw(STREAMS)], stores[draw(len(stores))]
        match draw(5):
            case 0 | 1 | 2:
                await _append(model, store, draw)
            case 3:
                await _load(model, store, draw)
            case _:
                command_id = _command(model, draw)
                assert await store.find_command(model.stream, command_id) == model.record(command_id)
    for model in models:
        loaded = await stores[0].load(model.stream)
        assert list(loaded.events) == [as_recorded(model.stream, v, entry) for v, entry in enumerate(model.entries, 1)]


async def _append(model: _Model, store: EventStore, draw: Callable[[int], int]) -> None:
    ids = dict.fromkeys(_command(model, draw) for _ in range(1 + draw(3)))
    entries = [new_entry(model.stream, command_id=command_id, data=bytes([draw(2)])) for command_id in ids]
    expected = model.positions[draw(len(model.positions))] if draw(3) == 0 else model.positions[-1]
    wanted = model.append(expected, entries)
    outcome = await settled(store, model.stream, expected, entries)
    match wanted:
        case Appended(position):
            assert isinstance(outcome, (Appended, Replayed)), outcome
            assert isinstance(outcome, Replayed) or outcome.position.version == position.version
            after = outcome.position if isinstance(outcome, Appended) else (await store.load(model.stream)).position
            model.positions.append(after)
        case Conflict(version):
            assert isinstance(outcome, Conflict), outcome
            assert outcome.actual_version in (None, version)
        case _:
            assert _is_taken(outcome, model, entries), (outcome, wanted)


def _is_taken(outcome: AppendOutcome, model: _Model, entries: Sequence[Entry]) -> bool:
    """Whether the answer is the record of a taken id; of several taken ids a store may name any."""
    taken = [model.record(entry.command_id) for entry in entries]
    return isinstance(outcome, Replayed) and outcome.record in taken


async def _load(model: _Model, store: EventStore, draw: Callable[[int], int]) -> None:
    after, up_to = draw(len(model.entries) + 2), draw(len(model.entries) + 2)
    loaded = await store.load(model.stream, after=after, up_to=up_to, events_max=1 + draw(4) if draw(2) else None)
    wanted = [as_recorded(model.stream, v, entry) for v, entry in enumerate(model.entries, 1) if after < v <= up_to]
    assert list(loaded.events) == wanted[: len(loaded.events)]
    assert loaded.events or not wanted


def _command(model: _Model, draw: Callable[[int], int]) -> UUID:
    return uuid5(UUID(int=0), f"{model.stream.key}/{draw(COMMANDS)}")
