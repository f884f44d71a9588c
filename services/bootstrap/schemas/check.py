"""What is missing or wrong around versioned events, each as a sentence that names it: `./erx schemas check`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from bootstrap.schemas import golden, states
from bootstrap.schemas.contexts import EventContext
from bootstrap.schemas.described import Described, describe
from bootstrap.schemas.diff import Ability, compare
from bootstrap.schemas.images import ImageError, built_in, read_image
from eventkernel.downcasting import CannotBeExpressed
from eventkernel.errors import EventUnreadable, UpcasterGap
from eventkernel.upcasting import Shape, Step, Upcasters

ShapeKey = tuple[str, int]
SKELETONS = ("protos/erx", "services", "tests/golden", "tests/unit", "docs")
"""Where skeletons are made, and so where one may have been left unfinished."""


def check(contexts: Sequence[EventContext], root: Path) -> list[str]:
    """Every problem of every context and of what they share."""
    now = describe(built_in(), prefix="erx.")
    problems = [problem for context in contexts for problem in check_context(context, root, now)]
    problems += _lost_since_release(root, now)
    problems += golden.unsealed_or_edited(root)
    problems += golden.edited_since_release(root)
    problems += golden.resealed(root)
    problems += _unfinished(root)
    return list(dict.fromkeys(problems))


def check_context(context: EventContext, root: Path, now: Described) -> Iterator[str]:
    """Every problem of one context, golden bytes first, because the rest is tried on them."""
    files = golden_bytes(context, root)
    yield from _shapes_without_bytes(context, files)
    yield from _bytes_without_shape(context, files)
    yield from _bytes_without_state(context, files)
    yield from _names(context)
    yield from _messages_nobody_reads(context, now)
    yield from _untold(context)
    yield from _gaps(context)
    yield from _steps_never_reached(context, files)
    yield from _unreadable(context, files)
    yield from _downcasters_that_fail(context, files)
    yield from _written_in_older_shapes(context, files)
    yield from _fields_without_bytes(context, files, now)
    yield from states.problems(context, root, states_of(context, files))


def golden_bytes(context: EventContext, root: Path) -> dict[Path, ShapeKey]:
    """The golden files of events, by path, with the shape that the path says: ``v2/MedicationDispensed.binpb``, and for
    further cases of a shape ``v2/MedicationDispensed.short-close.binpb``.
    """
    found = {}
    for path in sorted((root / context.golden).glob("v*/*.binpb")):
        version = path.parent.name.removeprefix("v")
        if version.isdigit():
            found[path] = (path.name.split(".")[0], int(version))
    return found


def states_of(context: EventContext, files: Mapping[Path, ShapeKey]) -> dict[str, Any]:
    """States to try snapshots on: the events of the golden files in the order of the types, folded one after the other."""
    order = {name: place for place, name in enumerate(context.types)}
    known = ((path, key) for path, key in files.items() if key[0] in order)
    state, found = context.decider.initial, {}
    for path, (event_type, version) in sorted(known, key=lambda item: (item[1][1], order[item[1][0]], item[0].name)):
        event = _decoded(context, event_type, version, path)
        if isinstance(event, Exception):
            continue  # told by ``_unreadable``
        state = context.decider.evolve(state, event)
        found[f"{path.parent.name}/{path.name}"] = state
    return found


def _shapes_without_bytes(context: EventContext, files: Mapping[Path, ShapeKey]) -> Iterator[str]:
    for event_type, version in sorted(set(context.messages) - set(files.values())):
        yield f"{event_type} version {version} has no golden bytes: {context.golden}/v{version}/{event_type}.binpb"


def _bytes_without_shape(context: EventContext, files: Mapping[Path, ShapeKey]) -> Iterator[str]:
    for path, (event_type, version) in files.items():
        if (event_type, version) not in context.messages:
            yield f"{context.golden}/v{version}/{path.name}: no message reads {event_type} version {version}"


def _bytes_without_state(context: EventContext, files: Mapping[Path, ShapeKey]) -> Iterator[str]:
    """Golden bytes that may be read as anything, as long as they can be read. The tests fold; here it is asked for."""
    for path in files:
        if not path.with_suffix(".state.json").is_file():
            yield f"{context.golden}/{path.parent.name}/{path.stem}.state.json is missing: the state that {path.name} folds to"


def _names(context: EventContext) -> Iterator[str]:
    for (event_type, version), message in context.messages.items():
        name, wanted = message.DESCRIPTOR.full_name, context.codecs.events.wire_name(event_type, version)
        if name != wanted or wanted != f"{context.package}.v{version}.{event_type}":
            yield f"{event_type} version {version} is read as {name} and announced as {wanted}"


def _messages_nobody_reads(context: EventContext, now: Described) -> Iterator[str]:
    """Messages of the events' packages that are no shape, no part of one, and do not hold shapes, as the wrapper does."""
    shapes = {message.DESCRIPTOR.full_name for message in context.messages.values()}
    parts = set(now.needed_by(shapes))
    for name, message in sorted(now.messages.items()):
        if not name.startswith(f"{context.package}.v") or name in shapes or name in parts:
            continue
        if not any(field.type in shapes for field in message.fields):
            yield f"{name} ({message.file}) is registered nowhere: nothing reads it"


def _untold(context: EventContext) -> Iterator[str]:
    """Events of today that have no place in the wrapper, so that no history and no watch could tell them."""
    wrapper = context.wrapper.DESCRIPTOR
    told = {field.message_type.full_name for field in wrapper.fields if field.message_type is not None}
    for event_type, version in sorted(context.upcasters.newest.items()):
        message = context.messages.get((event_type, version))
        if message is not None and message.DESCRIPTOR.full_name not in told:
            yield f"{event_type} version {version} has no place in {wrapper.full_name}: histories and watches cannot tell it"


def _gaps(context: EventContext) -> Iterator[str]:
    newest = context.upcasters.newest
    for event_type, version in sorted(context.messages):
        if version > newest.get(event_type, version):
            yield f"{event_type} version {version} has a message, but the codec's newest is {newest[event_type]}"
    try:
        context.upcasters.check(context.messages)
    except UpcasterGap as error:
        yield from error.gaps
    for event_type in sorted(context.producers.keys() - newest.keys()):
        yield f"{event_type} is decided by the domain, and the codec does not know it"


def _steps_never_reached(context: EventContext, files: Mapping[Path, ShapeKey]) -> Iterator[str]:
    """Steps that no stored shape leads to. Tried on golden bytes, so that a split's second way must have bytes as well."""
    reached: set[tuple[ShapeKey, str]] = set()
    traced = Upcasters(context.upcasters.newest, [_traced(step, reached) for step in context.steps.values()])
    for path, (event_type, version) in files.items():
        message = context.messages.get((event_type, version))
        if message is None:
            continue
        try:
            traced.upcast(Shape(event_type, version, message.FromString(path.read_bytes())))
        except (EventUnreadable, DecodeError):
            continue
    for key, step in sorted(context.steps.items()):
        for target in step.gives or (step.type,):
            if (key, target) in reached:
                continue
            way = f" to {target}" if step.gives else ""
            yield f"the step{way} from {step.type} version {step.version} is never reached: no stored shape leads to it"


def _traced(step: Step, reached: set[tuple[ShapeKey, str]]) -> Step:
    def type_of(payload: Any) -> str:
        name = step.type_of(payload) if step.type_of else step.type
        reached.add(((step.type, step.version), name))
        return name

    return replace(step, type_of=type_of)


def _unreadable(context: EventContext, files: Mapping[Path, ShapeKey]) -> Iterator[str]:
    for path, (event_type, version) in files.items():
        if (event_type, version) not in context.messages:
            continue
        place = f"{context.golden}/v{version}/{path.name}"
        with suppress(DecodeError):  # then decoding says so, too
            for holder, number in _unknown(context.messages[event_type, version].FromString(path.read_bytes())):
                yield f"{place} holds field {number} of {holder}, which the contract no longer has"
        event = _decoded(context, event_type, version, path)
        if isinstance(event, EventUnreadable):
            yield f"{place} cannot be read: {event}"
        elif isinstance(event, Exception):
            yield f"{place}: reading it breaks the codec: {event!r}"


def _downcasters_that_fail(context: EventContext, files: Mapping[Path, ShapeKey]) -> Iterator[str]:
    """Steps down between shapes that nobody knows, and events of today for which they fail instead of refusing."""
    downcasters = context.downcasters
    if downcasters is None:
        return
    for step in downcasters.steps:
        for shape in ((step.type, step.version), (step.gives or step.type, step.version - 1)):
            if shape not in context.messages:
                yield f"the step down from {step.type} version {step.version}: no message is {shape[0]} version {shape[1]}"
    for path, (event_type, version) in files.items():
        if context.upcasters.newest.get(event_type) != version or (event_type, version) not in context.messages:
            continue
        for older in sorted(downcasters.offered):
            try:
                message = context.messages[event_type, version].FromString(path.read_bytes())
                downcasters.downcast(Shape(event_type, version, message), older)
            except CannotBeExpressed:
                continue
            except Exception as error:  # noqa: BLE001 - it is told as what is wrong with the step
                yield f"{context.golden}/v{version}/{path.name} is not told in version {older}: {error!r}"


def _decoded(context: EventContext, event_type: str, version: int, path: Path) -> Any:
    """The domain event, or what went wrong: a codec beside a contract that lost a field can fail in any way."""
    try:
        return context.codecs.events.decode(event_type, version, path.read_bytes())
    except Exception as error:  # noqa: BLE001 - it is told as what is wrong with these bytes
        return error


def _unknown(message: Message) -> Iterator[tuple[str, int]]:
    """Every field that is in the bytes and not in the contract, with the message that holds it."""
    fields: Any = UnknownFieldSet(message)  # iterable, though published without saying so
    for field in fields:
        yield message.DESCRIPTOR.full_name, field.field_number
    for inner in _messages_in(message):
        yield from _unknown(inner)


def _messages_in(message: Message) -> Iterator[Message]:
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None:
            continue
        if descriptor.message_type.GetOptions().map_entry:
            values: Iterable[Any] = value.values()
        else:
            values = value if descriptor.is_repeated else [value]
        yield from (item for item in values if isinstance(item, Message))


def _written_in_older_shapes(context: EventContext, files: Mapping[Path, ShapeKey]) -> Iterator[str]:
    newest = context.upcasters.newest
    tried: set[str] = set()
    for path, (event_type, version) in files.items():
        if newest.get(event_type) != version or event_type in tried or (event_type, version) not in context.messages:
            continue
        tried.add(event_type)
        event = _decoded(context, event_type, version, path)
        if isinstance(event, Exception):
            continue
        written = context.codecs.events.encode(event)
        if (written.type, written.schema_version) != (event_type, version):
            yield f"{event_type} is written in version {written.schema_version}, and its newest is {version}"


def _fields_without_bytes(context: EventContext, files: Mapping[Path, ShapeKey], now: Described) -> Iterator[str]:
    """Fields of events and of what they hold that no golden file has: removing one of them would go unnoticed."""
    present: dict[str, set[str]] = {}
    for path, key in files.items():
        if key in context.messages:
            try:
                _note(context.messages[key].FromString(path.read_bytes()), present)
            except DecodeError:
                continue  # told by ``_unreadable``
    shapes = {m.DESCRIPTOR.full_name for key, m in context.messages.items() if key in set(files.values())}
    for name in sorted({*shapes, *now.needed_by(shapes)}):
        message = now.messages.get(name)
        for field in message.fields if message else ():
            if field.name not in present.get(name, ()):
                yield f"{name}.{field.name}: no golden file has this field"


def _note(message: Message, present: dict[str, set[str]]) -> None:
    fields = present.setdefault(message.DESCRIPTOR.full_name, set())
    fields.update(descriptor.name for descriptor, _ in message.ListFields())
    for inner in _messages_in(message):
        _note(inner, present)


def _lost_since_release(root: Path, now: Described) -> Iterator[str]:
    try:
        released = describe(read_image(root / golden.RELEASED), prefix="erx.")
    except ImageError as error:
        yield str(error)
        return
    for change in compare(released, now).losing(Ability.BACKWARD):
        why = "; ".join(text for ability, text in change.lost if ability is Ability.BACKWARD)
        yield f"{change.element}: {change.change} since the release: {why}"


def _unfinished(root: Path) -> Iterator[str]:
    for folder in SKELETONS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in (".proto", ".py", ".txt", ".json") or not path.is_file():
                continue
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            for number, line in enumerate(lines, 1):
                if golden.MARK + ":" in line:
                    said = line.partition(golden.MARK + ":")[2].strip(" \"',)")
                    yield f"{path.relative_to(root)}:{number}: {said}"
