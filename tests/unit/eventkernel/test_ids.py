from uuid import UUID, uuid4, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventkernel.errors import InvalidCommand
from eventkernel.ids import (
    EVENT_NAMESPACE,
    StreamId,
    event_id_of,
    murmur2,
    partition_of,
    shard_of,
    uuid_of,
    validate_tenant,
)

UUID_TEXT = "0192d3a0-7b1c-7c3e-9f00-1234567890ab"
STREAMS = st.builds(
    StreamId,
    st.from_regex(r"\A[a-z0-9][a-z0-9_-]{0,20}\Z"),
    st.from_regex(r"\A[a-z][a-z-]{0,12}-[A-Za-z0-9._:-]{1,60}\Z"),
)


@pytest.mark.parametrize(
    ("name", "category", "identity"),
    [
        (f"prescription-{UUID_TEXT}", "prescription", UUID_TEXT),
        (f"credit-card-{UUID_TEXT}", "credit-card", UUID_TEXT),
        (f"prescription-{UUID_TEXT.upper()}", "prescription", UUID_TEXT.upper()),
        ("order-42", "order", "42"),
        ("order-2026-42", "order", "2026-42"),
        ("order-batch-" + "x" * 36, "order", "batch-" + "x" * 36),
        ("order-" + "9" * 36, "order", "9" * 36),
    ],
)
def test_a_name_is_read_as_category_and_id(name: str, category: str, identity: str) -> None:
    stream = StreamId("default", name)
    assert (stream.category, stream.id) == (category, identity)


@given(STREAMS)
def test_a_key_reads_back_and_leads_with_the_tenant(stream: StreamId) -> None:
    assert stream.validated() is stream
    assert StreamId.from_key(stream.key) == stream
    assert stream.key.startswith(f"{stream.tenant}/")
    assert f"{stream.category}-{stream.id}" == stream.name


@pytest.mark.parametrize("tenant", ["", "A", "-a", "_a", "a/b", "a b", "é", "a" * 64, "a\n"])
def test_a_bad_tenant_is_refused(tenant: str) -> None:
    with pytest.raises(InvalidCommand, match="erx-tenant"):
        validate_tenant(tenant)


@pytest.mark.parametrize(
    "name", ["", "order", "order-", "Order-1", "1-1", "order-a/b", "order-a b", "order-" + "a" * 129, "order-1\n"]
)
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidCommand, match="stream"):
        StreamId("default", name).validated()


@pytest.mark.parametrize("tenant", ["a", "0", "a-b_c", "a" * 63])
def test_a_good_tenant_is_kept(tenant: str) -> None:
    assert validate_tenant(tenant) == tenant


# The vectors of org.apache.kafka.common.utils.UtilsTest#testMurmur2, signed 32 bit there.
@pytest.mark.parametrize(
    ("data", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_kafkas(data: bytes, signed: int) -> None:
    assert murmur2(data) == signed & 0xFFFFFFFF


@given(st.binary(max_size=80), st.integers(1, 100))
def test_a_partition_is_one_of_those_there_are(key: bytes, count: int) -> None:
    assert 0 <= partition_of(key, count) < count


def test_shards_are_stable_and_a_function_of_the_key_alone() -> None:
    assert shard_of(StreamId("default", "order-1"), 2**32) == 0xBE66BF3A
    streams = [StreamId("default", f"order-{n}") for n in range(2000)]
    counts = [sum(shard_of(s, 16) == shard for s in streams) for shard in range(16)]
    assert min(counts) > 60, "an even spread"
    assert [shard_of(s, 16) for s in streams] == [shard_of(s, 32) % 16 for s in streams]


def test_an_event_id_is_a_function_of_tenant_stream_and_command() -> None:
    command, stream = uuid4(), StreamId("default", "order-1")
    assert event_id_of(stream, command) == event_id_of(StreamId("default", "order-1"), UUID(command.hex))
    others = {event_id_of(StreamId("other", "order-1"), command), event_id_of(StreamId("default", "order-2"), command)}
    assert len(others | {event_id_of(stream, command), event_id_of(stream, uuid4())}) == 4


@given(STREAMS, st.uuids())
def test_an_event_id_is_a_uuid_of_version_5(stream: StreamId, command: UUID) -> None:
    made = event_id_of(stream, command)
    assert made == uuid5(EVENT_NAMESPACE, f"{stream.key}/{command}")
    assert (made.version, made.variant) == (5, UUID(UUID_TEXT).variant)


@given(st.binary(min_size=16, max_size=16))
def test_a_uuid_of_bytes_is_the_one_that_its_class_makes(data: bytes) -> None:
    made, usual = uuid_of(data), UUID(bytes=data)
    assert (made, hash(made), str(made), made.bytes, made.is_safe) == (
        usual,
        hash(usual),
        str(usual),
        data,
        usual.is_safe,
    )
    assert type(made) is UUID


@given(st.binary(max_size=20).filter(lambda data: len(data) != 16))
def test_other_than_sixteen_bytes_are_no_uuid(data: bytes) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        uuid_of(data)
