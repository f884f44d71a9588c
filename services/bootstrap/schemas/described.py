"""Messages and enums of the contracts as a reader meets them: names, types in words, and the comments beside them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

# Numbers of fields within descriptor.proto: they make the paths by which comments are found.
_FILE_MESSAGES, _FILE_ENUMS = 4, 5
_MESSAGE_FIELDS, _MESSAGE_NESTED, _MESSAGE_ENUMS = 2, 3, 4
_ENUM_VALUES = 2

SCALARS: Final[Mapping[int, str]] = MappingProxyType(
    {
        value.number: name.removeprefix("TYPE_").lower()
        for name, value in FieldDescriptorProto.Type.DESCRIPTOR.values_by_name.items()
        if name not in ("TYPE_MESSAGE", "TYPE_ENUM", "TYPE_GROUP")
    }
)
"""The name of each scalar type by its number in descriptors."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field. ``type`` is a scalar's name or the full name of a message or enum; ``label`` is empty, ``optional``,
    ``repeated`` or ``map``, and a map's ``key`` is the type of its keys; ``oneof`` names the choice it belongs to.
    """

    name: str
    number: int
    type: str
    label: str
    comment: str
    key: str = ""
    oneof: str = ""

    @property
    def is_scalar(self) -> bool:
        """Whether it holds a plain value."""
        return "." not in self.type


@dataclass(frozen=True, slots=True)
class MessageShape:
    """A message with its fields in the order they are written."""

    full_name: str
    file: str
    comment: str
    fields: tuple[Field, ...]
    reserved_numbers: tuple[tuple[int, int], ...] = ()
    reserved_names: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """Without its package."""
        return self.full_name.rpartition(".")[2]

    def reserves(self, number: int) -> bool:
        """Whether no field may ever take this number."""
        return any(first <= number < end for first, end in self.reserved_numbers)


@dataclass(frozen=True, slots=True)
class EnumValue:
    """A named number."""

    name: str
    number: int
    comment: str


@dataclass(frozen=True, slots=True)
class EnumShape:
    """An enum with its values in the order they are written."""

    full_name: str
    file: str
    comment: str
    values: tuple[EnumValue, ...]

    @property
    def name(self) -> str:
        """Without its package."""
        return self.full_name.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a service, by its full name, with what it takes and gives."""

    full_name: str
    request: str
    reply: str
    request_stream: bool
    reply_stream: bool


@dataclass(frozen=True, slots=True)
class Described:
    """Everything of a set of contracts, by full name."""

    messages: Mapping[str, MessageShape]
    enums: Mapping[str, EnumShape]
    methods: Mapping[str, Method]

    def needed_by(self, names: Iterable[str]) -> tuple[str, ...]:
        """The full names of messages and enums that these messages hold, directly or not, themselves left out; sorted."""
        roots = set(names)
        found: set[str] = set()
        waiting = list(roots)
        while waiting:
            message = self.messages.get(waiting.pop())
            types = {field.type for field in message.fields if not field.is_scalar} if message else set()
            waiting += types - found
            found |= types
        return tuple(sorted(found - roots))


def describe(image: FileDescriptorSet, *, prefix: str = "") -> Described:
    """Read a set of descriptors; comments are empty where it has none. ``prefix`` limits it to packages that begin so."""
    messages: dict[str, MessageShape] = {}
    enums: dict[str, EnumShape] = {}
    methods: dict[str, Method] = {}
    for file in image.file:
        if not file.package.startswith(prefix):
            continue
        reader = _Reader(file)
        for message in reader.messages():
            messages[message.full_name] = message
        for enum in reader.enums():
            enums[enum.full_name] = enum
        for service in file.service:
            for method in service.method:
                name = f"{file.package}.{service.name}.{method.name}"
                methods[name] = Method(
                    name,
                    method.input_type.lstrip("."),
                    method.output_type.lstrip("."),
                    method.client_streaming,
                    method.server_streaming,
                )
    return Described(messages, enums, methods)


class _Reader:
    """One file, with its comments by the path of what they stand at."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self._file = file
        self._comments = {
            tuple(place.path): " ".join((place.leading_comments or place.trailing_comments).split())
            for place in file.source_code_info.location
        }

    def messages(self) -> Iterator[MessageShape]:
        """Every message but the entries of maps, nested ones after what holds them."""
        for index, message in enumerate(self._file.message_type):
            yield from self._message(message, self._file.package, (_FILE_MESSAGES, index))

    def enums(self) -> Iterator[EnumShape]:
        """Every enum, nested ones too."""
        for index, enum in enumerate(self._file.enum_type):
            yield self._enum(enum, self._file.package, (_FILE_ENUMS, index))
        for index, message in enumerate(self._file.message_type):
            yield from self._nested_enums(message, self._file.package, (_FILE_MESSAGES, index))

    def _message(self, message: DescriptorProto, within: str, path: tuple[int, ...]) -> Iterator[MessageShape]:
        name = f"{within}.{message.name}"
        maps = {f".{name}.{n.name}": n for n in message.nested_type if n.options.map_entry}
        fields = tuple(
            self._field(message, field, maps, (*path, _MESSAGE_FIELDS, index))
            for index, field in enumerate(message.field)
        )
        numbers = tuple((span.start, span.end) for span in message.reserved_range)
        yield MessageShape(name, self._file.name, self._said(path), fields, numbers, frozenset(message.reserved_name))
        for index, nested in enumerate(message.nested_type):
            if not nested.options.map_entry:
                yield from self._message(nested, name, (*path, _MESSAGE_NESTED, index))

    def _field(
        self,
        message: DescriptorProto,
        field: FieldDescriptorProto,
        maps: Mapping[str, DescriptorProto],
        path: tuple[int, ...],
    ) -> Field:
        comment = self._said(path)
        entry = maps.get(field.type_name)
        if entry is not None:
            key, value = entry.field
            return Field(field.name, field.number, type_name(value), "map", comment, key=type_name(key))
        label = ""
        if field.label == FieldDescriptorProto.LABEL_REPEATED:
            label = "repeated"
        elif field.proto3_optional:
            label = "optional"
        real_oneof = field.HasField("oneof_index") and not field.proto3_optional
        oneof = message.oneof_decl[field.oneof_index].name if real_oneof else ""
        return Field(field.name, field.number, type_name(field), label, comment, oneof=oneof)

    def _nested_enums(self, message: DescriptorProto, within: str, path: tuple[int, ...]) -> Iterator[EnumShape]:
        name = f"{within}.{message.name}"
        for index, enum in enumerate(message.enum_type):
            yield self._enum(enum, name, (*path, _MESSAGE_ENUMS, index))
        for index, nested in enumerate(message.nested_type):
            yield from self._nested_enums(nested, name, (*path, _MESSAGE_NESTED, index))

    def _enum(self, enum: EnumDescriptorProto, within: str, path: tuple[int, ...]) -> EnumShape:
        values = tuple(
            EnumValue(value.name, value.number, self._said((*path, _ENUM_VALUES, index)))
            for index, value in enumerate(enum.value)
        )
        return EnumShape(f"{within}.{enum.name}", self._file.name, self._said(path), values)

    def _said(self, path: tuple[int, ...]) -> str:
        return self._comments.get(path, "")


def type_name(field: FieldDescriptorProto) -> str:
    """A scalar's name, or the full name of the message or enum."""
    return field.type_name.lstrip(".") or SCALARS[field.type]
