"""A file that is not what it claims to be refuses all of them, and the refusal says file, line or field, and rule."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prescriptions.imports.errors import InputRefused, Problem
from prescriptions.imports.fhir import read_fhir

Write = Callable[[str, str], Path]
NAME = "MedicationRequest-one.json"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path

    return put


def request(**members: Any) -> str:
    return json.dumps(
        {"resourceType": "MedicationRequest", "id": "one", "status": "active", "intent": "order"} | members
    )


def problem_of(directory: Path) -> Problem:
    with pytest.raises(InputRefused) as refused:
        read_fhir(directory)
    return refused.value.problems[0]


@pytest.mark.parametrize("cut", [40, 400, 2_000])
def test_a_truncated_file_is_refused_with_its_line(fhir_directory: Path, write: Write, cut: int) -> None:
    text = (fhir_directory / "MedicationRequest-medrx0302.json").read_text(encoding="utf-8")[:cut]
    problem = problem_of(write(NAME, text))
    assert problem.file == NAME
    # The parser points at where the text ends, or at the beginning of the string that never does.
    assert problem.line is not None
    assert 1 <= problem.line <= text.count("\n") + 1
    assert "not JSON" in problem.rule
    assert re.search(r"\w (?<!at )at column \d+; the file ends too early", problem.rule)


@pytest.mark.parametrize(
    ("text", "field", "rule"),
    [
        ("[]", "", "must be a JSON object"),
        ('{"id": NaN}', "", "NaN is not a JSON number"),
        ('{"id": "one"}', "resourceType", "must say which resource this is"),
        (request(status=None), "status", "must be given"),
        (request(status=7), "status", "must be a text"),
        (request(authoredOn="2015-02-30"), "authoredOn", "is not a day or a time with its zone"),
        (request(authoredOn="2015"), "authoredOn", "is not a day or a time with its zone"),
        (request(authoredOn="2015-01-15T10:00:00"), "authoredOn", "lacks its time zone"),
        (request(dispenseRequest={"quantity": {"value": "30"}}), "dispenseRequest.quantity.value", "must be a number"),
        (
            request(dispenseRequest={"numberOfRepeatsAllowed": 1.5}),
            "dispenseRequest.numberOfRepeatsAllowed",
            "whole number",
        ),
        (request(dispenseRequest={"numberOfRepeatsAllowed": -1}), "dispenseRequest.numberOfRepeatsAllowed", "negative"),
        (request(dispenseRequest=[]), "dispenseRequest", "must be an object"),
        (request(dosageInstruction=["daily"]), "dosageInstruction[0]", "must be an object"),
        (request(doNotPerform="no"), "doNotPerform", "must be true or false"),
    ],
)
def test_a_broken_rule_is_named_with_its_field(write: Write, text: str, field: str, rule: str) -> None:
    problem = problem_of(write(NAME, text))
    assert (problem.file, problem.field) == (NAME, field)
    assert rule in problem.rule


def test_one_bad_file_refuses_the_good_ones_too(fhir_directory: Path, write: Write) -> None:
    write("MedicationRequest-a.json", request(id="a"))
    assert problem_of(write("MedicationRequest-b.json", "{")).file == "MedicationRequest-b.json"


def test_two_files_with_one_id_are_refused(write: Write) -> None:
    write("MedicationRequest-a.json", request())
    problem = problem_of(write("MedicationRequest-b.json", request()))
    assert (problem.file, problem.field) == ("MedicationRequest-b.json", "id")


def test_bytes_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b'{"id": "\xff"}')
    assert "not UTF-8" in problem_of(tmp_path).rule


def test_a_directory_without_resources_is_refused(tmp_path: Path) -> None:
    assert "is not a directory with FHIR resources" in problem_of(tmp_path).rule


def test_quantities_are_exact(write: Write) -> None:
    files = read_fhir(write(NAME, request(dispenseRequest={"quantity": {"value": 0.1}})))
    quantity = files.requests[0].quantity
    assert quantity is not None
    assert str(quantity.value) == "0.1"


@pytest.mark.parametrize(
    ("system", "code", "read"),
    [
        ("http://unitsofmeasure.org", "ml", "mL"),
        ("http://unitsofmeasure.org", "mL", "mL"),
        ("http://unitsofmeasure.org", "g", "g"),
        ("http://terminology.hl7.org/CodeSystem/v3-orderableDrugForm", "Tab", "TAB"),
        ("http://snomed.info/sct", "ml", "ml"),
    ],
)
def test_two_spellings_of_one_unit_become_one(write: Write, system: str, code: str, read: str) -> None:
    quantity = {"value": 10, "system": system, "code": code}
    (found,) = read_fhir(write(NAME, request(dispenseRequest={"quantity": quantity}))).requests
    assert found.quantity is not None
    assert (found.quantity.unit_code, found.quantity.unit_text) == (read, code)


def test_other_resources_are_named_and_left(write: Write) -> None:
    write("Patient-p.json", '{"resourceType": "Patient", "id": "p"}')
    assert read_fhir(write(NAME, request())).others == ("Patient-p.json",)


def test_a_mixture_is_known_by_its_ingredients(fhir_directory: Path) -> None:
    files = read_fhir(fhir_directory)
    (found,) = (file.medication for file in files.requests if file.id == "medrx0323")
    assert [coding.code for coding in found.codings] == ["0338-1134-03+0409-5779-01+0338-0519-02"]
    assert len(found.ingredients) == 3
