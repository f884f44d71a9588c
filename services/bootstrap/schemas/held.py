"""What an event holds of its own package: copied with it when it gets another version.

Packages must not refer to one another in a circle: Go cannot compile them, and buf's linter says so. The wrapper that histories
speak stays where it is and refers to newer versions of events, so a newer version refers to nothing of an older package.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor


def types_of(message: Descriptor) -> list[Any]:
    """The messages and enums that the fields hold, without the entries of maps and without what is declared inside."""
    found: list[Any] = []
    for field in message.fields:
        kind = field.message_type
        if kind is not None and is_map(field):
            found += types_of(kind)
        elif kind is not None or field.enum_type is not None:
            found.append(kind or field.enum_type)
    return [kind for kind in found if kind.containing_type is not message]


def own_types(message: Descriptor) -> list[Any]:
    """The messages and enums of the same package that it holds, directly or not, each once; itself is left out."""
    package, found, waiting = message.file.package, {message.full_name: message}, [message]
    while waiting:
        for kind in types_of(waiting.pop(0)):
            if kind.file.package == package and kind.full_name not in found and kind.containing_type is None:
                found[kind.full_name] = kind
                waiting += [kind] if isinstance(kind, Descriptor) else []
    return list(found.values())[1:]


def is_map(field: FieldDescriptor) -> bool:
    """Whether it is a map: a repeated message of keys and values."""
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


class Contracts:
    """The contracts of a new package as they come to be: files that are there already grow at their end."""

    def __init__(self, root: Path, old: str, new: str) -> None:
        self.texts: dict[str, str] = {}
        self._root, self._old, self._new = root, old, new

    def path_of(self, kind: Any) -> str:
        """Where a type of the old package belongs in the new one, below the top of the checkout."""
        return f"protos/{self._new.replace('.', '/')}/{Path(kind.file.name).name}"

    def has(self, kind: Any) -> bool:
        """Whether the new package has this type already."""
        pattern = rf"^(message|enum) {kind.name} \{{"
        return re.search(pattern, self._text(self.path_of(kind)), re.MULTILINE) is not None

    def add(self, kind: Any, mark: str) -> None:
        """Copy a type of the old package as it is written, with a line after its comment that says what is to be done."""
        path = self.path_of(kind)
        said, body = _block((self._root / "protos" / kind.file.name).read_text(encoding="utf-8"), kind.name)
        block = "\n".join([*said, f"// {mark}", *(self._renamed(line) for line in body)])
        text = _with_imports(self._text(path), self._new, set(self._imports(kind)) - {path.removeprefix("protos/")})
        self.texts[path] = f"{text.rstrip()}\n\n{block}\n"

    def _text(self, path: str) -> str:
        if path in self.texts:
            return self.texts[path]
        file = self._root / path
        return file.read_text(encoding="utf-8") if file.is_file() else f'syntax = "proto3";\n\npackage {self._new};\n'

    def _imports(self, kind: Any) -> Iterator[str]:
        for held in types_of(kind) if isinstance(kind, Descriptor) else ():
            own = held.file.package == self._old
            yield self.path_of(held).removeprefix("protos/") if own else held.file.name

    def _renamed(self, line: str) -> str:
        words, slashes, comment = line.partition("//")
        return words.replace(f"{self._old}.", f"{self._new}.") + slashes + comment


def _block(source: str, name: str) -> tuple[list[str], list[str]]:
    """A type as it is written: the comment before it, and itself."""
    lines = source.splitlines()
    begin = next(place for place, line in enumerate(lines) if re.match(rf"(message|enum) {name} \{{", line))
    end = begin if lines[begin].endswith("}") else begin + lines[begin:].index("}")
    first = begin
    while first and lines[first - 1].startswith("//"):
        first -= 1
    return lines[first:begin], lines[begin : end + 1]


def _with_imports(text: str, package: str, wanted: set[str]) -> str:
    found = re.findall(r'^import "(.+)";$', text, re.MULTILINE)
    lines = "\n".join(f'import "{name}";' for name in sorted({*found, *wanted}))
    if found:
        first, last = text.index(f'import "{found[0]}";'), text.index(f'import "{found[-1]}";')
        return text[:first] + lines + text[last + len(f'import "{found[-1]}";') :]
    return text.replace(f"package {package};\n", f"package {package};\n\n{lines}\n") if wanted else text
