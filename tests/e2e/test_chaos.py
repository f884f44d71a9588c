"""A short run of `erx chaos`; longer ones are run by hand."""

import json
import os
import shutil
from pathlib import Path

import pytest

from bootstrap.devtools.backends import in_ci
from bootstrap.testing.judge import whole_commands
from bootstrap.testing.program import Erx
from eventkernel.testing.history import History, Outcome, Recorder, Rule, Write, check

SECONDS = os.environ.get("ERX_CHAOS_SECONDS", "20")
SEED = os.environ.get("ERX_CHAOS_SEED", "7")
RUN_SECONDS = 900.0 + float(SECONDS)


@pytest.mark.stack
def test_nothing_is_lost_doubled_reordered_or_invented_while_processes_stores_and_links_fail(
    erx: Erx, tmp_path: Path
) -> None:
    if shutil.which("go") is None:
        (pytest.fail if in_ci() else pytest.skip)("toxiproxy and the judge are built with Go, and there is none")
    kept = tmp_path / "kept"
    words = ("--seconds", SECONDS, "--seed", SEED, "--clients", "8", "--keep", str(kept), "--json")
    ended = erx.start("chaos", *words).ended(RUN_SECONDS)
    assert ended.code == 0, ended.output + ended.errors
    report = json.loads(ended.output)
    assert report["troubles"], "nothing was broken"
    assert report["writes"]["ok"] > 0
    assert report["events"] > 0
    assert report["not_linearizable"] == []
    history = History.load(kept / "history.jsonl")
    assert len(history.journal) == report["events"]
    assert check(history) == []
    # The same file with an acknowledged event taken out of the journal is told by name.
    lost = next(write for write in history.writes if write.outcome is Outcome.OK)
    history.journal = [event for event in history.journal if event.event_id != lost.event_id]
    found = check(history)
    assert (lost.stream, lost.version, Rule.ACKNOWLEDGED_IS_PRESENT) in {
        (one.stream, one.version, one.rule) for one in found
    }


def attempt(number: int, outcome: Outcome, version: int = 0) -> Write:
    """One attempt of one command, called and returned in its turn."""
    returned = None if outcome is Outcome.UNKNOWN else number * 10 + 5
    return Write(f"op-{number}", "one", "t/s", "command", "event", number * 10, returned, outcome, version)


def test_attempts_without_an_answer_and_the_one_that_was_answered_are_one_call() -> None:
    history = Recorder().history()
    history.writes = [attempt(1, Outcome.UNKNOWN), attempt(2, Outcome.UNKNOWN), attempt(3, Outcome.OK, 1)]
    [write] = whole_commands(history).writes
    assert (write.called_at, write.returned_at, write.outcome, write.version) == (10, 35, Outcome.OK, 1)


def test_attempts_of_which_one_was_refused_stay_as_they_are() -> None:
    history = Recorder().history()
    history.writes = [attempt(1, Outcome.UNKNOWN), attempt(2, Outcome.REFUSED)]
    assert whole_commands(history).writes == history.writes
