from collections import Counter

import pytest

from prescriptions.domain.values import Schedule
from prescriptions.imports.schedules import ScheduleTable
from prescriptions.imports.synthea import MedicationRow
from prescriptions.imports.systems import RXNORM


def test_163_rows_of_the_set_are_controlled(synthea_rows: tuple[MedicationRow, ...], schedules: ScheduleTable) -> None:
    found = Counter(entry.schedule for row in synthea_rows if (entry := schedules.find(RXNORM, row.code)))
    assert found == {Schedule.NONE: 4_445 - 163, Schedule.II: 157, Schedule.IV: 4, Schedule.V: 2}


def test_every_entry_names_its_source(schedules: ScheduleTable) -> None:
    assert {key for key, entry in schedules.entries.items() if not entry.source} == set()
    for entry in schedules.entries.values():
        if entry.schedule is not Schedule.NONE:
            assert "code" in entry.source
            assert entry.source.startswith("21 CFR 1308.1")


@pytest.mark.parametrize(("schedule", "section"), [("II", "1308.12"), ("IV", "1308.14"), ("V", "1308.15")])
def test_the_section_cited_is_that_of_the_schedule(schedules: ScheduleTable, schedule: str, section: str) -> None:
    cited = {entry.source for entry in schedules.entries.values() if entry.schedule.name == schedule}
    assert cited
    assert all(section in source for source in cited)


def test_one_substance_has_one_schedule(schedules: ScheduleTable) -> None:
    by_substance: dict[str, set[Schedule]] = {}
    for entry in schedules.entries.values():
        by_substance.setdefault(entry.substance, set()).add(entry.schedule)
    assert {substance for substance, found in by_substance.items() if len(found) > 1} == set()


def test_a_code_that_is_not_listed_is_unknown_and_not_uncontrolled(schedules: ScheduleTable) -> None:
    assert schedules.find(RXNORM, "1") is None
