from bootstrap.cli.topic import Continuity
from eventkernel.ports import BusRecord


def record(key: str, version: int) -> BusRecord:
    return BusRecord("t", 0, version, key.encode(), b"", (("ce_sequence", str(version).encode()),))


def test_versions_that_follow_one_another_are_sound_and_repeats_are_counted() -> None:
    seen = Continuity()
    for version in (1, 2, 2, 1, 3):
        seen.take(record("default/thing-1", version))
    assert seen.sound
    assert (seen.records, seen.repeats, seen.highest) == (5, 2, {"default/thing-1": 3})


def test_a_version_that_skips_is_a_gap_and_named() -> None:
    seen = Continuity()
    for version in (1, 3):
        seen.take(record("default/thing-1", version))
    assert not seen.sound
    assert seen.gaps == ["default/thing-1: version 3 follows 1"]


def test_a_record_without_a_version_is_broken() -> None:
    seen = Continuity()
    seen.take(BusRecord("t", 0, 0, b"default/thing-1", b"", ()))
    assert not seen.sound
    assert seen.broken == 1
