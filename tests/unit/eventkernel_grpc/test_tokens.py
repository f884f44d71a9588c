import pytest
from hypothesis import given
from hypothesis import strategies as st

from erx.eventlog.v1 import consistency_pb2
from eventkernel.envelope import StreamPosition
from eventkernel.errors import InvalidCommand
from eventkernel_grpc.tokens import BYTES_MAX, POSITIONS_MAX, decode_token, encode_token, merge_positions

positions = st.lists(
    st.builds(
        StreamPosition,
        st.sampled_from(["prescriptions", "payments"]),
        st.from_regex(r"[a-z]{1,9}-[0-9a-f]{1,12}", fullmatch=True),
        st.integers(1, 2**63 - 1),
    ),
    min_size=1,
    max_size=20,
)


@given(positions)
def test_decoded_token_holds_each_stream_once_at_its_highest_version(several: list[StreamPosition]) -> None:
    decoded = decode_token(encode_token(several, tenant="t"), tenant="t")
    assert decoded == merge_positions(several)
    assert {(p.context, p.stream): p.version for p in decoded} == {
        (p.context, p.stream): max(q.version for q in several if (q.context, q.stream) == (p.context, p.stream))
        for p in several
    }


@given(positions)
def test_equal_positions_give_equal_bytes(several: list[StreamPosition]) -> None:
    assert encode_token(several, tenant="t") == encode_token(reversed(several), tenant="t")


@given(st.binary(min_size=1, max_size=200))
def test_garbage_is_refused_as_an_invalid_token(garbage: bytes) -> None:
    with pytest.raises(InvalidCommand) as caught:
        decode_token(garbage, tenant="t")
    assert caught.value.field == "token"


def test_no_token_is_no_position_and_back() -> None:
    assert decode_token(b"", tenant="t") == ()
    assert encode_token([], tenant="t") == b""


def test_token_of_another_tenant_is_refused() -> None:
    token = encode_token([StreamPosition("prescriptions", "prescription-1", 1)], tenant="a")
    with pytest.raises(InvalidCommand, match="another tenant"):
        decode_token(token, tenant="b")


@pytest.mark.parametrize(
    ("context", "stream", "version"),
    [("", "a-1", 1), ("Up", "a-1", 1), ("a", "", 1), ("a", "a/b-1", 1), ("a", "a-1", 0), ("a", "a-1", -1)],
)
def test_position_that_cannot_be_is_refused(context: str, stream: str, version: int) -> None:
    token = consistency_pb2.ConsistencyToken(tenant="t")
    token.positions.add(context=context, stream=stream, version=version)
    with pytest.raises(InvalidCommand):
        decode_token(token.SerializeToString(), tenant="t")


def test_too_many_positions_and_too_many_bytes_are_refused() -> None:
    many = [StreamPosition("a", f"a-{i}", 1) for i in range(POSITIONS_MAX + 1)]
    with pytest.raises(InvalidCommand, match="at most"):
        encode_token(many, tenant="t")
    with pytest.raises(InvalidCommand, match="at most"):
        decode_token(b"x" * (BYTES_MAX + 1), tenant="t")
