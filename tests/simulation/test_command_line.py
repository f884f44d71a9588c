import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bootstrap.cli.app import app
from eventkernel.testing.history import History, check


def simulate(*options: str) -> Result:
    return CliRunner().invoke(app, ["simulate", *options])


def test_schedules_that_keep_every_rule_end_with_the_marks() -> None:
    result = simulate("--schedules", "3", "--seed", "1")
    assert result.exit_code == 0, result.output
    assert re.search(r"^3 schedules from seed 1 on: [\d,]+ steps", result.output, re.MULTILINE)
    assert re.search(r"^ +\d+  append: applied$", result.output, re.MULTILINE)


def test_schedules_side_by_side_come_to_the_same() -> None:
    one, two = (simulate("--schedules", "4", "--seed", "1", "--jobs", jobs) for jobs in ("1", "2"))
    steps = [re.findall(r"on: ([\d,]+) steps", result.output)[-1] for result in (one, two)]
    assert (one.exit_code, two.exit_code) == (0, 0)
    assert steps[0] == steps[1]


def test_a_breach_names_seed_step_and_rule_and_how_to_see_it_again() -> None:
    result = simulate("--schedules", "600", "--seed", "1", "--mutation", "cursor-before-acknowledgement")
    assert result.exit_code == 1
    found = re.search(r"seed (\d+), step (\d+): (a cursor moves .*)", result.output)
    assert found, result.output
    assert "it came again at the same step" in result.output
    again = re.search(r"erx (simulate --seed .*)", result.output)
    assert again
    shown = CliRunner().invoke(app, again[1].split())
    assert shown.exit_code == 1
    assert f"seed {found[1]}, step {found[2]}: {found[3]}" in shown.output


def test_a_trace_begins_where_it_is_asked_to() -> None:
    result = simulate("--schedules", "1", "--seed", "1", "--trace", "--from-step", "500")
    steps = [int(line.split()[0]) for line in result.output.splitlines() if line.startswith("  ")]
    assert result.exit_code == 0
    assert min(steps) >= 500


@pytest.mark.parametrize("traced", [False, True])
def test_the_history_of_the_last_schedule_is_saved_where_none_broke_a_rule(tmp_path: Path, *, traced: bool) -> None:
    file = tmp_path / "history.jsonl"
    result = simulate("--schedules", "2", "--seed", "3", "--history", str(file), *(["--trace"] if traced else []))
    assert result.exit_code == 0, result.output
    saved = History.load(file)
    assert (bool(saved.writes), check(saved)) == (True, [])


def test_an_unknown_mutation_is_refused_by_name() -> None:
    result = simulate("--mutation", "wishful-thinking")
    assert result.exit_code == 2
    assert "naive-hint-delete" in result.output
