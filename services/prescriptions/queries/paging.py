"""One page of a view's rows: where the page before ended, what is on this one, and where the next begins."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from eventkernel.filters import Filter, Query, Row, sort_key
from eventkernel.ports import ViewReading
from eventkernel.view import View
from eventkernel_grpc.pages import page_size
from prescriptions.queries.sources import PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, Sources


@dataclass(frozen=True, slots=True)
class Page:
    """Rows in order, and the token of the page after them; empty where there is none."""

    rows: Sequence[Row]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class Asked:
    """Which page of which question.

    ``question`` is what the token is bound to: tenant, filter and order of what the caller asked, without a moment that
    moves on from page to page. ``scope`` tells apart what has the same question and another answer.
    """

    sources: Sources
    question: Query
    scope: str
    after: tuple[Any, ...] | None
    size: int

    def query(self, where: Filter | None = None) -> Query:
        """What to select: one row more than the page, by ``where`` if the question leaves today out."""
        asked = self.question if where is None else replace(self.question, where=where)
        return replace(asked, after=self.after, limit=self.size + 1)

    def page(self, rows: Sequence[Row]) -> Page:
        """What was selected, as a page."""
        shown = rows[: self.size]
        if len(rows) <= self.size:
            return Page(shown, "")
        position = sort_key(self.question.order, shown[-1])
        return Page(shown, self.sources.pages.encode(self.question, position, scope=self.scope))

    async def select(self, reading: ViewReading, view: View[Any, Any], where: Filter | None = None) -> Page:
        """The page, from a view."""
        return self.page([row.values for row in await reading.select(view, self.query(where))])


def asked_page(sources: Sources, question: Query, *, size: int, token: str, scope: str) -> Asked:
    """Raises ``BadPageToken`` for a token of another question, ``InvalidCommand`` for a size that cannot be."""
    shown = page_size(size, default=PAGE_SIZE_DEFAULT, at_most=PAGE_SIZE_MAX)
    return Asked(sources, question, scope, sources.pages.decode(question, token, scope=scope), shown)
