"""The checker and porcupine, which share neither code nor method, say the same of the same file."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from bootstrap.devtools.backends import in_ci
from eventkernel.testing.history import History, JournalEvent, Outcome, Read, Rule, Write, check
from eventkernel.testing.history.samples import BY_TIMES, STREAM, broken, sound

HERE = Path(__file__).parent
BUILD_SECONDS = 300
FILES_A_RUN = 1_000
SEEN = {*BY_TIMES, Rule.EFFECT_ONCE, Rule.NOTHING_INVENTED}
NAMES = ("one", "two", "three", "four", "five", "six")
RANDOM_HISTORIES = int(os.environ.get("ERX_JUDGED_HISTORIES", "400"))

Judge = Callable[[Sequence[Path]], dict[Path, list[str]]]


@pytest.fixture(scope="session")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    """Builds the program; gives what it finds in each file: the streams that no order of the calls explains."""
    if shutil.which("go") is None:
        (pytest.fail if in_ci() else pytest.skip)("the judge is built with Go, and there is none: install golang 1.21+")
    program = tmp_path_factory.mktemp("judge") / "judge"
    command = ["go", "build", "-o", str(program), "."]
    built = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
    if built.returncode != 0:
        (pytest.fail if in_ci() else pytest.skip)(f"the judge could not be built: {built.stderr.strip()[-300:]}")

    def run(files: Sequence[Path]) -> dict[Path, list[str]]:
        found: dict[Path, list[str]] = {}
        for first in range(0, len(files), FILES_A_RUN):
            some = files[first : first + FILES_A_RUN]
            done = subprocess.run([program, *some], capture_output=True, text=True, timeout=300, check=False)
            assert done.returncode in (0, 1), done.stderr
            told = [json.loads(line) for line in done.stdout.splitlines()]
            found |= {Path(one["file"]): one["not_linearizable"] for one in told}
        return found

    return run


def saved(folder: Path, histories: Sequence[History]) -> list[Path]:
    files = [folder / f"{number:04}.jsonl" for number in range(len(histories))]
    for file, history in zip(files, histories, strict=True):
        history.save(file)
    return files


def test_the_judge_finds_nothing_in_a_sound_history(judge: Judge, tmp_path: Path) -> None:
    [file] = saved(tmp_path, [sound()])
    assert judge([file]) == {file: []}


def test_the_judge_finds_what_the_checker_finds_in_broken_histories(judge: Judge, tmp_path: Path) -> None:
    rules, _, histories = zip(*broken(), strict=True)
    files = saved(tmp_path, histories)
    found = judge(files)
    for rule, history, file in zip(rules, histories, files, strict=True):
        # A read that asked for a version it names is no question of linearizability.
        asked = any(read.at_least is not None and read.version < read.at_least for read in history.reads)
        assert bool(found[file]) == (rule in SEEN and not asked), rule


def test_both_say_the_same_of_random_histories(judge: Judge, tmp_path: Path) -> None:
    histories = [history for seed in range(RANDOM_HISTORIES) for history in variants(seed)]
    files = saved(tmp_path, histories)
    found = judge(files)
    verdicts = [bool([one for one in check(history, drained=False) if one.rule in SEEN]) for history in histories]
    differing = [(file, verdict) for file, verdict in zip(files, verdicts, strict=True) if verdict != bool(found[file])]
    assert differing == []
    assert 0.2 < sum(verdicts) / len(verdicts) < 0.8


def variants(seed: int) -> Iterator[History]:
    """A possible history, and the same after a small change, which may make it impossible or not."""
    random = Random(seed)
    history = possible(random)
    yield history
    yield changed(history, random)


def possible(random: Random) -> History:
    """Points in time in the order of a log, and around each point a call of random length."""
    history = History()
    names = NAMES[: random.randint(2, len(NAMES))]
    version = time = 0
    while version < len(names):
        time += random.randint(1, 30)
        call, end = time - random.randint(0, 40), time + random.randint(0, 40)
        name, operation = names[version], f"{len(history.writes) + len(history.reads)}"
        match random.choice(("append", "append", "append", "read", "read", "again", "conflict", "refused")):
            case "append":
                version += 1
                outcome = random.choice((Outcome.OK, Outcome.OK, Outcome.UNKNOWN))
                expected = random.choice((None, version - 1))
                told = version if outcome is Outcome.OK else 0
                history.writes.append(attempt(operation, name, (call, end), outcome, version=told, expected=expected))
                history.journal.append(JournalEvent(STREAM, version, f"e-{name}", f"c-{name}"))
            case "read":
                shown = tuple(f"e-{name}" for name in names[:version])
                shown = shown[random.randint(0, len(shown)) :]
                history.reads.append(Read(operation, "r", STREAM, call, end, version, shown))
            case "again" if version:
                place = random.randint(1, version)
                before = next(w for w in history.writes if w.event_id == f"e-{names[place - 1]}")
                history.writes.append(
                    attempt(
                        operation, names[place - 1], (call, end), Outcome.OK, version=place, expected=before.expected
                    )
                )
            case "conflict":
                elsewhere = random.choice([one for one in range(len(names) + 1) if one != version])
                refusal = attempt(
                    operation, f"x{time}", (call, end), Outcome.REFUSED, expected=elsewhere, reason="conflict"
                )
                history.writes.append(refusal)
            case "refused":
                history.writes.append(attempt(operation, f"x{time}", (call, end), Outcome.REFUSED))
            case _:
                pass
    return history


def changed(history: History, random: Random) -> History:
    made = History(list(history.writes), list(history.reads), list(history.journal))
    for _ in range(random.randint(1, 2)):
        place = random.randrange(len(made.writes))
        one = made.writes[place]
        assert one.returned_at is not None
        match random.randrange(6):
            case 0:
                shift = random.randint(-120, 120)
                made.writes[place] = replace(one, called_at=one.called_at + shift, returned_at=one.returned_at + shift)
            case 1 if one.version:
                made.writes[place] = replace(one, version=random.randint(1, len(made.journal)))
            case 2 if one.outcome is Outcome.UNKNOWN:
                made.writes[place] = replace(one, outcome=Outcome.REFUSED)
            case 3 if made.reads:
                at = random.randrange(len(made.reads))
                read, shift = made.reads[at], random.randint(-120, 120)
                moved = replace(read, called_at=read.called_at + shift, returned_at=read.returned_at + shift)
                made.reads[at] = moved
            case 4 if len(made.journal) > 1:
                first, second = made.journal[-2:]
                made.journal[-2:] = [replace(second, version=first.version), replace(first, version=second.version)]
            case _ if random.random() < 0.3:
                made.journal.pop()
            case _:
                pass
    return made


def attempt(
    operation: str,
    name: str,
    times: tuple[int, int],
    outcome: Outcome,
    *,
    version: int = 0,
    expected: int | None = None,
    reason: str = "",
) -> Write:
    return Write(
        f"w{operation}",
        "w",
        STREAM,
        f"c-{name}",
        f"e-{name}",
        *times,
        outcome,
        version,
        expected,
        reason,
    )
