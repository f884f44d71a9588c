"""One crash: clients at work, a process stopped at a named place, what was told compared at once, then everything goes on."""

import asyncio
import os
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from bootstrap.testing.house import SECONDS, House
from bootstrap.testing.lives import Lives, lives_on
from bootstrap.testing.program import eventually
from eventkernel.testing.history import History, Outcome, Recorder, check

CLIENTS = 6
FREEZE_SECONDS = float(os.environ.get("ERX_FREEZE_SECONDS", "1"))
"""How long a process stays frozen at the least: a second where many tests run, a minute by hand."""


@dataclass(frozen=True, slots=True)
class Crash:
    """A place, the role that comes by there, how often it does before it is stopped, and who else of the role is there."""

    point: str
    role: str
    times: int = 3
    beside: bool = False

    def __str__(self) -> str:
        """For the names of tests."""
        return self.point


EVERYWHERE: Final = (
    Crash("appended-reply-to-caller-lost", "command"),
    Crash("relay-frozen-past-lease", "relay", beside=True),
    Crash("produced-not-acknowledged", "relay"),
    Crash("acknowledged-cursor-not-moved", "relay"),
    Crash("cursor-outcome-unknown", "relay"),
    Crash("postgres-committed-offset-not", "projector"),
    Crash("two-consumers-in-rebalance", "projector", beside=True),
)
"""Places on the way of every event, whatever the stores are."""

EMBEDDED: Final = (
    Crash("sqlite-before-commit", "command"),
    Crash("sqlite-after-commit", "command"),
    Crash("sqlite-before-commit", "relay"),
    Crash("sqlite-after-commit", "relay"),
    Crash("sqlite-before-commit", "projector"),
    Crash("sqlite-after-commit", "projector"),
)
"""SQLite's own: around the one transaction of the journal, of the bus and the cursor, of the views and the offsets."""

STACK: Final = (
    Crash("after-pending-insert", "command", times=2),
    Crash("append-sent-reply-lost", "command"),
    Crash("retired-pending-row-left", "relay", times=1),
)
"""Cassandra's own."""


async def survives(house: House, crash: Crash, action: str) -> History:
    """Stop the role there, compare, let it go on, and wait until everything is everywhere, once and in order."""
    house.mend()
    recorder, tenant = Recorder(), f"t-{uuid4().hex[:12]}"
    async with (
        house.stores(tenant) as stores,
        lives_on(house.addresses["command"], house.addresses["query"], recorder, tenant) as lives,
    ):
        await lives.run(CLIENTS, prescriptions=1)
        others = [house.another(crash.role)] if crash.beside else []
        house.arm(crash.role, f"{crash.point}={action}@{crash.times}")
        stopped = asyncio.Event()
        clients = asyncio.create_task(_live_on(lives, stopped))
        try:

            async def struck() -> bool:
                if clients.done():
                    clients.result()
                return house.struck(crash.role, crash.point, action)

            await eventually(f"{action} at {crash.point}", struck, seconds=SECONDS)
            stopped.set()
            await lives.quiet()
            # Before anything is sent again: a retry would hide what was lost.
            told = await stores.look(recorder.history())
            found = check(told, drained=False)
            assert found == [], "; ".join(map(str, found[:5]))
            assert any(write.outcome is Outcome.OK for write in told.writes)
            if others:
                # The others take over what the frozen or dead one held, and it wakes up to find it done.
                await stores.drained(recorder.history())
            if action == "stop":
                await asyncio.sleep(FREEZE_SECONDS)
            if action == "kill":
                house.restart(crash.role)
            else:
                house.go_on(crash.role)
            lives.gate.set()
            await asyncio.wait_for(clients, SECONDS)
        finally:
            clients.cancel()
            house.go_on(crash.role)
            await asyncio.wait({clients})
        house.leave_one_of_each()
        history = recorder.history()
        await stores.drained(history)
        (await stores.look(history)).save(house.histories / f"{tenant}.jsonl")
    written = {write.command_id for write in history.writes}
    assert written == {write.command_id for write in history.writes if write.outcome is Outcome.OK}
    return history


async def _live_on(lives: Lives, stopped: asyncio.Event) -> None:
    """Clients at work until the process is stopped, and then one more prescription each."""
    while not stopped.is_set():
        await lives.run(CLIENTS, prescriptions=1)
    await lives.gate.wait()
    await lives.run(CLIENTS, prescriptions=1)
