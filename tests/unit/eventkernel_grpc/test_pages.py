import base64
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventkernel.errors import BadPageToken, InvalidCommand
from eventkernel.filters import All, AnyOf, Eq, Order, Query, Range
from eventkernel_grpc.pages import PAGE_SIZE_MAX, PageTokens, page_size

TOKENS = PageTokens(b"k" * 32)
QUERY = Query("t", All((Eq("status", "ISSUED"),)), Order(("a", "b")))
POSITION = ("x", 1)

values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.text(max_size=40).filter(lambda text: text.isprintable()),
    st.dates(),
    st.datetimes(timezones=st.just(UTC)),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.binary(max_size=16),
)


@given(st.lists(values, min_size=1, max_size=5))
def test_position_comes_back_with_its_values_and_types(position: list[Any]) -> None:
    query = replace(QUERY, order=Order(tuple(f"c{i}" for i in range(len(position)))))
    back = TOKENS.decode(query, TOKENS.encode(query, tuple(position)))
    assert back == tuple(position)
    assert [type(value) for value in back or ()] == [type(value) for value in position]
    assert [str(value) for value in back or ()] == [str(value) for value in position]


def test_empty_token_is_the_first_page() -> None:
    assert TOKENS.decode(QUERY, "") is None


@pytest.mark.parametrize(
    "other",
    [
        replace(QUERY, tenant="u"),
        replace(QUERY, where=AnyOf((Eq("status", "ISSUED"),))),
        replace(QUERY, where=All((Eq("status", "DRAFT"),))),
        replace(QUERY, where=All((Range("status", "ISSUED"),))),
        replace(QUERY, order=Order(("a", "b"), descending=True)),
        replace(QUERY, order=Order(("b", "a"))),
    ],
)
def test_token_of_another_query_is_refused(other: Query) -> None:
    with pytest.raises(BadPageToken, match="another query"):
        TOKENS.decode(other, TOKENS.encode(QUERY, POSITION))


def test_token_of_another_scope_is_refused_and_page_and_limit_do_not_matter() -> None:
    token = TOKENS.encode(QUERY, POSITION, scope="rows_v1")
    assert TOKENS.decode(replace(QUERY, after=("z", 9), limit=7), token, scope="rows_v1") == POSITION
    with pytest.raises(BadPageToken, match="another query"):
        TOKENS.decode(QUERY, token, scope="rows_v2")


@given(st.integers(0, 200), st.integers(1, 255))
def test_token_with_any_byte_changed_is_refused(place: int, flip: int) -> None:
    token = TOKENS.encode(QUERY, POSITION)
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    raw[place % len(raw)] ^= flip
    with pytest.raises(BadPageToken):
        TOKENS.decode(QUERY, base64.urlsafe_b64encode(bytes(raw)).rstrip(b"=").decode())


@given(st.text(min_size=1, max_size=100))
def test_text_that_was_never_a_token_is_refused(text: str) -> None:
    with pytest.raises(BadPageToken):
        TOKENS.decode(QUERY, text)


@pytest.mark.parametrize("text", ["é", "====", "A" * 5000, "a b", "A"])
def test_text_that_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(BadPageToken):
        TOKENS.decode(QUERY, text)


def test_token_of_another_key_is_refused() -> None:
    with pytest.raises(BadPageToken, match="not made by this service"):
        PageTokens(b"o" * 32).decode(QUERY, TOKENS.encode(QUERY, POSITION))


def test_filters_over_times_days_and_decimals_can_be_bound() -> None:
    where = All((Range("t", datetime(2026, 1, 1, tzinfo=UTC)), Eq("d", date(2026, 1, 1)), Eq("n", Decimal("1.5"))))
    query = replace(QUERY, where=where)
    assert TOKENS.decode(query, TOKENS.encode(query, POSITION)) == POSITION


def test_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        PageTokens(b"short")


def test_page_size_is_the_default_for_none_and_cut_at_the_maximum() -> None:
    assert [page_size(0), page_size(7), page_size(10**6)] == [50, 7, PAGE_SIZE_MAX]
    with pytest.raises(InvalidCommand):
        page_size(-1)
