"""`./erx lint`: every step runs, and the status tells."""

import sys

import pytest

from bootstrap.devtools import lint
from bootstrap.devtools.lint import Outcome, Step


def told(*passed: bool) -> tuple[int, list[str]]:
    steps = [Step(f"step{number}", ()) for number in range(len(passed))]
    outcomes = {
        step: Outcome(step, ok, 0.25, f"{step.name} says why\n") for step, ok in zip(steps, passed, strict=True)
    }
    lines: list[str] = []
    return lint.report(steps, outcomes.__getitem__, lines.append), lines


def test_all_steps_run_after_one_has_failed() -> None:
    status, lines = told(True, False, True)
    assert status == 1
    assert [line.split()[:2] for line in lines if line.endswith(" s")] == [
        ["ok", "step0"],
        ["FAIL", "step1"],
        ["ok", "step2"],
    ]


def test_what_a_failed_step_said_is_shown_and_a_passed_ones_is_not() -> None:
    _, lines = told(True, False)
    assert "step1 says why" in lines
    assert "step0 says why" not in lines


def test_the_last_line_names_the_failed_steps() -> None:
    assert told(False, True, False)[1][-1].endswith("step0, step2")


def test_without_a_failure_the_status_is_zero() -> None:
    status, lines = told(True, True)
    assert (status, lines[-1]) == (0, "lint: 2 passed in 0.0 s")


def test_a_step_fails_by_its_status() -> None:
    outcome = lint.run(Step("failing", (sys.executable, "-c", "print('why'); raise SystemExit(3)")))
    assert (outcome.passed, outcome.output) == (False, "why\n")


def test_an_unknown_step_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        lint.main(["mypie"])
    assert "no step mypie; there are ruff, format, mypy" in capsys.readouterr().err
