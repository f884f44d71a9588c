from uuid import UUID

import pytest

from prescriptions.domain.identifiers import dea_is_valid, ncpdp_id_is_valid, npi_is_valid
from prescriptions.imports.made_ids import made_dea_number, made_ncpdp_id, made_npi, made_uuid

SOURCES = [f"source-{number}" for number in range(200)]


@pytest.mark.parametrize("source", SOURCES)
def test_made_identifiers_have_right_check_digits(source: str) -> None:
    assert npi_is_valid(made_npi(source), first_digit=True)
    assert dea_is_valid(made_dea_number(source))
    assert ncpdp_id_is_valid(made_ncpdp_id(source))


def test_made_identifiers_are_the_same_in_every_run() -> None:
    provider = "82a921c3-7aad-3ef1-bc6a-7eee2c0fd2b3"
    assert made_npi(provider) == "1174829386"
    assert made_uuid("a", "b") == UUID("875f1847-25df-5aa1-9130-8a0af4b19724")


def test_parts_of_a_made_uuid_do_not_run_together() -> None:
    assert made_uuid("ab", "c") != made_uuid("a", "bc")


def test_made_uuids_are_version_five() -> None:
    assert made_uuid("x").version == 5
