"""Checks of the house that no other tool makes: what a reader would notice, found by reading the tracked files."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from bootstrap.checkout import ROOT

MODULE_LINES_MAX: Final = 500
LOCK_FILES: Final = re.compile(r"(requirements.*\.txt|package-lock\.json|.*\.lock|go\.sum)$")
ADDRESS: Final = re.compile(r"https?://[\w.-]+")
# Folders of one machine; `/home/user` in a sentence about any machine is one too.
MACHINE_PATH: Final = re.compile(r"(?:^|[^\w.$}{*])/(?:root|work|home/\w+|Users/\w+)/")
LEFT_OPEN: Final = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b|raise NotImplemented" r"Error|pragma: no" r" cover")
NAMED_TEST: Final = re.compile(r"`((?:tests|libs)/[\w/.-]+\.py)::(\w+)`")
GUARANTEES: Final = "docs/guarantees.md"
SLEEP_IN_TEST: Final = re.compile(r"\b(?:time|asyncio)\.sleep\((?!0\))")


def main(_argv: Sequence[str] | None = None) -> int:
    """Print every problem of the checkout; the status is 1 if there is one."""
    problems = [problem for check in CHECKS for problem in check(ROOT, tracked(ROOT))]
    print("\n".join(problems) or f"{len(CHECKS)} house checks passed")
    return 1 if problems else 0


def modules_are_short(root: Path, files: Sequence[str]) -> Iterator[str]:
    """No module is longer than a person reads at a time."""
    for file in own_code(files):
        count = len((root / file).read_text().splitlines())
        if count > MODULE_LINES_MAX:
            yield f"{file}: {count} lines, more than {MODULE_LINES_MAX}"


def packages_introduce_themselves(root: Path, files: Sequence[str]) -> Iterator[str]:
    """Every package's `__init__.py` begins with a docstring."""
    for file in own_code(files):
        if file.endswith("/__init__.py") and not ast.get_docstring(ast.parse((root / file).read_text())):
            yield f"{file}: a package begins with a docstring that says what it is for"


def locks_hold_no_address(root: Path, files: Sequence[str]) -> Iterator[str]:
    """Lock files install from whatever index the machine uses, so they name none."""
    for file in files:
        if LOCK_FILES.search(file):
            yield from found(root, file, ADDRESS, "a lock holds no address")


def no_path_of_one_machine(root: Path, files: Sequence[str]) -> Iterator[str]:
    """Nothing in the repository depends on where somebody keeps it."""
    for file in files:
        if not LOCK_FILES.search(file):
            yield from found(root, file, MACHINE_PATH, "a path of one machine")


def nothing_left_open(root: Path, files: Sequence[str]) -> Iterator[str]:
    """Code that is committed is finished."""
    for file in own_code(files):
        yield from found(root, file, LEFT_OPEN, "left open")


def tests_do_not_sleep(root: Path, files: Sequence[str]) -> Iterator[str]:
    """Tests wait for a condition with a deadline, never for a time. Yielding to the loop, `sleep(0)`, is no waiting."""
    for file in files:
        if file.startswith("tests/") and file.endswith(".py"):
            yield from found(root, file, SLEEP_IN_TEST, "wait for a condition, not for a time")


def named_tests_exist(root: Path, files: Sequence[str]) -> Iterator[str]:
    """A page that names a test names one that is there; on the page of guarantees every promise names at least one."""
    for file in files:
        if not (file.startswith("docs/") and file.endswith(".md")):
            continue
        for number, line in enumerate((root / file).read_text().splitlines(), 1):
            named = NAMED_TEST.findall(line)
            for module, test in named:
                path = root / module
                if not path.is_file() or not re.search(rf"^ *(?:async )?def {test}\(", path.read_text(), re.MULTILINE):
                    yield f"{file}:{number}: no such test: {module}::{test}"
            if file.endswith(GUARANTEES) and line.startswith("| **") and not named:
                yield f"{file}:{number}: a promise without a test: {line[:60]}"


CHECKS: Final[tuple[Callable[[Path, Sequence[str]], Iterator[str]], ...]] = (
    modules_are_short,
    packages_introduce_themselves,
    locks_hold_no_address,
    no_path_of_one_machine,
    nothing_left_open,
    tests_do_not_sleep,
    named_tests_exist,
)


def tracked(root: Path) -> list[str]:
    """Return the files of the checkout that git tracks or would track."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    return sorted({name for name in listing.split("\0") if name and (root / name).is_file()})


def own_code(files: Sequence[str]) -> Iterator[str]:
    """Yield the Python files of the libraries and services, without the generated ones."""
    for file in files:
        own = file.startswith(("libs/", "services/")) and not file.startswith(("libs/buf/", "libs/erx/"))
        if own and file.endswith(".py"):
            yield file


def found(root: Path, file: str, pattern: re.Pattern[str], what: str) -> Iterator[str]:
    """Yield the lines of a text file in which the pattern occurs."""
    try:
        text = (root / file).read_text()
    except UnicodeDecodeError:
        return
    for number, line in enumerate(text.splitlines(), 1):
        if pattern.search(line):
            yield f"{file}:{number}: {what}: {line.strip()[:100]}"


if __name__ == "__main__":
    sys.exit(main())
