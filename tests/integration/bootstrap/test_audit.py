"""What is taken from a store by hand is named, by stream and version; what the journal can give back is given back."""

import asyncio
import shutil
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bootstrap.audit import auditor, healed
from bootstrap.metrics import Metrics
from bootstrap.process import Process
from bootstrap.roles import components
from bootstrap.settings import load
from bootstrap.stores import TOPIC, Stores, open_stores
from bootstrap.testing.damage import place_on_topic, run_sql, trim_bus
from bootstrap.testing.data import settled, stores_of
from bootstrap.testing.program import eventually
from eventkernel.errors import PublishFailed
from eventkernel.ports import Entry, Position
from eventkernel.runtime.auditing import Lack, Report
from prescriptions.testing.recorded import new_events, stream_of, untold

STREAMS = 9
LIFE = 6
STREAM = stream_of(4)
ADDED = stream_of(77)
VIEW = "prescription_view_v1"
QUIET = {"audit_seconds": 0.0}


async def write(stores: Stores, number: int, count: int = LIFE) -> None:
    """One life: written, signed, released, claimed, dispensed in two parts."""
    story = untold()
    story.create().sign().issue().claim().part(10, 1).dispense(20, 2)
    events = new_events(story, stream_of(number))[:count]
    await stores.events.append(
        stream_of(number), Position(0), [Entry(event, event.meta.command_id, b"") for event in events]
    )


async def serve(folder: Path, roles: list[str], until: Callable[[Stores], Any], **settings: Any) -> Metrics:
    """Some roles on a folder, until something is so."""
    made, metrics = load(data_dir=folder, **{**QUIET, **settings}), Metrics()
    async with AsyncExitStack() as opened:
        stores = await open_stores(made)
        opened.push_async_callback(stores.close)
        process = Process(made, stores, metrics, failed=asyncio.Event(), said=lambda _: None)
        for part in components(process, roles):
            await part.start()
            opened.push_async_callback(part.stop)
        await until(stores)
    return metrics


async def all_through(stores: Stores) -> None:
    async def nothing_left() -> bool:
        return not (await auditor(stores).look()).findings

    await eventually("stores that agree", nothing_left)


async def filling(folder: Path) -> None:
    async with stores_of(folder) as stores:
        for number in range(STREAMS):
            await write(stores, number)
    await serve(folder, ["relay", "projector"], all_through)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled") / "data"
    asyncio.run(filling(folder))
    return folder


@pytest.fixture
def data(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "data"))


async def looked(data: Path) -> Report:
    async with stores_of(data) as stores:
        return await auditor(stores).look()


async def heal(data: Path) -> tuple[Report, list[Lack]]:
    """What is left, and what was healed on the way."""
    passes: list[Report] = []
    async with stores_of(data) as stores:
        left = await healed(stores, heard=passes.append)
    return left, [finding.lack for report in passes for finding in report.healed]


async def test_nothing_is_found_where_nothing_is_missing(data: Path) -> None:
    report = await looked(data)
    assert (report.findings, report.streams, report.events, report.repeats) == ([], STREAMS, STREAMS * LIFE, 0)
    assert report.rows > STREAMS
    assert (await heal(data)) == (await looked(data), [])


async def test_a_row_deleted_by_hand_is_named_and_given_back(data: Path) -> None:
    assert run_sql(data / "views.db", f"DELETE FROM {VIEW} WHERE stream = ?", STREAM.name) == 1
    [found] = (await looked(data)).findings
    assert (found.lack, found.stream, found.view) == (Lack.VIEW_DIFFERS, STREAM.key, "prescription_view")
    assert "is missing" in found.told
    assert found.since is not None
    left, done = await heal(data)
    assert (left.findings, done) == ([], [Lack.VIEW_DIFFERS])


async def test_a_row_changed_by_hand_is_named_and_given_back(data: Path) -> None:
    assert run_sql(data / "views.db", f"UPDATE {VIEW} SET status = 'LOST' WHERE stream = ?", STREAM.name) == 1
    [found] = (await looked(data)).findings
    assert (found.lack, found.stream) == (Lack.VIEW_DIFFERS, STREAM.key)
    assert found.told.endswith("differs in status")
    assert (await heal(data))[0].findings == []


async def test_what_differs_is_told_by_its_columns_and_none_of_their_values(data: Path) -> None:
    changed = "status = 'LOST', document = x'00ff'"
    run_sql(data / "views.db", f"UPDATE {VIEW} SET {changed} WHERE stream = ?", STREAM.name)
    [found] = (await looked(data)).findings
    assert found.told.partition(" differs in ")[2].split(", ") == ["status", "document"]
    assert "LOST" not in found.told


async def test_a_sum_changed_by_hand_is_named_and_given_back(data: Path) -> None:
    assert run_sql(data / "views.db", "UPDATE prescription_stats_v1 SET count = count + 5")
    report = await looked(data)
    assert {found.lack for found in report.findings} == {Lack.VIEW_SUMS}
    assert (await heal(data))[0].findings == []


async def test_sums_that_are_gone_are_given_back(data: Path) -> None:
    assert run_sql(data / "views.db", "DELETE FROM prescription_stats_v1")
    assert {found.lack for found in (await looked(data)).findings} == {Lack.VIEW_SUMS}
    assert (await heal(data))[0].findings == []


async def test_a_stream_that_a_view_lost_is_behind_since_its_first_event_and_filled_again(data: Path) -> None:
    for table in (VIEW, f"{VIEW}__checkpoint", "prescription_stats_v1__checkpoint"):
        assert run_sql(data / "views.db", f"DELETE FROM {table} WHERE stream = ?", STREAM.name) == 1
    report = await looked(data)
    behind = [found for found in report.findings if found.lack is Lack.VIEW_BEHIND]
    assert {(found.stream, found.first, found.last) for found in behind} == {(STREAM.key, 1, LIFE)}
    assert {found.view for found in behind} == {"prescription_view", "prescription_stats"}
    async with stores_of(data) as stores:
        first = (await stores.events.load(STREAM, up_to=1)).events[0]
    assert {found.since for found in behind} == {first.meta.recorded_at}
    assert (await heal(data))[0].findings == []


async def test_a_truncated_topic_is_named_and_published_again_in_order(data: Path) -> None:
    async with stores_of(data) as stores:
        source, offset = await place_on_topic(stores, STREAM, 3)
    assert trim_bus(data / "bus.db", source.partition, offset + 1) >= 3
    report = await looked(data)
    assert {found.lack for found in report.findings} == {Lack.TOPIC_LOST}
    [found] = [found for found in report.findings if found.stream == STREAM.key]
    assert (found.first, found.last) == (1, LIFE)
    left, done = await heal(data)
    assert (left.findings, set(done)) == ([], {Lack.TOPIC_LOST})


async def test_a_record_gone_from_the_middle_of_the_topic_is_named_and_published_again(data: Path) -> None:
    async with stores_of(data) as stores:
        source, offset = await place_on_topic(stores, STREAM, 4)
    assert run_sql(
        data / "bus.db",
        "DELETE FROM records WHERE position = (SELECT lane FROM lanes WHERE topic = ? AND partition = ?) * (1 << 40) + ?",
        *(TOPIC, source.partition, offset),
    )
    [found] = (await looked(data)).findings
    assert (found.lack, found.stream, found.first, found.last) == (Lack.TOPIC_LOST, STREAM.key, 4, LIFE)
    left, _ = await heal(data)
    assert left.findings == []


async def test_a_record_whose_payload_is_not_the_journals_is_named(data: Path) -> None:
    async with stores_of(data) as stores:
        source, offset = await place_on_topic(stores, STREAM, 2)
    place = "position = (SELECT lane FROM lanes WHERE topic = ? AND partition = ?) * (1 << 40) + ?"
    changed = f"UPDATE records SET value = x'00' WHERE {place}"
    assert run_sql(data / "bus.db", changed, TOPIC, source.partition, offset) == 1
    left, done = await heal(data)
    assert [(one.lack, one.stream) for one in left.findings] == [(Lack.TOPIC_DIFFERS, STREAM.key)]
    assert done == []


async def test_a_journal_row_that_is_gone_is_named_and_not_healed(data: Path) -> None:
    number = "(SELECT id FROM streams WHERE key = ?)"
    gone = run_sql(data / "journal.db", f"DELETE FROM events WHERE version = 2 AND stream = {number}", STREAM.key)
    assert gone == 1
    passes: list[Report] = []
    async with stores_of(data) as stores:
        left = await healed(stores, heard=passes.append)
    assert [(one.healed, one.failed) for one in passes] == [([], [])], (
        "the views are right: nothing is to be tried on them"
    )
    assert {one.lack for one in left.findings} == {Lack.JOURNAL_GAP, Lack.VIEW_STRAY}
    assert {one.told for one in left.findings if one.view} == {
        f"folded to version {LIFE}, the journal has 1 without a gap"
    }
    found = [found for found in left.findings if found.lack is Lack.JOURNAL_GAP]
    assert [(one.stream, one.first, one.healable) for one in found] == [(STREAM.key, 2, False)]
    assert "versions 2..2 are missing" in found[0].told
    assert {one.stream for one in left.findings} == {STREAM.key}
    assert left.findings == (await looked(data)).findings


async def test_the_end_of_a_stream_that_is_gone_from_the_journal_is_told_by_its_head(data: Path) -> None:
    number = "(SELECT id FROM streams WHERE key = ?)"
    assert run_sql(data / "journal.db", f"DELETE FROM events WHERE version > 5 AND stream = {number}", STREAM.key)
    found = [one for one in (await looked(data)).findings if one.lack is Lack.JOURNAL_GAP]
    assert [(one.stream, one.first, one.last) for one in found] == [(STREAM.key, 6, LIFE)]


async def test_a_stream_gone_from_the_journal_is_told_by_the_topic_and_by_every_view(data: Path) -> None:
    number = "(SELECT id FROM streams WHERE key = ?)"
    for table in ("events", "commands", "outbox"):
        run_sql(data / "journal.db", f"DELETE FROM {table} WHERE stream = {number}", STREAM.key)
    run_sql(data / "journal.db", "DELETE FROM streams WHERE key = ?", STREAM.key)
    left, done = await heal(data)
    assert {(one.lack, one.stream) for one in left.findings} == {
        (Lack.JOURNAL_STREAM, STREAM.key),
        (Lack.VIEW_STRAY, STREAM.key),
    }
    assert done == []


async def test_what_waits_for_the_relay_is_behind_and_not_lost(data: Path) -> None:
    async with stores_of(data) as stores:
        await write(stores, 77, 3)
    report = await looked(data)
    [behind] = [found for found in report.findings if not found.view]
    assert (behind.lack, behind.stream, behind.first, behind.last) == (Lack.TOPIC_BEHIND, ADDED.key, 1, 3)
    assert not behind.healable
    assert behind.since is not None
    await serve(data, ["relay", "projector"], all_through)


async def test_a_view_that_is_behind_for_a_short_time_is_left_to_its_projectors(data: Path) -> None:
    async with stores_of(data) as stores:
        await write(stores, 77, 3)
        looking = auditor(stores)
        [first] = (await stores.events.load(ADDED, up_to=1)).events
        report = await looking.heal(await looking.look(), behind_since=first.meta.recorded_at - timedelta(seconds=1))
        assert report.healed == []
        report = await looking.heal(await looking.look(), behind_since=first.meta.recorded_at)
        assert {found.lack for found in report.healed} == {Lack.VIEW_BEHIND}
        assert {found.lack for found in (await looking.look()).findings} == {Lack.TOPIC_BEHIND}


async def test_a_topic_that_cannot_be_written_fails_to_be_healed_and_is_told(data: Path) -> None:
    class Refuses:
        async def publish(self, messages: Any) -> None:
            raise PublishFailed(TOPIC, "refused")

        async def close(self) -> None:
            """Nothing is held."""

    async with stores_of(data) as stores:
        source, offset = await place_on_topic(stores, STREAM, LIFE)
    trim_bus(data / "bus.db", source.partition, offset + 1)
    async with stores_of(data) as stores:
        looking = auditor(replace(stores, publisher=Refuses()))
        report = await looking.heal(await looking.look())
    assert report.healed == []
    assert "refused" in report.failed[0]


async def test_the_relays_process_heals_by_itself_and_tells_its_metrics(data: Path) -> None:
    run_sql(data / "views.db", f"DELETE FROM {VIEW} WHERE stream = ?", STREAM.name)
    metrics = await serve(data, ["relay"], all_through, audit_seconds=0.2, audit_pause_seconds=0.0)
    assert metrics.registry.get_sample_value("erx_audit_healed_total") == 1.0
    assert metrics.registry.get_sample_value("erx_audit_streams") == STREAMS
    assert (await settled(data)).differences == ()


async def test_what_is_written_meanwhile_is_never_taken_for_lost(data: Path) -> None:
    """Writers, relay and projector at work: an audit may find what is behind, and nothing else."""

    async def among_writers(stores: Stores) -> None:
        async def writing() -> None:
            for number in range(100, 140):
                await write(stores, number)

        writer = asyncio.create_task(writing())
        while not writer.done():
            found = (await auditor(stores).look()).findings
            assert {one.lack for one in found} <= {Lack.TOPIC_BEHIND, Lack.VIEW_BEHIND}, found
        await writer
        await all_through(stores)

    await serve(data, ["relay", "projector"], among_writers)
