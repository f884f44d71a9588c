"""The contract of ``SnapshotStore``."""

from datetime import UTC, datetime, timedelta

from eventkernel.ids import StreamId
from eventkernel.ports.snapshot_store import Snapshot, SnapshotStore
from eventkernel.testing.contracts.features import Suite
from eventkernel.testing.contracts.journal import new_stream, new_tenant

_MOMENT = datetime(2026, 3, 1, 8, 0, 0, 123457, tzinfo=UTC)


def new_snapshot(version: int, *, state: bytes = b"\x00state\xff", schema: str = "order/2") -> Snapshot:
    """A snapshot with three different times."""
    return Snapshot(version, schema, state, _MOMENT, _MOMENT + timedelta(hours=1), _MOMENT + timedelta(hours=2))


class SnapshotStoreContract(Suite):
    """Give it a fixture ``snapshots``: a ``SnapshotStore``."""

    async def test_a_stream_without_a_snapshot_has_none(self, snapshots: SnapshotStore) -> None:
        assert await snapshots.latest(new_stream()) is None

    async def test_a_snapshot_comes_back_equal(self, snapshots: SnapshotStore) -> None:
        stream = new_stream()
        for version, state in ((1, b""), (2, b"\x00" * 100_000)):
            await snapshots.save(stream, new_snapshot(version, state=state))
            assert await snapshots.latest(stream) == new_snapshot(version, state=state)

    async def test_the_latest_is_the_highest_version_whatever_the_order_of_saving(
        self, snapshots: SnapshotStore
    ) -> None:
        stream = new_stream()
        for version in (100, 300, 200):
            await snapshots.save(stream, new_snapshot(version))
        assert await snapshots.latest(stream) == new_snapshot(300)

    async def test_a_bound_gives_the_newest_at_or_below_it(self, snapshots: SnapshotStore) -> None:
        stream = new_stream()
        for version in (100, 200, 300):
            await snapshots.save(stream, new_snapshot(version))
        wanted: dict[int, int | None] = {99: None, 100: 100, 199: 100, 200: 200, 299: 200, 300: 300, 1000: 300}
        for up_to, expected in wanted.items():
            found = await snapshots.latest(stream, up_to=up_to)
            assert (None if found is None else found.version) == expected

    async def test_saving_a_version_twice_keeps_the_later(self, snapshots: SnapshotStore) -> None:
        stream = new_stream()
        await snapshots.save(stream, new_snapshot(5, state=b"old", schema="order/1"))
        await snapshots.save(stream, new_snapshot(5, state=b"new", schema="order/2"))
        assert await snapshots.latest(stream) == new_snapshot(5, state=b"new", schema="order/2")

    async def test_dropping_forgets_all_of_one_stream_and_nothing_else(self, snapshots: SnapshotStore) -> None:
        dropped, kept = new_stream(), new_stream()
        for stream in (dropped, kept):
            await snapshots.save(stream, new_snapshot(1))
            await snapshots.save(stream, new_snapshot(2))
        await snapshots.drop(dropped)
        assert await snapshots.latest(dropped) is None
        assert await snapshots.latest(kept) == new_snapshot(2)
        await snapshots.save(dropped, new_snapshot(1))
        assert await snapshots.latest(dropped) == new_snapshot(1)

    async def test_pruning_keeps_the_newest_and_other_streams(self, snapshots: SnapshotStore) -> None:
        stream, other = new_stream(), new_stream()
        await snapshots.prune(stream, 2)
        for version in (300, 100, 400, 200):
            await snapshots.save(stream, new_snapshot(version))
        await snapshots.save(other, new_snapshot(100))
        for newest, oldest in ((5, 100), (4, 100), (3, 200), (1, 400)):
            await snapshots.prune(stream, newest)
            assert await snapshots.latest(stream) == new_snapshot(400)
            assert await snapshots.latest(stream, up_to=oldest) == new_snapshot(oldest)
            assert await snapshots.latest(stream, up_to=oldest - 1) is None
        assert await snapshots.latest(other) == new_snapshot(100)
        await snapshots.save(stream, new_snapshot(500))
        assert await snapshots.latest(stream, up_to=499) == new_snapshot(400)

    async def test_pruning_leaves_what_lies_at_its_lower_end_and_below(self, snapshots: SnapshotStore) -> None:
        stream = new_stream()
        for version in (100, 200, 300, 400, 500):
            await snapshots.save(stream, new_snapshot(version))
        await snapshots.prune(stream, 2, above=200)
        for asked, found in ((499, 400), (399, 200), (199, 100)):
            assert await snapshots.latest(stream, up_to=asked) == new_snapshot(found)
        await snapshots.prune(stream, 2, above=499)
        assert await snapshots.latest(stream, up_to=450) == new_snapshot(400)

    async def test_tenants_do_not_share_snapshots(self, snapshots: SnapshotStore) -> None:
        stream = new_stream()
        await snapshots.save(stream, new_snapshot(1))
        assert await snapshots.latest(StreamId(new_tenant(), stream.name)) is None

    async def test_streams_that_have_a_snapshot_are_given_once_by_tenant(self, snapshots: SnapshotStore) -> None:
        tenant = new_tenant()
        kept = {new_stream(tenant=tenant) for _ in range(5)}
        dropped, other = new_stream(tenant=tenant), new_stream()
        for stream in (*kept, dropped, other):
            for version in (1, 2):
                await snapshots.save(stream, new_snapshot(version))
        await snapshots.drop(dropped)
        found = [stream async for stream in snapshots.streams(tenant=tenant)]
        assert len(found) == len(set(found))
        assert set(found) == kept
        assert {*kept, other} <= {stream async for stream in snapshots.streams()}
