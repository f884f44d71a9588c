"""The whole Synthea set, read and planned once; rows and exports made to measure."""

import csv
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from prescriptions.domain.profiles import US
from prescriptions.imports.plan import PlannedPrescription
from prescriptions.imports.schedules import ScheduleTable, shipped_schedules
from prescriptions.imports.synthea import MedicationRow, read_synthea
from prescriptions.imports.synthea_plan import SyntheaRules, plan_synthea

DATA = Path(__file__).parents[3] / "data"

RowMaker = Callable[..., MedicationRow]
ExportMaker = Callable[..., Path]

_ROW = MedicationRow(
    line=2,
    patient_id="347ceebf-0248-5a56-14f3-e1e8e8ffb73c",
    encounter_id="479055e1-7ee6-23de-3214-e2902b46a84c",
    provider_id="82a921c3-7aad-3ef1-bc6a-7eee2c0fd2b3",
    organization_id="25c85bcc-7e25-36bc-89e8-08e0d473db23",
    organization_name="Example Clinic",
    code="314076",
    description="lisinopril 10 MG Oral Tablet",
    start=datetime(2020, 1, 1, 8, tzinfo=UTC),
    stop=datetime(2020, 12, 31, 8, tzinfo=UTC),
    dispenses=12,
    reason_code="",
    reason_text="",
    occurrence=0,
)

_FILES = {
    "patients.csv": "Id\n347ceebf-0248-5a56-14f3-e1e8e8ffb73c\n",
    "providers.csv": "Id\n82a921c3-7aad-3ef1-bc6a-7eee2c0fd2b3\n",
    "organizations.csv": "Id,NAME\n25c85bcc-7e25-36bc-89e8-08e0d473db23,Example Clinic\n",
    "encounters.csv": "Id,PATIENT,ORGANIZATION,PROVIDER\n"
    "479055e1-7ee6-23de-3214-e2902b46a84c,347ceebf-0248-5a56-14f3-e1e8e8ffb73c,"
    "25c85bcc-7e25-36bc-89e8-08e0d473db23,82a921c3-7aad-3ef1-bc6a-7eee2c0fd2b3\n",
    "medications.csv": "START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION,DISPENSES,REASONCODE,REASONDESCRIPTION\n"
    "2020-01-01T08:00:00Z,2020-12-31T08:00:00Z,347ceebf-0248-5a56-14f3-e1e8e8ffb73c,"
    "479055e1-7ee6-23de-3214-e2902b46a84c,314076,lisinopril 10 MG Oral Tablet,12,,\n",
}


@pytest.fixture(scope="session")
def schedules() -> ScheduleTable:
    return shipped_schedules()


@pytest.fixture(scope="session")
def rules(schedules: ScheduleTable) -> SyntheaRules:
    return SyntheaRules(schedules, US)


@pytest.fixture(scope="session")
def synthea_directory() -> Path:
    return DATA / "synthea-100"


@pytest.fixture(scope="session")
def fhir_directory() -> Path:
    return DATA / "fhir-r4"


@pytest.fixture(scope="session")
def synthea_file(synthea_directory: Path) -> list[dict[str, str]]:
    """The medications as any CSV reader sees them."""
    with (synthea_directory / "medications.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(scope="session")
def synthea_rows(synthea_directory: Path, schedules: ScheduleTable) -> tuple[MedicationRow, ...]:
    return read_synthea(synthea_directory, schedules)


@pytest.fixture(scope="session")
def synthea_plans(synthea_rows: tuple[MedicationRow, ...], rules: SyntheaRules) -> tuple[PlannedPrescription, ...]:
    return tuple(plan_synthea(synthea_rows, rules))


@pytest.fixture(scope="session")
def row() -> RowMaker:
    """A medication row with the given fields; the others are those of twelve monthly fills of lisinopril."""

    def make(**fields: object) -> MedicationRow:
        return replace(_ROW, **fields)  # type: ignore[arg-type]

    return make


@pytest.fixture
def export(tmp_path: Path) -> ExportMaker:
    """A small valid export; ``export({"medications.csv": (old, new)})`` replaces a text in one of its files."""

    def make(changes: dict[str, tuple[str, str]] | None = None) -> Path:
        for name, text in _FILES.items():
            old, new = (changes or {}).get(name, ("", ""))
            assert old in text
            (tmp_path / name).write_text(text.replace(old, new) if old else text, encoding="utf-8")
        return tmp_path

    return make
