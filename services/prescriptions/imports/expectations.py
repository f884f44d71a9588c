"""What the query side must show after a Synthea import, counted from the file alone and not from the plan."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from erx.prescriptions.v1 import statistics_pb2
from prescriptions.imports.synthea import MedicationRow
from prescriptions.imports.systems import RXNORM

MEDICATIONS_MAX = 1000  # the most that FetchStatistics lists


@dataclass(frozen=True, slots=True)
class Expectation:
    """Fills in all and by RxNorm code, from ``rows`` rows."""

    rows: int
    fills: int
    fills_by_code: dict[str, int]


def expected_of(rows: Iterable[MedicationRow]) -> Expectation:
    """Count the rows."""
    by_code: Counter[str] = Counter()
    count = 0
    for row in rows:
        count += 1
        by_code[row.code] += row.dispenses
    return Expectation(count, by_code.total(), dict(by_code))


def differences(expected: Expectation, statistics: statistics_pb2.FetchStatisticsResponse) -> tuple[str, ...]:
    """What the statistics show otherwise, one sentence each; nothing when they agree."""
    shown: Counter[str] = Counter()
    for medication in statistics.medications:
        if medication.medication.system == RXNORM:
            shown[medication.medication.code] += medication.fills
    found = []
    if statistics.totals.fills != expected.fills:
        found.append(f"fills: the file has {expected.fills}, the statistics show {statistics.totals.fills}")
    for code in sorted(expected.fills_by_code.keys() | shown.keys()):
        wanted, given = expected.fills_by_code.get(code, 0), shown[code]
        if wanted != given:
            found.append(f"RxNorm {code}: the file has {wanted} fills, the statistics show {given}")
    return tuple(found)
