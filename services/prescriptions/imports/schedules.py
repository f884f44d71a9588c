"""The table of schedules and active substances, which no import file carries. See ``data/README.md`` for its sources."""

import csv
from dataclasses import dataclass
from importlib.resources import files
from io import StringIO

from prescriptions.domain.values import Schedule


@dataclass(frozen=True, slots=True)
class ScheduledMedication:
    """What is known of one code."""

    schedule: Schedule
    substance: str
    source: str


@dataclass(frozen=True, slots=True)
class ScheduleTable:
    """Medications by code system and code."""

    entries: dict[tuple[str, str], ScheduledMedication]

    def find(self, system: str, code: str) -> ScheduledMedication | None:
        """What is known of a code, or None: unknown, never to be taken as uncontrolled."""
        return self.entries.get((system, code))


def shipped_schedules() -> ScheduleTable:
    """The table in ``data/schedules.csv``."""
    text = files("prescriptions.imports").joinpath("data/schedules.csv").read_text(encoding="utf-8")
    return ScheduleTable(
        {
            (row["system"], row["code"]): ScheduledMedication(
                Schedule(row["schedule"]), row["substance"], row["source"]
            )
            for row in csv.DictReader(StringIO(text))
        }
    )
