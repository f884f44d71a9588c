"""`./erx test`: what pytest is asked to do."""

import pytest

from bootstrap.devtools import test as command
from bootstrap.devtools.backends import header
from localstack import Availability

SPREAD = ["--numprocesses=4", "--dist=loadfile", "--no-loadscope-reorder"]


def test_a_whole_run_uses_all_processors() -> None:
    assert command.pytest_arguments([], 4) == SPREAD


def test_one_processor_needs_no_workers() -> None:
    assert command.pytest_arguments([], 1) == []


@pytest.mark.parametrize("arguments", [["tests/unit"], ["-k", "relay"], ["-x"], ["-p", "no:randomly"], ["--color=yes"]])
def test_pytests_own_arguments_go_through(arguments: list[str]) -> None:
    assert command.pytest_arguments(arguments, 4) == [*SPREAD, *arguments]


@pytest.mark.parametrize(
    "arguments", [["tests/test_x.py"], ["tests/test_x.py::test_y"], ["--pdb"], ["-n", "2"], ["-n0"]]
)
def test_a_close_look_starts_no_workers_of_its_own(arguments: list[str]) -> None:
    assert command.pytest_arguments(arguments, 4) == arguments


def test_fast_leaves_out_what_takes_seconds() -> None:
    assert command.pytest_arguments(["--fast", "-x"], 1) == ["-m", "not stack and not slow", "-x"]


def test_there_is_at_least_one_worker_and_no_crowd() -> None:
    assert 1 <= command.processors() <= command.WORKERS_MAX


def test_the_header_names_real_servers_with_their_versions() -> None:
    servers = {"kafka": Availability("kafka", True, "4.1.1 on Java 17")}
    assert "real servers: kafka 4.1.1 on Java 17" in list(header(servers))


@pytest.mark.parametrize(("ci", "consequence"), [("", "its tests are skipped"), ("true", "its tests fail")])
def test_the_header_says_what_is_missing_and_what_follows(
    monkeypatch: pytest.MonkeyPatch, ci: str, consequence: str
) -> None:
    monkeypatch.setenv("CI", ci)
    missing = Availability("postgres", False, "initdb not found: apt-get install postgresql")
    assert list(header({"postgres": missing}))[1:] == [
        "real servers: none",
        f"missing: postgres ({consequence}): initdb not found: apt-get install postgresql",
    ]
