"""Clients in other languages, each built by its own tool: `./erx clients [go typescript java]`.

`clients/LANGUAGE` is a project as its language has them; its stubs are made from the contracts by the plugins that its own
lock pins, and nothing that is made is committed. What was built is built again when the contracts or the client change.
"""

import argparse
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bootstrap.checkout import ROOT, TOOLS
from bootstrap.devtools.gen import PROTOS

CLIENTS: Final = ROOT / "clients"
BUILD_SECONDS_MAX: Final = 900
OUTPUT_LINES_MAX: Final = 30
BUF: Final = str(TOOLS / "buf")


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a build, run in the client's folder or, where contracts are read, at the top of the checkout."""

    command: tuple[str, ...]
    at_top: bool = False


@dataclass(frozen=True, slots=True)
class Client:
    """How a language's client is built and run. ``run`` is a command in the client's folder."""

    language: str
    tools: tuple[str, ...]
    needs: str
    steps: tuple[Step, ...]
    run: tuple[str, ...]
    result: str

    @property
    def folder(self) -> Path:
        """Where it lives."""
        return CLIENTS / self.language

    @property
    def missing(self) -> str:
        """What has to be installed first; empty where nothing has to be."""
        absent = [tool for tool in self.tools if shutil.which(tool) is None]
        return f"{' and '.join(absent)} not found: install {self.needs}" if absent else ""


class BuildFailed(Exception):
    """A step of a build ended with an error; the message has its last words."""


def _generate(language: str) -> Step:
    return Step((BUF, "generate", "--template", f"clients/{language}/buf.gen.yaml"), at_top=True)


def _java_platform() -> str:
    """This machine as the builds of protoc are named."""
    system = "osx" if sys.platform == "darwin" else "linux"
    machine = {"arm64": "aarch_64", "aarch64": "aarch_64"}.get(platform.machine(), platform.machine())
    return f"{system}-{machine}"


_MAVEN: Final = ("--batch-mode", "--quiet", "--no-transfer-progress")
_GO_BUILD: Final = ("go", "build", "-buildvcs=false", "-trimpath", "-o", "bin/")

BUILT: Final = (
    Client(
        "go",
        ("go",),
        "Go 1.26 or newer",
        (Step((*_GO_BUILD, "tool")), _generate("go"), Step((*_GO_BUILD, "./scenario", "./consumer"))),
        ("bin/scenario",),
        "bin/consumer",
    ),
    Client(
        "typescript",
        ("node", "npm"),
        "Node.js 20 or newer with npm",
        (Step(("npm", "ci", "--no-progress")), _generate("typescript"), Step(("npm", "run", "build"))),
        ("node", "dist/src/scenario.js"),
        "dist/src/scenario.js",
    ),
    Client(
        "java",
        ("javac", "mvn"),
        "a JDK 17 or newer and Maven",
        (Step(("mvn", *_MAVEN, f"-Dbuf={BUF}", f"-Dos.classifier={_java_platform()}", "package")),),
        ("java", "-jar", "target/clients.jar"),
        "target/clients.jar",
    ),
)
"""The clients that have to be built; Python and grpcurl need no build."""


def main(argv: Sequence[str] | None = None) -> int:
    """Build what is not current, and say how each is run."""
    names = [client.language for client in BUILT]
    parser = argparse.ArgumentParser(prog="erx clients", description="Build the clients in other languages.")
    parser.add_argument("language", nargs="*", help=f"only these: {', '.join(names)}")
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.language) - set(names):
        parser.error(f"no client in {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    status = 0
    for client in BUILT:
        if arguments.language and client.language not in arguments.language:
            continue
        problem = attempt(client)
        print(f"{client.language}: {problem or f'cd clients/{client.language} && ' + ' '.join(client.run)}")
        status = 1 if problem else status
    return status


def attempt(client: Client) -> str:
    """Build it; return why that was not possible, empty where it was."""
    if client.missing:
        return client.missing
    try:
        build(client)
    except BuildFailed as error:
        return str(error)
    return ""


def build(client: Client) -> Path:
    """Build it unless it is built from what is there now; return its folder. Several callers at once build once."""
    with (client.folder / "built").open("a+") as record:
        fcntl.flock(record, fcntl.LOCK_EX)
        record.seek(0)
        made_of = fingerprint(client)
        if record.read() != made_of or not (client.folder / client.result).is_file():
            record.truncate(0)
            for step in client.steps:
                _run(client, step)
            record.write(made_of)
    return client.folder


def fingerprint(client: Client) -> str:
    """A digest of all that goes into a build: the contracts, the client's own files, the commands and where they run."""
    digest = hashlib.sha256(repr((client, str(ROOT))).encode())
    for path in (*sorted(PROTOS.rglob("*.proto")), *sources(client)):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def sources(client: Client) -> Iterator[Path]:
    """Yield the files of a client that people write, in the order of their names."""
    made = {"bin", "built", "dist", "gen", "node_modules", "target"}
    for path in sorted(client.folder.rglob("*")):
        if path.is_file() and path.relative_to(client.folder).parts[0] not in made:
            yield path


def _run(client: Client, step: Step) -> None:
    done = subprocess.run(
        step.command,
        cwd=ROOT if step.at_top else client.folder,
        env={**os.environ, "CGO_ENABLED": "0"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILD_SECONDS_MAX,
        check=False,
    )
    if done.returncode:
        said = "\n".join(done.stdout.splitlines()[-OUTPUT_LINES_MAX:])
        raise BuildFailed(f"{' '.join(step.command)} ended with {done.returncode}:\n{said}")


if __name__ == "__main__":
    sys.exit(main())
