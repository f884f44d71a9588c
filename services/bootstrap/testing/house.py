"""One data folder's servers, each role a process of its own that can be stopped at a named place, exactly there."""

import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bootstrap.stores import TOPIC, Stores
from bootstrap.testing.data import stores_of
from bootstrap.testing.failing import FILE_VARIABLE
from bootstrap.testing.judge import judge
from bootstrap.testing.program import Child, Erx, awaited, eventually
from eventkernel.testing.history import History, Violation, check, collect
from localstack.ports import free_ports
from prescriptions.views import VIEWS
from prescriptions.wire.events import decode_recorded

ROLES = ("projector", "relay", "query", "command")
LEASE_SECONDS = 2.0
SECONDS = 120.0


@dataclass(slots=True)
class House:
    """``start`` begins with all roles; ``running`` has the process of each. Others of a role come with ``another``."""

    erx: Erx
    data: Path
    store: str
    addresses: dict[str, str] = field(default_factory=dict)
    running: dict[str, Child] = field(default_factory=dict)
    others: list[Child] = field(default_factory=list)

    @property
    def histories(self) -> Path:
        """Where the histories of its tests are kept until they are judged together."""
        folder = self.erx.folder / "histories"
        folder.mkdir(exist_ok=True)
        return folder

    def not_linearizable(self) -> list[str]:
        """What the second judge finds in all of them; nothing where it cannot be built, which its own test tells."""
        whole = self.erx.folder / "history.jsonl"
        whole.write_text("".join(file.read_text("utf-8") for file in sorted(self.histories.iterdir())), "utf-8")
        return judge(whole, self.erx.folder) or []

    def start(self) -> "House":
        """All roles, ready."""
        self.addresses = {"command": free_address(), "query": free_address()}
        for role in ROLES:
            self.running[role] = self._process(role)
        for child in self.running.values():
            child.says("ready")
        return self

    def mend(self) -> None:
        """Whatever a test that failed has left: who is frozen goes on, who is dead comes back, the others of a role end."""
        for role, child in self.running.items():
            child.process.send_signal(signal.SIGCONT)
            if not child.running:
                self.restart(role)
        self.leave_one_of_each()

    def restart(self, role: str) -> None:
        """A process that has ended comes back, at the same address."""
        self.running[role] = self._process(role)
        self.running[role].says("ready")

    def another(self, role: str) -> Child:
        """One more process of a role."""
        self.others.append(self._process(role, f"{role}-{len(self.others)}"))
        return self.others[-1].says("ready")

    def arm(self, role: str, text: str) -> None:
        """Arm failpoints in a role's process: ``name=kill@2``."""
        child = self.running[role]
        self._file(role).write_text(text, encoding="ascii")
        before = child.errors.count(f"armed {text}\n")
        child.process.send_signal(signal.SIGUSR1)
        awaited(
            f"armed {text} in {role}",
            lambda: child.errors.count(f"armed {text}\n") > before,
            seconds=SECONDS,
            saw=lambda: child.errors[-500:],
        )

    def struck(self, role: str, name: str, action: str) -> bool:
        """Whether the role's process has been stopped at this place: dead, or frozen."""
        child = self.running[role]
        if f"failpoint {name}: {action}\n" not in child.errors:
            return False
        return not child.running if action == "kill" else is_frozen(child)

    def go_on(self, role: str) -> None:
        """Wake a frozen process."""
        self.running[role].process.send_signal(signal.SIGCONT)

    def leave_one_of_each(self) -> None:
        """End the others of every role."""
        for child in self.others:
            if child.running:
                child.process.send_signal(signal.SIGCONT)
                child.terminate()
        for child in self.others:
            child.ended(SECONDS)
        self.others.clear()

    @asynccontextmanager
    async def stores(self, tenant: str) -> AsyncIterator["Sight"]:
        """The stores as this process sees them. Open them before anybody is frozen, who may hold a lock."""
        async with stores_of(self.data, store=self.store) as stores:
            await stores.views.prepare(VIEWS)
            yield Sight(stores, tenant)

    def _process(self, role: str, name: str = "") -> Child:
        words = ["serve", role, "--store", self.store, "--data", str(self.data), "--log-level", "warning"]
        words += ["--relay-lease-seconds", str(LEASE_SECONDS)]
        for server, address in self.addresses.items():
            words += [f"--{server}-address", address]
        file = self._file(name or role)
        return self.erx.start(*words, module="bootstrap.testing.failing", environment={FILE_VARIABLE: str(file)})

    def _file(self, name: str) -> Path:
        return self.erx.folder / f"{name}.failpoints"


@dataclass(frozen=True, slots=True)
class Sight:
    """What the stores hold of one tenant, beside what its clients were told."""

    stores: Stores
    tenant: str

    async def look(self, told: History) -> History:
        """A copy of the history with what is in the stores now."""
        return await collect(
            History(told.writes, told.reads, truncations=told.truncations),
            directory=self.stores.directory,
            events=self.stores.events,
            tail=self.stores.tail,
            topic=TOPIC,
            views=VIEWS,
            store=self.stores.views,
            decode=decode_recorded,
            tenant=self.tenant,
        )

    async def drained(self, told: History, *, seconds: float = SECONDS) -> None:
        """Wait until nothing contradicts anything and everything is everywhere."""
        last: list[list[Violation]] = [[]]

        async def agrees() -> bool:
            last[0] = check(await self.look(told))
            return not last[0]

        try:
            await eventually("agreement of clients and stores", agrees, seconds=seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}: {'; '.join(map(str, last[0][:5]))}") from error


def is_frozen(child: Child) -> bool:
    """Whether the process is stopped by a signal."""
    command = ["ps", "-o", "state=", "-p", str(child.process.pid)]
    state = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603 - the system's ps
    return state.strip().startswith("T")


def free_address() -> str:
    """An address that nobody listens on now, nor gets by chance, for a server that comes back to it."""
    return f"127.0.0.1:{free_ports(1)[0]}"
