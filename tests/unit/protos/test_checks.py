"""The linter and the comparison with the released contracts find what they are there for."""

import shutil
from pathlib import Path

import pytest

from bootstrap.checkout import ROOT
from bootstrap.devtools import protos

ENVELOPE = "eventlog/v1/envelope.proto"
LAST_FIELD = "  string stream = 18;\n"
ONE_MORE_FIELD = f"{LAST_FIELD}  // New.\n  string added = 19;\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "protos", tmp_path / "protos")
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    return tmp_path


def edit(checkout: Path, name: str, old: str, new: str) -> None:
    path = checkout / "protos" / "erx" / name
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def test_contracts_pass_the_linter() -> None:
    assert protos.lint() == (0, "")


def test_contracts_keep_what_was_released() -> None:
    assert protos.breaking() == (0, "")


def test_an_element_without_comment_is_refused(checkout: Path) -> None:
    edit(checkout, ENVELOPE, "  // Who did it.\n", "")
    status, output = protos.lint(checkout)
    assert status != 0
    assert '"actor"' in output


def test_a_contract_that_is_not_formatted_is_refused(checkout: Path) -> None:
    edit(checkout, ENVELOPE, "  string event_id = 1;", "    string event_id = 1;")
    status, output = protos.lint(checkout)
    assert status != 0
    assert "+  string event_id = 1;" in output


def test_a_changed_field_type_breaks_the_release(checkout: Path) -> None:
    edit(checkout, ENVELOPE, "int64 sequence = 5;", "string sequence = 5;")
    status, output = protos.breaking(checkout, ROOT / "protos" / "released.binpb")
    assert status != 0
    assert '"sequence" on message "Envelope" changed type' in output


def test_an_added_field_breaks_nothing(checkout: Path) -> None:
    edit(checkout, ENVELOPE, LAST_FIELD, ONE_MORE_FIELD)
    assert protos.breaking(checkout, ROOT / "protos" / "released.binpb") == (0, "")


def test_a_breaking_change_cannot_be_released(checkout: Path) -> None:
    released = checkout / "protos" / "released.binpb"
    before = released.read_bytes()
    edit(checkout, ENVELOPE, "int64 sequence = 5;", "string sequence = 5;")
    status, output = protos.release(checkout, released)
    assert status != 0
    assert "would break callers" in output
    assert released.read_bytes() == before


def test_a_release_holds_the_contracts_as_they_are(checkout: Path) -> None:
    released = checkout / "protos" / "released.binpb"
    edit(checkout, ENVELOPE, LAST_FIELD, ONE_MORE_FIELD)
    assert protos.release(checkout, released)[0] == 0
    edit(checkout, ENVELOPE, "string added = 19;", "int64 added = 19;")
    assert protos.breaking(checkout, released)[0] != 0


def test_without_a_released_image_there_is_nothing_to_trust(checkout: Path) -> None:
    assert protos.breaking(checkout, checkout / "none.binpb")[0] == 1
