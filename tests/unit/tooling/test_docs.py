"""Generated parts of the documentation are current, and a stale page is found and mended."""

from pathlib import Path

import pytest

from bootstrap.checkout import ROOT
from bootstrap.devtools import docs
from prescriptions.domain.table import ROWS


def copy_pages(to: Path) -> None:
    for page in {part.page for part in docs.PARTS}:
        (to / page).parent.mkdir(parents=True, exist_ok=True)
        (to / page).write_text((ROOT / page).read_text())


def test_the_pages_of_this_checkout_are_current() -> None:
    assert docs.check() == []


def test_a_stale_part_is_found_and_mended_and_the_rest_of_the_page_left_alone(tmp_path: Path) -> None:
    copy_pages(tmp_path)
    page = tmp_path / "docs/prescriptions.md"
    current = page.read_text()
    page.write_text(current.replace("| `CreatePrescription` | prescriber |", "| `CreatePrescription` | anybody |"))
    assert docs.check(tmp_path) == [f"docs/prescriptions.md: out of date, run `{docs.COMMAND}`"]
    assert docs.generate(tmp_path) == ["docs/prescriptions.md"]
    assert page.read_text() == current
    assert docs.generate(tmp_path) == []


def test_a_page_that_lost_its_markers_is_refused(tmp_path: Path) -> None:
    copy_pages(tmp_path)
    page = tmp_path / "docs/prescriptions.md"
    page.write_text(page.read_text().replace("<!-- end of prescription diagram -->", ""))
    with pytest.raises(ValueError, match="lacks the markers of prescription diagram"):
        docs.check(tmp_path)


def test_every_command_has_its_line() -> None:
    lines = docs.prescription_commands().splitlines()[2:]
    assert [line.split("`")[1] for line in lines] == [row.transition.name for row in ROWS]


def test_the_diagram_draws_only_statuses_that_are_reached() -> None:
    diagram = docs.prescription_diagram()
    assert "[*] --> DRAFT: CreatePrescription" in diagram
    assert "COMPLETED --> WITH_PHARMACY: ReverseDispense" in diagram
    assert "REPLACED" not in diagram


def test_check_tells_by_its_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert docs.main(["--check"]) == 0
    assert "current" in capsys.readouterr().out
