"""The stream directory on SQLite: pages by key, so that enumerating holds no transaction open."""

import json
from collections.abc import AsyncIterator
from functools import partial
from sqlite3 import Connection
from typing import TYPE_CHECKING

from eventkernel.ids import StreamId
from eventkernel.ports.stream_directory import StreamDirectory, StreamHead
from eventkernel_sqlite.database import Database

PAGE_STREAMS = 1000

SELECT_PAGE = "SELECT key, head, published FROM streams WHERE key > ? AND key < ? ORDER BY key LIMIT ?"
SELECT_HEADS = """
    SELECT s.key, s.head, s.published FROM json_each(?) wanted CROSS JOIN streams s ON s.key = wanted.value
"""
_AFTER_EVERY_KEY = "\U0010ffff"


class SqliteStreamDirectory:
    """In the order of the keys, so by tenant, category and id."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def streams(self, *, tenant: str | None = None, category: str | None = None) -> AsyncIterator[StreamHead]:
        """Page by page. The index narrows to the tenant and its category; a category of all tenants reads every key."""
        prefix = "" if tenant is None else f"{tenant}/" if category is None else f"{tenant}/{category}-"
        after, before = prefix, prefix + _AFTER_EVERY_KEY
        while True:
            page = await self._database.read(partial(_page, after, before))
            for head in page:
                if category in (None, head.stream.category):
                    yield head
            if len(page) < PAGE_STREAMS:
                return
            after = page[-1].stream.key

    async def heads(self, streams: list[StreamId]) -> list[StreamHead]:
        """One statement; in the order asked for."""
        keys = json.dumps([stream.key for stream in streams])
        rows = await self._database.read(lambda c: c.execute(SELECT_HEADS, (keys,)).fetchall())
        found = {key: (head, published) for key, head, published in rows}
        return [StreamHead(stream, *found.get(stream.key, (0, 0))) for stream in streams]


def _page(after: str, before: str, connection: Connection) -> list[StreamHead]:
    rows = connection.execute(SELECT_PAGE, (after, before, PAGE_STREAMS))
    return [StreamHead(StreamId.from_key(key), head, published) for key, head, published in rows]


if TYPE_CHECKING:
    _: type[StreamDirectory] = SqliteStreamDirectory
