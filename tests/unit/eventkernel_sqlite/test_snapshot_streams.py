"""The list of streams that have snapshots goes on over pages."""

from pathlib import Path

import pytest

from eventkernel.testing.contracts.journal import new_stream
from eventkernel.testing.contracts.snapshot_store import new_snapshot
from eventkernel_sqlite import snapshot_store
from eventkernel_sqlite.database import Database
from eventkernel_sqlite.journal_schema import JOURNAL
from eventkernel_sqlite.snapshot_store import SqliteSnapshotStore


async def test_every_stream_is_given_once_over_many_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_store, "PAGE_STREAMS", 3)
    database = Database(tmp_path / "journal.db", JOURNAL)
    store = SqliteSnapshotStore(database)
    kept = [new_stream(tenant=tenant) for tenant in ("a", "b", "bc") for _ in range(4)]
    for stream in kept:
        for version in (1, 2):
            await store.save(stream, new_snapshot(version))
    assert [stream async for stream in store.streams()] == sorted(kept, key=lambda stream: stream.key)
    assert {stream.tenant async for stream in store.streams(tenant="b")} == {"b"}
    await database.close()
