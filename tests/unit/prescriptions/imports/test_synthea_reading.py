"""A bad export is refused as a whole, and the refusal says file, line, column and rule."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from prescriptions.imports.errors import InputRefused, Problem
from prescriptions.imports.schedules import ScheduleTable
from prescriptions.imports.synthea import MedicationRow, read_synthea

ExportMaker = Callable[..., Path]


def problems_of(directory: Path, schedules: ScheduleTable) -> tuple[Problem, ...]:
    with pytest.raises(InputRefused) as refused:
        read_synthea(directory, schedules)
    return refused.value.problems


def test_a_valid_export_is_read(export: ExportMaker, schedules: ScheduleTable) -> None:
    (row,) = read_synthea(export(), schedules)
    assert (row.line, row.code, row.dispenses, row.organization_name) == (2, "314076", 12, "Example Clinic")


@pytest.mark.parametrize(
    ("file", "old", "new", "line", "field", "rule"),
    [
        ("medications.csv", ",DISPENSES", "", 1, "DISPENSES", "the header lacks this column"),
        (
            "medications.csv",
            ",12,,\n",
            ",12,\n",
            2,
            "REASONDESCRIPTION",
            "missing: the row has 8 columns, the header names 9",
        ),
        ("medications.csv", ",12,,\n", ",12,,,\n", 2, "", "the row has 10 columns, the header names 9"),
        (
            "medications.csv",
            "2020-01-01T",
            "2020-02-30T",
            2,
            "START",
            "'2020-02-30T08:00:00Z' is not a time of the form",
        ),
        ("medications.csv", "2020-12-31T08:00:00Z", "soon", 2, "STOP", "'soon' is not a time of the form"),
        ("medications.csv", ",12,,", ",0,,", 2, "DISPENSES", "'0' is not a whole number from 1 to 100000"),
        ("medications.csv", ",12,,", ",twelve,,", 2, "DISPENSES", "'twelve' is not a whole number"),
        ("medications.csv", "314076", "999999999", 2, "CODE", "no schedule is known for RxNorm 999999999"),
        ("medications.csv", "314076", "", 2, "CODE", "must not be empty"),
        ("medications.csv", "347ceebf", "x47ceebf", 2, "PATIENT", "is not a UUID"),
        ("medications.csv", "347ceebf", "00000000", 2, "PATIENT", "is not in patients.csv"),
        ("medications.csv", "479055e1", "00000000", 2, "ENCOUNTER", "is not in encounters.csv"),
        ("medications.csv", "lisinopril", '"lisinopril', 2, "", "the line is not CSV"),
        ("medications.csv", "START,", "BEGIN,", 1, "START", "the header lacks this column"),
        ("encounters.csv", "82a921c3", "00000000", 2, "PROVIDER", "is not in providers.csv"),
        ("encounters.csv", "25c85bcc", "00000000", 2, "ORGANIZATION", "is not in organizations.csv"),
        ("encounters.csv", "PROVIDER", "DOCTOR", 1, "PROVIDER", "the header lacks this column"),
        ("organizations.csv", "Example Clinic", "", 2, "NAME", "must not be empty"),
    ],
)
def test_a_broken_rule_is_named_with_its_place(
    export: ExportMaker,
    schedules: ScheduleTable,
    *,
    file: str,
    old: str,
    new: str,
    line: int,
    field: str,
    rule: str,
) -> None:
    first = problems_of(export({file: (old, new)}), schedules)[0]
    assert (first.file, first.line, first.field) == (file, line, field)
    assert rule in first.rule
    assert str(first).startswith(f"{file}:{line}: {field}")


def test_an_encounter_of_another_patient_is_refused(export: ExportMaker, schedules: ScheduleTable) -> None:
    directory = export({"encounters.csv": ("347ceebf", "11111111")})
    (problem,) = problems_of(directory, schedules)
    assert (problem.line, problem.field) == (2, "PATIENT")
    assert "is of another patient" in problem.rule


def test_a_missing_file_is_named(export: ExportMaker, schedules: ScheduleTable) -> None:
    directory = export()
    (directory / "encounters.csv").unlink()
    assert Problem("encounters.csv", None, "", "the file is missing") in problems_of(directory, schedules)


def test_an_empty_file_lacks_its_header(export: ExportMaker, schedules: ScheduleTable) -> None:
    directory = export()
    (directory / "medications.csv").write_text("")
    assert problems_of(directory, schedules) == (
        Problem("medications.csv", 1, "", "the file is empty; a header was expected"),
    )


def test_bytes_that_are_not_utf8_are_refused(export: ExportMaker, schedules: ScheduleTable) -> None:
    directory = export()
    (directory / "patients.csv").write_bytes(b"Id\n\xff\xfe\n")
    assert "not UTF-8" in problems_of(directory, schedules)[0].rule


def test_a_directory_that_is_none_is_refused(tmp_path: Path, schedules: ScheduleTable) -> None:
    (problem,) = problems_of(tmp_path / "nothing", schedules)
    assert "is not a directory" in problem.rule


def test_every_bad_row_is_told_and_not_only_the_first(export: ExportMaker, schedules: ScheduleTable) -> None:
    directory = export()
    path = directory / "medications.csv"
    good = path.read_text().splitlines()[1]
    path.write_text(path.read_text() + good.replace(",12,", ",-1,") + "\n" + good + "\n" + good[:40] + "\n")
    assert [problem.line for problem in problems_of(directory, schedules)] == [3, 5]


def test_the_message_stops_after_twenty_problems(export: ExportMaker, schedules: ScheduleTable) -> None:
    directory = export()
    path = directory / "medications.csv"
    path.write_text(path.read_text() + "short\n" * 30)
    with pytest.raises(InputRefused) as refused:
        read_synthea(directory, schedules)
    assert len(refused.value.problems) == 30
    assert str(refused.value).splitlines()[-1] == "... and 10 more"


def test_a_quoted_field_over_several_lines_keeps_line_numbers_right(
    export: ExportMaker, schedules: ScheduleTable
) -> None:
    directory = export({"medications.csv": ("lisinopril 10 MG Oral Tablet", '"lisinopril\n10 MG Oral Tablet"')})
    path = directory / "medications.csv"
    path.write_text(path.read_text() + "short\n")
    (problem,) = problems_of(directory, schedules)
    assert problem.line == 4


def test_equal_rows_are_told_apart(export: ExportMaker, schedules: ScheduleTable) -> None:
    directory = export()
    path = directory / "medications.csv"
    path.write_text(path.read_text() + path.read_text().splitlines()[1] + "\n")
    first, second = read_synthea(directory, schedules)
    assert first.identity != second.identity


def test_line_endings_do_not_change_what_is_read(
    synthea_directory: Path, tmp_path: Path, schedules: ScheduleTable, synthea_rows: tuple[MedicationRow, ...]
) -> None:
    for path in synthea_directory.glob("*.csv"):
        shutil.copy(path, tmp_path / path.name)
        (tmp_path / path.name).write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_synthea(tmp_path, schedules) == synthea_rows
