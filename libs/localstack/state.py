"""The state file: what runs, where, and as which process; the truth between two programs' runs."""

import dataclasses
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from localstack.errors import LocalStackError
from localstack.processes import ProcessIdentity
from localstack.settings import COMMITLOG_SYNC, SERVICES, CommitlogSync, ServiceName

_FORMAT = 1
_FILE = "state.json"
_ROUNDS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """One server: its address and ports never change once chosen, its process does."""

    name: str
    service: ServiceName
    address: str
    ports: Mapping[str, int]
    folder: str
    process: ProcessIdentity | None = None
    version: str | None = None
    frozen: bool = False


@dataclass(frozen=True, slots=True)
class StackState:
    """What the state file holds. `scratch` are folders outside the root that belong to the stack."""

    nodes: int
    services: tuple[ServiceName, ...]
    commitlog_sync: CommitlogSync
    password_authentication: bool
    servers: Mapping[str, ServerRecord] = field(default_factory=dict)
    scratch: tuple[str, ...] = ()

    @property
    def shape(self) -> str:
        """The part that two stacks in one folder must agree on, in words."""
        ring = f", Cassandra nodes: {self.nodes}" if "cassandra" in self.services else ""
        secured = ", password authentication" if self.password_authentication else ""
        return f"{'+'.join(self.services)}{ring}{secured}"


def state_path(root: Path) -> Path:
    """Where the state file of the stack in this folder lies."""
    return root / _FILE


def save(root: Path, state: StackState) -> None:
    """Replace the state file in one step, so that a reader or a crash never sees half of one."""
    partial = root / f"{_FILE}.new"
    with partial.open("w", encoding="utf-8") as file:
        json.dump({"format": _FORMAT, **dataclasses.asdict(state)}, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(state_path(root))


def load(root: Path) -> StackState | None:
    """The recorded state; None if the folder holds no stack."""
    try:
        raw = json.loads(state_path(root).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise LocalStackError(f"{state_path(root)} is not a state file: {error}") from error
    if not isinstance(raw, dict) or raw.get("format") != _FORMAT:
        raise LocalStackError(f"{state_path(root)} has another format than {_FORMAT}: made by another version?")
    return _decode(raw)


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold the folder against other starters and stoppers; makes it if it is missing.

    The lock is on the folder itself, so it leaves nothing behind. A waiter whose folder was removed
    by the one before it starts over with a new folder.
    """
    descriptor = None
    for _ in range(_ROUNDS_MAX):
        descriptor = _lock(root)
        if descriptor is not None:
            break
    else:
        raise LocalStackError(
            f"{root} cannot be made or locked: it is gone as soon as it is made, or no folder can be there"
        )
    try:
        yield
    finally:
        os.close(descriptor)


def _lock(root: Path) -> int | None:
    """The descriptor of the locked folder; None if the folder was removed while waiting for it."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    except FileExistsError:
        if root.exists():  # as a file
            raise
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.path.samestat(os.fstat(descriptor), root.stat()):
            return descriptor
    except FileNotFoundError:
        pass  # Removed by the one before us, with the lock in its hand.
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _decode(raw: dict[str, object]) -> StackState:
    try:
        services = tuple(service for service in SERVICES if service in cast("list[str]", raw["services"]))
        commitlog_sync = cast("CommitlogSync", raw["commitlog_sync"])
        if commitlog_sync not in COMMITLOG_SYNC:
            raise ValueError(f"commitlog_sync {commitlog_sync}")
        return StackState(
            nodes=int(cast("int", raw["nodes"])),
            services=services,
            commitlog_sync=commitlog_sync,
            password_authentication=bool(raw["password_authentication"]),
            servers={
                name: _decode_server(record)
                for name, record in cast("dict[str, dict[str, object]]", raw["servers"]).items()
            },
            scratch=tuple(cast("list[str]", raw["scratch"])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise LocalStackError(f"the state file is damaged: {error!r}") from error


def _decode_server(raw: dict[str, object]) -> ServerRecord:
    process = cast("dict[str, object] | None", raw["process"])
    return ServerRecord(
        name=str(raw["name"]),
        service=cast("ServiceName", raw["service"]),
        address=str(raw["address"]),
        ports={name: int(port) for name, port in cast("dict[str, int]", raw["ports"]).items()},
        folder=str(raw["folder"]),
        process=ProcessIdentity(int(cast("int", process["pid"])), str(process["birth"])) if process else None,
        version=None if raw["version"] is None else str(raw["version"]),
        frozen=bool(raw["frozen"]),
    )
