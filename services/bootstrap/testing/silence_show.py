"""Servers while one of their stores is frozen: whoever does not need it, is it served as before?

``python -m bootstrap.testing.silence_show [SECONDS]`` starts a stack of its own, freezes Kafka, Cassandra and PostgreSQL one
after the other (SIGSTOP: connections stay and nothing answers), lets many clients ask at once meanwhile, and prints what they
got. Exit code 1 where somebody failed who did not need the store. A test runs it with few clients.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from bootstrap.testing.calls import Caller, caller
from bootstrap.testing.overload_load import quantile_ms
from bootstrap.testing.program import FREE_PORTS, Erx
from erx.eventlog.v1 import consistency_pb2 as cp
from eventkernel_grpc import RemoteError
from localstack import Stack

ROLES = ("command", "relay", "projector", "query")
CLIENTS = 32
ATTEMPTS_MAX = 5
"""Of a call that is told to come again: servers that are asked for more than they can do refuse a share."""
PATIENCE_SECONDS = 10.0
"""The deadline of a call."""

Ask: TypeAlias = Callable[[], Awaitable[Any]]


@dataclass(slots=True)
class Seen:
    """What the clients of one question got. ``needed``: whether it cannot be answered without the store that is frozen."""

    question: str
    needed: bool
    took: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def is_wrong(self) -> bool:
        """Somebody failed who did not need the store."""
        return not self.needed and bool(self.errors)

    def __str__(self) -> str:
        if not self.took:
            return f"{self.question}: no answer; {dict(self.errors)}"
        p50, p99 = (quantile_ms(self.took, share) for share in (0.5, 0.99))
        pace = f"{len(self.took) / self.seconds:,.0f} a second, p50 {p50:.0f}, p99 {p99:.0f} ms"
        return f"{self.question}: {pace}; errors: {dict(self.errors) or 'none'}"


async def asked(seen: Seen, ask: Ask, seconds: float, clients: int) -> Seen:
    """Many clients, each with one question after the other for so long."""
    began = time.monotonic()

    async def client() -> None:
        while time.monotonic() < began + seconds:
            at = time.monotonic()
            try:
                await ask()
            except RemoteError as error:
                seen.errors[error.reason or error.code.name] += 1
            else:
                seen.took.append(time.monotonic() - at)

    await asyncio.gather(*(client() for _ in range(clients)))
    seen.seconds = time.monotonic() - began
    return seen


async def questions(people: Caller) -> Mapping[str, Ask]:
    """Of a prescription that the views have, and of one that was written just now."""
    known, fresh = await people.write(), await people.write()
    within = partial(people.ask_within, PATIENCE_SECONDS)
    just_written = {"token": fresh.token, "consistency": cp.CONSISTENCY_MODE_OVERLAY}
    await within(
        "FetchPrescription",
        prescription_id=known.prescription.prescription_id,
        token=known.token,
        consistency=cp.CONSISTENCY_MODE_AT_LEAST,
    )
    return {
        "one": partial(within, "FetchPrescription", prescription_id=known.prescription.prescription_id),
        "page": partial(within, "FetchAllPrescriptions", page_size=5),
        "page, OVERLAY": partial(within, "FetchAllPrescriptions", page_size=5, **just_written),
        "history": partial(within, "FetchHistory", prescription_id=known.prescription.prescription_id, page_size=5),
        "write": partial(people.write_within, PATIENCE_SECONDS),
    }


NEEDS = {
    "kafka": frozenset[str](),
    "cassandra": frozenset({"page, OVERLAY", "history", "write"}),
    "postgres": frozenset({"one", "page", "page, OVERLAY"}),
}
"""Which questions need which store. What was just written may not be on the bus yet: then it lies in the journal alone."""


async def frozen(stack: Stack, store: str, people: Caller, seconds: float, *, clients: int = CLIENTS) -> list[Seen]:
    """Freeze a store and ask everything at the same time. What needs the store may fail, and shall hold up nobody else."""
    server = getattr(stack, store)
    made = await questions(people)
    server.freeze()
    try:
        found = [asked(Seen(name, name in NEEDS[store]), ask, seconds, clients) for name, ask in made.items()]
        return list(await asyncio.gather(*found))
    finally:
        server.thaw()


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[tuple[Stack, Caller]]:
    """A stack, every role as a process of its own, and a caller of theirs."""
    data = folder / "data"
    data.mkdir()
    stack, erx = Stack(data / "stack"), Erx(folder)
    try:
        stack.up()
        words = ("--store", "stack", "--data", data, *FREE_PORTS)
        roles = {role: erx.start("serve", role, *words) for role in ROLES}
        for child in roles.values():
            child.says("ready")
        addresses = (roles[role].address(role) for role in ("command", "query"))
        async with caller(*addresses, attempts_max=ATTEMPTS_MAX) as people:
            yield stack, people
    finally:
        erx.close()
        stack.down()


def tell(line: str) -> None:
    """To whoever ran it, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def show(folder: Path, seconds: float) -> bool:
    """Freeze one after the other and print; whether all was as it should be."""
    right = True
    async with running(folder) as (stack, people):
        for store in NEEDS:
            tell(f"{store} is frozen, {CLIENTS} clients for each question:")
            for seen in await frozen(stack, store, people, seconds):
                tell(f"  {seen}{'  (needs it)' if seen.needed else ''}")
                right = right and not seen.is_wrong
    return right


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Freezes each store in turn and asks.")
    parser.add_argument("seconds", nargs="?", type=float, default=20.0)
    with tempfile.TemporaryDirectory(prefix="erx-silence-") as scratch:
        sys.exit(0 if asyncio.run(show(Path(scratch), parser.parse_args().seconds)) else 1)
