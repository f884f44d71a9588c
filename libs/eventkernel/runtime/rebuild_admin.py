"""What people ask of rebuilds: start or continue, stop, look. The work itself is done by whatever process runs a rebuilder."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from eventkernel.errors import Refusal
from eventkernel.ports import Clock, ViewStore, ViewTransaction
from eventkernel.runtime.rebuild_record import WORKING, Phase, Rebuild, by_name, load_rebuild, save_rebuild
from eventkernel.view import View


@dataclass(frozen=True, slots=True)
class Wish:
    """How views are to be rebuilt; see ``Rebuild``. ``restart`` throws away what an earlier start has filled."""

    by: str
    since: datetime | None = None
    switch_when_equal: bool = False
    restart: bool = False


async def start_rebuild(store: ViewStore, view: View[Any, Any], wish: Wish, *, clock: Clock) -> Rebuild:
    """The same for one view."""
    [started] = await start_rebuilds(store, [view], wish, clock=clock)
    return started


async def start_rebuilds(
    store: ViewStore, views: Sequence[View[Any, Any]], wish: Wish, *, clock: Clock
) -> list[Rebuild]:
    """Begin rebuilds, or continue those that were stopped or failed: all of them, or none.

    A rebuild that runs goes on as it is; until it is compared it may still be asked for that it switches by itself. One that
    waits for its switch is refused (``REBUILD_READY``) unless ``restart``, as is a restart of one that runs
    (``REBUILD_RUNNING``): stop it first. Tables that can neither answer nor be rolled back to go.
    """
    now = clock.now()
    views = by_name(views)
    known = await rebuilds(store, views)
    made = [_wanted(view, active, rebuild, wish, now) for view, active, rebuild in known]
    await store.prepare([view.of_generation(one.generation) for view, one in zip(views, made, strict=True)])
    async with store.transaction() as transaction:
        for (view, active, before), one in zip(known, made, strict=True):
            found = await load_rebuild(transaction, view)
            if not _same(found, before) or await transaction.catalogue.active(view) != active:
                raise Refusal("CHANGED_MEANWHILE", f"somebody else has just changed the rebuild of {view.name}")
            if before is not None and before.generation != one.generation:
                for left in sorted({before.generation, before.previous} - {active}):
                    await transaction.catalogue.drop(view.of_generation(left))
            await save_rebuild(transaction, view, _with_progress_of(found, one))
    return made


def _wanted(view: View[Any, Any], active: int, known: Rebuild | None, wish: Wish, now: datetime) -> Rebuild:
    """The rebuild as it goes on, or a new one."""
    if known is not None and not wish.restart and known.phase is Phase.READY and not known.wanted:
        raise Refusal("REBUILD_READY", f"{view.name} is rebuilt and waits for its switch; or start it anew")
    if known is not None and not wish.restart and known.phase in {*WORKING, Phase.READY, Phase.FAILED}:
        phase = Phase.FILLING if known.phase is Phase.FAILED else known.phase
        known = replace(known, switch_when_equal=known.switch_when_equal or wish.switch_when_equal)
        return known if known.working else replace(known, wanted=True, phase=phase, error="", changed_at=now)
    if known is not None and _runs(known, now):
        raise Refusal("REBUILD_RUNNING", f"a rebuild of {view.name} runs; stop it before it is started anew")
    used = [active] if known is None else [active, known.generation, known.previous]
    return Rebuild(
        max(used) + 1,
        active,
        since=wish.since,
        switch_when_equal=wish.switch_when_equal,
        started_at=now,
        changed_at=now,
        by=wish.by,
    )


def _with_progress_of(found: Rebuild | None, made: Rebuild) -> Rebuild:
    """Its worker may have told progress since it was read."""
    if found is None or found.generation != made.generation:
        return made
    return replace(
        found,
        phase=made.phase,
        wanted=made.wanted,
        switch_when_equal=made.switch_when_equal,
        error=made.error,
        changed_at=made.changed_at,
    )


def _same(one: Rebuild | None, other: Rebuild | None) -> bool:
    """Whether nobody but its worker, who tells progress, has changed it."""
    if one is None or other is None:
        return one is other
    return (one.generation, one.phase, one.wanted) == (other.generation, other.phase, other.wanted)


async def stop_rebuild(store: ViewStore, view: View[Any, Any], *, clock: Clock) -> Rebuild:
    """Ask whoever works on it to stop; what is filled stays. Refusal: ``NOTHING_RUNS``."""
    async with store.transaction() as transaction:
        known = await load_rebuild(transaction, view)
        if known is None or not (known.working or known.phase in WORKING):
            raise Refusal("NOTHING_RUNS", f"no rebuild of {view.name} runs")
        stopped = replace(known, wanted=False, changed_at=clock.now())
        await save_rebuild(transaction, view, stopped)
    return stopped


async def rebuilds(
    store: ViewStore, views: Sequence[View[Any, Any]]
) -> list[tuple[View[Any, Any], int, Rebuild | None]]:
    """Each view with the generation that answers and its last rebuild."""
    async with store.transaction() as transaction:
        known = {view.name: await _known(transaction, view) for view in by_name(views)}
    return [known[view.name] for view in views]


async def _known(transaction: ViewTransaction, view: View[Any, Any]) -> tuple[View[Any, Any], int, Rebuild | None]:
    rebuild = await load_rebuild(transaction, view)
    return view, await transaction.catalogue.active(view), rebuild


def _runs(rebuild: Rebuild, now: datetime) -> bool:
    """Somebody works on it, or may still: a stop takes a moment to be heard."""
    held = bool(rebuild.owner) and rebuild.leased_until is not None and rebuild.leased_until > now
    return rebuild.working or (rebuild.phase in WORKING and held)
