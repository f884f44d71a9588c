"""The lock files: what they hold, and that they belong to the project as it is."""

import re
import tomllib

import pytest

from bootstrap.checkout import ROOT
from bootstrap.devtools import lock

LOCKS = [entry.file for entry in lock.LOCKS]


def text(file: str) -> str:
    return (ROOT / file).read_text()


@pytest.mark.parametrize("file", LOCKS)
def test_every_package_is_pinned_with_hashes(file: str) -> None:
    assert [name for name, block in lock.blocks(text(file)).items() if "--hash=sha256:" not in block] == []


@pytest.mark.parametrize("file", LOCKS)
def test_a_package_is_locked_to_one_version(file: str) -> None:
    pins = {name: re.findall(r"^[\w.-]+==", block, re.MULTILINE) for name, block in lock.blocks(text(file)).items()}
    assert [name for name, found in pins.items() if len(found) != 1] == []


@pytest.mark.parametrize("entry", [entry for entry in lock.LOCKS if entry.base], ids=lambda entry: entry.file)
def test_a_lock_repeats_nothing_of_the_one_it_builds_on(entry: lock.Lock) -> None:
    assert entry.base is not None
    assert lock.blocks(text(entry.file)).keys() & lock.blocks(text(entry.base)).keys() == set()


def test_locks_agree_on_what_they_share() -> None:
    versions: dict[str, set[str]] = {}
    for file in LOCKS:
        for name, block in lock.blocks(text(file)).items():
            versions.setdefault(name, set()).add(block.split()[0])
    assert [found for found in versions.values() if len(found) > 1] == []


def test_every_dependency_of_the_project_is_locked() -> None:
    project = tomllib.loads(text("pyproject.toml"))["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    names = {re.split(r"[\[<>=;~! ]", requirement)[0] for requirement in wanted}
    assert names - {name for file in LOCKS for name in lock.blocks(text(file))} == set()


def test_generated_code_and_its_runtime_move_together() -> None:
    """The floor of protobuf is the version that the pinned compiler writes into the code it generates."""
    tools = lock.blocks(text("requirements-dev.txt"))["grpcio-tools"].split()[0]
    project = tomllib.loads(text("pyproject.toml"))["project"]
    assert tools in project["optional-dependencies"]["dev"]
    floor = next(entry for entry in project["dependencies"] if entry.startswith("protobuf>="))
    version = floor.removeprefix("protobuf>=").partition(",")[0]
    generated = text("libs/erx/prescriptions/v1/command_service_pb2.py")
    assert f"# Protobuf Python Version: {version}" in generated


def test_several_pins_of_one_package_stay_together() -> None:
    forked = "a==1 ; python_full_version < '3.12' \\\n    --hash=x\na==2 ; python_full_version >= '3.12'\nb==1\n"
    assert lock.blocks(forked) == {"a": forked.removesuffix("b==1\n"), "b": "b==1\n"}
