"""Upcasters: pure steps from one schema version of an event to the next, chained until the newest.

A step is keyed by (event type, the version it reads). It gives the payload in the next version and may give another type
name where a type was renamed or split. Steps see no clock and no I/O, and what the older version could not say stays unknown.

A step that must know what came before its event in the stream declares a ``Context``: a small value that it folds itself.
Whoever folds a stream carries it along (``eventkernel.following``); a step whose context is not known gets None, and leaves
unknown what it would have told from it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from eventkernel.errors import EventUnreadable, UnknownEventType, UnknownSchemaVersion, UpcasterGap, UpcastFailed

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Shape:
    """A payload and what it is: type name, schema version, and the payload in the codec's own form."""

    type: str
    version: int
    payload: Any


@dataclass(frozen=True, slots=True)
class Context(Generic[K]):
    """What a step must know of the events before its own. It folds the stream's events in the shapes of ``version``, the one
    that the step reads: older ones come upcast so far, and later versions never change what it sees.

    The first event of a stream that is stored in a newer shape ends it: its writer says in the event what the context was
    for, and a program that writes the older shape can no longer read the stream, and so not write to it. ``fold`` is pure
    and gives the same object where an event adds nothing. Values are never None, can be compared, and consist of what JSON
    holds: texts, whole numbers, booleans, None and tuples of them, named ones too; ``load`` makes one of plain tuples.
    """

    name: str
    version: int
    initial: K
    fold: Callable[[K, Shape], K]
    load: Callable[[Any], K]


Known: TypeAlias = tuple[tuple[str, Any], ...]
"""What is known after some event of a stream: the name and the value of each context that has not ended."""


@dataclass(frozen=True, slots=True)
class Step:
    """Reads ``type`` at ``version``, answers at ``version + 1`` under one of ``gives`` (default: the same type).

    ``upcast(payload)`` gives the new payload; with a ``context`` it is ``upcast(payload, value)``, where the value is that
    before the event, or None where it is not known.
    """

    type: str
    version: int
    upcast: Callable[..., Any]
    gives: tuple[str, ...] = ()
    type_of: Callable[[Any], str] | None = None
    context: Context[Any] | None = None


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
        declared = [step.context for step in self._steps.values() if step.context is not None]
        self._contexts = tuple({context.name: context for context in declared}.values())
        self._level = max((context.version for context in self._contexts), default=0)
        self._beginning: Known = tuple((context.name, context.initial) for context in self._contexts)

    @property
    def newest(self) -> Mapping[str, int]:
        """The newest schema version by event type."""
        return self._newest

    @property
    def steps(self) -> tuple[Step, ...]:
        """Every step, in the order of their declaration."""
        return tuple(self._steps.values())

    @property
    def contexts(self) -> tuple[Context[Any], ...]:
        """Every declared context."""
        return self._contexts

    @property
    def beginning(self) -> Known:
        """What is known before the first event of a stream."""
        return self._beginning

    def follows(self, version: int) -> bool:
        """Whether an event stored in this schema version takes part in any context."""
        return version <= self._level

    def check(self, stored: Iterable[tuple[str, int]] = ()) -> None:
        """Raise ``UpcasterGap`` naming every version that has no way to the newest. Called at start-up.

        ``stored`` are the shapes that may lie in a journal: each of them must have its way.
        """
        gaps = []
        for (name, version), step in sorted(self._steps.items()):
            for target in step.gives or (name,):
                reached = self._newest.get(target) == version + 1 or (target, version + 1) in self._steps
                if not reached:
                    gaps.append(
                        f"{name} version {version} leads to {target} version {version + 1}, which nothing reads"
                    )
            gaps += self._misplaced(step)
        for name, newest in sorted(self._newest.items()):
            begins = min((v for n, v in (*self._steps, *stored) if n == name), default=newest)
            gaps += [
                f"{name} has no step from version {v}" for v in range(begins, newest) if (name, v) not in self._steps
            ]
        for name, version in sorted(stored):
            if name not in self._newest and (name, version) not in self._steps:
                gaps.append(f"{name} has no step from version {version}")
        if gaps:
            raise UpcasterGap(gaps)

    def upcast(self, shape: Shape) -> Shape:
        """The shape at its newest version, from itself alone: what a step would tell from its context stays unknown.

        Raises ``UnknownEventType``, ``UnknownSchemaVersion`` or ``UpcastFailed``.
        """
        while self._newest.get(shape.type) != shape.version:
            shape = self._stepped(shape, {})
        return shape

    def upcast_after(self, shape: Shape, known: Known | None) -> tuple[Shape, Known | None]:
        """The shape at its newest version, and what is known after the event; ``known`` is what was before it.

        None where no context is known. Raises as ``upcast`` does.
        """
        before = dict(known) if known else {}
        after: dict[str, Any] = {}
        while True:
            is_newest = self._newest.get(shape.type) == shape.version
            for context in self._contexts if before else ():
                reads = context.version == shape.version or (is_newest and context.version > shape.version)
                if reads and context.name in before:
                    after[context.name] = _folded(context, before[context.name], shape)
            if is_newest:
                return shape, tuple(after.items()) or None
            shape = self._stepped(shape, before)

    def _stepped(self, shape: Shape, known: Mapping[str, Any]) -> Shape:
        step = self._steps.get((shape.type, shape.version))
        if step is None:
            raise self._unreadable(shape)
        try:
            if step.context is None:
                payload = step.upcast(shape.payload)
            else:
                payload = step.upcast(shape.payload, _loaded(step.context, known.get(step.context.name)))
            name = step.type_of(shape.payload) if step.type_of else shape.type
        except EventUnreadable:
            raise
        except Exception as error:
            raise UpcastFailed(shape.type, version=shape.version, cause=repr(error)) from error
        return Shape(name, shape.version + 1, payload)

    def _misplaced(self, step: Step) -> list[str]:
        context = step.context
        if context is None:
            return []
        if context not in self._contexts:
            return [f"{step.type} version {step.version}: two contexts are called {context.name}"]
        if context.version != step.version:
            return [f"{step.type} version {step.version}: {context.name} folds the shapes of version {context.version}"]
        return []

    def _unreadable(self, shape: Shape) -> EventUnreadable:
        versions = [v for name, v in self._steps if name == shape.type]
        newest = self._newest.get(shape.type, max(versions, default=0) + 1 if versions else 0)
        if newest == 0:
            return UnknownEventType(shape.type)
        if shape.version > newest:
            return UnknownSchemaVersion(shape.type, version=shape.version, newest=newest)
        return UpcastFailed(shape.type, version=shape.version, cause=f"no step to version {shape.version + 1}")


def _folded(context: Context[Any], value: Any, shape: Shape) -> Any:
    try:
        return context.fold(_loaded(context, value), shape)
    except Exception as error:
        cause = f"context {context.name}: {error!r}"
        raise UpcastFailed(shape.type, version=shape.version, cause=cause) from error


def _loaded(context: Context[K], value: Any) -> K | None:
    """A context's value, which comes as plain tuples where it was stored."""
    return value if value is None or type(value) is type(context.initial) else context.load(value)
