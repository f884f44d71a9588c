"""The programs the servers need, where they are, and what to install when they are missing."""

import functools
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from localstack import jars
from localstack.errors import MissingTool
from localstack.ports import bindable
from localstack.processes import Account
from localstack.settings import POSTGRES_MAJOR_MIN, ServiceName

_JAVA_PACKAGE = "openjdk-17-jre-headless"
# Cassandra 5.0 runs on 11 and 17 and refuses newer ones; Kafka 4 wants 17 or newer.
_JAVA_MAJOR = 17
_JAVA_FOLDERS = ("/usr/lib/jvm", "/Library/Java/JavaVirtualMachines", "/opt/homebrew/opt")
_POSTGRES_FOLDERS = ("/usr/lib/postgresql", "/usr/pgsql-", "/opt/homebrew/opt", "/usr/local/opt")


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether this machine can run a service; `detail` is the version, or the reason why not."""

    service: ServiceName
    runnable: bool
    detail: str


def available(nodes: int = 1) -> dict[ServiceName, Availability]:
    """What this machine can run, without starting or downloading anything."""
    return {
        "cassandra": _availability("cassandra", nodes),
        "kafka": _availability("kafka", nodes),
        "postgres": _availability("postgres", nodes),
    }


@functools.cache
def java() -> Path:
    """A Java 17 launcher: from JAVA_HOME, the path, or where systems keep several."""
    seen = []
    for candidate in _java_candidates():
        major = _java_major(candidate)
        if major == _JAVA_MAJOR:
            return candidate
        if major is not None:
            seen.append(f"{candidate} is {major}")
    raise MissingTool(
        tool=f"java {_JAVA_MAJOR}", package=_JAVA_PACKAGE, needed_for="Cassandra and Kafka", detail=", ".join(seen)
    )


def postgres_folder() -> Path:
    """The newest folder with both `initdb` and `postgres`, of a version that is new enough."""
    versions: dict[Path, tuple[int, ...]] = {}
    for folder in _postgres_candidates():
        if (folder / "initdb").is_file() and (folder / "postgres").is_file():
            versions[folder] = _postgres_version(folder)
    fitting = [folder for folder, version in versions.items() if version[0] >= POSTGRES_MAJOR_MIN]
    if fitting:
        return max(fitting, key=lambda folder: versions[folder])
    old = ", ".join(f"{folder} is {'.'.join(map(str, version))}" for folder, version in versions.items())
    raise MissingTool(
        tool=f"initdb and postgres {POSTGRES_MAJOR_MIN}+", package="postgresql", needed_for="PostgreSQL", detail=old
    )


def postgres_account() -> Account | None:
    """Whom PostgreSQL runs as: itself refuses root, so root hands it to another user; None means "as we are"."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise MissingTool(tool="the user postgres", package="postgresql", needed_for="PostgreSQL, which refuses root,")


def require_java_services(services: Collection[ServiceName], nodes: int) -> None:
    """Raise the first reason why Cassandra or Kafka, as far as they are asked for, cannot run here."""
    for service in services:
        if service != "postgres":
            _check(service, nodes)


def reachable(folder: Path, account: Account) -> bool:
    """Whether the account may pass through the folder and all those above it."""
    return all(_may_pass(step, account) for step in (folder, *folder.parents))


def _may_pass(folder: Path, account: Account) -> bool:
    about = folder.stat()
    if about.st_uid == account.uid:
        return bool(about.st_mode & 0o100)
    return bool(about.st_mode & (0o010 if about.st_gid == account.gid else 0o001))


def _availability(service: ServiceName, nodes: int) -> Availability:
    try:
        detail = _check(service, nodes)
    except MissingTool as error:
        return Availability(service, False, str(error))
    except OSError as error:
        return Availability(service, False, f"{service}: {error}")
    return Availability(service, True, detail)


def _check(service: ServiceName, nodes: int) -> str:
    if service == "postgres":
        version = _postgres_version(postgres_folder())
        account = postgres_account()
        return ".".join(map(str, version)) + (f" as user {account.name}" if account else "")
    java()
    if not jars.cached(service):
        jars.maven()
    if service == "cassandra":
        for node in range(nodes):
            if not bindable(f"127.0.0.{node + 1}"):
                raise OSError(
                    f"127.0.0.{node + 1} is no local address (macOS: sudo ifconfig lo0 alias 127.0.0.{node + 1})"
                )
    return f"{jars.version(service)} on Java {_JAVA_MAJOR}"


def _java_candidates() -> list[Path]:
    candidates = []
    if home := os.environ.get("JAVA_HOME"):
        candidates.append(Path(home) / "bin/java")
    if found := shutil.which("java"):
        candidates.append(Path(found))
    for folder in _JAVA_FOLDERS:
        for inside in ("bin/java", "Contents/Home/bin/java"):
            candidates += sorted(Path(folder).glob(f"*{_JAVA_MAJOR}*/{inside}"))
    return [candidate for candidate in candidates if candidate.is_file()]


@functools.cache
def _java_major(launcher: Path) -> int | None:
    answer = subprocess.run([launcher, "-version"], capture_output=True, text=True, check=False, timeout=30)
    match = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    return int(match[1]) if match else None


def _postgres_candidates() -> list[Path]:
    folders = [Path(part) for part in os.environ.get("PATH", "").split(os.pathsep) if part]
    for start in _POSTGRES_FOLDERS:
        folders += sorted(Path(start).parent.glob(f"{Path(start).name}*/bin"))
        folders += sorted(Path(start).glob("*/bin"))
    # A link on the path names the real folder, beside which the server finds its share files.
    return list(dict.fromkeys((folder / "initdb").resolve().parent for folder in folders))


@functools.cache
def _postgres_version(folder: Path) -> tuple[int, ...]:
    answer = subprocess.run(
        [folder / "postgres", "--version"], capture_output=True, text=True, check=False, timeout=30
    ).stdout
    match = re.search(r"(\d+)(?:\.(\d+))?", answer)
    return tuple(int(part) for part in match.groups() if part) if match else (0,)
