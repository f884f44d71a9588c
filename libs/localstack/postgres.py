"""A PostgreSQL server from the system's own programs, run as another user where we are root."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from localstack import probes, processes, settings, tools
from localstack.processes import Account
from localstack.server import Server

_DUPLICATE_DATABASE = "42P04"
_PID_FILE_SHMEM_LINE = 6


class PostgresServer(Server):
    """A server that trusts every local client, with the user and database `erx`."""

    stop_signal: ClassVar[signal.Signals] = (
        signal.SIGINT
    )  # "fast": rolls back and ends, where SIGTERM waits for clients
    awaited: ClassVar[str] = "a session ready for queries"

    def dsn(self, database: str = settings.POSTGRES_DATABASE) -> str:
        """The connection URI of a database."""
        return f"postgresql://{settings.POSTGRES_USER}@{self.endpoint}/{database}"

    def probe(self) -> str:
        return probes.postgres_version(
            self.endpoint.host, self.endpoint.port, user=settings.POSTGRES_USER, database="postgres"
        )

    def discard(self) -> None:
        """A clean stop is as fast as a kill here, and leaves no shared memory behind."""
        self.stop()
        self._remove_shared_memory()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _account(self) -> Account | None:
        return tools.postgres_account()

    def _environment(self) -> Mapping[str, str]:
        return {"LC_ALL": "C", "TZ": "UTC"}

    def _prepare(self, tell: Callable[[str], None]) -> None:
        account = self._account()
        if account is not None:
            os.chown(self.folder, account.uid, account.gid)
        if (self._data / "PG_VERSION").exists():
            self._remove_stale_lock()
            return
        tell("making the data folder" + (f" as user {account.name}" if account else ""))
        initdb = [str(tools.postgres_folder() / "initdb"), "--pgdata", str(self._data), "--auth=trust", "--no-sync"]
        initdb += ["--username", settings.POSTGRES_USER, *settings.POSTGRES_INITDB_ARGS]
        self._run_tool(initdb, what="initdb")

    def _command(self) -> Sequence[str]:
        options = {
            **settings.POSTGRES_SETTINGS,
            "listen_addresses": self._record.address,
            "port": str(self._record.ports["client"]),
            # Clients use TCP; the path of a socket in a deep folder would be too long.
            "unix_socket_directories": "",
            # As files in the data folder: a killed server then leaves nothing in /dev/shm.
            "dynamic_shared_memory_type": "mmap",
        }
        flags = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return [str(tools.postgres_folder() / "postgres"), "-D", str(self._data), *flags]

    def _finish(self) -> None:
        try:
            probes.postgres_execute(
                self.endpoint.host,
                self.endpoint.port,
                user=settings.POSTGRES_USER,
                database="postgres",
                sql=f"CREATE DATABASE {settings.POSTGRES_DATABASE}",
            )
        except probes.ProbeFailed as error:
            if not str(error).startswith(_DUPLICATE_DATABASE):
                raise

    def _remove_stale_lock(self) -> None:
        """Remove the lock file of a server that is no more.

        PostgreSQL does so itself, unless a process has the old server's pid: a zombie that nobody reaps,
        as in containers whose first process is no init.
        """
        lock = self._data / "postmaster.pid"
        if lock.exists():
            holder = processes.identify(int(lock.read_text(encoding="utf-8").split(maxsplit=1)[0]))
            if not processes.is_alive(holder):
                lock.unlink()

    def _remove_shared_memory(self) -> None:
        """Remove the small System V segment of a server that was killed and never started again."""
        pid_file = self._data / "postmaster.pid"
        ipcrm = shutil.which("ipcrm")
        if ipcrm is None or not pid_file.exists():
            return
        lines = pid_file.read_text(encoding="utf-8").splitlines()
        if len(lines) > _PID_FILE_SHMEM_LINE:
            segment = lines[_PID_FILE_SHMEM_LINE].split()[-1]
            subprocess.run([ipcrm, "--shmem-id", segment], capture_output=True, check=False)
