"""`docs/events.md`: every event ever stored, in every shape it has had, as people read it."""

from collections.abc import Iterable, Iterator, Sequence
from inspect import getdoc

from bootstrap.schemas.contexts import EventContext
from bootstrap.schemas.described import Described, EnumShape, Field, MessageShape
from bootstrap.schemas.headers import HEADERS, KEY_SAYS

HEAD = """\
# Events

Made by `./erx gen` from the contracts below [`protos/erx`](../protos/erx), the upcasters, and the declarations of commands and
views; never edited. The same for programs is [`asyncapi.yaml`](asyncapi.yaml); how an event gets another version says
[versioning.md](versioning.md).

Stored bytes are never rewritten, so every version below may stand in a journal. A record on the bus carries the version that
it was stored in, and `ce_type` names it. A field that is absent is not known, whatever its type; it never means a default.
"""


def page(contexts: Sequence[EventContext], described: Described) -> str:
    """The whole page."""
    return "\n".join([HEAD, *(line for context in contexts for line in _context(context, described))]) + "\n"


def _context(context: EventContext, described: Described) -> Iterator[str]:
    yield f"## {context.name.capitalize()}"
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| topic | `{context.topic}` |"
    yield f"| key | {KEY_SAYS} Streams are named `{context.category}-<id>` |"
    yield f"| `ce_source` | `{context.source}` |"
    yield "| value | the event's bytes as they were stored, protobuf in the message that `ce_type` names |"
    yield ""
    yield from _headers()
    yield from _consumers(context)
    yield from _overview(context, described)
    for event_type in context.types:
        yield from _event(context, event_type, described)
    yield from _values(context, described)


def _headers() -> Iterator[str]:
    yield "### Headers"
    yield ""
    yield "| Header | | Says |"
    yield "|---|---|---|"
    for header in HEADERS:
        yield f"| `{header.name}` | {'always' if header.always else 'may be absent'} | {header.says} |"
    yield ""


def _consumers(context: EventContext) -> Iterator[str]:
    yield "### Consumers"
    yield ""
    yield "| Consumer | Every event |"
    yield "|---|---|"
    for consumer in context.consumers:
        yield f"| {consumer.name} | {consumer.purpose} |"
    yield ""


def _overview(context: EventContext, described: Described) -> Iterator[str]:
    yield "### Types"
    yield ""
    yield "A record holds the version it was stored in. Whoever watches, has a webhook or follows with `erx topic tail` may ask"
    yield "for an older one, where *told also as* has it; what it cannot say is told beside it."
    yield ""
    yield "| Event | Versions | Told also as | Comes of | Says |"
    yield "|---|---|---|---|---|"
    for event_type in context.types:
        versions = context.versions_of(event_type)
        newest = described.messages[wire_name(context, event_type, versions[-1])]
        shown = " ".join(map(str, versions))
        told = ", ".join(_shape_text(shape, event_type) for shape in context.told_also_as(event_type))
        name = f"[{event_type}](#{event_type.lower()})"
        yield f"| {name} | {shown} | {told} | {_producers(context, event_type)} | {newest.comment} |"
    yield ""


def _event(context: EventContext, event_type: str, described: Described) -> Iterator[str]:
    yield f"### {event_type}"
    yield ""
    for version in reversed(context.versions_of(event_type)):
        message = described.messages[wire_name(context, event_type, version)]
        yield f"**Version {version}**: `{message.full_name}` ([source](../protos/{message.file})). {message.comment}"
        yield ""
        yield from _fields(message)
        if said := step_says(context, event_type, version):
            yield f"*Read today as* {said}"
            yield ""


def step_says(context: EventContext, event_type: str, version: int) -> str:
    """What the step from this version gives and how, from its own words; empty for the newest version."""
    step = context.steps.get((event_type, version))
    if step is None:
        return ""
    targets = " or ".join(f"`{name}` {version + 1}" for name in step.gives or (event_type,))
    said = " ".join((getdoc(step.upcast) or "").split())
    return f"{targets}: {said}" if said else f"{targets}."


def _values(context: EventContext, described: Described) -> Iterator[str]:
    events = [wire_name(context, *shape) for shape in context.messages]
    names = described.needed_by(events)
    yield f"### Values of {context.name}"
    yield ""
    yield "What the events above hold. They are shared by versions, and grow by optional fields alone."
    yield ""
    for name in names:
        if name in described.messages:
            message = described.messages[name]
            yield f"#### {name}"
            yield ""
            yield message.comment
            yield ""
            yield from _fields(message)
        elif name in described.enums:
            yield from _enum(described.enums[name])


def _fields(message: MessageShape) -> Iterator[str]:
    if not message.fields:
        yield "It has no fields."
        yield ""
        return
    yield "| # | Field | Type | Says |"
    yield "|---|---|---|---|"
    for field in message.fields:
        yield f"| {field.number} | `{field.name}` | {type_text(field)} | {_cell(field.comment)} |"
    yield ""


def _enum(enum: EnumShape) -> Iterator[str]:
    yield f"#### {enum.full_name}"
    yield ""
    yield enum.comment
    yield ""
    yield "| # | Value | Says |"
    yield "|---|---|---|"
    for value in enum.values:
        yield f"| {value.number} | `{value.name}` | {_cell(value.comment)} |"
    yield ""


def type_text(field: Field) -> str:
    """The type as a reader wants it: what it is, how often, and of which choice."""
    text = f"`{field.type}`" if field.is_scalar or field.type.startswith("google.protobuf.") else _link(field.type)
    if field.label == "map":
        text = f"map of `{field.key}` to {text}"
    elif field.label:
        text = f"{field.label} {text}"
    return f"{text}, one of `{field.oneof}`" if field.oneof else text


def wire_name(context: EventContext, event_type: str, version: int) -> str:
    """The full name of a shape's message."""
    return context.messages[event_type, version].DESCRIPTOR.full_name


def _producers(context: EventContext, event_type: str) -> str:
    commands: Iterable[str] = context.producers.get(event_type, ())
    return ", ".join(f"`{command}`" for command in commands) or "nothing any more"


def _shape_text(shape: tuple[str, int], event_type: str) -> str:
    return f"{shape[1]}" if shape[0] == event_type else f"`{shape[0]}` {shape[1]}"


def _link(name: str) -> str:
    return f"[{name.rpartition('.')[2]}](#{name.lower().replace('.', '')})"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
