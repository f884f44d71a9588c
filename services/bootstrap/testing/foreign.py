"""Programs that know the services by their contracts alone: clients in other languages, and grpcurl."""

import fcntl
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bootstrap.checkout import ROOT
from bootstrap.devtools.clients import BUILT, CLIENTS, BuildFailed, build

GRPCURL_VERSION: Final = "v1.9.4"
GRPCURL_MODULE: Final = "github.com/fullstorydev/grpcurl/cmd/grpcurl"
LANGUAGES: Final = ("grpcurl", "go", "typescript", "java", "python")
BUILD_SECONDS: Final = 600
RUN_SECONDS: Final = 180


class ToolMissing(Exception):
    """A language's own tool is not on this machine; the message names it and what brings it."""


@dataclass(frozen=True, slots=True)
class Program:
    """A built program: the command that starts it, and the folder it is started in."""

    command: tuple[str, ...]
    folder: Path

    def run(self, *arguments: str) -> str:
        """Run it to its end; return what it printed. A failure shows both outputs."""
        done = subprocess.run(  # noqa: S603  # a program of this repository, with arguments of a test
            [*self.command, *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT / "libs")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        if done.returncode:
            said = f"{' '.join(self.command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            raise AssertionError(said)
        return done.stdout


def scenario(language: str) -> Program:
    """The scenario of docs/clients.md in a language, built. Raises ``ToolMissing`` or ``BuildFailed``."""
    script = (sys.executable, str(CLIENTS / language / "scenario.py"))
    if language == "python":
        return Program(script, CLIENTS / language)
    if language == "grpcurl":
        return Program((*script, "--grpcurl", str(grpcurl())), CLIENTS / language)
    client = next(client for client in BUILT if client.language == language)
    return Program(_in(client.folder, client.run), built(language))


def consumer() -> Program:
    """The reader of the topic, in Go, built. Raises ``ToolMissing`` or ``BuildFailed``."""
    folder = built("go")
    return Program((str(folder / "bin" / "consumer"),), folder)


def built(language: str) -> Path:
    """The folder of a client that has to be built, when it is."""
    client = next(client for client in BUILT if client.language == language)
    if client.missing:
        raise ToolMissing(f"the client in {language} cannot be built: {client.missing}")
    return build(client)


def grpcurl() -> Path:
    """The program at a pinned version, built once into a cache folder. Raises ``ToolMissing`` or ``BuildFailed``."""
    if shutil.which("go") is None:
        raise ToolMissing("grpcurl is built with Go, and there is none: install Go 1.24 or newer")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = Path(home) / "erx" / f"grpcurl-{GRPCURL_VERSION}"
    cache.mkdir(parents=True, exist_ok=True)
    program = cache / "grpcurl"
    with (cache / "lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not program.exists():
            done = subprocess.run(  # noqa: S603  # a pinned version of a known program
                ["go", "install", f"{GRPCURL_MODULE}@{GRPCURL_VERSION}"],  # noqa: S607  # Go, wherever it is
                env={**os.environ, "GOBIN": str(cache)},
                capture_output=True,
                text=True,
                timeout=BUILD_SECONDS,
                check=False,
            )
            if done.returncode:
                raise BuildFailed(f"grpcurl could not be built: {done.stderr.strip()[-300:]}")
    return program


def _in(folder: Path, command: tuple[str, ...]) -> tuple[str, ...]:
    """The command with its program's place in the folder, where it is one of the folder."""
    first = folder / command[0]
    return (str(first) if "/" in command[0] else command[0], *command[1:])
