from erx.prescriptions.v1 import statistics_pb2
from prescriptions.imports.expectations import Expectation, differences

RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
EXPECTED = Expectation(rows=2, fills=5, fills_by_code={"1": 3, "2": 2})


def statistics(fills: int, *medications: tuple[str, str, int]) -> statistics_pb2.FetchStatisticsResponse:
    made = statistics_pb2.FetchStatisticsResponse()
    made.totals.fills = fills
    for system, code, count in medications:
        medication = made.medications.add(fills=count)
        medication.medication.system = system
        medication.medication.code = code
    return made


def test_equal_sums_differ_in_nothing() -> None:
    assert differences(EXPECTED, statistics(5, (RXNORM, "1", 3), (RXNORM, "2", 2))) == ()


def test_one_code_shown_under_two_displays_counts_once() -> None:
    assert differences(EXPECTED, statistics(5, (RXNORM, "1", 1), (RXNORM, "1", 2), (RXNORM, "2", 2))) == ()


def test_each_difference_is_told_with_both_numbers() -> None:
    found = differences(EXPECTED, statistics(4, (RXNORM, "1", 3), (RXNORM, "3", 1)))
    assert found == (
        "fills: the file has 5, the statistics show 4",
        "RxNorm 2: the file has 2 fills, the statistics show 0",
        "RxNorm 3: the file has 0 fills, the statistics show 1",
    )


def test_codes_of_other_systems_are_not_compared() -> None:
    shown = statistics(5, (RXNORM, "1", 3), (RXNORM, "2", 2), ("http://snomed.info/sct", "1", 9))
    assert differences(EXPECTED, shown) == ()
