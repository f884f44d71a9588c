"""Upcasters: pure steps from one schema version of an event to the next, chained until the newest.

A step is keyed by (event type, the version it reads). It gives the payload in the next version and may give another type
name where a type was renamed or split. Steps see no clock and no I/O, and what the older version could not say stays unknown.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from eventkernel.errors import EventUnreadable, UnknownEventType, UnknownSchemaVersion, UpcasterGap, UpcastFailed


@dataclass(frozen=True, slots=True)
class Shape:
    """A payload and what it is: type name, schema version, and the payload in the codec's own form."""

    type: str
    version: int
    payload: Any


@dataclass(frozen=True, slots=True)
class Step:
    """Reads ``type`` at ``version``, answers at ``version + 1`` under one of ``gives`` (default: the same type)."""

    type: str
    version: int
    upcast: Callable[[Any], Any]
    gives: tuple[str, ...] = ()
    type_of: Callable[[Any], str] | None = None


class Upcasters:
    """The chain of all steps of one context.

    ``newest`` maps every event type that today's domain reads to its newest schema version.
    """

    def __init__(self, newest: Mapping[str, int], steps: Iterable[Step] = ()) -> None:
        self._newest = dict(newest)
        self._steps: dict[tuple[str, int], Step] = {}
        for step in steps:
            if (step.type, step.version) in self._steps:
                raise ValueError(f"two steps read {step.type} version {step.version}")
            self._steps[step.type, step.version] = step

    @property
    def newest(self) -> Mapping[str, int]:
        """The newest schema version of every event type that today's domain reads."""
        return self._newest

    @property
    def steps(self) -> Mapping[tuple[str, int], Step]:
        """Every step by what it reads: event type and schema version."""
        return self._steps

    def check(self) -> None:
        """Raise ``UpcasterGap`` naming every version that has no way to the newest. Called at start-up."""
        gaps = []
        for (name, version), step in sorted(self._steps.items()):
            for target in step.gives or (name,):
                reached = self._newest.get(target) == version + 1 or (target, version + 1) in self._steps
                if not reached:
                    gaps.append(
                        f"{name} version {version} leads to {target} version {version + 1}, which nothing reads"
                    )
        for name, newest in sorted(self._newest.items()):
            begins = min((v for n, v in self._steps if n == name), default=newest)
            gaps += [
                f"{name} has no step from version {v}" for v in range(begins, newest) if (name, v) not in self._steps
            ]
        if gaps:
            raise UpcasterGap(gaps)

    def upcast(self, shape: Shape) -> Shape:
        """The shape at its newest version. Raises ``UnknownEventType``, ``UnknownSchemaVersion`` or ``UpcastFailed``."""
        while self._newest.get(shape.type) != shape.version:
            step = self._steps.get((shape.type, shape.version))
            if step is None:
                raise self._unreadable(shape)
            try:
                payload = step.upcast(shape.payload)
                name = step.type_of(shape.payload) if step.type_of else shape.type
            except EventUnreadable:
                raise
            except Exception as error:
                raise UpcastFailed(shape.type, version=shape.version, cause=repr(error)) from error
            shape = Shape(name, shape.version + 1, payload)
        return shape

    def _unreadable(self, shape: Shape) -> EventUnreadable:
        versions = [v for name, v in self._steps if name == shape.type]
        newest = self._newest.get(shape.type, max(versions, default=0) + 1 if versions else 0)
        if newest == 0:
            return UnknownEventType(shape.type)
        if shape.version > newest:
            return UnknownSchemaVersion(shape.type, version=shape.version, newest=newest)
        return UpcastFailed(shape.type, version=shape.version, cause=f"no step to version {shape.version + 1}")
