"""The contract of ``EventStore``: order, atomicity, conditions, duplicates, ranges."""

import asyncio
from random import Random
from typing import TYPE_CHECKING
from uuid import uuid4

from eventkernel.errors import StoreUnavailable
from eventkernel.ids import StreamId
from eventkernel.ports.event_store import AFTER_ALL, ENTRIES_MAX, Appended, CommandRecord, Conflict, Position, Replayed
from eventkernel.testing.contracts.event_store_model import walk
from eventkernel.testing.contracts.features import Feature, Suite, needs
from eventkernel.testing.contracts.journal import (
    Journal,
    append,
    as_recorded,
    fill,
    new_entry,
    new_stream,
    new_tenant,
    push,
    settled,
)

if TYPE_CHECKING:
    from eventkernel.envelope import RecordedEvent

RACERS = 64


class EventStoreContract(Suite):
    """Give it a fixture ``journal``: a ``Journal`` over data of its own."""

    async def test_an_absent_stream_has_no_events_and_version_0(self, journal: Journal) -> None:
        loaded = await journal.store.load(new_stream())
        assert (list(loaded.events), loaded.position.version) == ([], 0)

    async def test_a_stored_event_is_loaded_equal_in_every_field(self, journal: Journal) -> None:
        stream = new_stream()
        entry = new_entry(stream)
        position = await append(journal.store, stream, Position(0), entry)
        loaded = await journal.store.load(stream)
        assert position.version == 1
        assert list(loaded.events) == [as_recorded(stream, 1, entry)]
        assert loaded.position.version == 1

    async def test_empty_and_large_payloads_are_kept_as_they_are(self, journal: Journal) -> None:
        stream = new_stream()
        entries = [new_entry(stream, data=data) for data in (b"", bytes(range(256)) * 800, b"\n")]
        await append(journal.store, stream, Position(0), *entries)
        assert [event.data for event in (await journal.store.load(stream)).events] == [e.event.data for e in entries]

    async def test_entries_of_one_append_get_consecutive_versions_in_their_order(self, journal: Journal) -> None:
        stream = new_stream()
        first, *more = [new_entry(stream) for _ in range(ENTRIES_MAX + 1)]
        position = await append(journal.store, stream, Position(0), first)
        position = await append(journal.store, stream, position, *more)
        assert position.version == ENTRIES_MAX + 1
        loaded = await journal.store.load(stream)
        assert list(loaded.events) == [as_recorded(stream, v, entry) for v, entry in enumerate([first, *more], 1)]

    async def test_an_append_is_seen_by_another_instance_as_soon_as_it_is_acknowledged(self, journal: Journal) -> None:
        stream = new_stream()
        position = Position(0)
        for version in range(1, 21):
            position = await append(journal.store, stream, position, new_entry(stream))
            assert (await journal.peer.load(stream)).position.version == version

    async def test_a_position_from_a_load_is_as_good_as_one_from_an_append(self, journal: Journal) -> None:
        stream = new_stream()
        await append(journal.store, stream, Position(0), new_entry(stream))
        for version in range(2, 6):
            position = (await journal.peer.load(stream)).position
            assert (await append(journal.peer, stream, position, new_entry(stream))).version == version

    async def test_a_stale_position_conflicts_and_stores_nothing(self, journal: Journal) -> None:
        stream = new_stream()
        stale = await append(journal.store, stream, Position(0), new_entry(stream))
        await append(journal.store, stream, stale, new_entry(stream))
        before = await journal.store.load(stream)
        late = new_entry(stream)
        for expected in (stale, Position(0)):
            outcome = await settled(journal.store, stream, expected, [late, new_entry(stream)])
            assert isinstance(outcome, Conflict)
            assert outcome.actual_version in (None, 2)
        assert list((await journal.store.load(stream)).events) == list(before.events)
        assert await journal.store.find_command(stream, late.command_id) is None

    async def test_a_command_refused_by_a_conflict_may_be_stored_later(self, journal: Journal) -> None:
        stream = new_stream()
        head = await append(journal.store, stream, Position(0), new_entry(stream))
        late = new_entry(stream)
        assert isinstance(await settled(journal.store, stream, Position(0), [late]), Conflict)
        assert (await append(journal.store, stream, head, late)).version == 2

    async def test_a_repeated_command_is_answered_with_its_record(self, journal: Journal) -> None:
        stream = new_stream()
        entries = [new_entry(stream) for _ in range(3)]
        head = await append(journal.store, stream, Position(0), *entries)
        for version, entry in enumerate(entries, 1):
            outcome = await settled(journal.store, stream, head, [entry])
            assert outcome == Replayed(CommandRecord(entry.command_id, entry.request_hash, version, version))
        assert (await journal.store.load(stream)).position.version == 3

    async def test_a_taken_command_id_wins_over_a_conflict(self, journal: Journal) -> None:
        stream = new_stream()
        entry = new_entry(stream)
        position = await append(journal.store, stream, Position(0), entry)
        await append(journal.store, stream, position, *(new_entry(stream) for _ in range(5)))
        outcome = await settled(journal.peer, stream, Position(0), [entry])
        assert outcome == Replayed(CommandRecord(entry.command_id, entry.request_hash, 1, 1))

    async def test_the_first_record_is_kept_when_the_id_comes_with_other_content(self, journal: Journal) -> None:
        stream = new_stream()
        first = new_entry(stream, data=b"one")
        head = await append(journal.store, stream, Position(0), first)
        outcome = await settled(
            journal.store, stream, head, [new_entry(stream, command_id=first.command_id, data=b"two")]
        )
        assert outcome == Replayed(CommandRecord(first.command_id, first.request_hash, 1, 1))
        assert [event.data for event in (await journal.store.load(stream)).events] == [b"one"]

    async def test_one_taken_id_anywhere_among_the_entries_keeps_all_of_them_out(self, journal: Journal) -> None:
        stream = new_stream()
        taken = new_entry(stream)
        head = await append(journal.store, stream, Position(0), taken, new_entry(stream))
        for place in range(4):
            fresh = [new_entry(stream) for _ in range(3)]
            entries = [*fresh[:place], taken, *fresh[place:]]
            outcome = await settled(journal.store, stream, head, entries)
            assert outcome == Replayed(CommandRecord(taken.command_id, taken.request_hash, 1, 1)), place
            for entry in fresh:
                assert await journal.store.find_command(stream, entry.command_id) is None
        assert (await journal.store.load(stream)).position.version == 2

    async def test_a_command_is_found_wherever_in_a_long_stream_it_was(self, journal: Journal) -> None:
        stream = new_stream()
        entries = await fill(journal.store, stream, 300)
        for version in (1, 2, 50, 51, 150, 299, 300):
            entry = entries[version - 1]
            record = CommandRecord(entry.command_id, entry.request_hash, version, version)
            assert await journal.peer.find_command(stream, entry.command_id) == record
            assert await settled(journal.peer, stream, Position(0), [entry]) == Replayed(record)

    async def test_a_command_never_stored_is_not_found(self, journal: Journal) -> None:
        stream = new_stream()
        assert await journal.store.find_command(stream, uuid4()) is None
        await append(journal.store, stream, Position(0), new_entry(stream))
        assert await journal.store.find_command(stream, uuid4()) is None

    async def test_tenants_and_streams_do_not_mix(self, journal: Journal) -> None:
        name = new_stream().name
        streams = [StreamId(new_tenant(), name), StreamId(new_tenant(), name), new_stream()]
        command_id = uuid4()
        for index, stream in enumerate(streams):
            assert await journal.store.find_command(stream, command_id) is None
            entry = new_entry(stream, command_id=command_id, data=bytes([index]))
            assert (await append(journal.store, stream, Position(0), entry)).version == 1
        for index, stream in enumerate(streams):
            assert [event.data for event in (await journal.store.load(stream)).events] == [bytes([index])]

    async def test_a_range_is_what_lies_after_and_up_to(self, journal: Journal) -> None:
        stream = new_stream()
        await fill(journal.store, stream, 12)
        for after in (0, 1, 5, 11, 12, 13):
            for up_to in (None, 1, 5, 6, 12, 50):
                for events_max in (None, 1, 4, 100):
                    loaded = await journal.store.load(stream, after=after, up_to=up_to, events_max=events_max)
                    last = 12 if up_to is None else min(up_to, 12)
                    wanted = list(range(after + 1, last + 1))[:events_max]
                    assert [event.version for event in loaded.events] == wanted, (after, up_to, events_max)
                    assert loaded.position.version == (wanted[-1] if wanted else min(after, 12))

    async def test_pages_of_any_size_make_up_a_long_stream(self, journal: Journal) -> None:
        stream = new_stream()
        entries = await fill(journal.store, stream, 700)
        whole = [as_recorded(stream, version, entry) for version, entry in enumerate(entries, 1)]
        assert list((await journal.store.load(stream)).events) == whole
        assert (await journal.store.load(stream)).position.version == 700
        for size in (128, 256, 333, 512):
            paged: list[RecordedEvent] = []
            while page := (await journal.store.load(stream, after=len(paged), events_max=size)).events:
                assert len(page) <= size
                paged += page
            assert paged == whole
        assert len((await journal.store.load(stream, after=100, up_to=650)).events) == 550

    async def test_the_head_is_told_without_reading_events(self, journal: Journal) -> None:
        stream, position = new_stream(), Position(0)
        assert (await journal.store.load(stream, after=AFTER_ALL)).position.version == 0
        for size in (1, 60, 64, 64, 64, 64, 64, 64, 64, 3):
            position = await append(journal.store, stream, position, *(new_entry(stream) for _ in range(size)))
            found = await journal.peer.load(stream, after=AFTER_ALL)
            assert (list(found.events), found.position.version) == ([], position.version)
            position = found.position

    async def test_none_too_many_or_double_entries_are_the_callers_mistake(self, journal: Journal) -> None:
        stream = new_stream()
        entry = new_entry(stream)
        for entries in ([], [new_entry(stream) for _ in range(ENTRIES_MAX + 1)], [entry, entry]):
            try:
                await journal.store.append(stream, Position(0), entries)
            except ValueError:
                continue
            raise AssertionError(f"{len(entries)} entries were taken")
        assert (await journal.store.load(stream)).position.version == 0

    async def test_of_racing_appends_at_one_position_one_is_applied(self, journal: Journal) -> None:
        stream = new_stream()
        position = Position(0)
        for version in (1, 2, 3):
            entries = [new_entry(stream) for _ in range(RACERS)]
            stores = [journal.store, journal.peer] * (RACERS // 2)
            racing = (settled(s, stream, position, [e]) for s, e in zip(stores, entries, strict=True))
            outcomes = await asyncio.gather(*racing)
            stored = (await journal.store.load(stream, after=version - 1)).events
            assert [event.version for event in stored] == [version]
            for entry, outcome in zip(entries, outcomes, strict=True):
                won = stored[0].meta.command_id == entry.command_id
                assert isinstance(outcome, (Appended, Replayed) if won else Conflict)
            position = (await journal.store.load(stream)).position

    async def test_of_racing_appends_of_one_command_one_is_applied_and_all_agree(self, journal: Journal) -> None:
        stream = new_stream()
        entry = new_entry(stream)
        stores = [journal.store, journal.peer] * (RACERS // 2)
        outcomes = await asyncio.gather(*(settled(store, stream, Position(0), [entry]) for store in stores))
        record = CommandRecord(entry.command_id, entry.request_hash, 1, 1)
        assert all(isinstance(outcome, Appended) or outcome == Replayed(record) for outcome in outcomes)
        assert sum(isinstance(outcome, Appended) for outcome in outcomes) <= 1
        assert (await journal.store.load(stream)).position.version == 1

    async def test_writers_that_reload_on_conflict_lose_nothing_and_leave_no_gap(self, journal: Journal) -> None:
        stream = new_stream()
        entries = [new_entry(stream) for _ in range(40)]
        stores = [journal.store, journal.peer] * 20
        versions = await asyncio.gather(*(push(store, stream, e) for store, e in zip(stores, entries, strict=True)))
        events = (await journal.store.load(stream)).events
        assert [event.version for event in events] == list(range(1, 41))
        by_version = {event.version: event.meta.command_id for event in events}
        assert [by_version[version] for version in versions] == [entry.command_id for entry in entries]

    async def test_a_reader_beside_a_writer_sees_prefixes_without_gaps_that_only_grow(self, journal: Journal) -> None:
        stream = new_stream()
        seen = 0

        async def write() -> None:
            position = Position(0)
            for _ in range(60):
                position = await append(journal.store, stream, position, *(new_entry(stream) for _ in range(3)))

        writing = asyncio.create_task(write())
        while not writing.done():
            loaded = await journal.peer.load(stream)
            assert [event.version for event in loaded.events] == list(range(1, len(loaded.events) + 1))
            assert len(loaded.events) % 3 == 0, "half an append is visible"
            assert loaded.position.version == len(loaded.events) >= seen
            seen = len(loaded.events)
            await asyncio.sleep(0)
        await writing
        assert (await journal.peer.load(stream)).position.version == 180

    async def test_many_streams_at_once_do_not_disturb_one_another(self, journal: Journal) -> None:
        streams = [new_stream() for _ in range(100)]
        stored = await asyncio.gather(*(fill(journal.store, stream, 3) for stream in streams))
        for stream, entries in zip(streams, stored, strict=True):
            wanted = [as_recorded(stream, version, entry) for version, entry in enumerate(entries, 1)]
            assert list((await journal.peer.load(stream)).events) == wanted

    async def test_it_behaves_like_lists_of_events_over_random_histories(self, journal: Journal) -> None:
        for seed in range(12):
            draw = Random(seed).randrange  # noqa: S311 - a seeded history, not a secret
            await walk([journal.store, journal.peer], draw, steps=40)

    async def test_appends_under_way_at_close_end_with_an_outcome_and_later_ones_are_refused(
        self, journal: Journal
    ) -> None:
        stream = new_stream()
        under_way = asyncio.create_task(journal.store.append(stream, Position(0), [new_entry(stream)]))
        await asyncio.sleep(0)
        await journal.store.close()
        assert isinstance(await under_way, Appended)
        try:
            await journal.store.append(new_stream(), Position(0), [new_entry(stream)])
        except StoreUnavailable:
            return
        raise AssertionError("a closed store took an append")

    @needs(Feature.DURABLE)
    async def test_what_was_acknowledged_is_there_after_opening_again(self, journal: Journal) -> None:
        assert journal.reopen is not None
        stream = new_stream()
        entries = await fill(journal.store, stream, 70)
        again = await journal.reopen()
        loaded = await again.store.load(stream)
        assert list(loaded.events) == [as_recorded(stream, version, entry) for version, entry in enumerate(entries, 1)]
        assert isinstance(await settled(again.store, stream, loaded.position, entries[:1]), Replayed)
        assert (await append(again.store, stream, loaded.position, new_entry(stream))).version == 71
