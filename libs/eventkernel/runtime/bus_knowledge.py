"""What a relay knows to be on the bus beyond its cursors: by stream, one run of versions without a gap."""

from collections import OrderedDict
from collections.abc import Iterable

from eventkernel.errors import EventUnreadable
from eventkernel.ids import StreamId
from eventkernel.ports import BusRecord, BusTail
from eventkernel.runtime.cloudevents import version_of

_PAGE_RECORDS_MAX = 1_000


class BusKnowledge:
    """At most ``streams_max`` streams; what is forgotten is published again, which is harmless.

    A version counts as published only as part of a run that begins right after the cursor. A version further up may lie on
    the bus without the ones before it, after a publisher gave some of them up: skipping over it would lose them.
    """

    def __init__(self, streams_max: int) -> None:
        self._max = streams_max
        self._runs: OrderedDict[StreamId, tuple[int, int]] = OrderedDict()

    def reaches(self, stream: StreamId, published: int) -> int:
        """The last version that needs no publishing, the cursor standing at ``published``."""
        first, last = self._runs.get(stream, (0, 0))
        return last if first <= published + 1 <= last else published

    def saw(self, stream: StreamId, versions: Iterable[int]) -> None:
        """These versions are on the bus, in this order."""
        for version in versions:
            first, last = self._runs.get(stream, (0, 0))
            if not first <= version <= last + 1 or not first:
                first = last = version
            self._runs[stream] = (first, max(last, version))
        self._runs.move_to_end(stream)
        if len(self._runs) > self._max:
            self._runs.popitem(last=False)

    async def read_back(self, tail: BusTail, topic: str, records_max: int) -> None:
        """Forget everything and learn it anew from the last ``records_max`` records of every partition."""
        self._runs.clear()
        for partition, end in (await tail.end_offsets(topic)).items():
            offset = max(0, end - records_max)
            while offset < end:
                records = await tail.read(partition, offset, _PAGE_RECORDS_MAX)
                if not records:
                    break
                self._saw_records(records)
                offset = records[-1].offset + 1

    def _saw_records(self, records: Iterable[BusRecord]) -> None:
        for record in records:
            try:
                stream, version = version_of(record)
            except EventUnreadable:
                # Not an event of ours: whoever reads the topic says so, and there is nothing to skip here.
                continue
            self.saw(stream, (version,))
