"""What the tests of this machine run against: named in the header of every test run."""

import os
import platform
import sqlite3
from collections.abc import Iterator, Mapping

import localstack


def real_servers() -> Mapping[str, localstack.Availability]:
    """Return what is known of each real server: whether it can run here, and its version or what is missing."""
    return {str(name): found for name, found in localstack.available().items()}


def header(servers: Mapping[str, localstack.Availability]) -> Iterator[str]:
    """Yield the lines that name the back ends under test and, for what is missing, how to get it."""
    yield f"back ends: in memory; SQLite {sqlite3.sqlite_version} on Python {platform.python_version()}"
    runnable = [f"{name} {found.detail}" for name, found in servers.items() if found.runnable]
    yield f"real servers: {'; '.join(runnable) or 'none'}"
    for name, found in servers.items():
        if not found.runnable:
            consequence = "its tests fail" if in_ci() else "its tests are skipped"
            yield f"missing: {name} ({consequence}): {found.detail}"


def in_ci() -> bool:
    """Whether this is a run that nobody watches: there, what is missing is a failure."""
    return os.environ.get("CI", "").lower() in ("1", "true", "yes")
