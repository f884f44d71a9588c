"""`erx show`, `erx history`, `erx stats`: answers for people and, with `--json`, for programs."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from bootstrap.testing.program import Child, Ended, Erx, servers_on

NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def said(erx: Erx, shared: Child, tenant: str) -> Callable[..., Ended]:
    """Ask the shared server on the command line, as the test's tenant."""

    def run(*words: str) -> Ended:
        return erx.run(*words, "--tenant", tenant, *servers_on(shared))

    return run


def facts(ended: Ended) -> Any:
    assert ended.code == 0, ended.errors
    return json.loads(ended.output)


async def test_people_get_tables_and_programs_json(said: Callable[..., Ended], calling: Any) -> None:
    async with calling() as c:
        issued = await c.issued()
        one = issued.prescription.prescription_id
        await c.ask("FetchPrescription", token=issued.token, prescription_id=one)
    shown = facts(said("show", one, "--json"))
    assert shown["prescription"]["prescription_id"] == one
    before = facts(said("show", one, "--at", "2", "--json"))
    assert before["prescription"]["status"] == "PRESCRIPTION_STATUS_SIGNED"
    events = facts(said("history", one, "--json"))
    assert [int(event["envelope"]["sequence"]) for event in events] == [1, 2, 3]
    assert facts(said("stats", "--json"))["totals"]["prescriptions"] == "1"
    assert "amoxicillin 500 mg" in said("show", one).output
    assert "PrescriptionCreated" in said("history", one).output


def test_what_is_wrong_is_one_line(said: Callable[..., Ended]) -> None:
    for words, code, text in (
        (("show", NOBODY), 1, "NOT_FOUND: "),
        (("history", NOBODY), 1, "NOT_FOUND: "),
        (("show", "twelve"), 1, "INVALID_REQUEST: "),
        (
            ("show", "twelve", "--at", "0"),
            1,
            "INVALID_REQUEST: prescription_id: must be a valid UUID; version: must be greater than or equal to 1",
        ),
    ):
        ended = said(*words)
        (line,) = ended.errors.splitlines()
        assert ended.code == code
        assert line.startswith(text)
    assert said("show", NOBODY, "--at", "yesterday").code == 2
