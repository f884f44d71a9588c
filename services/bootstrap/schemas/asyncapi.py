"""`docs/asyncapi.yaml`: the topics and their events as AsyncAPI 3 describes them, for tools.

Payloads are JSON Schemas of the messages' JSON form, under the names of the fields in the contract, because that is what
tools draw and compare; ``contentType`` says that the bytes are protobuf, and the message's name is the message to decode them
with. Schemas close nothing: readers ignore what they do not know.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import yaml

from bootstrap.schemas.catalogue import step_says, wire_name
from bootstrap.schemas.contexts import EventContext
from bootstrap.schemas.described import Described, EnumShape, Field, MessageShape
from bootstrap.schemas.headers import HEADERS, KEY_SAYS

VERSION: Final = "3.0.0"
HEAD: Final = "# Made by `./erx gen` from the contracts; never edited.\n"
WIDTH: Final = 128

_WHOLE = {"int32", "uint32", "sint32", "fixed32", "sfixed32"}
_LONG = {"int64", "uint64", "sint64", "fixed64", "sfixed64"}  # strings in protobuf's JSON: more than a double holds
_WELL_KNOWN: Final[Mapping[str, Mapping[str, str]]] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?\d+(\.\d{1,9})?s$"},
}


def document(contexts: Sequence[EventContext], described: Described, *, version: str) -> str:
    """The file's text; ``version`` is the product's."""
    data = as_data(contexts, described, version=version)
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=WIDTH)
    return HEAD + text


def as_data(contexts: Sequence[EventContext], described: Described, *, version: str) -> dict[str, Any]:
    """The document as plain data."""
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "Events of the e-prescribing services",
            "version": version,
            "description": "Every event on the bus, in every version that may be stored.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/protobuf",
        "servers": {"kafka": {"host": "127.0.0.1:9092", "protocol": "kafka", "description": "A local stack."}},
        "channels": {f"{context.name}Events": _channel(context) for context in contexts},
        "operations": {name: body for context in contexts for name, body in _operations(context)},
        "components": {
            "messages": {name: body for context in contexts for name, body in _messages(context, described)},
            "schemas": {"eventHeaders": _headers(), **dict(_schemas(contexts, described))},
        },
    }


def _channel(context: EventContext) -> dict[str, Any]:
    names = [wire_name(context, *shape) for shape in _shapes(context)]
    return {
        "address": context.topic,
        "title": f"Events of {context.name}",
        "description": "At least once, in order per key.",
        "servers": [{"$ref": "#/servers/kafka"}],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {"kafka": {"topic": context.topic, "bindingVersion": "0.5.0"}},
    }


def _operations(context: EventContext) -> Iterator[tuple[str, dict[str, Any]]]:
    channel = f"{context.name}Events"
    newest = [
        wire_name(context, name, context.versions_of(name)[-1]) for name in context.types if context.producers.get(name)
    ]
    yield (
        f"relay{context.name.capitalize()}Events",
        {
            "action": "send",
            "channel": {"$ref": f"#/channels/{channel}"},
            "title": "Relay",
            "summary": "Publishes what was stored. New events come in their newest version; older ones as they were stored.",
            "x-newest": newest,
        },
    )
    for consumer in context.consumers:
        name = "".join(part.capitalize() for part in consumer.name.replace("`", "").replace("_", " ").split())
        yield (
            f"{context.name}{name}",
            {
                "action": "receive",
                "channel": {"$ref": f"#/channels/{channel}"},
                "title": consumer.name.replace("`", ""),
                "summary": consumer.purpose,
            },
        )


def _messages(context: EventContext, described: Described) -> Iterator[tuple[str, dict[str, Any]]]:
    for event_type, version in _shapes(context):
        message = described.messages[wire_name(context, event_type, version)]
        body: dict[str, Any] = {
            "name": message.full_name,
            "title": f"{event_type} {version}",
            "summary": message.comment,
            "contentType": "application/protobuf",
            "headers": {
                "type": "object",
                "allOf": [
                    {"$ref": "#/components/schemas/eventHeaders"},
                    {
                        "properties": {
                            "ce_type": {"const": message.full_name},
                            "ce_source": {"const": context.source},
                            "ce_dataschema": {"const": f"{event_type}/{version}"},
                        },
                    },
                ],
            },
            "payload": {"$ref": f"#/components/schemas/{message.full_name}"},
            "bindings": {"kafka": {"key": {"type": "string", "description": KEY_SAYS}, "bindingVersion": "0.5.0"}},
            "x-schema-version": version,
            "x-contract": f"protos/{message.file}",
        }
        if said := step_says(context, event_type, version):
            body["x-read-as"] = said
        if version == context.upcasters.newest.get(event_type) and (told := context.told_also_as(event_type)):
            body["x-told-also-as"] = [wire_name(context, *shape) for shape in told]
        if commands := context.producers.get(event_type):
            body["x-comes-of"] = list(commands)
        yield message.full_name, body


def _headers() -> dict[str, Any]:
    def header(says: str, example: str) -> dict[str, Any]:
        return {"type": "string", "description": says, **({"examples": [example]} if example else {})}

    return {
        "type": "object",
        "required": [header.name for header in HEADERS if header.always],
        "properties": {h.name: header(h.says, h.example) for h in HEADERS},
    }


def _schemas(contexts: Sequence[EventContext], described: Described) -> Iterator[tuple[str, dict[str, Any]]]:
    events = [wire_name(context, *shape) for context in contexts for shape in _shapes(context)]
    for name in sorted({*events, *described.needed_by(events)} - _WELL_KNOWN.keys()):
        if name in described.messages:
            yield name, _object(described.messages[name])
        else:
            yield name, _enum(described.enums[name])


def _object(message: MessageShape) -> dict[str, Any]:
    body: dict[str, Any] = {"type": "object", "title": message.name, "description": message.comment}
    if message.fields:
        body["properties"] = {field.name: _property(field) for field in message.fields}
    return body


def _property(field: Field) -> dict[str, Any]:
    value = _type(field)
    if field.label == "repeated":
        value = {"type": "array", "items": value}
    elif field.label == "map":
        value = {"type": "object", "additionalProperties": value}
    extras: dict[str, Any] = {"description": field.comment, "x-field-number": field.number}
    if field.oneof:
        extras["x-one-of"] = field.oneof
    # Beside a reference other keys mean nothing to JSON Schema's older drafts, so it moves inside.
    return {"allOf": [value], **extras} if "$ref" in value else {**value, **extras}


def _type(field: Field) -> dict[str, Any]:
    if field.type in _WELL_KNOWN:
        return dict(_WELL_KNOWN[field.type])
    if not field.is_scalar:
        return {"$ref": f"#/components/schemas/{field.type}"}
    if field.type in _WHOLE:
        return {"type": "integer", "format": field.type}
    if field.type in _LONG:
        return {"type": "string", "format": field.type}
    if field.type in ("double", "float"):
        return {"type": "number", "format": field.type}
    if field.type == "bytes":
        return {"type": "string", "contentEncoding": "base64"}
    return {"type": {"bool": "boolean"}.get(field.type, field.type)}


def _enum(enum: EnumShape) -> dict[str, Any]:
    lines = [f"- {value.name} ({value.number}): {value.comment}" for value in enum.values]
    return {
        "type": "string",
        "title": enum.name,
        "description": "\n".join([enum.comment, "", *lines]),
        "enum": [value.name for value in enum.values],
    }


def _shapes(context: EventContext) -> list[tuple[str, int]]:
    return [(name, version) for name in context.types for version in context.versions_of(name)]


class _Dumper(yaml.SafeDumper):
    """Long texts as blocks, and no aliases: a reader sees everything where it is."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)
