"""The scan for streams that have snapshots goes on over pages, also where many streams share a token."""

import pytest

from eventkernel.testing.contracts.journal import new_stream
from eventkernel.testing.contracts.snapshot_store import new_snapshot
from eventkernel_cassandra import simulated_session, snapshot_store
from eventkernel_cassandra.simulated_session import SimulatedSession, SimulatedStore
from eventkernel_cassandra.snapshot_store import CassandraSnapshotStore
from eventkernel_cassandra.statements import statements_of
from eventkernel_memory.clock import ManualClock


@pytest.mark.parametrize("tokens", [1, 2, 7, 1_000_000])
async def test_every_stream_is_given_once_over_many_pages(tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_store, "PAGE_STREAMS", 3)
    monkeypatch.setattr(simulated_session, "_token", lambda place: sum(place[0].encode()) % tokens)
    store = CassandraSnapshotStore(SimulatedSession(SimulatedStore(ManualClock())), statements_of("ks"))
    kept = [new_stream() for _ in range(20)]
    for stream in kept:
        await store.save(stream, new_snapshot(1))
    assert sorted([stream async for stream in store.streams()]) == sorted(kept)
