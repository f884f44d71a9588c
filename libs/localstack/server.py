"""One server process: start and wait until it answers, stop, kill, freeze, restart on the same port and data."""

import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from localstack import processes
from localstack.errors import LocalStackError, NotReady, NotRunning, ServerExited
from localstack.processes import Account, ProcessIdentity
from localstack.state import ServerRecord

_PROBE_SECONDS = 0.1
_TAIL_LINES = 40
_TAIL_BYTES = 64 * 1024
_TOOL_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Progress:
    """One thing that happened while starting or stopping; `seconds` since that server's start began."""

    server: str
    message: str
    seconds: float


ProgressCallback = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server is reached."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Server(ABC):
    """A server of a stack. Its address, ports and data outlive its process."""

    ready_seconds: ClassVar[float] = 60.0
    stop_seconds: ClassVar[float] = 30.0
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    awaited: ClassVar[str]

    def __init__(self, root: Path, record: ServerRecord, save: Callable[[ServerRecord], None]) -> None:
        self._root = root
        self._record = record
        self._save = save

    @property
    def name(self) -> str:
        """What it is called in this stack, for example `cassandra-2`."""
        return self._record.name

    @property
    def record(self) -> ServerRecord:
        """What the state file says about it."""
        return self._record

    @property
    def folder(self) -> Path:
        """Its configuration and data."""
        return Path(self._record.folder)

    @property
    def log(self) -> Path:
        """Its output, of all its runs."""
        return self._root / "logs" / f"{self.name}.log"

    @property
    def endpoint(self) -> Endpoint:
        """Where clients connect; the same after a restart."""
        return Endpoint(self._record.address, self._record.ports["client"])

    @property
    def version(self) -> str | None:
        """The version the running server told; None if it never was ready."""
        return self._record.version

    @property
    def process(self) -> ProcessIdentity | None:
        """The live process, or None."""
        recorded = self._record.process
        return recorded if recorded is not None and processes.is_alive(recorded) else None

    @property
    def running(self) -> bool:
        """Whether the process lives; a frozen one does."""
        return self.process is not None

    @property
    def frozen(self) -> bool:
        """Whether it lives and is stopped by `freeze`."""
        return self.running and self._record.frozen

    @property
    def lost(self) -> bool:
        """Whether its process ended though nobody stopped it through its stack."""
        return self._record.process is not None and not self.running

    @property
    def pid(self) -> int:
        """The pid of the live process; raises `NotRunning`."""
        return self._live().pid

    def start(self, progress: ProgressCallback | None = None, *, seconds: float | None = None) -> None:
        """Start it and return when it answers; does nothing if it runs. Raises `NotReady` at the deadline."""
        if self.running:
            return
        tell = _teller(self.name, progress)
        if self.lost:
            tell(f"had ended though nobody stopped it; the end of {self.log} may say why, after a SIGKILL it does not")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._prepare(tell)
        tell("starting")
        offset = self.log.stat().st_size if self.log.exists() else 0
        identity = processes.spawn(
            self._command(),
            root=self._root,
            log=self.log,
            cwd=self.folder,
            env=self._environment(),
            account=self._account(),
        )
        self._update(process=identity, frozen=False)
        try:
            version = self._await_ready(identity, seconds or self.ready_seconds, offset)
            self._finish()
        except BaseException:
            processes.kill_tree(identity)
            raise
        self._update(version=version)
        tell(f"{version} answers on {self.endpoint}")

    def stop(self) -> None:
        """End it in an orderly way, or by force after `stop_seconds`; does nothing if it does not run."""
        identity = self.process
        if identity is not None:
            everything = processes.tree(identity)
            if self._record.frozen:
                processes.signal_all(reversed(everything), signal.SIGCONT)
            processes.signal_all([identity], self.stop_signal)
            if not processes.wait_gone(everything, seconds=self.stop_seconds):
                processes.signal_all(everything, signal.SIGKILL)
                self._must_be_gone(everything)
        if self._record.process is not None:
            self._update(process=None, frozen=False)

    def kill9(self) -> None:
        """SIGKILL it with all its children, and return when they are gone. Raises `NotRunning`."""
        everything = processes.tree(self._live())
        processes.signal_all(everything, signal.SIGKILL)
        self._must_be_gone(everything)
        self._update(process=None, frozen=False)

    def restart(self, progress: ProgressCallback | None = None, *, seconds: float | None = None) -> None:
        """Stop it if it runs, then start it on the same ports and data; also after `kill9`."""
        self.stop()
        self.start(progress, seconds=seconds)

    def freeze(self) -> None:
        """SIGSTOP: it keeps its connections and answers nothing, until `thaw`. Raises `NotRunning`."""
        identity = self._live()
        # The parent first: a stopped parent makes no further children.
        processes.signal_all([identity], signal.SIGSTOP)
        processes.signal_all(processes.tree(identity)[1:], signal.SIGSTOP)
        self._update(frozen=True)

    def thaw(self) -> None:
        """SIGCONT: it goes on where it was. Raises `NotRunning`."""
        processes.signal_all(reversed(processes.tree(self._live())), signal.SIGCONT)
        self._update(frozen=False)

    def refresh(self, record: ServerRecord) -> None:
        """Take over what another program wrote to the state file."""
        self._record = record

    def discard(self) -> None:
        """End it at once because its data is about to be deleted."""
        identity = self.process
        if identity is not None:
            everything = processes.tree(identity)
            processes.signal_all(everything, signal.SIGKILL)
            self._must_be_gone(everything)
            self._update(process=None, frozen=False)

    def log_tail(self, lines: int = _TAIL_LINES, *, offset: int = 0) -> str:
        """The last lines of its log, of what was written after `offset`."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(offset, size - _TAIL_BYTES))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])

    @abstractmethod
    def probe(self) -> str:
        """The version of the server if it is ready to serve; raises `OSError` if it is not."""

    @abstractmethod
    def _prepare(self, tell: Callable[[str], None]) -> None:
        """Write the configuration, and make the data folder if there is none."""

    @abstractmethod
    def _command(self) -> Sequence[str]:
        """The command line of the server itself, not of a script that starts it."""

    def _finish(self) -> None:
        """What is left to do once it answers."""
        return

    def _environment(self) -> Mapping[str, str]:
        return {}

    def _account(self) -> Account | None:
        return None

    def _run_tool(self, command: Sequence[str], *, what: str, env: Mapping[str, str] | None = None) -> None:
        """Run a preparing program to its end; its output goes to the log."""
        identity = processes.spawn(
            command,
            root=self._root,
            log=self.log,
            cwd=self.folder,
            env={**self._environment(), **(env or {})},
            account=self._account(),
        )
        try:
            code = processes.exit_code(identity, seconds=_TOOL_SECONDS)
        except subprocess.TimeoutExpired as error:
            processes.kill_tree(identity)
            raise LocalStackError(
                f"{self.name}: {what} took more than {_TOOL_SECONDS} s:\n{self.log_tail()}"
            ) from error
        if code != 0:
            raise LocalStackError(f"{self.name}: {what} failed with exit code {code}:\n{self.log_tail()}")

    def _await_ready(self, identity: ProcessIdentity, seconds: float, offset: int) -> str:
        deadline = time.monotonic() + seconds
        answer = ""
        while True:
            try:
                return self.probe()
            except OSError as error:
                answer = str(error)
            exited = not processes.is_alive(identity)
            if exited or time.monotonic() >= deadline:
                raise (ServerExited if exited else NotReady)(
                    server=self.name,
                    awaited=f"{self.awaited} on {self.endpoint}",
                    seconds=seconds - max(0.0, deadline - time.monotonic()),
                    last_answer="the process ended" if exited else answer,
                    log=str(self.log),
                    log_tail=self.log_tail(offset=offset),
                )
            time.sleep(_PROBE_SECONDS)

    def _live(self) -> ProcessIdentity:
        identity = self.process
        if identity is None:
            raise NotRunning(what=self.name, hint=f"its log is {self.log}")
        return identity

    def _must_be_gone(self, everything: Sequence[ProcessIdentity]) -> None:
        if not processes.wait_gone(everything, seconds=self.stop_seconds):
            raise LocalStackError(f"{self.name}: still there {self.stop_seconds:.0f} s after SIGKILL")

    def _update(self, **changes: object) -> None:
        self._record = replace(self._record, **changes)  # type: ignore[arg-type]
        self._save(self._record)


def _teller(name: str, progress: ProgressCallback | None) -> Callable[[str], None]:
    began = time.monotonic()

    def tell(message: str) -> None:
        if progress is not None:
            progress(Progress(name, message, time.monotonic() - began))

    return tell
