"""`erx demo`: the whole loop, told with its counts; a read side that is wrong is found."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

from bootstrap.testing.program import Ended, Erx, awaited


def counts(ended: Ended) -> tuple[str, ...]:
    found = re.search(r"The counts agree: (\d+) prescriptions, (\d+) fills on both sides", ended.output)
    assert found is not None, ended.output + ended.errors
    return found.groups()


def test_the_demo_agrees_with_itself_and_again_when_run_again(erx: Erx, tmp_path: Path) -> None:
    for _ in range(2):
        ended = erx.run("demo", "--data", tmp_path / "data")
        assert ended.code == 0, ended.errors
        assert counts(ended) == ("104", "302")
        assert "104 streams, 916 events" in ended.output
        assert "all agree" in ended.output
        assert "signing it again is refused: FAILED_PRECONDITION INVALID_STATE_TRANSITION" in ended.output


def test_the_demo_reports_a_read_side_that_lost_rows(erx: Erx, tmp_path: Path) -> None:
    running = erx.start("demo", "--data", tmp_path / "data")
    views = tmp_path / "data" / "demo" / "views.db"
    awaited("rows to take away while the import runs", lambda: took_away_a_row(views), seconds=30)
    ended = running.ended()
    assert ended.code == 1, ended.output
    assert "The counts agree" not in ended.output
    assert re.search(r"RxNorm \d+: the file has \d+ fills, the statistics show \d+", ended.output), ended.output
    assert "prescription_stats" in ended.output
    audited = erx.run("audit", "--json", "--data", tmp_path / "data" / "demo")
    assert audited.code == 1
    assert json.loads(audited.output)["differences"]


def took_away_a_row(views: Path) -> bool:
    """Delete the summed rows that there are of some medication, as somebody with a SQL shell could."""
    if not views.exists():
        return False
    with closing(sqlite3.connect(views, timeout=30)) as database, database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "prescription_stats_v1" not in tables:
            return False
        return database.execute("DELETE FROM prescription_stats_v1 WHERE kind = 'filled'").rowcount > 0
