import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventkernel.envelope import Actor, EventMeta, Provenance, from_micros, to_micros

MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
METAS = st.builds(
    EventMeta,
    occurred_at=MOMENTS,
    recorded_at=MOMENTS,
    command_id=st.uuids(),
    provenance=st.builds(Provenance, st.builds(Actor, WORDS, WORDS, WORDS), WORDS, WORDS, WORDS, WORDS),
)


@given(METAS)
def test_an_envelope_reads_back_equal(meta: EventMeta) -> None:
    assert EventMeta.from_bytes(meta.to_bytes()) == meta


@given(METAS)
def test_an_envelope_is_compact_json_without_what_is_empty(meta: EventMeta) -> None:
    said = meta.provenance
    words = {"p": said.purpose_of_use, "co": said.correlation_id, "ca": said.causation_id, "t": said.traceparent}
    fields = {
        "o": to_micros(meta.occurred_at),
        "r": to_micros(meta.recorded_at),
        "c": meta.command_id.hex,
        "a": [said.actor.id, said.actor.role, said.actor.organisation],
        **{key: word for key, word in words.items() if word},
    }
    assert meta.to_bytes() == json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()


@given(MOMENTS)
def test_microseconds_are_exact_in_both_directions(moment: datetime) -> None:
    assert from_micros(to_micros(moment)) == moment


def test_another_zone_is_the_same_moment_in_utc() -> None:
    local = datetime(2026, 3, 1, 9, 0, 0, 1, tzinfo=timezone(timedelta(hours=1)))
    assert from_micros(to_micros(local)) == local
    assert from_micros(to_micros(local)).utcoffset() == timedelta(0)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(TypeError):
        to_micros(datetime(2026, 3, 1))  # noqa: DTZ001 - that is the point


@given(METAS)
def test_keys_of_a_later_program_are_ignored_and_absent_ones_are_empty(meta: EventMeta) -> None:
    fields = json.loads(meta.to_bytes())
    later = json.dumps({**fields, "zz": {"new": 1}}).encode()
    assert EventMeta.from_bytes(later) == meta
    bare = json.dumps({key: fields[key] for key in "orca"}).encode()
    assert EventMeta.from_bytes(bare).provenance == Provenance(meta.provenance.actor)


def test_stored_bytes_of_today_stay_readable() -> None:
    stored = b'{"o":1772352000123456,"r":1772352060000001,"c":"0192d3a07b1c7c3e9f001234567890ab","a":["p","agent",""],"co":"x"}'
    meta = EventMeta.from_bytes(stored)
    assert meta.occurred_at == datetime(2026, 3, 1, 8, 0, 0, 123456, tzinfo=UTC)
    assert meta.recorded_at == datetime(2026, 3, 1, 8, 1, 0, 1, tzinfo=UTC)
    assert meta.provenance == Provenance(Actor("p", "agent"), correlation_id="x")
    assert meta.to_bytes() == stored
