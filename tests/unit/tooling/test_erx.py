"""The bootstrap script: what it installs, when, and what it does when something goes wrong."""

from __future__ import annotations

import ast
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bootstrap.checkout import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from tests.unit.tooling.conftest import Checkout

DEADLINE_SECONDS = 30
# Stands in for pip where a test must hold an installation open: says that it began and waits at the gate.
GATED_PIP = """
import sys
from pathlib import Path
root = Path(sys.prefix).parent
with (root / "pip.log").open("a") as log:
    print(*sys.argv[1:3], file=log)
(root / "gate").open().read()
"""


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the deadline passed"
        time.sleep(0)


def test_the_first_call_installs_what_is_locked_and_hands_over_all_arguments(checkout: Checkout) -> None:
    shutil.rmtree(checkout.venv)
    done = checkout.run("demo", "--speed", "2")
    assert (done.returncode, done.stdout) == (0, f"{checkout.root} demo --speed 2\n")
    assert checkout.installed() == {"base-1.0"}


def test_progress_goes_to_standard_error(checkout: Checkout) -> None:
    shutil.rmtree(checkout.venv)
    done = checkout.run("demo")
    assert "installing 1 locked packages (requirements.txt)" in done.stderr
    assert "installing" not in done.stdout


def test_later_calls_install_nothing_and_say_nothing(checkout: Checkout) -> None:
    checkout.run("demo")
    shutil.rmtree(checkout.wheels)
    done = checkout.run("demo")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "packages"),
    [
        (("serve",), {"base-1.0"}),
        (("serve", "--stack"), {"base-1.0", "driver-1.0"}),
        (("stack", "up"), {"base-1.0", "driver-1.0"}),
        (("gen",), {"base-1.0", "driver-1.0", "tool-1.0"}),
        (("test",), {"base-1.0", "driver-1.0", "tool-1.0"}),
        (("install", "dev"), {"base-1.0", "tool-1.0"}),
    ],
)
def test_a_command_brings_what_it_needs_and_no_more(
    checkout: Checkout, arguments: tuple[str, ...], packages: set[str]
) -> None:
    assert checkout.run(*arguments).returncode == 0
    assert checkout.installed() == packages


def test_install_starts_nothing(checkout: Checkout) -> None:
    assert checkout.run("install").stdout == ""


def test_install_refuses_what_it_does_not_know(checkout: Checkout) -> None:
    done = checkout.run("install", "everything")
    assert done.returncode == 1
    assert "not everything" in done.stderr


def test_a_changed_lock_is_installed(checkout: Checkout) -> None:
    checkout.write_lock("requirements.txt", ("base", "2.0"))
    assert checkout.run("demo").returncode == 0
    assert checkout.installed() == {"base-2.0"}


def test_a_package_that_left_the_locks_leaves_the_environment(checkout: Checkout) -> None:
    checkout.write_lock("requirements.txt", ("other", "1.0"))
    assert checkout.run("demo").returncode == 0
    assert checkout.installed() == {"other-1.0"}


def test_a_package_that_moved_to_another_lock_stays(checkout: Checkout) -> None:
    checkout.run("stack")
    checkout.write_lock("requirements.txt")
    checkout.write_lock("requirements-stack.txt", ("driver", "1.0"), ("base", "1.0"))
    checkout.run("stack")
    assert checkout.installed() == {"base-1.0", "driver-1.0"}


def test_a_file_with_another_hash_is_refused_and_nothing_is_recorded(checkout: Checkout) -> None:
    checkout.write_lock("requirements.txt", ("base", "2.0"))
    (checkout.wheels / "base-2.0-py3-none-any.whl").write_bytes(
        (checkout.wheels / "base-1.0-py3-none-any.whl").read_bytes()
    )
    done = checkout.run("demo")
    assert (done.returncode, done.stdout) == (1, "")
    assert "nothing was recorded as installed" in done.stderr


def test_after_a_failed_installation_the_old_lock_is_installed_again(checkout: Checkout) -> None:
    before = (checkout.root / "requirements.txt").read_bytes()
    checkout.write_lock("requirements.txt", ("base", "2.0"), ("gone", "1.0"))
    (checkout.wheels / "gone-1.0-py3-none-any.whl").unlink()
    assert checkout.run("demo").returncode == 1
    (checkout.root / "requirements.txt").write_bytes(before)
    done = checkout.run("demo")
    assert (done.returncode, checkout.installed()) == (0, {"base-1.0"})
    assert "installing" in done.stderr


def test_two_calls_at_once_install_once(checkout: Checkout) -> None:
    checkout.write_lock("requirements.txt", ("base", "2.0"))
    os.mkfifo(checkout.root / "gate")
    pip = next(checkout.venv.glob("lib/python*/site-packages/pip/__main__.py"))
    pip.write_text(GATED_PIP)
    log = checkout.root / "pip.log"
    with checkout.start("demo") as first:
        eventually(log.exists)
        with checkout.start("demo") as second:
            assert second.stderr is not None
            assert "waiting for another erx" in second.stderr.readline()
            (checkout.root / "gate").write_text("go on")
            for process in (first, second):
                assert process.communicate(timeout=DEADLINE_SECONDS)[0] == f"{checkout.root} demo\n"
    assert len(log.read_text().splitlines()) == 1


def test_an_installation_whose_caller_was_killed_is_waited_for(checkout: Checkout) -> None:
    checkout.write_lock("requirements.txt", ("base", "2.0"))
    os.mkfifo(checkout.root / "gate")
    pip = next(checkout.venv.glob("lib/python*/site-packages/pip/__main__.py"))
    pip.write_text(GATED_PIP)
    with checkout.start("demo") as first:
        eventually((checkout.root / "pip.log").exists)
        first.kill()
    with checkout.start("demo") as second:
        assert second.stderr is not None
        assert "waiting for another erx" in second.stderr.readline()
        (checkout.root / "gate").write_text("go on")
        assert "installing 1 locked packages" in second.stderr.readline()
        (checkout.root / "gate").write_text("go on")
        assert second.communicate(timeout=DEADLINE_SECONDS)[0] == f"{checkout.root} demo\n"


def test_a_moved_checkout_runs_from_its_new_place(checkout: Checkout) -> None:
    moved = checkout.root.rename(checkout.root.with_name("moved"))
    done = type(checkout)(moved, moved / "wheels").run("demo")
    assert (done.stdout, done.stderr) == (f"{moved} demo\n", "")


def test_commands_of_a_moved_checkout_start_its_own_interpreter(checkout: Checkout) -> None:
    checkout.run("demo")
    first_line = (checkout.venv / "bin" / "base").read_text().splitlines()[0]
    assert first_line == f"#!{checkout.venv}/bin/{Path(first_line).name}"


def test_an_environment_elsewhere_serves_the_checkout_that_names_it(checkout: Checkout, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    done = checkout.run("demo", ERX_VENV=str(elsewhere))
    assert done.stdout == f"{checkout.root} demo\n"
    assert (elsewhere / "bin" / "base").exists()


def test_an_environment_whose_interpreter_has_gone_is_made_anew(checkout: Checkout) -> None:
    for name in ("python", "python3"):
        (checkout.venv / "bin" / name).unlink()
        (checkout.venv / "bin" / name).symlink_to(checkout.root / "gone" / "python3")
    assert checkout.run("demo").stdout == f"{checkout.root} demo\n"


def test_an_environment_whose_creation_was_interrupted_is_made_anew(checkout: Checkout) -> None:
    shutil.rmtree(next(checkout.venv.glob("lib/python*/site-packages/pip")))
    (checkout.venv / "erx" / "unmade").touch()
    done = checkout.run("demo")
    assert (done.returncode, checkout.installed()) == (0, {"base-1.0"})


def test_a_missing_lock_is_named(checkout: Checkout) -> None:
    (checkout.root / "requirements.txt").unlink()
    done = checkout.run("demo")
    assert done.returncode == 1
    assert "requirements.txt is missing" in done.stderr


def test_modules_in_the_callers_folder_do_not_stand_in_for_ours(checkout: Checkout) -> None:
    (checkout.root.parent / "kernel.py").write_text("raise SystemExit('the wrong kernel')")
    assert checkout.run("demo").returncode == 0


def test_the_script_parses_on_the_pythons_that_it_refuses() -> None:
    ast.parse((ROOT / "erx").read_text(), feature_version=(3, 6))


def test_an_old_python_without_a_newer_one_is_told_what_is_needed(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script, "OLDEST", (3, 99))
    monkeypatch.setattr(script, "NEWEST", (3, 99))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert script.main(["demo"]) == 1
    running = f"this is Python {sys.version_info[0]}.{sys.version_info[1]}"
    said = capsys.readouterr().err
    assert "needs Python 3.99 or newer" in said
    assert running in said


def test_an_old_python_hands_over_to_the_newest_that_really_runs(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in, real = tmp_path / "python3.98", tmp_path / "python3.97"
    stand_in.write_text("#!/bin/sh\nexit 127\n")
    real.write_text("#!/bin/sh\nexit 0\n")
    stand_in.chmod(0o755)
    real.chmod(0o755)
    monkeypatch.setattr(script, "OLDEST", (3, 97))
    monkeypatch.setattr(script, "NEWEST", (3, 98))
    monkeypatch.setenv("PATH", str(tmp_path))
    calls: list[list[str]] = []
    monkeypatch.setattr(script.os, "execv", lambda path, arguments: calls.append([path, *arguments]))
    script.main(["demo", "--fast"])
    assert calls[0] == [str(real), str(real), str(ROOT / "erx"), "demo", "--fast"]
