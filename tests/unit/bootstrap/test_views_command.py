"""`erx views rebuild`: what is refused before any server is asked."""

import pytest
from typer.testing import CliRunner

from bootstrap.cli.app import app

STREAM = ("prescription_view", "--stream", "prescription-1")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("prescription_view", "--dry-run"), "--dry-run"),
        (("--dry-run",), "--dry-run"),
        ((*STREAM, "--since", "2026-01-01T00:00:00Z"), "--since"),
        ((*STREAM, "--switch"), "--switch"),
        ((*STREAM, "--restart", "--dry-run"), "--restart"),
        (("prescription_view", "medication_list", "--stream", "prescription-1"), "VIEW"),
    ],
)
def test_options_that_would_be_passed_over_are_refused_by_name(words: tuple[str, ...], named: str) -> None:
    result = CliRunner().invoke(app, ["views", "rebuild", *words, "--query-address", "127.0.0.1:1"])
    assert result.exit_code == 2
    assert f"Invalid value for {named}" in result.output
