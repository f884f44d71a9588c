"""Files in, counts out: imports through the command line into running servers."""

import csv
import faulthandler
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bootstrap.testing.acknowledgements import acknowledged_in
from bootstrap.testing.data import settled
from bootstrap.testing.program import Child, Ended, Erx, servers_on


@pytest.fixture
def sent(erx: Erx, shared: Child, tenant: str) -> Callable[..., Ended]:
    """Import into the shared server as the test's tenant: kind of import, folder, further words."""

    def run(kind: str, directory: Path, *words: str | Path) -> Ended:
        return erx.run("import", kind, directory, "--tenant", tenant, *servers_on(shared), *words)

    return run


def report(ended: Ended) -> Any:
    assert ended.code == 0, ended.errors
    return json.loads(ended.output)


def fills_of_file(directory: Path) -> Counter[str]:
    fills: Counter[str] = Counter()
    with (directory / "medications.csv").open(newline="") as opened:
        for row in csv.DictReader(opened):
            fills[row["CODE"]] += int(row["DISPENSES"])
    return fills


def fills_of_statistics(facts: Any) -> Counter[str]:
    fills: Counter[str] = Counter()
    for medication in facts["medications"]:
        fills[medication["medication"]["code"]] += int(medication.get("fills", 0))
    return fills


def test_an_import_of_synthea_shows_the_sums_of_its_file(
    erx: Erx, shared: Child, tenant: str, sample: Path, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    words: list[str | Path] = ["import", "synthea", sample, "--json", "--tenant", tenant, *servers_on(shared)]
    first = report(erx.run(*words, "--acknowledgements", told))
    assert (first["sources"], first["prescriptions"], first["commands"]) == (87, 104, 916)
    assert (first["new"], first["fills"], first["refused"]) == (916, 302, {})
    assert len({(one.prescription_id, one.version) for one in acknowledged_in(told)}) == 916
    assert {one.tenant for one in acknowledged_in(told)} == {tenant}
    again = report(erx.run(*words))
    assert (again["accepted"], again["new"]) == (916, 0)
    facts = statistics(erx, shared, tenant, fills=302)
    assert fills_of_statistics(facts) == fills_of_file(sample)


def statistics(erx: Erx, server: Child, tenant: str, *, fills: int) -> Any:
    """What `erx stats` says, asked until the read side has so many fills."""
    facts: Any = None
    for _ in range(20):
        ended = erx.run("stats", "--json", "--medications", "1000", "--tenant", tenant, *servers_on(server))
        facts = report(ended)
        if int(facts["totals"]["fills"]) == fills:
            return facts
    raise AssertionError(f"never {fills} fills, but {facts}")


@pytest.mark.slow
async def test_the_whole_set_of_a_hundred_patients_is_imported(erx: Erx, test_data: Path, tmp_path: Path) -> None:
    faulthandler.cancel_dump_traceback_later()  # it may take longer than any other, and has deadlines of its own
    directory, data = test_data / "synthea-100", tmp_path / "data"
    server = erx.serve(data)
    words: list[str | Path] = ["import", "synthea", directory, "--json", *servers_on(server)]
    first = report(erx.start(*words).ended(seconds=1_800))
    assert (first["sources"], first["prescriptions"], first["commands"]) == (4_445, 6_999, 75_405)
    assert (first["new"], first["fills"], first["refused"]) == (75_405, 27_204, {})
    again = report(erx.start(*words).ended(seconds=1_800))
    assert (again["new"], again["known_before"]) == (0, 75_405)
    await settled(data, seconds=600)
    facts = statistics(erx, server, "default", fills=27_204)
    assert fills_of_statistics(facts) == fills_of_file(directory)


def test_an_import_of_fhir_says_what_became_of_each_file(sent: Callable[..., Ended], test_data: Path) -> None:
    first = report(sent("fhir", test_data / "fhir-r4", "--json"))
    with (test_data / "fhir-r4-expected.csv").open(newline="") as opened:
        expected = {row["file"]: (row["outcome"], row["reason"], row["status"]) for row in csv.DictReader(opened)}
    assert {f["file"]: (f["outcome"], f["reason"], f["status"]) for f in first["files"]} == expected
    assert first["prescriptions"] == 21
    again = sent("fhir", test_data / "fhir-r4")
    assert again.code == 0, again.errors
    for file, (outcome, reason, status) in expected.items():
        (line,) = (line for line in again.output.splitlines() if line.strip().startswith(f"{file} "))
        assert outcome.replace("_", " ") in line
        assert (reason or status) in line


def without_column(directory: Path) -> str:
    path = directory / "medications.csv"
    head, _, rest = path.read_text().partition("\n")
    path.write_text(head.replace("DISPENSES", "DISPENSED") + "\n" + rest)
    return r"medications.csv:1: DISPENSES: "


def with_bad_time(directory: Path) -> str:
    path = directory / "medications.csv"
    lines = path.read_text().splitlines()
    lines[4] = "2020-02-30T08:00:00Z" + lines[4][lines[4].index(",") :]
    path.write_text("\n".join(lines))
    return "medications.csv:5: START: '2020-02-30T08:00:00Z' is not a time of the form YYYY-MM-DDTHH:MM:SSZ"


def without_file(directory: Path) -> str:
    (directory / "providers.csv").unlink()
    return "providers.csv: "


@pytest.mark.parametrize("spoil", [without_column, with_bad_time, without_file])
async def test_a_bad_table_is_named_by_file_line_and_rule_and_nothing_is_sent(
    sent: Callable[..., Ended], calling: Any, sample: Path, tmp_path: Path, spoil: Any
) -> None:
    directory = shutil.copytree(sample, tmp_path / "export")
    expected = spoil(directory)
    ended = sent("synthea", directory)
    assert ended.code == 1
    assert expected in ended.errors
    assert "Traceback" not in ended.errors
    async with calling() as c:
        assert (await c.ask("FetchAllPrescriptions", include_total=True)).total_size == 0


async def test_a_truncated_document_is_named_by_file_and_line_and_nothing_is_sent(
    sent: Callable[..., Ended], calling: Any, test_data: Path, tmp_path: Path
) -> None:
    directory = shutil.copytree(test_data / "fhir-r4", tmp_path / "fhir")
    path = directory / "MedicationRequest-medrx0302.json"
    path.write_text(path.read_text()[:2_000])
    ended = sent("fhir", directory)
    assert ended.code == 1
    assert "MedicationRequest-medrx0302.json:" in ended.errors
    assert "not JSON" in ended.errors
    async with calling() as c:
        assert (await c.ask("FetchAllPrescriptions", include_total=True)).total_size == 0


def test_a_folder_that_is_not_there_and_a_server_that_is_not_there_are_said_in_a_line(erx: Erx, tmp_path: Path) -> None:
    gone = erx.run("import", "fhir", tmp_path / "nowhere")
    assert gone.code == 1
    assert "nowhere" in gone.errors
    silent = erx.run("stats", "--query-address", "127.0.0.1:1")
    assert silent.code == 1
    assert silent.errors.startswith("UNAVAILABLE: ")
    assert len(silent.errors.splitlines()) == 1
