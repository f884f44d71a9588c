"""A store whose streams begin in version 1, go on in version 2 and end in version 3 is as if all were version 3."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from eventkernel.errors import UnknownSchemaVersion
from eventkernel.following import MARK
from eventkernel.ids import StreamId
from eventkernel.runtime.parked_lanes import retry_parked
from eventkernel.runtime.rebuild_admin import Wish, rebuilds, start_rebuild
from eventkernel.runtime.rebuild_advance import Sources
from eventkernel.runtime.rebuild_record import Phase
from eventkernel.runtime.rebuild_stream import rebuild_stream
from eventkernel.runtime.rebuilder import Rebuilder
from prescriptions.domain.state import Status
from prescriptions.testing import generations
from prescriptions.testing.recorded import prescription
from prescriptions.views import PRESCRIPTION_VIEW, VIEWS
from prescriptions.wire.events import decode_recorded

MIXED = StreamId("mixed", f"prescription-{prescription(1)}")
TWIN = StreamId("twin", f"prescription-{prescription(1)}")
EVENTS = len(generations.mixed())


async def both(house: Any) -> None:
    await house.write(MIXED, generations.mixed())
    await house.write(TWIN, generations.twin())


async def test_the_aggregate_is_the_same_at_every_version_and_time(house: Any) -> None:
    await both(house)
    repository = house.repository
    assert (await repository.load(MIXED)).state == (await repository.load(TWIN)).state
    assert (await repository.load(MIXED)).state.status is Status.COMPLETED
    for version in range(1, EVENTS + 1):
        mixed = await repository.at_version(MIXED, version)
        assert mixed.state == (await repository.at_version(TWIN, version)).state
        moment = generations.BEGAN + timedelta(days=version - 1)
        assert (await repository.at_time(MIXED, moment)).state == mixed.state


async def test_a_snapshot_carries_what_is_known_of_the_stream(house: Any) -> None:
    await house.write(TWIN, generations.twin())
    known = 0
    for version in range(1, EVENTS + 1):
        await house.write(MIXED, generations.mixed()[:version], known=known)
        known = version
        aggregate = await house.repository.load(MIXED)
        assert aggregate.state == (await house.repository.at_version(TWIN, version)).state
        snapshot = house.repository.snapshot_of(aggregate)
        assert snapshot.state.startswith(MARK) == (version <= len([*generations.first(), *generations.second()]))
        await house.stores.snapshots.save(MIXED, snapshot)
        assert (await house.repository.load(MIXED)).known == aggregate.known


async def test_views_are_the_same_though_the_projector_knows_a_stream_from_its_checkpoint_alone(house: Any) -> None:
    await both(house)
    await house.publish()
    await house.project(2 * EVENTS)
    await house.same_rows()


async def test_a_stream_rebuilt_from_the_journal_is_what_it_was(house: Any) -> None:
    await both(house)
    await house.publish()
    await house.project(2 * EVENTS)
    stores = house.stores
    sources: Sources[Any] = Sources(stores.views, stores.events, stores.directory, decode_recorded, stores.clock)
    for view in VIEWS:
        if MIXED.category in view.categories:
            rebuilt = await rebuild_stream(sources, view, MIXED)
            assert (rebuilt.to_version, rebuilt.changes, rebuilt.error) == (EVENTS, (), "")


async def test_a_view_rebuilt_beside_the_old_one_compares_equal_and_takes_over(house: Any) -> None:
    await both(house)
    await house.publish()
    await house.project(2 * EVENTS)
    stores = house.stores
    sources: Sources[Any] = Sources(stores.views, stores.events, stores.directory, decode_recorded, stores.clock)
    await start_rebuild(stores.views, PRESCRIPTION_VIEW, Wish(by="test", switch_when_equal=True), clock=stores.clock)
    rebuilder = Rebuilder("test", sources, VIEWS)
    while await rebuilder.run_once(asyncio.Event()):
        pass
    [(_, generation, found)] = await rebuilds(stores.views, [PRESCRIPTION_VIEW])
    assert found is not None
    assert (found.phase, generation) == (Phase.SWITCHED, 1), found
    await house.same_rows()


async def test_a_lane_that_waited_knows_its_stream_when_it_is_tried_again(house: Any) -> None:
    await both(house)
    await house.publish()
    poison = (await house.event(MIXED, 8)).event_id

    def decode(event: Any) -> Any:
        if event.event_id == poison:
            raise UnknownSchemaVersion(event.type, version=event.schema_version, newest=1)
        return decode_recorded(event)

    house.decode = decode
    await house.project(2 * EVENTS)
    for view in VIEWS:
        if MIXED.category not in view.categories:
            continue
        retried = await retry_parked(
            house.stores.views,
            view,
            MIXED,
            decode=decode_recorded,
            journal=house.stores.events,
            clock=house.stores.clock,
        )
        assert (retried.from_version, retried.to_version, retried.still_parked) == (7, EVENTS, 0)
    await house.same_rows()


async def test_an_older_program_refuses_what_a_newer_one_wrote_and_names_both_versions(house: Any) -> None:
    """A rolling upgrade, seen from the program that is not upgraded yet: nothing is guessed, and nothing is lost."""
    await house.write(MIXED, generations.mixed()[:10])
    await house.write(MIXED, generations.mixed()[:11], known=10, schema_version=4)
    await house.write(TWIN, generations.twin()[:11])
    with pytest.raises(
        UnknownSchemaVersion, match="PrescriptionClaimed has schema version 4, this reader knows up to 3"
    ):
        await house.repository.load(MIXED)
    assert (await house.repository.at_version(MIXED, 10)).state == (await house.repository.at_version(TWIN, 10)).state
    await house.publish()
    await house.project(22)
    async with house.stores.views.transaction() as transaction:
        lane = (await transaction.parked(PRESCRIPTION_VIEW, [MIXED]))[MIXED]
    assert "PrescriptionClaimed (schema version 4)" in lane[0].error
    assert "this program reads up to 3" in lane[0].error

    def newer(event: Any) -> Any:
        return decode_recorded(replace(event, schema_version=min(event.schema_version, 3)))

    for view in VIEWS:
        if MIXED.category in view.categories:
            stores = house.stores
            await retry_parked(stores.views, view, MIXED, decode=newer, journal=stores.events, clock=stores.clock)
    await house.same_rows()


async def test_a_newer_program_goes_on_where_an_older_one_stopped_at_any_point(house: Any) -> None:
    """The other order: whatever the older one had folded, with its checkpoints, the newer one goes on from there."""
    await house.write(TWIN, generations.twin())
    await house.publish()
    await house.project(EVENTS)
    for version in range(1, EVENTS + 1):
        await house.write(MIXED, generations.mixed()[:version], known=version - 1)
        await house.publish()
        await house.project(1)
    await house.same_rows()
