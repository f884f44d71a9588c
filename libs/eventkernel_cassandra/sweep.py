"""A slow sweep over all streams: a defence in depth, not the way by which work is found.

Every event that is not published stands under an odd generation whose pending row exists, and no write of this package can
break that. A restored or truncated ``pending`` table can. The sweep writes the missing rows again, and makes generations odd
that are not.
"""

from dataclasses import dataclass

from eventkernel.ids import StreamId, shard_of
from eventkernel_cassandra.buckets import Statics
from eventkernel_cassandra.errors import InDoubt
from eventkernel_cassandra.generations import announced
from eventkernel_cassandra.session import CqlSession
from eventkernel_cassandra.settings import Layout
from eventkernel_cassandra.statements import Statements
from eventkernel_cassandra.stream_directory import partitions


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep saw: buckets in all, those with unpublished events, and for how many of these no row was found."""

    buckets: int
    waiting: int
    healed: int


class PendingSweep:
    """Compares the journal with the pending rows. Run it seldom: it reads the statics of every bucket there is."""

    def __init__(self, session: CqlSession, statements: Statements, layout: Layout) -> None:
        self._session = session
        self._statements = statements
        self._layout = layout

    async def run_once(self) -> Swept:
        """One pass. ``healed`` above 0 wants an alarm: something other than this package has changed the tables."""
        buckets = waiting = healed = 0
        async for key, bucket, found in partitions(self._session, self._statements):
            buckets += 1
            if found.head > found.published:
                waiting += 1
                healed += await self._heal(key, bucket, found)
        return Swept(buckets, waiting, healed)

    async def _heal(self, key: str, bucket: int, found: Statics) -> bool:
        s, generation = self._statements, announced(found.generation)
        shard = shard_of(StreamId.from_key(key), self._layout.shard_count)
        if await self._session.read(s.select_pending_row, [shard, key, bucket, generation]):
            return False
        try:
            await self._session.write(s.insert_pending, [shard, key, bucket, generation])
            if generation != found.generation:
                await self._session.apply(s.pass_by, [generation, key, bucket, found.generation or None])
        except InDoubt:
            return True  # found again by the next sweep if it was not done
        return True
