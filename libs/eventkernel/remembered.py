"""Results of pure functions of frozen values, remembered by the very object: comparing deep values would cost more."""

from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class ByIdentity(Generic[K, V]):
    """A function that remembers at most ``kept_max`` arguments with their results; beyond that it begins anew.

    The argument is kept with its result, so no other object can have its ``id``. Whoever gets a result must not change it.
    """

    def __init__(self, function: Callable[[K], V], kept_max: int) -> None:
        self._function = function
        self._max = kept_max
        self._kept: dict[int, tuple[K, V]] = {}

    def __call__(self, value: K) -> V:
        """The function's result."""
        known = self._kept.get(id(value))
        if known is not None:
            return known[1]
        result = self._function(value)
        if len(self._kept) >= self._max:
            self._kept.clear()
        self._kept[id(value)] = (value, result)
        return result
