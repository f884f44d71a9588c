"""The cyclic garbage collector of a server process, set for many objects that live long and few cycles.

With the interpreter's own thresholds (700, 10, 10) about a tenth to a fifth of the time of a command went into looking through
aggregates that are kept, for cycles that are not there. Nothing here depends on the collector but the memory of refused
calls, whose tracebacks make cycles; those are young and found by the first generation.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLDS = (20_000, 50, 100)
"""Allocations between looks at the young; looks at these between looks at the middle; and at those, at all."""


@contextmanager
def relaxed() -> Iterator[None]:
    """Leave what is loaded out of every look, and look less often, until the end of the block."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
