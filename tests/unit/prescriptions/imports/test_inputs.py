"""The inputs are what their READMEs say."""

from collections import Counter
from pathlib import Path

import pytest

from prescriptions.domain.values import Schedule
from prescriptions.imports.schedules import ScheduleTable
from prescriptions.imports.synthea import read_synthea
from prescriptions.imports.systems import RXNORM

SAMPLE = Path(__file__).parents[4] / "services" / "bootstrap" / "samples" / "synthea"


def test_the_set_has_the_facts_of_its_readme(synthea_file: list[dict[str, str]]) -> None:
    fills = [int(row["DISPENSES"]) for row in synthea_file]
    assert (len(synthea_file), sum(fills), max(fills), sum(count > 12 for count in fills)) == (4_445, 27_204, 936, 104)
    assert (len({row["CODE"] for row in synthea_file}), len({row["PATIENT"] for row in synthea_file})) == (121, 105)
    assert sum(not row["STOP"] for row in synthea_file) == 233
    assert sum(bool(row["STOP"]) and row["STOP"] < row["START"] for row in synthea_file) == 7
    assert sum(row["STOP"] == row["START"] for row in synthea_file) == 1_790


def test_no_two_rows_of_the_set_have_the_same_identity(synthea_file: list[dict[str, str]]) -> None:
    counted = Counter(
        (row["PATIENT"], row["ENCOUNTER"], row["CODE"], row["START"], row["STOP"]) for row in synthea_file
    )
    assert counted.most_common(1)[0][1] == 1


def test_the_sample_has_the_facts_of_its_readme(schedules: ScheduleTable) -> None:
    rows = read_synthea(SAMPLE, schedules)
    controlled = sum(schedules.entries[RXNORM, row.code].schedule is not Schedule.NONE for row in rows)
    assert (len(rows), sum(row.dispenses for row in rows), len({row.patient_id for row in rows})) == (87, 302, 12)
    assert (controlled, sum(row.stop is None for row in rows)) == (9, 8)


@pytest.mark.parametrize("name", sorted(path.name for path in SAMPLE.glob("*.csv")))
def test_the_samples_lines_are_lines_of_the_set(synthea_directory: Path, name: str) -> None:
    of_set = (synthea_directory / name).read_text(encoding="utf-8").splitlines()
    of_sample = (SAMPLE / name).read_text(encoding="utf-8").splitlines()
    assert of_sample[0] == of_set[0]
    assert set(of_sample) < set(of_set)
