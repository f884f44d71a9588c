"""A machine that lacks something is told what, and which package brings it."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from localstack import jars, tools
from localstack.errors import JarsUnavailable, MissingTool
from localstack.processes import Account

FAKE_MAVEN = """#!/bin/sh
echo "called" >> "$CALLS"
for word in "$@"; do case "$word" in -DoutputDirectory=*) folder="${word#-DoutputDirectory=}";; esac; done
if [ -n "$BROKEN" ]; then echo "Could not resolve the artifact"; exit 1; fi
mkdir -p "$folder" && echo jar > "$folder/server.jar"
"""


@pytest.fixture
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Nothing on the path, nothing in the usual places, no jars; yields the folder that is the path."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("ERX_JARS_DIR", str(tmp_path / "jars"))
    monkeypatch.setattr(tools, "_JAVA_FOLDERS", ())
    monkeypatch.setattr(tools, "_POSTGRES_FOLDERS", ())
    tools.java.cache_clear()
    yield programs
    tools.java.cache_clear()


def program(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return path


def with_maven(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Maven that needs no network; returns the file that counts its calls."""
    program(folder, "mvn", FAKE_MAVEN)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    calls = folder.parent / "calls"
    monkeypatch.setenv("CALLS", str(calls))
    return calls


@pytest.mark.parametrize(
    ("service", "tool", "package"),
    [
        ("cassandra", "java 17", "openjdk-17-jre-headless"),
        ("kafka", "java 17", "openjdk-17-jre-headless"),
        ("postgres", "initdb", "postgresql"),
    ],
)
def test_a_missing_tool_is_named_with_its_package(bare_machine: Path, service: str, tool: str, package: str) -> None:
    found = {str(name): answer for name, answer in tools.available().items()}[service]
    assert not found.runnable
    assert tool in found.detail
    assert f"apt-get install {package}" in found.detail


def test_a_java_of_another_version_is_named_as_what_was_found(bare_machine: Path) -> None:
    java = program(bare_machine, "java", "#!/bin/sh\necho 'openjdk version \"21.0.2\"' >&2\n")
    with pytest.raises(MissingTool, match=f"{java} is 21") as caught:
        tools.java()
    assert caught.value.package == "openjdk-17-jre-headless"


def test_java_home_is_believed_first(bare_machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(bare_machine, "java", "#!/bin/sh\necho 'openjdk version \"17.0.1\"' >&2\n")
    (tmp_path / "home/bin").mkdir(parents=True)
    chosen = program(tmp_path / "home/bin", "java", "#!/bin/sh\necho 'openjdk version \"17.0.9\"' >&2\n")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    assert tools.java() == chosen


def test_maven_is_needed_only_until_the_jars_are_there(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(bare_machine, "java", "#!/bin/sh\necho 'openjdk version \"17.0.1\"' >&2\n")
    assert "apt-get install maven" in tools.available()["kafka"].detail
    with_maven(bare_machine, monkeypatch)
    jars.resolve("kafka")
    (bare_machine / "mvn").unlink()
    monkeypatch.setenv("PATH", str(bare_machine))
    assert tools.available()["kafka"].runnable
    assert [jar.name for jar in jars.resolve("kafka")] == ["server.jar"]


def test_several_callers_fetch_once(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = with_maven(bare_machine, monkeypatch)
    callers = [threading.Thread(target=jars.resolve, args=("cassandra",)) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(30)
    assert calls.read_text().split() == ["called"]


def test_a_failed_fetch_shows_what_maven_said_and_leaves_nothing(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_maven(bare_machine, monkeypatch)
    monkeypatch.setenv("BROKEN", "yes")
    with pytest.raises(JarsUnavailable, match="Could not resolve the artifact"):
        jars.resolve("kafka")
    assert not jars.cached("kafka")
    assert [left.suffix for left in jars.cache_folder().iterdir()] == [".lock"]


def test_the_newest_postgres_that_has_both_programs_is_taken(
    bare_machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("13", "15", "9.6"):
        folder = tmp_path / "lib" / version / "bin"
        folder.mkdir(parents=True)
        program(folder, "initdb", "#!/bin/sh\n")
        program(folder, "postgres", f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}.4 (Debian)'\n")
    (tmp_path / "lib/99/bin").mkdir(parents=True)
    monkeypatch.setattr(tools, "_POSTGRES_FOLDERS", (str(tmp_path / "lib"),))
    assert tools.postgres_folder() == tmp_path / "lib/15/bin"


def test_a_postgres_that_is_too_old_is_named_as_what_was_found(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(bare_machine, "initdb", "#!/bin/sh\n")
    program(bare_machine, "postgres", "#!/bin/sh\necho 'postgres (PostgreSQL) 9.6.24'\n")
    with pytest.raises(MissingTool, match=r"is 9\.6"):
        tools.postgres_folder()


def test_a_folder_is_reachable_only_if_every_folder_above_lets_pass(tmp_path: Path) -> None:
    stranger = Account("stranger", 54_321, 54_321)
    owner = Account("owner", os.geteuid(), os.getegid())
    inner = tmp_path / "inner"
    inner.mkdir(mode=0o755)
    inner.chmod(0o755)
    tmp_path.chmod(0o700)
    assert not tools.reachable(inner, stranger)
    assert tools._may_pass(tmp_path, owner)
    assert tools._may_pass(inner, stranger)
