"""What people ask of rebuilds: start or continue, stop, look. The work itself is done by whatever process runs a rebuilder."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from eventkernel.errors import Refusal
from eventkernel.ports import Clock, ViewStore, ViewTransaction
from eventkernel.runtime.rebuild_record import WORKING, Phase, Rebuild, load_rebuild, save_rebuild
from eventkernel.view import View


async def start_rebuild(
    store: ViewStore,
    view: View[Any, Any],
    *,
    clock: Clock,
    by: str,
    since: datetime | None = None,
    switch_when_equal: bool = False,
    restart: bool = False,
) -> Rebuild:
    """Begin a rebuild, or continue the one that was stopped or failed; ``restart`` throws away what it has filled.

    A rebuild that runs is left as it is. One that waits for its switch is refused (``REBUILD_READY``) unless ``restart``, as is
    a restart of one that runs (``REBUILD_RUNNING``): stop it first. Tables that can neither answer nor be rolled back to go.
    """
    now = clock.now()
    async with store.transaction() as transaction:
        known = await load_rebuild(transaction, view)
        active = await transaction.catalogue.active(view)
    if known is not None and not restart and known.phase in {*WORKING, Phase.READY, Phase.FAILED}:
        return await _continued(store, view, clock)
    if known is not None and _runs(known, now):
        raise Refusal("REBUILD_RUNNING", f"a rebuild of {view.name} runs; stop it before it is started anew")
    used = [active] if known is None else [active, known.generation, known.previous]
    generation = max(used) + 1
    await store.prepare([view.of_generation(generation)])
    made = Rebuild(
        generation,
        active,
        since=since,
        switch_when_equal=switch_when_equal,
        started_at=now,
        changed_at=now,
        by=by,
    )
    async with store.transaction() as transaction:
        if await load_rebuild(transaction, view) != known or await transaction.catalogue.active(view) != active:
            raise Refusal("CHANGED_MEANWHILE", f"somebody else has just changed the rebuild of {view.name}")
        for left in sorted({*used} - {active}):
            await transaction.catalogue.drop(view.of_generation(left))
        await save_rebuild(transaction, view, made)
    return made


async def stop_rebuild(store: ViewStore, view: View[Any, Any], *, clock: Clock) -> Rebuild:
    """Ask whoever works on it to stop; what is filled stays. Refusal: ``NOTHING_RUNS``."""
    async with store.transaction() as transaction:
        known = await load_rebuild(transaction, view)
        if known is None or known.phase not in WORKING:
            raise Refusal("NOTHING_RUNS", f"no rebuild of {view.name} runs")
        stopped = replace(known, wanted=False, changed_at=clock.now())
        await save_rebuild(transaction, view, stopped)
    return stopped


async def rebuilds(
    store: ViewStore, views: Sequence[View[Any, Any]]
) -> list[tuple[View[Any, Any], int, Rebuild | None]]:
    """Each view with the generation that answers and its last rebuild."""
    async with store.transaction() as transaction:
        return [await _known(transaction, view) for view in views]


async def _known(transaction: ViewTransaction, view: View[Any, Any]) -> tuple[View[Any, Any], int, Rebuild | None]:
    rebuild = await load_rebuild(transaction, view)
    return view, await transaction.catalogue.active(view), rebuild


async def _continued(store: ViewStore, view: View[Any, Any], clock: Clock) -> Rebuild:
    async with store.transaction() as transaction:
        known = await load_rebuild(transaction, view)
        assert known is not None
        if known.phase is Phase.READY:
            raise Refusal("REBUILD_READY", f"{view.name} is rebuilt and waits for its switch; or start it anew")
        if known.working:
            return known
        phase = Phase.FILLING if known.phase is Phase.FAILED else known.phase
        again = replace(known, wanted=True, phase=phase, error="", changed_at=clock.now())
        await save_rebuild(transaction, view, again)
    return again


def _runs(rebuild: Rebuild, now: datetime) -> bool:
    """Somebody works on it, or may still: a stop takes a moment to be heard."""
    held = bool(rebuild.owner) and rebuild.leased_until is not None and rebuild.leased_until > now
    return rebuild.phase in WORKING and (rebuild.wanted or held)
