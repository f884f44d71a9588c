"""Failpoints do nothing by themselves, stand where they say they do, and each of them is crashed at by a test."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bootstrap.checkout import ROOT
from bootstrap.testing.crashes import EMBEDDED, EVERYWHERE, STACK
from eventkernel import failpoints
from eventkernel.testing import failing

CALL = re.compile(r'failpoints\.(?:reached|under_way)\(\s*"([^"]+)"')
BY_THEMSELVES = {"topic-tail-lost"}
"""Crashed at by tests of their own, not by the list."""


def test_every_failpoint_is_called_somewhere_and_nothing_else_is() -> None:
    modules = [file for file in (ROOT / "libs").rglob("*.py") if file.name != "failpoints.py"]
    called = {name for file in modules for name in CALL.findall(file.read_text())}
    assert called == set(failpoints.NAMES)


def test_every_failpoint_is_crashed_at() -> None:
    assert {crash.point for crash in (*EVERYWHERE, *EMBEDDED, *STACK)} | BY_THEMSELVES == set(failpoints.NAMES)


def test_a_program_that_asks_for_nothing_calls_empty_functions() -> None:
    assert failpoints.reached is not failing.reached
    assert failpoints.reached("after-pending-insert") is None  # type: ignore[func-returns-value] # that is what is asked
    answer: asyncio.Future[int] = asyncio.Future(loop=asyncio.new_event_loop())
    assert failpoints.under_way("append-sent-reply-lost", answer) is answer
    answer.get_loop().close()


def test_the_program_itself_knows_no_failpoint_by_name() -> None:
    shipped = [file for file in (ROOT / "services").rglob("*.py") if "testing" not in file.parts]
    assert not [
        file for file in shipped if "ERX_FAILPOINTS" in file.read_text() or "testing.failing" in file.read_text()
    ]


@pytest.mark.parametrize(
    "text", ["nowhere=kill", "after-pending-insert", "after-pending-insert=wait", "topic-tail-lost=kill@x"]
)
def test_what_names_no_failpoint_or_no_action_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not name=kill or name=stop"):
        failing.arm(text)


@pytest.mark.parametrize(("times", "reached"), [("", 1), ("@1", 1), ("@3", 3)])
def test_a_process_dies_at_the_nth_time_and_says_so_first(times: str, reached: int, tmp_path: Path) -> None:
    program = (
        "from eventkernel import failpoints\n"
        "from eventkernel.testing.failing import arm, install\n"
        f"install()\narm('topic-tail-lost=kill{times}')\n"
        "for number in range(1, 9):\n"
        "    print(number, flush=True)\n"
        "    failpoints.reached('sqlite-after-commit')\n"
        "    failpoints.reached('topic-tail-lost')\n"
    )
    command = [sys.executable, "-c", program]
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, env={"PYTHONPATH": str(ROOT / "libs")}
    )
    assert ended.returncode == -9
    assert ended.stdout.split() == [str(number) for number in range(1, reached + 1)]
    assert ended.stderr == "failpoint topic-tail-lost: kill\n"
