"""Letting another generation of a view answer, forward or back, without an answer that goes backwards.

The generation that is to answer is first brought forward from the journal until few streams are behind the one that does.
Then one transaction keeps everybody from writing, brings those few forward, and switches. Generations further than the other
do no harm: the projector drops what is known. Nothing but tables changes; webhooks and policies read the bus and hear nothing.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from eventkernel.errors import Refusal
from eventkernel.ids import StreamId
from eventkernel.ports import ViewTransaction
from eventkernel.runtime.corrections import note_correction
from eventkernel.runtime.discards import load_discards, passing_over
from eventkernel.runtime.rebuild_advance import Sources, advance, tails
from eventkernel.runtime.rebuild_record import Phase, Rebuild, load_rebuild, save_rebuild
from eventkernel.view import View

E = TypeVar("E")

PASS_STREAMS = 500
"""Streams brought forward in one transaction before the switch."""
LAST_STREAMS_MAX = 200
"""Streams brought forward in the transaction of the switch, while writers wait."""
NAMED_MAX = 10


async def catch_up(
    sources: Sources[E], view: View[Any, E], ahead: View[Any, E], *, stop: asyncio.Event | None = None
) -> frozenset[StreamId] | None:
    """Bring a generation forward until it is at most ``LAST_STREAMS_MAX`` streams behind another.

    Gives the streams that cannot be brought further, whose switch is to be judged; None where it was stopped.
    """
    stuck: set[StreamId] = set()
    while stop is None or not stop.is_set():
        async with sources.store.transaction() as transaction:
            discards = await load_discards(transaction, view)
            behind = await transaction.catalogue.behind(ahead, view, PASS_STREAMS + len(stuck))
        left = [stream for stream in behind if stream not in stuck]
        if len(left) <= LAST_STREAMS_MAX:
            return frozenset(stuck)
        async with sources.store.reading() as reading:
            events = await tails(sources.journal, await reading.checkpoints(view, left))
        passing, decode = passing_over(view, sources.decode, discards)
        async with sources.store.transaction() as transaction:
            await advance(transaction, passing, events, decode=decode, clock=sources.clock)
            lanes = await transaction.parked(view, left)
            behind = await transaction.catalogue.behind(ahead, view, PASS_STREAMS + len(stuck))
        async with sources.store.reading() as reading:
            old, new = await reading.checkpoints(ahead, left), await reading.checkpoints(view, left)
        stuck |= {s for s in left if s in behind and (s in lanes or new[s].version >= old[s].version)}
    return None


async def switch(
    sources: Sources[E], view: View[Any, E], *, force: bool = False, stop: asyncio.Event | None = None
) -> Rebuild:
    """Let the rebuilt generation answer. Refusals: ``NOT_READY``, ``TABLES_DIFFER`` (``force`` goes on), ``GOES_BACKWARDS``."""
    rebuild = await _known(sources, view)
    if rebuild.phase is not Phase.READY:
        raise Refusal("NOT_READY", f"the rebuild of {view.name} is {rebuild.phase.value}", state=rebuild.phase.value)
    found = rebuild.comparison
    if found is None or not found.sound or (not found.agrees and not force):
        raise Refusal("TABLES_DIFFER", f"old and new {view.name} differ; look at the comparison, then switch by force")
    return await _turn(sources, view, _Turn(rebuild.generation, Phase.READY, Phase.SWITCHED, force), stop)


async def roll_back(sources: Sources[E], view: View[Any, E], *, force: bool = False) -> Rebuild:
    """Let the generation before answer again, brought forward first. ``force`` accepts answers that go backwards.

    Refusals: ``NOTHING_TO_ROLL_BACK``, ``GOES_BACKWARDS``.
    """
    rebuild = await _known(sources, view)
    if rebuild.phase is not Phase.SWITCHED:
        raise Refusal("NOTHING_TO_ROLL_BACK", f"the rebuild of {view.name} is {rebuild.phase.value}")
    return await _turn(sources, view, _Turn(rebuild.previous, Phase.SWITCHED, Phase.ROLLED_BACK, force), None)


@dataclass(frozen=True, slots=True)
class _Turn:
    """To which generation, and from which phase of the rebuild to which."""

    generation: int
    before: Phase
    after: Phase
    force: bool


async def _turn(sources: Sources[E], view: View[Any, E], turn: _Turn, stop: asyncio.Event | None) -> Rebuild:
    while True:
        async with sources.store.transaction() as transaction:
            old = await transaction.catalogue.active(view)
            discards = await load_discards(transaction, view)
        here, ahead = view.of_generation(turn.generation), view.of_generation(old)
        stuck = await catch_up(sources, here, ahead, stop=stop)
        if stuck is None:
            raise Refusal("STOPPED", f"the switch of {view.name} was stopped")
        async with sources.store.transaction() as transaction:
            rebuild = await load_rebuild(transaction, view)
            if rebuild is None or rebuild.phase is not turn.before or await transaction.catalogue.active(view) != old:
                raise Refusal("CHANGED_MEANWHILE", f"somebody else has just switched {view.name}")
            await transaction.catalogue.activate(view, turn.generation)
            passing, decode = passing_over(here, sources.decode, discards)
            last = _LastStep(transaction, replace(sources, decode=decode), passing, ahead, stuck)
            if not await last.take():
                await transaction.catalogue.activate(view, old)
                continue
            if not turn.force:
                await last.check()
            await note_correction(transaction, view, sources.clock)
            done = replace(rebuild, phase=turn.after, wanted=False, changed_at=sources.clock.now(), error="")
            await save_rebuild(transaction, view, done)
        return done


@dataclass(slots=True)
class _LastStep:
    """In the transaction of the switch: nobody writes to the old table now."""

    transaction: ViewTransaction
    sources: Sources[Any]
    here: View[Any, Any]
    ahead: View[Any, Any]
    stuck: frozenset[StreamId]

    async def take(self) -> bool:
        """Bring the last streams forward; False: too many have moved since, another pass comes first."""
        behind = await self._behind()
        left = [stream for stream in behind if stream not in self.stuck]
        if len(left) > LAST_STREAMS_MAX:
            return False
        some = behind if len(behind) <= 2 * LAST_STREAMS_MAX else left
        if some:
            events = await tails(self.sources.journal, await self.transaction.load(self.here, some))
            decode, clock = self.sources.decode, self.sources.clock
            await advance(self.transaction, self.here, events, decode=decode, clock=clock)
        return True

    async def check(self) -> None:
        """No stream may stand further in the table that is left. A lane there that holds more is no answer."""
        behind = await self._behind()
        old, new = await self.transaction.load(self.ahead, behind), await self.transaction.load(self.here, behind)
        backwards = [stream for stream in behind if new[stream].version < old[stream].version]
        if backwards:
            raise _goes_backwards(self.here, backwards)

    async def _behind(self) -> Sequence[StreamId]:
        most = LAST_STREAMS_MAX + len(self.stuck) + 1
        return await self.transaction.catalogue.behind(self.ahead, self.here, most)


async def _known(sources: Sources[E], view: View[Any, E]) -> Rebuild:
    async with sources.store.transaction() as transaction:
        rebuild = await load_rebuild(transaction, view)
    if rebuild is None:
        raise Refusal("NO_REBUILD", f"{view.name} was never rebuilt")
    return rebuild


def _goes_backwards(view: View[Any, Any], streams: Sequence[StreamId]) -> Refusal:
    named = ", ".join(stream.key for stream in streams[:NAMED_MAX])
    message = f"{len(streams)} streams stand further in the old {view.name}, where these are parked in the new: {named}"
    return Refusal("GOES_BACKWARDS", message, details={"streams": str(len(streams))})
