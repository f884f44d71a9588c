"""Runs the program as a person does: child processes with folders of their own, waited for by what they say, ended by id."""

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from prometheus_client.parser import text_string_to_metric_families

from bootstrap.checkout import ROOT

SECONDS = 60.0
"""How long anything that is waited for may take. Nothing here takes so long unless it has failed."""
PAUSE_SECONDS = 0.02
FREE_PORTS = ("--command-address", "127.0.0.1:0", "--query-address", "127.0.0.1:0")

# On Linux the child asks to be killed when the process that started it is gone (prctl, PR_SET_PDEATHSIG), however that ended.
_WITH_PARENT = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)
os.execv(sys.argv[1], sys.argv[1:])
"""

T = TypeVar("T")


class NotSeen(AssertionError):
    """What was awaited did not come in time."""


def awaited(what: str, condition: Callable[[], T], *, seconds: float = SECONDS, saw: Callable[[], Any] = str) -> T:
    """Wait until the condition gives something true, and return that; the failure says what was awaited and what was seen."""
    ends_at = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > ends_at:
            raise NotSeen(f"within {seconds:g} s there was no {what}; seen: {saw()}")
        time.sleep(PAUSE_SECONDS)
    return found


async def eventually(what: str, condition: Callable[[], Awaitable[T]], *, seconds: float = SECONDS) -> T:
    """Ask again and again until the answer is true, and return it."""
    ends_at = time.monotonic() + seconds
    while not (found := await condition()):
        if time.monotonic() > ends_at:
            raise NotSeen(f"within {seconds:g} s there was no {what}; the last answer was {found!r}")
        await asyncio.sleep(PAUSE_SECONDS)
    return found


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended."""

    code: int
    output: str
    errors: str


@dataclass(slots=True)
class Child:
    """One running process of the program; its output goes to files, so that it never waits for its reader."""

    process: "subprocess.Popen[bytes]"
    arguments: tuple[str, ...]
    output_file: Path
    errors_file: Path

    @property
    def output(self) -> str:
        """What it has written to standard output so far."""
        return self.output_file.read_text(encoding="utf-8")

    @property
    def errors(self) -> str:
        """What it has written to standard error so far."""
        return self.errors_file.read_text(encoding="utf-8")

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def says(self, text: str, *, seconds: float = SECONDS) -> "Child":
        """Wait until a line of its output contains this."""

        def said() -> bool:
            return text in self.output or not self.running

        what = f"{text!r} from erx {' '.join(self.arguments)}"
        awaited(what, said, seconds=seconds, saw=lambda: self.output + self.errors)
        if text not in self.output:
            raise NotSeen(
                f"erx {' '.join(self.arguments)} ended with code {self.process.returncode} before it said {text!r}:"
                f" {self.output}{self.errors}"
            )
        return self

    def address(self, name: str, listens: str = "on") -> str:
        """Where its server of this name listens, or ``waits on``, as it said."""
        marker = f"{name} server {listens} "
        return next(line.partition(marker)[2] for line in self.output.splitlines() if line.startswith(marker))

    def metrics_address(self) -> str:
        """Where it serves its metrics, as it said."""
        marker = "metrics on "
        return next(line.partition(marker)[2] for line in self.output.splitlines() if line.startswith(marker))

    def metrics(self) -> dict[str, float]:
        """All samples that it serves over HTTP, by name and labels in their order."""
        with urllib.request.urlopen(f"http://{self.metrics_address()}/metrics", timeout=SECONDS) as answer:
            text = answer.read().decode()
        return {
            " ".join((sample.name, *(str(value) for value in sample.labels.values()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def kill(self) -> None:
        """End it at once, wherever it is (SIGKILL)."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> None:
        """Ask it to drain and end (SIGTERM)."""
        self.process.send_signal(signal.SIGTERM)

    def ended(self, seconds: float = SECONDS) -> Ended:
        """Wait for its end."""
        awaited(f"end of erx {' '.join(self.arguments)}", lambda: not self.running, seconds=seconds)
        return Ended(self.process.returncode, self.output, self.errors)

    def stopped(self) -> Ended:
        """SIGTERM, then its end."""
        self.terminate()
        return self.ended()


@dataclass(slots=True)
class Erx:
    """Starts the program; ``close`` kills what is still running. ``folder`` takes the output of the children."""

    folder: Path
    children: list[Child] = field(default_factory=list)

    def start(
        self, *arguments: str | Path, environment: dict[str, str] | None = None, module: str = "bootstrap"
    ) -> Child:
        """Start ``erx ARGUMENTS``; no ``ERX_`` variable of this process is passed on."""
        words = tuple(map(str, arguments))
        place = self.folder / f"{len(self.children):03}-{words[0]}"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ERX_", "COLUMNS"))}
        roots = os.pathsep.join((str(ROOT / "libs"), str(ROOT / "services")))
        with place.with_suffix(".out").open("wb") as output, place.with_suffix(".err").open("wb") as errors:
            process = subprocess.Popen(  # noqa: S603 - this very program, with arguments of a test
                [sys.executable, "-ISc", _WITH_PARENT, sys.executable, "-P", "-m", module, *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                cwd=self.folder,
                env={**inherited, "PYTHONPATH": roots, **(environment or {})},
            )
        child = Child(process, words, place.with_suffix(".out"), place.with_suffix(".err"))
        self.children.append(child)
        return child

    def run(self, *arguments: str | Path, environment: dict[str, str] | None = None) -> Ended:
        """Start it and wait for its end."""
        return self.start(*arguments, environment=environment).ended()

    def serve(self, data: Path, *words: str | Path, environment: dict[str, str] | None = None) -> Child:
        """``erx serve`` on this data folder and on free ports, ready. Ports that ``words`` name go before."""
        return self.start("serve", "--data", data, *FREE_PORTS, *words, environment=environment).says("ready")

    def close(self) -> None:
        """Kill what still runs, each by its own handle."""
        for child in self.children:
            if child.running:
                child.kill()


def servers_on(child_or_children: Child | Iterable[Child]) -> tuple[str, ...]:
    """The flags that point ``erx import`` and the like to these servers."""
    children = [child_or_children] if isinstance(child_or_children, Child) else list(child_or_children)
    flags: list[str] = []
    for name in ("command", "query"):
        for child in children:
            if f"{name} server on " in child.output:
                flags += [f"--{name}-address", child.address(name)]
    return tuple(flags)
