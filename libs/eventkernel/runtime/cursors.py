"""Cursors that move beside the publishing: what the bus has acknowledged is moved over in batches, one batch at a time.

A round does not wait for the cursors of the one before. Runs of one stream that come while a batch is under way become one
run, so a busy stream costs one conditional write a batch, not one a round. Nothing here knows what is on the bus: whatever is
handed in has been acknowledged.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from eventkernel import failpoints, marks
from eventkernel.ids import StreamId
from eventkernel.ports import Clock, Outbox, OutboxRun
from eventkernel.runtime.waiting import first_of


class Cursors:
    """The cursors of one relay. ``seconds``: how long a batch waits for more before it goes; ``events_max``: events behind
    which a cursor may stand still, beyond which ``room`` waits.
    """

    def __init__(self, outbox: Outbox, clock: Clock, *, seconds: float, events_max: int) -> None:
        self._outbox = outbox
        self._clock = clock
        self._seconds = seconds
        self._events_max = events_max
        self._waiting: dict[StreamId, OutboxRun] = {}
        self._under_way: dict[StreamId, OutboxRun] = {}
        self._lately: dict[StreamId, int] = {}
        self._events = 0
        self._moved = 0
        self._task: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._ended = asyncio.Event()

    async def room(self) -> None:
        """Return when few enough events are behind. Raises what kept a batch from moving: then all of them were given up,
        and are found again where their cursors stand.
        """
        while self._events >= self._events_max and self._task is not None and not self._task.done():
            marks.hit("cursors: room was waited for")
            self._hurry.set()
            self._ended.clear()
            await first_of(self._ended.wait(), asyncio.wait([self._task]))
        self._hurry.clear()
        self._check()
        self._lately.clear()

    def reached(self, stream: StreamId) -> int:
        """The last version that was acknowledged and whose cursor is on its way; 0 where none is."""
        run = self._waiting.get(stream) or self._under_way.get(stream)
        return run.events[-1].version if run else 0

    def add(self, runs: Iterable[OutboxRun]) -> None:
        """Move these. One that does not follow what waits of its stream is left out: it will be found again."""
        for run in runs:
            begins = self._begins_at(run)
            before = self._waiting.get(run.stream)
            if before is None:
                self._waiting[run.stream] = replace(run, published=begins)
            elif before.opaque == run.opaque and before.events[-1].version == run.events[0].version - 1:
                marks.hit("cursors: a run joined the one that waits")
                self._waiting[run.stream] = replace(before, head=run.head, events=before.events + run.events)
            else:
                marks.hit("cursors: a run that does not follow was left out")
                continue
            self._events += len(run.events)
        if self._waiting and self._task is None:
            self._task = asyncio.create_task(self._move(), name="relay-cursors")

    async def batch(self) -> None:
        """Return when the next batch has ended."""
        self._ended.clear()
        await self._ended.wait()

    async def settled(self) -> int:
        """Wait for all of them; gives the number of events moved over since it was last asked."""
        self._hurry.set()
        try:
            if self._task is not None:
                await asyncio.wait([self._task])
        except asyncio.CancelledError:
            if self._task is not None:
                self._task.cancel()
            raise
        finally:
            self._hurry.clear()
        self._check()
        moved, self._moved = self._moved, 0
        return moved

    async def _move(self) -> None:
        while self._waiting:
            if self._seconds > 0 and not self._hurry.is_set():
                await first_of(self._hurry.wait(), self._clock.sleep(self._seconds))
            self._under_way, self._waiting = self._waiting, {}
            batch = list(self._under_way.values())
            answer = failpoints.under_way("cursor-outcome-unknown", self._outbox.advance(batch))
            for run, moved in zip(batch, await answer, strict=True):
                self._took(run, moved=moved)
            failpoints.reached("topic-tail-lost")
            self._under_way = {}
            self._ended.set()
        self._task = None

    def _took(self, run: OutboxRun, *, moved: bool) -> None:
        last = run.events[-1].version
        self._events -= len(run.events)
        waiting = self._waiting.get(run.stream)
        if moved:
            self._moved += len(run.events)
            self._lately[run.stream] = last
            if waiting is not None and waiting.events[0].version == last + 1:
                marks.hit("cursors: what waits begins where this one ended")
                self._waiting[run.stream] = replace(waiting, published=last)
        elif waiting is not None:
            marks.hit("cursors: another one moved it, what waits was given up")
            # Another one moved it, nobody here knows where to: what waits begins nowhere.
            self._events -= len(self._waiting.pop(run.stream).events)

    def _begins_at(self, run: OutboxRun) -> int:
        """The cursor where it stands by now: it may have moved since the run was read."""
        lately = self._lately.get(run.stream, 0)
        if lately != run.events[0].version - 1:
            return run.published
        if lately != run.published:
            marks.hit("cursors: a run was read before the last move")
        return lately

    def _check(self) -> None:
        task = self._task
        if task is not None and task.done():
            self._task = None
            if task.cancelled() or task.exception() is not None:
                marks.hit("cursors: a batch failed, all were given up")
                self._waiting, self._under_way, self._events = {}, {}, 0
            task.result()
