"""Buckets: a stream as a row of partitions, each holding about the same number of versions.

An append goes as a whole into the bucket of its first version, ``(first - 1) // size``. So the last append of a bucket may
overflow it by less than ``ENTRIES_MAX`` versions, and as soon as a bucket's head is at or past its end the bucket is closed:
no condition of a later append can hold there.
"""

from dataclasses import dataclass

from eventkernel.evolving import quickly_made
from eventkernel.ports.event_store import ENTRIES_MAX


@dataclass(frozen=True, slots=True)
class Statics:
    """The static columns of one bucket. ``head`` 0: the bucket has no events. ``generation`` 0: it never was pending."""

    head: int
    published: int
    generation: int


ABSENT = Statics(0, 0, 0)


@quickly_made
@dataclass(frozen=True, slots=True)
class Place:
    """What a position carries beside its version: the bucket of the head, and that bucket's generation when last seen."""

    bucket: int
    generation: int


def statics(row: tuple[int | None, int | None, int | None] | None) -> Statics:
    """Statics of a row ``head, published, gen``; nulls and a missing row mean that nothing happened yet."""
    return ABSENT if row is None else Statics(row[0] or 0, row[1] or 0, row[2] or 0)


def bucket_after(version: int, size: int) -> int:
    """The bucket of the append that comes after this version."""
    return version // size


def is_closed(bucket: int, head: int, size: int) -> bool:
    """Whether appends after this head go to a later bucket."""
    return head >= (bucket + 1) * size


def first_bucket_with(version: int, size: int) -> int:
    """The earliest bucket that may hold a version: its own, or the one before, which may have overflowed."""
    own = (version - 1) // size
    return own - 1 if own > 0 and (version - 1) % size < ENTRIES_MAX else own


def may_be_untouched(bucket: int, published: int, size: int) -> bool:
    """Whether nothing of this bucket may have been published yet, so that the bucket before must be looked at first."""
    return bucket > 0 and published < bucket * size + ENTRIES_MAX
