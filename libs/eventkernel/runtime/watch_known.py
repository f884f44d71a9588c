"""Which version of each stream of a partition was met last, and where: repeated records are known by it."""

from collections import OrderedDict
from collections.abc import Iterator

from eventkernel.ids import StreamId


class KnownVersions:
    """Versions of the streams met last, at most ``streams_max``; ``covers_from`` is the offset from which all are known."""

    def __init__(self, covers_from: int, streams_max: int) -> None:
        self.covers_from = covers_from
        self._max = streams_max
        self._known: OrderedDict[StreamId, tuple[int, int]] = OrderedDict()

    def version(self, stream: StreamId) -> int:
        """The version met last, 0 where none was."""
        known = self._known.get(stream)
        return 0 if known is None else known[0]

    def remember(self, stream: StreamId, version: int, next_offset: int) -> None:
        """This record was met; the position behind it is ``next_offset``."""
        self._known[stream] = (version, next_offset)
        self._known.move_to_end(stream)
        if len(self._known) > self._max:
            _, (_, forgotten) = self._known.popitem(last=False)
            self.covers_from = max(self.covers_from, forgotten)

    def since(self, offset: int) -> Iterator[tuple[StreamId, int]]:
        """Streams with a record at ``offset`` or after it, each with its last version; the newest first."""
        for stream, (version, next_offset) in reversed(self._known.items()):
            if next_offset <= offset:
                return
            yield stream, version
