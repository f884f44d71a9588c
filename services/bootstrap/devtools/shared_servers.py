"""Real servers that all workers of one test run share, each started when the first test asks for it.

The run's first process owns a folder and hands it to its workers in the environment; `localstack` makes sure that two who
start the same server at once start one. The owner stops them at the end, and a watchdog does if the owner cannot.
Whoever sets ERX_TEST_SERVERS to a folder of his own keeps the servers running from one test run to the next.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from localstack import Stack, watchdog
from localstack.settings import ServiceName
from localstack.state import state_path

VARIABLE = "ERX_TEST_SERVERS"


class SharedServers:
    """The servers of one test run, as its owner sees them."""

    def __init__(self, services: Iterable[ServiceName]) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="erx-test-"))
        self.root.chmod(0o755)  # PostgreSQL may run as another user
        self._watchdogs = {service: watchdog.start(self.root / service) for service in services}
        os.environ[VARIABLE] = str(self.root)

    def stop(self) -> None:
        """Stop what was started, and forget the folder."""
        for service, guard in self._watchdogs.items():
            folder = self.root / service
            if state_path(folder).exists():
                Stack.attach(folder).down()
            guard.release()
        shutil.rmtree(self.root)
        del os.environ[VARIABLE]


def stack_of(service: ServiceName) -> Stack:
    """Return the running stack of one service, starting it if no other worker has."""
    return Stack(Path(os.environ[VARIABLE]) / service, services=(service,), detached=True).up()
