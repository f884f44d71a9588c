"""Skeletons for another version of an event: message, step, golden file, test. `./erx events new-version TYPE`.

What can be told from the version before is written; what only a person knows is marked, and neither lint nor tests pass while a
mark is left. Nothing is registered in the codec: until somebody does, the program goes on as it was.
"""

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from bootstrap.checkout import ROOT, TOOLS
from bootstrap.schemas.contexts import EventContext
from bootstrap.schemas.golden import MARK, SEAL

OPEN: Final = f"{MARK}:"


class NewVersionRefused(Exception):
    """There is no such event, or its next version is there; the message says which."""


@dataclass(frozen=True, slots=True)
class Written:
    """A file that was made or grew, below the top of the checkout."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class _Next:
    """An event on its way from one version to the next."""

    context: EventContext
    event_type: str
    old: int
    new: int
    message: Descriptor

    @property
    def stem(self) -> str:
        """The contract's file without its suffix: ``lifecycle``."""
        return Path(self.message.file.name).stem

    @property
    def function(self) -> str:
        """The step's name: ``prescription_cancelled``."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", self.event_type).lower()

    def package(self, version: int) -> str:
        """The package of the context's events of one version."""
        return f"{self.context.package}.v{version}"


def skeletons(context: EventContext, event_type: str, root: Path) -> list[Written]:
    """What another version of an event needs, files that are there already with what is added to them.

    Raises ``NewVersionRefused``.
    """
    newest = context.upcasters.newest.get(event_type)
    if newest is None:
        known = ", ".join(sorted(context.upcasters.newest))
        raise NewVersionRefused(f"{event_type} is no event of today's {context.name}; there are {known}")
    message: Any = context.messages[event_type, newest].DESCRIPTOR
    step = _Next(context, event_type, newest, newest + 1, message)
    contract = f"protos/{step.package(step.new).replace('.', '/')}/{step.stem}.proto"
    present = root / contract
    if present.is_file() and re.search(
        rf"^message {event_type} \{{", present.read_text(encoding="utf-8"), re.MULTILINE
    ):
        raise NewVersionRefused(f"{event_type} version {step.new} is there already: {contract}")
    wire = context.wire.relative_to(root) if context.wire.is_relative_to(root) else context.wire
    module = f"{wire.as_posix()}/upcasters/v{step.old}_to_v{step.new}.py"
    tests = f"tests/unit/{context.name}/wire/upcasters/test_{step.function}_v{step.new}.py"
    return [
        Written(contract, _contract(step, root, contract)),
        Written(module, _module(step, root / module)),
        Written(f"{context.golden}/v{step.new}/{event_type}.txt", _golden(step)),
        Written(tests, _test(step)),
    ]


def write(files: Sequence[Written], root: Path) -> None:
    """Write them all, formatted as the linter wants them."""
    for file in files:
        path = root / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text, encoding="utf-8")
    code = [file.path for file in files if file.path.endswith(".py")]
    command = [str(TOOLS / "ruff"), "format", "--quiet", "--config", str(ROOT / "pyproject.toml"), *code]
    subprocess.run(command, cwd=root, check=True)  # noqa: S603 - the project's own tool, on the files above


# The contract.


def _contract(step: _Next, root: Path, contract: str) -> str:
    source = (root / "protos" / step.message.file.name).read_text(encoding="utf-8")
    said, body = _block(source, step.event_type)
    lines = [*said, f"// {OPEN} give it its new shape, say in each comment what is so now, and take this line out."]
    block = "\n".join([*lines, *_qualified(step, body)])
    imports = sorted({file.name for file in _files_of(step.message)})
    if not (root / contract).is_file():
        head = ['syntax = "proto3";', "", f"package {step.package(step.new)};", ""]
        head += [f'import "{name}";' for name in imports]
        return "\n".join([*head, *([""] if imports else []), block]) + "\n"
    text = (root / contract).read_text(encoding="utf-8")
    found = re.findall(r'^import "(.+)";$', text, re.MULTILINE)
    wanted = "\n".join(f'import "{name}";' for name in sorted({*found, *imports}))
    if found:
        first, last = text.index(f'import "{found[0]}";'), text.index(f'import "{found[-1]}";')
        text = text[:first] + wanted + text[last + len(f'import "{found[-1]}";') :]
    elif wanted:
        text = text.replace(f"package {step.package(step.new)};\n", f"package {step.package(step.new)};\n\n{wanted}\n")
    return f"{text.rstrip()}\n\n{block}\n"


def _block(source: str, event_type: str) -> tuple[list[str], list[str]]:
    """A message as it is written: the comment before it, and itself."""
    lines = source.splitlines()
    begin = lines.index(f"message {event_type} {{") if f"message {event_type} {{" in lines else -1
    if begin < 0:
        return [], lines[lines.index(f"message {event_type} {{}}") :][:1]
    end = begin + lines[begin:].index("}")
    first = begin
    while first and lines[first - 1].startswith("//"):
        first -= 1
    return lines[first:begin], lines[begin : end + 1]


def _qualified(step: _Next, body: Sequence[str]) -> Iterator[str]:
    """The message with the names of the old package's own types in full, which the new package does not have."""
    prefix = f"{step.package(step.old)}."
    own = {t.full_name.removeprefix(prefix) for t in _types_of(step.message) if t.full_name.startswith(prefix)}
    for line in body:
        words = line.split("//")[0]
        for name in own:
            words = re.sub(rf"(?<![\w.]){re.escape(name)}(?= \w+ = \d)", prefix + name, words)
        yield words + line[len(line.split("//")[0]) :]


def _types_of(message: Descriptor) -> list[Any]:
    """The messages and enums that the fields hold, without the entries of maps."""
    found: list[Any] = []
    for field in message.fields:
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            found += _types_of(kind)
        elif kind is not None or field.enum_type is not None:
            found.append(kind or field.enum_type)
    return [kind for kind in found if kind.containing_type is not message]


def _files_of(message: Descriptor) -> list[Any]:
    return [kind.file for kind in _types_of(message)]


# The step.


def _module(step: _Next, path: Path) -> str:
    aliases = {version: f"{step.stem}{version}" for version in (step.old, step.new)}
    imports = [f"from {step.package(v)} import {step.stem}_pb2 as {alias}" for v, alias in aliases.items()]
    old, new = (f"{alias}.{step.event_type}" for alias in aliases.values())
    function = [
        f"def {step.function}(m: {old}) -> {new}:",
        f'    """{OPEN} what the older version said, how it is said now, and what it could not say."""',
        *_conversion(step, new),
    ]
    entry = f'    Step("{step.event_type}", {step.old}, {step.function}),'
    if path.is_file():
        text = path.read_text(encoding="utf-8")
        generated = re.compile(r"(?:^from erx\..+\n)+", re.MULTILINE)
        kept = generated.search(text)
        lines = sorted({*imports, *(kept[0].splitlines() if kept else ())})
        text = generated.sub("".join(f"{line}\n" for line in lines), text, count=1)
        before, _, after = text.rpartition("\n\nSTEPS: Final")
        return (
            f"{before}\n"
            + "\n".join(["", *function])
            + f"\n\n\nSTEPS: Final{after.rstrip().removesuffix(')')}{entry}\n)\n"
        )
    lines = [
        f'"""From version {step.old} to version {step.new}: {OPEN} what changed, a line for each rule."""',
        "",
        "from typing import Final",
        "",
        *imports,
        "from eventkernel.upcasting import Step",
        "",
        f"# {OPEN} let the codec read and write version {step.new}, register the steps below, and take this line out.",
        "",
        "",
        *function,
        "",
        "",
        "STEPS: Final = (",
        entry,
        ")",
    ]
    return "\n".join(lines) + "\n"


def _conversion(step: _Next, new: str) -> Iterator[str]:
    if not step.message.fields:
        yield f"    return {new}()"
        return
    yield f"    return {new}("
    for field in step.message.fields:
        yield f"        {field.name}={_value(field)},"
    yield "    )"


def _value(field: FieldDescriptor) -> str:
    if field.has_presence:
        return f'm.{field.name} if m.HasField("{field.name}") else None'
    return f"m.{field.name}"


# Golden file and test.


def _golden(step: _Next) -> str:
    name = step.package(step.new) + "." + step.event_type
    return "\n".join(
        [
            f"# {OPEN} one {name} as its writer says it, with every field.",
            "# By hand and not by upcasting, in the notation of eventkernel.testing.wire_text; take these lines out.",
            f"# What is a trap gets a file of its own: {step.event_type}.what-it-is.txt. `{SEAL}` makes the bytes.",
            "",
        ]
    )


def _test(step: _Next) -> str:
    module = f"{step.context.name}.wire.upcasters.v{step.old}_to_v{step.new}"
    old = f"{step.stem}{step.old}"
    return f'''"""What version {step.old} of {step.event_type} said, as version {step.new} says it."""

from pathlib import Path

import pytest

from {step.package(step.old)} import {step.stem}_pb2 as {old}
from {module} import {step.function}

GOLDEN = Path(__file__).parents[4] / "golden" / "{step.context.name}" / "events" / "v{step.old}"
FILES = sorted(path.name for path in GOLDEN.glob("{step.event_type}*.binpb"))


@pytest.mark.parametrize("name", FILES)
def test_whatever_version_{step.old}_said_can_be_read_and_the_rest_is_unknown(name: str) -> None:
    said = {old}.{step.event_type}.FromString((GOLDEN / name).read_bytes())
    read = {step.function}(said)
    for field, value in said.ListFields():
        assert getattr(read, field.name) == value
    unknown = [field.name for field, _ in read.ListFields() if field.name not in said.DESCRIPTOR.fields_by_name]
    assert unknown == [], "an upcaster invents nothing"


def test_each_trap_of_the_change_has_a_test() -> None:
    pytest.fail("{OPEN} one test for each rule of the change and each trap of the older version")
'''
