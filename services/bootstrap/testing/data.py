"""What lies in a data folder, seen beside whoever else has it open."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bootstrap.audit import Audit, audit
from bootstrap.local_stack import with_local_stack
from bootstrap.settings import load
from bootstrap.stores import Stores, open_stores
from bootstrap.testing.program import PAUSE_SECONDS, SECONDS, NotSeen


@asynccontextmanager
async def stores_of(data: Path, *, store: str = "embedded") -> AsyncIterator[Stores]:
    """The stores of a data folder; of ``store="stack"``, the local stack that was started in it."""
    stores = await open_stores(with_local_stack(load(data_dir=data, store=store)))
    try:
        yield stores
    finally:
        await stores.close()


async def audit_of(data: Path) -> Audit:
    """The folder compared with its journal, as it is now."""
    async with stores_of(data) as stores:
        return await audit(stores)


async def settled(data: Path, *, store: str = "embedded", seconds: float = SECONDS) -> Audit:
    """The folder compared with its journal, once relay and projector have done all their work."""
    ends_at = time.monotonic() + seconds
    async with stores_of(data, store=store) as stores:
        while (found := await audit(stores)).differences:
            if time.monotonic() > ends_at:
                told = "; ".join(found.differences[:5])
                raise NotSeen(f"after {seconds:g} s {len(found.differences)} differences in {data}: {told}")
            await asyncio.sleep(PAUSE_SECONDS)
    return found
