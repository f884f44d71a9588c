"""Down-casters: events in an older shape, for consumers that ask for one. Declared by the owner of the events, where at all.

The mirror of upcasters: pure steps, keyed by (event type, the version they read), each to the version before. An older shape
can say less, so what was left out is told beside it: whatever does not come back when the result is upcast again.
What cannot be said at all is refused by name, and never told as something else.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from eventkernel.errors import KernelError
from eventkernel.upcasting import Shape, Upcasters


class CannotBeExpressed(KernelError):
    """The older shape that was asked for has no way to say this event."""

    def __init__(self, event_type: str, *, version: int, why: str) -> None:
        super().__init__(f"{event_type} cannot be expressed in schema version {version}: {why}")
        self.event_type = event_type
        self.version = version
        self.why = why


@dataclass(frozen=True, slots=True)
class DownStep:
    """Reads ``type`` at ``version``, answers at ``version - 1`` under ``gives`` (default: the same type).

    ``downcast`` raises ``ValueError`` with the reason where the older shape cannot say the event.
    """

    type: str
    version: int
    downcast: Callable[[Any], Any]
    gives: str = ""


@dataclass(frozen=True, slots=True)
class Lowered:
    """An event in the shape that was asked for, and the fields of its newest shape that this one does not say."""

    shape: Shape
    lost: tuple[str, ...] = ()


class Downcasters:
    """The steps of one context. ``differences(newest, again)`` names the fields of one payload that another lacks or says
    otherwise.
    """

    def __init__(
        self,
        upcasters: Upcasters,
        steps: Iterable[DownStep],
        *,
        differences: Callable[[Any, Any], tuple[str, ...]],
    ) -> None:
        self._upcasters = upcasters
        self._steps = {(step.type, step.version): step for step in steps}
        self._differences = differences

    @property
    def steps(self) -> tuple[DownStep, ...]:
        """Every step, in the order of their declaration."""
        return tuple(self._steps.values())

    @property
    def offered(self) -> frozenset[int]:
        """The schema versions that may be asked for, besides the newest of each event."""
        return frozenset(version - 1 for _, version in self._steps)

    def downcast(self, newest: Shape, version: int) -> Lowered:
        """A shape in its newest version as this older one says it. Raises ``CannotBeExpressed``."""
        shape = newest
        while shape.version > version:
            step = self._steps.get((shape.type, shape.version))
            if step is None:
                raise CannotBeExpressed(
                    newest.type, version=version, why=f"version {shape.version - 1} has no such event"
                )
            try:
                payload = step.downcast(shape.payload)
            except ValueError as error:
                raise CannotBeExpressed(newest.type, version=version, why=str(error)) from error
            shape = Shape(step.gives or shape.type, shape.version - 1, payload)
        again = self._upcasters.upcast(shape)
        return Lowered(shape, self._differences(newest.payload, again.payload))
