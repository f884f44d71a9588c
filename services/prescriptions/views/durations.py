"""Medians without keeping every sample: a histogram with buckets that grow by two per cent.

Bounds are whole microseconds computed with whole numbers, so that every machine counts a sample in the same bucket. The
middle of a bucket lies within 1 % of every sample in it, or within half a millisecond where that is more; and so does the
median taken from the counts.
"""

from bisect import bisect_right
from collections.abc import Mapping
from datetime import timedelta
from math import isqrt
from typing import Final

FINE_MICROS: Final = 50_000
_STEP_MICROS: Final = 1_000
_LONGEST_MICROS: Final = 400 * 366 * 86_400 * 1_000_000

_MICROSECOND: Final = timedelta(microseconds=1)


def _bounds() -> tuple[int, ...]:
    """Lower bounds: 0 for no time at all, 1 µs, 1 ms, 2 ms … 50 ms, then each 2 % above the one before."""
    bounds = [0, 1, *range(_STEP_MICROS, FINE_MICROS, _STEP_MICROS)]
    bound = FINE_MICROS
    while bound < _LONGEST_MICROS:
        bounds.append(bound)
        bound += bound // 50
    return tuple(bounds)


BOUNDS: Final = _bounds()


def bucket_of(duration: timedelta) -> int:
    """The number of the duration's bucket; a negative one counts as none at all."""
    return bisect_right(BOUNDS, max(duration // _MICROSECOND, 0)) - 1


def middle_of(bucket: int) -> timedelta:
    """The duration that stands for a bucket: the geometric middle, of the fine ones the arithmetic."""
    low = BOUNDS[bucket]
    high = BOUNDS[bucket + 1] if bucket + 1 < len(BOUNDS) else low + low // 50
    middle = (low + high) // 2 if low < FINE_MICROS else isqrt(low * high)
    return middle * _MICROSECOND


def median(counts: Mapping[int, int]) -> timedelta | None:
    """The median of the samples counted by bucket; of an even number the mean of the two middle ones. None of none."""
    total = sum(counts.values())
    if total == 0:
        return None
    return (_at(counts, (total - 1) // 2) + _at(counts, total // 2)) / 2


def _at(counts: Mapping[int, int], place: int) -> timedelta:
    """What stands for the sample at this place of the sorted samples, from 0."""
    passed = 0
    for bucket in sorted(counts):
        passed += counts[bucket]
        if passed > place:
            return middle_of(bucket)
    raise IndexError(place)
