"""The servers' jars: resolved once by Maven from pinned `pom.xml` files, kept in a cache folder."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Literal

from localstack.errors import JarsUnavailable, MissingTool
from localstack.settings import CASSANDRA_VERSION, KAFKA_VERSION

JavaService = Literal["cassandra", "kafka"]

_TIMEOUT_SECONDS = 900
_OUTPUT_LINES = 30


def version(service: JavaService) -> str:
    """The pinned version of a server."""
    return {"cassandra": CASSANDRA_VERSION, "kafka": KAFKA_VERSION}[service]


def cache_folder() -> Path:
    """`ERX_JARS_DIR`, else a folder under the user's cache."""
    if chosen := os.environ.get("ERX_JARS_DIR"):
        return Path(chosen).expanduser().resolve()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "erx" / "jars"


def cached(service: JavaService) -> bool:
    """Whether the jars are there, so that neither Maven nor a network is needed."""
    return _folder(service).is_dir()


def maven() -> Path:
    """Maven's launcher."""
    found = shutil.which("mvn")
    if found is None:
        raise MissingTool(tool="mvn", package="maven", needed_for="fetching the jars of Cassandra and Kafka, once,")
    return Path(found)


def resolve(service: JavaService) -> list[Path]:
    """The jars of a server, fetched if they are not there; several callers at once fetch once."""
    folder = _folder(service)
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / f"{folder.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.is_dir():
                _fetch(service, folder)
    return sorted(folder.glob("*.jar"))


def pom(service: JavaService) -> str:
    """The text of the `pom.xml` that pins a server."""
    return files("localstack").joinpath("poms", service, "pom.xml").read_text(encoding="utf-8")


def _folder(service: JavaService) -> Path:
    # The digest: another dependency in the pom is another folder, even at the same version.
    digest = hashlib.sha256(pom(service).encode()).hexdigest()[:8]
    return cache_folder() / f"{service}-{version(service)}-{digest}"


def _fetch(service: JavaService, folder: Path) -> None:
    """Fetch beside the final folder, then rename: a folder that exists is complete."""
    launcher = maven()
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}-", dir=folder.parent) as scratch:
        Path(scratch, "pom.xml").write_text(pom(service), encoding="utf-8")
        fetched = Path(scratch, "jars")
        command = [str(launcher), "--batch-mode", "--no-transfer-progress", "dependency:copy-dependencies"]
        command += ["-DincludeScope=runtime", f"-DoutputDirectory={fetched}"]
        try:
            run = subprocess.run(
                command,
                cwd=scratch,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=_TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise JarsUnavailable(
                server=f"{service} {version(service)}", output=f"no end after {_TIMEOUT_SECONDS} s"
            ) from error
        if run.returncode != 0 or not any(fetched.glob("*.jar")):
            tail = "\n".join(run.stdout.splitlines()[-_OUTPUT_LINES:])
            raise JarsUnavailable(server=f"{service} {version(service)}", output=tail)
        fetched.rename(folder)
