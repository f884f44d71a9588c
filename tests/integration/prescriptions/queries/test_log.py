"""History and as-of: from the log, so never behind the views, whatever those know."""

from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from erx.eventlog.v1 import consistency_pb2 as cp
from erx.prescriptions.types.v1 import enums_pb2 as e
from erx.prescriptions.v1 import filters_pb2 as f
from erx.prescriptions.v1 import query_service_pb2 as q
from eventkernel.envelope import StreamPosition
from eventkernel.ports import Loaded
from eventkernel.runtime import moments
from eventkernel_grpc import RemoteError, decode_token, encode_token, remote_errors
from eventkernel_memory.event_store import MemoryEventStore
from prescriptions.queries import log
from prescriptions.testing.recorded import prescription, recorded, stream_of, untold
from prescriptions.testing.stories import START, Story


def told() -> Story:
    """Seven events, an hour apart."""
    story = untold().create()
    for step in (story.sign, story.issue, story.claim):
        story.later(hours=1)
        step()
    story.later(hours=1).part(10, 1)
    story.later(hours=1).reverse(1)
    return story.later(hours=1).dispense(30, 2)


def stamp(hours: float) -> Timestamp:
    moment = START + timedelta(hours=hours)
    return Timestamp(seconds=int(moment.timestamp()), nanos=moment.microsecond * 1000)


async def history(side: Any, **fields: Any) -> Any:
    return await side.ask("FetchHistory", q.FetchHistoryRequest(prescription_id=prescription(1), **fields))


async def as_of(side: Any, **point: Any) -> Any:
    return await side.ask("FetchAsOf", q.FetchAsOfRequest(prescription_id=prescription(1), **point))


async def test_history_tells_each_event_with_its_envelope(side: Any) -> None:
    await side.told(1, told())
    reply = await history(side)
    assert [entry.envelope.sequence for entry in reply.entries] == list(range(1, 8))
    stored = recorded(told(), stream_of(1))[3]
    envelope = reply.entries[3].envelope
    assert (envelope.event_id, envelope.event_type) == (str(stored.event_id), "PrescriptionClaimed")
    assert (envelope.aggregate_id, envelope.stream) == (prescription(1), f"prescription-{prescription(1)}")
    assert (envelope.actor.id, envelope.actor.role, envelope.tenant) == ("rph-1", "pharmacy", "default")
    assert (envelope.payload, envelope.schema_version) == (stored.data, 3)
    assert envelope.payload_type == "erx.prescriptions.events.v3.PrescriptionClaimed"
    assert reply.entries[3].event.prescription_claimed.pharmacy.ncpdp_id == "9900007"


async def test_a_page_of_history_reads_its_events_and_no_others(side: Any) -> None:
    read: list[int] = []

    class Counting(MemoryEventStore):
        async def load(self, *args: Any, **range_: Any) -> Loaded:
            loaded = await super().load(*args, **range_)
            read.extend(event.version for event in loaded.events)
            return loaded

    await side.write(1, told())
    side.events = Counting(side.journal)
    page = await history(side, page_size=2)
    assert read == [1, 2]
    await history(side, page_size=2, page_token=page.next_page_token)
    assert read == [1, 2, 3, 4]
    await history(side, page_size=3, direction=f.SORT_DIRECTION_DESCENDING)
    assert read == [1, 2, 3, 4, 5, 6, 7]


async def test_history_is_there_before_any_view_is(side: Any) -> None:
    await side.write(1, told())
    assert len((await history(side)).entries) == 7


@pytest.mark.parametrize("direction", [f.SORT_DIRECTION_UNSPECIFIED, f.SORT_DIRECTION_DESCENDING])
@pytest.mark.parametrize("after", [0, 2])
async def test_pages_of_history_put_together_are_all_of_it(side: Any, direction: Any, after: int) -> None:
    await side.told(1, told())
    found: list[int] = []
    token = ""
    while True:
        reply = await history(side, page_size=2, page_token=token, direction=direction, after_sequence=after)
        found += [entry.envelope.sequence for entry in reply.entries]
        token = reply.next_page_token
        if not token:
            break
    expected = list(range(after + 1, 8))
    assert found == (expected if direction == f.SORT_DIRECTION_UNSPECIFIED else expected[::-1])


async def test_events_written_meanwhile_come_on_a_later_page(side: Any) -> None:
    story = untold().create().sign()
    await side.told(1, story)
    first = await history(side, page_size=1)
    await side.told(1, story.issue())
    rest = await history(side, page_token=first.next_page_token)
    assert [entry.envelope.sequence for entry in rest.entries] == [2, 3]


async def test_history_after_the_end_is_empty(side: Any) -> None:
    await side.told(1, told())
    for direction in (f.SORT_DIRECTION_ASCENDING, f.SORT_DIRECTION_DESCENDING):
        reply = await history(side, after_sequence=99, direction=direction)
        assert (len(reply.entries), reply.next_page_token) == (0, "")


async def test_history_of_the_unknown_is_not_found(side: Any) -> None:
    await side.told(1, told(), tenant="north")
    with pytest.raises(RemoteError) as failed, remote_errors():
        await history(side)
    assert failed.value.code is grpc.StatusCode.NOT_FOUND


async def test_the_log_is_told_to_be_complete_and_where_it_stands(side: Any) -> None:
    await side.write(1, told())
    made = (await history(side)).as_of
    (position,) = decode_token(made.token, tenant="default")
    assert (made.view, made.events_behind, position.version) == ("", 0, 7)


async def test_a_page_token_of_history_is_for_one_prescription(side: Any) -> None:
    await side.told(1, told())
    await side.told(2, told())
    token = (await history(side, page_size=1)).next_page_token
    with pytest.raises(RemoteError) as failed, remote_errors():
        await side.ask("FetchHistory", q.FetchHistoryRequest(prescription_id=prescription(2), page_token=token))
    assert failed.value.reason == "BAD_PAGE_TOKEN"


STATUS_AFTER = [
    e.PRESCRIPTION_STATUS_DRAFT,
    e.PRESCRIPTION_STATUS_SIGNED,
    e.PRESCRIPTION_STATUS_ISSUED,
    e.PRESCRIPTION_STATUS_WITH_PHARMACY,
    e.PRESCRIPTION_STATUS_PARTIALLY_DISPENSED,
    e.PRESCRIPTION_STATUS_WITH_PHARMACY,
    e.PRESCRIPTION_STATUS_AWAITING_REFILL,
]


@pytest.mark.parametrize("portion", [500, 7, 3, 1])
async def test_a_prescription_can_be_had_as_of_every_version(
    side: Any, portion: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "EVENTS_MAX", portion)
    await side.told(1, told())
    replies = [(await as_of(side, version=version)).prescription for version in range(1, 8)]
    assert [reply.status for reply in replies] == STATUS_AFTER
    assert [reply.version for reply in replies] == list(range(1, 8))


@pytest.mark.parametrize("portion", [500, 7, 3, 1])
@pytest.mark.parametrize("point", ["occurred_time", "recorded_time"])
async def test_a_moment_includes_what_happened_at_it(
    side: Any, point: str, portion: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "EVENTS_MAX", portion)
    await side.told(1, told())
    versions = [
        (await as_of(side, **{point: stamp(hours)})).prescription.version for hours in (0, 0.99, 1, 5.5, 6, 1000)
    ]
    assert versions == [1, 1, 2, 6, 7, 7]


async def test_of_a_long_prescription_nothing_behind_the_moment_is_read(
    side: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    class Counting(MemoryEventStore):
        async def load(self, *args: Any, **range_: Any) -> Loaded:
            loaded = await super().load(*args, **range_)
            read.extend(event.version for event in loaded.events)
            return loaded

    monkeypatch.setattr(log, "EVENTS_MAX", 2)
    monkeypatch.setattr(moments, "WINDOW_EVENTS", 1)
    await side.told(1, told())
    side.events = Counting(side.journal)
    assert (await as_of(side, recorded_time=stamp(2))).prescription.version == 3
    assert sorted(set(read) - {1, 2, 3}) == [4]


async def test_before_the_first_event_there_was_nothing(side: Any) -> None:
    await side.told(1, told())
    with pytest.raises(RemoteError) as failed, remote_errors():
        await as_of(side, occurred_time=stamp(-0.001))
    assert failed.value.code is grpc.StatusCode.NOT_FOUND
    assert f"did not exist yet at {stamp(-0.001).ToJsonString()}" in failed.value.message


async def test_as_of_the_head_is_what_the_view_tells(side: Any) -> None:
    await side.told(1, told())
    reply = await side.ask("FetchPrescription", q.FetchPrescriptionRequest(prescription_id=prescription(1)))
    assert (await as_of(side, version=7)).prescription == reply.prescription


async def test_a_version_that_is_not_reached_is_refused(side: Any) -> None:
    await side.told(1, told())
    with pytest.raises(RemoteError) as failed, remote_errors():
        await as_of(side, version=8)
    assert (failed.value.code, failed.value.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "VERSION_NOT_REACHED")


@pytest.mark.parametrize(
    "point",
    [
        {},
        {"version": 0},
        {"version": -1},
        {"occurred_time": Timestamp(seconds=10**12)},
        {"recorded_time": Timestamp(nanos=-1)},
    ],
    ids=["none", "version 0", "version -1", "year 33658", "nanos -1"],
)
async def test_a_point_that_cannot_be_is_refused(side: Any, point: dict[str, Any]) -> None:
    await side.told(1, told())
    with pytest.raises(RemoteError) as failed, remote_errors():
        await as_of(side, **point)
    assert failed.value.code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_token_beyond_the_log_is_never_reached(side: Any) -> None:
    await side.told(1, told())
    token = encode_token([StreamPosition("prescriptions", f"prescription-{prescription(1)}", 8)], tenant="default")
    with pytest.raises(RemoteError) as failed, remote_errors():
        await history(side, token=token)
    assert failed.value.reason == "TOKEN_NOT_REACHED"
    reply = await history(side, token=token, consistency=cp.CONSISTENCY_MODE_ANY)
    assert not reply.as_of.requested_token_reached
