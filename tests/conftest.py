"""What every test has: back ends named in the header, generous but reproducible hypothesis, nothing left behind."""

import asyncio
import functools
import inspect
import os
import shutil
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from bootstrap.devtools import backends, shared_servers
from localstack import CassandraNode, KafkaBroker, PostgresServer
from localstack.settings import SERVICES

LEFTOVER_SECONDS_MAX = 30.0
LONG_FIRST = ("tests/e2e/", "tests/simulation/", "tests/judge/", "tests/integration/")
"""Folders whose files take long: they begin first, so that no worker is left with one at the end."""

# A deadline would measure the machine. In CI the examples are the same in every run; elsewhere they are new each time,
# and a failure prints what reproduces it.
hypothesis.settings.register_profile("local", deadline=None, print_blob=True)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if backends.in_ci() else "local")

real_servers = functools.cache(backends.real_servers)


def pytest_report_header() -> list[str]:
    """Name the back ends under test."""
    return list(backends.header(real_servers()))


def pytest_configure(config: pytest.Config) -> None:
    """Own the real servers of this run, unless a parent process or the person does."""
    if shared_servers.VARIABLE not in os.environ and "not stack" not in config.option.markexpr:
        servers = shared_servers.SharedServers(name for name in SERVICES if real_servers()[name].runnable)
        config.add_cleanup(servers.stop)


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Mark what asks for a real server by its fixture. Of contract suites, leave out what an adapter does not declare: a true
    difference of stores is no test that was skipped. When all is shuffled, put what takes long first.
    """
    from eventkernel.testing.contracts.features import Suite, applies

    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        suite = item.cls if isinstance(item, pytest.Function) else None
        fits = suite is None or not issubclass(suite, Suite) or applies(item.function, suite)  # type: ignore[attr-defined]
        (kept if fits else left_out).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept
    for item in items:
        for name in SERVICES:
            if f"{name}_server" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.stack(name))
    yield
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    return next((turn for turn, folder in enumerate(LONG_FIRST) if item.nodeid.startswith(folder)), len(LONG_FIRST))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """See that the real servers exist that a test's `stack` marks name; a mark without a name means all of them."""
    for mark in item.iter_markers("stack"):
        for name in mark.args or SERVICES:
            server = real_servers()[name]
            if not server.runnable:
                (pytest.fail if backends.in_ci() else pytest.skip)(f"{name} cannot run here: {server.detail}")
    if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
        item.obj = without_leftover_tasks(item.obj)


@pytest.fixture(scope="session")
def cassandra_server() -> CassandraNode:
    """A real Cassandra of one node, shared by the whole run: keep to a keyspace of your own, and let it live."""
    return shared_servers.stack_of("cassandra").cassandra


@pytest.fixture(scope="session")
def kafka_server() -> KafkaBroker:
    """A real Kafka broker, shared by the whole run: keep to topics and groups of your own, and let it live."""
    return shared_servers.stack_of("kafka").kafka


@pytest.fixture(scope="session")
def postgres_server() -> PostgresServer:
    """A real PostgreSQL, shared by the whole run: keep to a database or schema of your own, and let it live."""
    return shared_servers.stack_of("postgres").postgres


@pytest.fixture(autouse=True)
def _no_leftover_threads() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if not thread.daemon:
            thread.join(LEFTOVER_SECONDS_MAX)
    left = [thread.name for thread in set(threading.enumerate()) - before if not thread.daemon]
    assert not left, f"threads outlived the test: {', '.join(left)}"


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """An empty folder for a store's files."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def without_leftover_tasks(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Wrap an async test: tasks it starts end before it does. Sockets and files left open are warnings, hence errors."""

    @functools.wraps(test)
    async def checked(*args: object, **kwargs: object) -> None:
        before = asyncio.all_tasks()
        await test(*args, **kwargs)
        if started := asyncio.all_tasks() - before:
            _, pending = await asyncio.wait(started, timeout=LEFTOVER_SECONDS_MAX)
            assert not pending, f"tasks outlived the test: {', '.join(task.get_name() for task in pending)}"

    return checked


@pytest.fixture(scope="session")
def certify() -> Callable[[Path, str], None]:
    """Makes in a folder an authority, ``ca.pem``, and a certificate that it signed for a name or an address, ``leaf.pem`` with
    its key ``leaf.key``.
    """
    openssl = shutil.which("openssl")
    if openssl is None:
        (pytest.fail if backends.in_ci() else pytest.skip)("openssl is not installed")

    def make(folder: Path, name: str) -> None:
        (folder / "san").write_text(f"subjectAltName={name}\n")
        for arguments in (
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=ca -keyout ca.key -out ca.pem",
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=erx -keyout leaf.key -out leaf.csr",
            "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -extfile san -out leaf.pem",
        ):
            subprocess.run([openssl, *arguments.split()], cwd=folder, check=True, capture_output=True)

    return make
