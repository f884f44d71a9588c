"""Skeletons for another version of an event: message, step, golden file, test. `./erx events new-version TYPE`.

What can be told from the version before is written; what only a person knows is marked, and neither lint nor tests pass while a
mark is left. Nothing is registered in the codec: until somebody does, the program goes on as it was.
"""

import json
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
from bootstrap.schemas.held import Contracts, is_map, own_types

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
        return _snake(self.event_type)

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
    contracts = Contracts(root, step.package(step.old), step.package(step.new))
    contract = contracts.path_of(message)
    if contracts.has(message):
        raise NewVersionRefused(f"{event_type} version {step.new} is there already: {contract}")
    for kind in own_types(message):
        if not contracts.has(kind):
            contracts.add(kind, f"{OPEN} change it, or leave it as it was, and take this line out.")
    contracts.add(message, f"{OPEN} give it its new shape, say in each comment what is so now, and take this line out.")
    wire = context.wire.relative_to(root) if context.wire.is_relative_to(root) else context.wire
    module = f"{wire.as_posix()}/upcasters/v{step.old}_to_v{step.new}.py"
    tests = f"tests/unit/{context.name}/wire/upcasters/test_{step.function}_v{step.new}.py"
    return [
        Written(contract, contracts.texts.pop(contract)),
        Written(module, _module(step, root / module)),
        Written(f"{context.golden}/v{step.new}/{event_type}.txt", _golden(step)),
        Written(tests, _test(step)),
        Written(f"{context.golden}/v{step.new}/{event_type}.state.json", _state(step)),
        *(Written(path, text) for path, text in contracts.texts.items()),
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


# The step.


def _module(step: _Next, path: Path) -> str:
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    held = [kind for kind in own_types(step.message) if isinstance(kind, Descriptor)]
    imports = sorted({line for kind in (step.message, *held) for line in _imports(step, kind)})
    function = _function(step, step.message, step.function)
    for kind in held:
        if f"def {_converter(kind)}(" not in text:
            function += ["", "", *_function(step, kind, _converter(kind))]
    entry = f'    Step("{step.event_type}", {step.old}, {step.function}),'
    if text:
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


def _function(step: _Next, message: Descriptor, name: str) -> list[str]:
    old, new = (f"{Path(message.file.name).stem}{version}.{message.name}" for version in (step.old, step.new))
    return [
        f"def {name}(m: {old}) -> {new}:",
        f'    """{OPEN} what the older version said, how it is said now, and what it could not say."""',
        f"    return {new}(",
        *(f"        {field.name}={_value(field, message.file.package)}," for field in message.fields),
        "    )",
    ]


def _imports(step: _Next, message: Descriptor) -> Iterator[str]:
    stem = Path(message.file.name).stem
    for version in (step.old, step.new):
        yield f"from {step.package(version)} import {stem}_pb2 as {stem}{version}"


def _value(field: FieldDescriptor, package: str) -> str:
    place = f"m.{field.name}"
    kind = field.message_type
    if kind is not None and is_map(field):
        kind = kind.fields_by_name["value"].message_type
    if kind is not None and kind.file.package == package and kind.containing_type is None:
        if is_map(field):
            return f"{{key: {_converter(kind)}(value) for key, value in {place}.items()}}"
        if field.is_repeated:
            return f"[{_converter(kind)}(each) for each in {place}]"
        return f'{_converter(kind)}({place}) if m.HasField("{field.name}") else None'
    if field.has_presence:
        return f'{place} if m.HasField("{field.name}") else None'
    return place


def _converter(kind: Descriptor) -> str:
    """The function for a type that events hold."""
    return f"_{_snake(kind.name)}"


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


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


def _state(step: _Next) -> str:
    before = f"{OPEN} the golden files that a stream has before it, such as v{step.new}/NameOfAnEvent"
    return json.dumps({"after": [before], "state": f"{OPEN} the state after all of them"}, indent=2) + "\n"


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
        assert str(getattr(read, field.name)) == str(value)
    unknown = [field.name for field, _ in read.ListFields() if field.name not in said.DESCRIPTOR.fields_by_name]
    assert unknown == [], "an upcaster invents nothing"


def test_each_trap_of_the_change_has_a_test() -> None:
    pytest.fail("{OPEN} one test for each rule of the change and each trap of the older version")
'''
