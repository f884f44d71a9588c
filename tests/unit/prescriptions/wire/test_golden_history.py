"""Golden bytes of every version with the state that a stream ending in them folds to; those of the first two were written by
hand as text.
"""

import json
from pathlib import Path

import pytest

from eventkernel.testing.wire_text import wire_bytes
from prescriptions.testing.folding import Stored, folded, state_data
from prescriptions.wire.events import MESSAGES
from prescriptions.wire.upcasters import EARLIER_MESSAGES

EVENTS = Path(__file__).parents[3] / "golden" / "prescriptions" / "events"
WRITTEN = sorted(EVENTS.glob("v*/*.txt"))
STATES = sorted(EVENTS.glob("v*/*.state.json"))


def stored(name: str) -> Stored:
    """The event of a golden file, by its name: ``v1/PrescriptionFilled.whole``."""
    version, _, stem = name.partition("/")
    return stem.split(".")[0], int(version.removeprefix("v")), (EVENTS / f"{name}.binpb").read_bytes()


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_golden_bytes_are_what_was_written_by_hand(path: Path) -> None:
    assert path.with_suffix(".binpb").read_bytes() == wire_bytes(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", STATES, ids=lambda path: f"{path.parent.name}/{path.name.removesuffix('.state.json')}")
def test_golden_bytes_fold_to_the_state_that_is_written_beside_them(path: Path) -> None:
    meant = json.loads(path.read_text(encoding="utf-8"))
    name = f"{path.parent.name}/{path.name.removesuffix('.state.json')}"
    assert state_data(folded([*map(stored, meant["after"]), stored(name)])) == meant["state"]


def test_every_event_of_the_first_versions_has_golden_bytes_by_hand() -> None:
    names = {(path.parent.name, path.name.removesuffix(".binpb")) for path in EVENTS.glob("v[12]/*.binpb")}
    assert {(f"v{version}", name) for name, version in EARLIER_MESSAGES if version < 3} <= names
    assert names == {(path.parent.name, path.stem) for path in WRITTEN if path.parent.name in ("v1", "v2")}


def test_golden_bytes_of_every_version_have_their_state() -> None:
    names = {(path.parent.name, path.name.removesuffix(".binpb")) for path in EVENTS.glob("v*/*.binpb")}
    assert {(f"v{version}", name) for name, version in MESSAGES} <= names
    assert names == {(path.parent.name, path.name.removesuffix(".state.json")) for path in STATES}


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_golden_bytes_hold_nothing_that_their_contract_does_not_know(path: Path) -> None:
    name, version, data = stored(f"{path.parent.name}/{path.stem}")
    message = MESSAGES[name, version].FromString(data)
    known = MESSAGES[name, version].FromString(data)
    known.DiscardUnknownFields()
    assert known == message
    assert known.ByteSize() == message.ByteSize()
