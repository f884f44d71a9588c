"""The contract of ``StreamDirectory``: every stream, once."""

import asyncio

from eventkernel.ids import StreamId
from eventkernel.ports.event_store import Position
from eventkernel.ports.stream_directory import StreamDirectory, StreamHead
from eventkernel.testing.contracts.features import Suite
from eventkernel.testing.contracts.journal import (
    Journal,
    append,
    fill,
    new_entry,
    new_stream,
    new_tenant,
    unpublished,
)


class StreamDirectoryContract(Suite):
    """Give it a fixture ``journal``: a ``Journal`` over data of its own."""

    async def test_every_stream_of_a_tenant_is_given_once_with_its_head(self, journal: Journal) -> None:
        tenant = new_tenant()
        heads = {new_stream(tenant=tenant): 1 + index % 3 for index in range(40)}
        await asyncio.gather(*(fill(journal.store, stream, count) for stream, count in heads.items()))
        listed = await _listed(journal.directory, tenant=tenant)
        assert sorted(head.stream for head in listed) == sorted(heads)
        assert all((head.head, head.published) == (heads[head.stream], 0) for head in listed)

    async def test_without_a_tenant_every_tenants_streams_are_given(self, journal: Journal) -> None:
        streams = [new_stream(tenant=new_tenant()) for _ in range(3)]
        for stream in streams:
            await fill(journal.store, stream, 1)
        everything = [head.stream for head in await _listed(journal.directory)]
        assert set(streams) <= set(everything)
        assert len(everything) == len(set(everything))

    async def test_more_streams_than_a_page_are_given_completely(self, journal: Journal) -> None:
        tenant = new_tenant()
        streams = [new_stream(tenant=tenant) for _ in range(2100)]
        for begin in range(0, len(streams), 300):
            await asyncio.gather(*(_begin(journal, stream) for stream in streams[begin : begin + 300]))
        assert sorted(head.stream for head in await _listed(journal.directory, tenant=tenant)) == sorted(streams)

    async def test_a_category_is_not_mistaken_for_one_that_begins_alike(self, journal: Journal) -> None:
        tenant = new_tenant()
        plain, alike, other = (new_stream(category, tenant) for category in ("order", "order-draft", "orders"))
        for stream in (plain, alike, other):
            await fill(journal.store, stream, 1)
        for stream in (plain, alike, other):
            listed = await _listed(journal.directory, tenant=tenant, category=stream.category)
            assert [head.stream for head in listed] == [stream]
        everywhere = [head.stream for head in await _listed(journal.directory, category="order-draft")]
        assert alike in everywhere
        assert plain not in everywhere

    async def test_a_tenant_is_not_mistaken_for_one_that_begins_alike(self, journal: Journal) -> None:
        tenant = new_tenant()
        streams = [new_stream(tenant=name) for name in (tenant, f"{tenant}-x", f"{tenant}0", f"{tenant}_")]
        for stream in streams:
            await fill(journal.store, stream, 1)
        for stream in streams:
            assert [head.stream for head in await _listed(journal.directory, tenant=stream.tenant)] == [stream]

    async def test_a_stream_that_was_there_before_is_given_while_others_are_made(self, journal: Journal) -> None:
        tenant = new_tenant()
        before = [new_stream(tenant=tenant) for _ in range(30)]
        await asyncio.gather(*(_begin(journal, stream) for stream in before))
        listed: list[StreamId] = []
        async for head in journal.directory.streams(tenant=tenant):
            listed.append(head.stream)
            if len(listed) < 60:
                await _begin(journal, new_stream(tenant=tenant))
        assert set(before) <= set(listed)
        assert len(listed) == len(set(listed))

    async def test_published_follows_the_outbox(self, journal: Journal) -> None:
        stream = new_stream(tenant=new_tenant())
        await fill(journal.store, stream, 3)
        runs = await unpublished(journal.outbox, journal.shard_count, stream)
        await journal.outbox.advance([runs[stream]])
        await append(journal.store, stream, (await journal.store.load(stream)).position, new_entry(stream))
        assert await journal.directory.heads([stream]) == [StreamHead(stream, 4, 3)]
        assert await _listed(journal.directory, tenant=stream.tenant) == [StreamHead(stream, 4, 3)]

    async def test_heads_come_in_the_order_asked_for_and_absent_streams_have_head_0(self, journal: Journal) -> None:
        streams = [new_stream() for _ in range(5)]
        for count, stream in enumerate(streams[:4], 1):
            await fill(journal.store, stream, count)
        asked = [streams[2], streams[4], streams[0], streams[3]]
        assert await journal.directory.heads(asked) == [
            StreamHead(stream, head, 0) for stream, head in zip(asked, (3, 0, 1, 4), strict=True)
        ]
        assert await journal.directory.heads([]) == []


async def _begin(journal: Journal, stream: StreamId) -> None:
    await append(journal.store, stream, Position(0), new_entry(stream))


async def _listed(
    directory: StreamDirectory, *, tenant: str | None = None, category: str | None = None
) -> list[StreamHead]:
    return [head async for head in directory.streams(tenant=tenant, category=category)]
