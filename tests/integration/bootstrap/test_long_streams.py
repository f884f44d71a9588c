"""A stream over two buckets of the journal and two spans of snapshots; the program runs it with a million events."""

from pathlib import Path

from bootstrap.testing.long_stream_show import show

EVENTS = 12_345


async def test_every_state_and_page_of_a_long_stream_can_be_had(data_dir: Path) -> None:
    facts = await show(EVENTS, data_dir)
    assert facts["wrong"] == []
