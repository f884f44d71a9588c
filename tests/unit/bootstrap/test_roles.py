import pytest

from bootstrap.roles import ROLES, parts_of
from bootstrap.stores import EVERY_PART, Part
from bootstrap.stores.record import NotOpened


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (["command"], {Part.JOURNAL}),
        (["relay"], {Part.JOURNAL, Part.BUS}),
        (["query"], {Part.VIEWS}),
        (["projector"], EVERY_PART),
        (["webhooks"], EVERY_PART),
        (["command", "relay"], {Part.JOURNAL, Part.BUS}),
        (["relay", "query"], EVERY_PART),
        (ROLES, EVERY_PART),
    ],
)
def test_a_process_opens_what_its_roles_need(names: list[str], parts: set[Part]) -> None:
    assert parts_of(names) == parts


def test_a_store_that_was_not_opened_says_so_when_it_is_used() -> None:
    with pytest.raises(RuntimeError, match="reading of the views"):
        NotOpened(Part.VIEWS).reading()
