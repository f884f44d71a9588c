"""What lies in a data folder, seen beside whoever else has it open."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bootstrap.audit import Audit, audit
from bootstrap.settings import load
from bootstrap.stores import Stores, open_stores
from bootstrap.testing.program import SECONDS, eventually


@asynccontextmanager
async def stores_of(data: Path) -> AsyncIterator[Stores]:
    """The stores of a data folder."""
    stores = await open_stores(load(data_dir=data))
    try:
        yield stores
    finally:
        await stores.close()


async def audit_of(data: Path) -> Audit:
    """The folder compared with its journal, as it is now."""
    async with stores_of(data) as stores:
        return await audit(stores)


async def settled(data: Path, *, seconds: float = SECONDS) -> Audit:
    """The folder compared with its journal, once relay and projector have done all their work."""
    last: list[Audit] = []

    async def agrees() -> bool:
        last[:] = [await audit(stores)]
        return not last[0].differences

    async with stores_of(data) as stores:
        await eventually(f"agreement in {data}", agrees, seconds=seconds)
        return last[0]
