"""Servers of one or two processes over one folder, whose projector runs only when a test lets it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bootstrap.metrics import Metrics
from bootstrap.overlays import Overlays
from bootstrap.process import Process
from bootstrap.roles import components
from bootstrap.roles.projecting import projector
from bootstrap.settings import load
from bootstrap.stores import Stores, open_stores
from bootstrap.testing.calls import Caller, caller
from erx.eventlog.v1 import consistency_pb2 as cp
from eventkernel_sqlite.view_store import SqliteViewStore

OVERLAY = cp.CONSISTENCY_MODE_OVERLAY


@dataclass
class Running:
    """``command`` and ``query`` are one process or two; both may have relays."""

    stores: Stores
    command: Process
    query: Process
    people: Caller
    started: AsyncExitStack

    async def start(self, process: Process, *roles: str) -> None:
        for part in components(process, list(roles)):
            await part.start()
            self.started.push_async_callback(part.stop)

    async def project(self) -> None:
        """Let a projector of the query server's process run from now on."""
        part = projector(self.query)
        await part.start()
        self.started.push_async_callback(part.stop)

    @property
    def overlays(self) -> Overlays:
        assert self.query.overlays is not None
        return self.query.overlays

    def counted(self, name: str) -> float:
        """A metric of the query server."""
        return self.query.metrics.registry.get_sample_value(name) or 0.0

    async def ask(self, method: str, **fields: Any) -> Any:
        return await self.people.ask(method, consistency=OVERLAY, **fields)


@asynccontextmanager
async def run(folder: Path, *, apart: bool = False, relay: bool = True, **settings: Any) -> AsyncIterator[Running]:
    # A relay that is alive may be slow on a busy machine: the journal is the answer to one that is not there.
    settings = {"overlay_bus_seconds": 60 if relay else 0.01, **settings}
    made = load(data_dir=folder, command_address="127.0.0.1:0", query_address="127.0.0.1:0", **settings)
    heard: dict[str, str] = {}

    def said(line: str) -> None:
        name, _, address = line.partition(" server on ")
        heard[name] = address

    async with AsyncExitStack() as started:
        opened = await open_stores(made)
        started.push_async_callback(opened.close)
        # Room for one reading: whoever asks for another while it holds one waits for itself, and its test does not end.
        narrow = SqliteViewStore(folder / "views.db", readers_max=1)
        started.push_async_callback(narrow.close)
        stores = replace(opened, views=narrow)
        query = Process(made, stores, Metrics(), failed=asyncio.Event(), said=said)
        command = Process(made, stores, Metrics(), failed=asyncio.Event(), said=said) if apart else query
        running = Running(stores, command, query, None, started)  # type: ignore[arg-type]
        writing = ("relay", "command") if relay else ("command",)
        if apart:
            await running.start(query, "query")
            await running.start(command, *writing)
        else:
            await running.start(query, "query", *writing)
        running.people = await started.enter_async_context(caller(heard["command"], heard["query"]))
        yield running


Run = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
def running(tmp_path: Path) -> Run:
    def begin(**options: Any) -> AbstractAsyncContextManager[Running]:
        return run(tmp_path, **options)

    return begin
