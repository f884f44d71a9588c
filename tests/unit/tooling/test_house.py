"""The checks of the house: the checkout passes them, and each finds what it is there for."""

import subprocess
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from bootstrap.checkout import ROOT
from bootstrap.devtools import house

Check = Callable[[Path, Sequence[str]], Iterator[str]]


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    return house.tracked(ROOT)


@pytest.mark.parametrize("check", house.CHECKS, ids=lambda check: check.__name__)
def test_the_checkout_passes(check: Check, tracked: list[str]) -> None:
    assert list(check(ROOT, tracked)) == []


@pytest.mark.parametrize(
    ("check", "file", "content"),
    [
        (house.modules_are_short, "libs/long.py", "x = 1\n" * 501),
        (house.packages_introduce_themselves, "libs/silent/__init__.py", "x = 1\n"),
        (house.locks_hold_no_address, "requirements-x.txt", "--index-url https" + "://example.org/simple\n"),
        (house.no_path_of_one_machine, "docs/x.md", "see /ro" + "ot/notes\n"),
        (house.no_path_of_one_machine, "x.toml", 'path = "/ho' + 'me/ann/notes"\n'),
        (house.nothing_left_open, "services/x.py", "# TO" + "DO: later\n"),
        (house.tests_do_not_sleep, "tests/test_x.py", "    await asyncio.sl" + "eep(0.1)\n"),
        (house.named_tests_exist, "docs/x.md", "held by `tests/unit/test_none.py::test_nothing`\n"),
        (house.named_tests_exist, "docs/guarantees.md", "| **Everything** | always | nobody |\n"),
    ],
)
def test_each_check_finds_what_it_is_there_for(tmp_path: Path, check: Check, file: str, content: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    assert [problem.partition(":")[0] for problem in check(tmp_path, [file])] == [file]


@pytest.mark.parametrize(
    ("check", "file", "content"),
    [
        (house.modules_are_short, "libs/erx/generated_pb2.py", "x = 1\n" * 501),
        (house.modules_are_short, "libs/just_fits.py", "x = 1\n" * 500),
        (house.packages_introduce_themselves, "libs/polite/__init__.py", '"""What it is for."""\n'),
        (house.no_path_of_one_machine, "README.md", "https://example.org/work/in/progress and $HOME/work/\n"),
        (house.tests_do_not_sleep, "tests/test_x.py", "    await asyncio.sleep(0)\n"),
        (house.nothing_left_open, "docs/words.py", "# TO" + "DO\n"),
    ],
)
def test_each_check_lets_the_rest_pass(tmp_path: Path, check: Check, file: str, content: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    assert list(check(tmp_path, [file])) == []


def test_files_that_are_no_text_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(b"\x89PNG\xff\xfe/ro" + b"ot/x")
    assert list(house.no_path_of_one_machine(tmp_path, ["image.png"])) == []


def test_new_files_are_checked_before_they_are_committed_and_ignored_ones_never(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    (tmp_path / ".gitignore").write_text("ignored\n")
    (tmp_path / "ignored").touch()
    (tmp_path / "new").touch()
    assert house.tracked(tmp_path) == [".gitignore", "new"]


def test_every_dependency_is_defended() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    names = {requirement.replace("[", " ").replace(">", " ").replace("=", " ").split()[0] for requirement in wanted}
    page = (ROOT / "docs" / "dependencies.md").read_text()
    assert {name for name in names if f"`{name}`" not in page} == set()


def test_every_ignored_rule_has_its_reason_on_its_line() -> None:
    ignores = (ROOT / "pyproject.toml").read_text().partition("\nignore = [")[2].partition("[tool.ruff.lint.mccabe]")[0]
    rules = [line for line in ignores.splitlines() if line.strip().startswith('"') and not line.endswith("[")]
    assert [line for line in rules if "#" not in line] == []
