"""Steps from before what is kept in memory: read again from the bus in blocks, which all who go the same way share."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from eventkernel.runtime.watch_kept import KeptSteps


@dataclass(frozen=True, slots=True)
class Block:
    """The steps of some records that follow one another; ``ends`` is the offset behind the last of them.

    ``whole`` says that nothing can be added to it: the log had got beyond its end when it was read.
    """

    steps: KeptSteps
    ends: int
    whole: bool


ReadBlock: TypeAlias = Callable[[int, int], Awaitable[Block]]
"""Reads the block of a partition that begins at an offset."""


class PastSteps:
    """Keeps the ``blocks_max`` blocks used last. One block is read at a time: whoever asks for it meanwhile finds it there."""

    def __init__(self, read: ReadBlock, blocks_max: int) -> None:
        self._read = read
        self._max = blocks_max
        self._blocks: OrderedDict[tuple[int, int], Block] = OrderedDict()
        self._reading = asyncio.Lock()

    def clear(self) -> None:
        """Forget them."""
        self._blocks.clear()

    async def block(self, partition: int, begins: int) -> Block:
        """The block that begins there."""
        place = (partition, begins)
        if (known := self._blocks.get(place)) is None:
            async with self._reading:
                if (known := self._blocks.get(place)) is None:
                    known = await self._read(partition, begins)
                    if known.whole:
                        self._keep(place, known)
        if known.whole and place in self._blocks:
            self._blocks.move_to_end(place)
        return known

    def _keep(self, place: tuple[int, int], block: Block) -> None:
        self._blocks[place] = block
        if len(self._blocks) > self._max:
            self._blocks.popitem(last=False)
