"""Renew the lock files from `pyproject.toml`: `python -m bootstrap.devtools.lock [package ...]`.

Without arguments every lock is resolved again around what is locked now; a package's name renews that package, `--all`
renews everything. The three files add up: each holds what its predecessors do not, so that one version of a package is
named in one place. They hold hashes and no address, so they install from any index.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bootstrap.checkout import ROOT, TOOLS

PYTHON_OLDEST = "3.11"


@dataclass(frozen=True, slots=True)
class Lock:
    """One lock file: the extras it adds to the product's own dependencies, and the lock it builds on."""

    file: str
    extras: tuple[str, ...]
    base: str | None


LOCKS = (
    Lock("requirements.txt", (), None),
    Lock("requirements-stack.txt", ("cassandra", "kafka", "postgres"), "requirements.txt"),
    Lock("requirements-telemetry.txt", ("telemetry",), "requirements.txt"),
    Lock("requirements-dev.txt", ("dev",), "requirements.txt"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Renew every lock file and say what changed."""
    parser = argparse.ArgumentParser(prog="bootstrap.devtools.lock", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("package", nargs="*", help="renew this package")
    parser.add_argument("--all", action="store_true", help="renew every package")
    arguments = parser.parse_args(argv)
    upgrade = ["--upgrade"] if arguments.all else [f"--upgrade-package={name}" for name in arguments.package]
    pins = resolve(tuple(extra for lock in LOCKS for extra in lock.extras), current_pins(), upgrade)
    for lock in LOCKS:
        path = ROOT / lock.file
        before = path.read_text() if path.exists() else ""
        after = render(lock, pins)
        path.write_text(after)
        print(f"{lock.file}: {len(blocks(after))} packages, {'changed' if after != before else 'unchanged'}")
    return 0


def render(lock: Lock, pins: str) -> str:
    """Return the text of one lock: what its extras need at these pins, less what its base holds."""
    wanted = blocks(resolve(lock.extras, pins, []))
    if lock.base is None:
        return HEADER + "".join(wanted.values())
    base = blocks((ROOT / lock.base).read_text())
    return HEADER + f"-r {lock.base}\n" + "".join(text for name, text in wanted.items() if name not in base)


def blocks(text: str) -> dict[str, str]:
    """Return each package of a lock with its lines, hashes included; several pins of one package stay together."""
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines(keepends=True):
        if line[0].isalnum():
            name = line.split("==")[0]
        if name and line.strip():
            found[name] = found.get(name, "") + line
    return found


def current_pins() -> str:
    """Return what is locked now, as the versions to keep where nothing asks for others."""
    return "".join((ROOT / lock.file).read_text() for lock in LOCKS if (ROOT / lock.file).exists())


def resolve(extras: Sequence[str], pins: str, upgrade: Sequence[str]) -> str:
    """Resolve the product with these extras for every supported Python and platform, preferring these pins."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "lock.txt"
        output.write_text("".join(line for line in pins.splitlines(keepends=True) if not line.startswith("-r ")))
        command = [
            *("uv", "pip", "compile", str(ROOT / "pyproject.toml"), "--output-file", str(output), "--quiet"),
            # One version of a package for every Python: what is tested on one is what runs on another.
            *("--universal", "--fork-strategy", "fewest", "--python-version", PYTHON_OLDEST, "--generate-hashes"),
            *("--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"),
            *(f"--extra={extra}" for extra in extras),
            *upgrade,
        ]
        search = os.pathsep.join((str(TOOLS), os.environ.get("PATH", "")))
        subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "PATH": search})
        return output.read_text()


HEADER = "# Made by `python -m bootstrap.devtools.lock` from pyproject.toml; not edited by hand.\n"

if __name__ == "__main__":
    sys.exit(main())
