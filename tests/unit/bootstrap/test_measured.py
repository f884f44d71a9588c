from datetime import UTC, datetime, timedelta

import pytest

from bootstrap.measured import MeasuredEventStore, MeasuredOutbox
from bootstrap.metrics import AggregateCacheMetrics, CallMetrics, Metrics, RelayMetrics
from eventkernel.errors import StoreUnavailable
from eventkernel.ports import Appended, Conflict, OutboxDepth, Position
from eventkernel.runtime.aggregate import Aggregate
from eventkernel.runtime.aggregate_cache import AggregateCache
from eventkernel.testing.contracts.journal import new_entry, new_stream
from eventkernel_grpc import CallRecord
from eventkernel_memory.clock import ManualClock
from eventkernel_memory.event_store import MemoryEventStore
from eventkernel_memory.journal import MemoryJournal
from eventkernel_memory.outbox import MemoryOutbox

METHOD = "/erx.prescriptions.v1.PrescriptionCommandService/SignPrescription"


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


async def test_appends_are_timed_by_what_came_of_them() -> None:
    metrics, stream = Metrics(), new_stream()
    store = MeasuredEventStore(MemoryEventStore(MemoryJournal()), metrics)
    assert isinstance(await store.append(stream, Position(0), [new_entry(stream)]), Appended)
    assert isinstance(await store.append(stream, Position(0), [new_entry(stream)]), Conflict)
    assert value(metrics, "erx_append_seconds_count", outcome="appended") == 1
    assert value(metrics, "erx_append_seconds_count", outcome="conflict") == 1


async def test_an_append_that_raises_is_timed_as_failed() -> None:
    class Away(MemoryEventStore):
        async def append(self, *arguments: object) -> Appended:
            raise StoreUnavailable("journal", "it is away")

    metrics, stream = Metrics(), new_stream()
    with pytest.raises(StoreUnavailable):
        await MeasuredEventStore(Away(MemoryJournal()), metrics).append(stream, Position(0), [new_entry(stream)])
    assert value(metrics, "erx_append_seconds_count", outcome="failed") == 1


async def test_the_outbox_says_since_when_its_oldest_waits_and_how_long_each_event_took() -> None:
    journal, metrics, stream = MemoryJournal(), Metrics(), new_stream()
    entries = [new_entry(stream, second=second) for second in (0, 1)]
    await MemoryEventStore(journal).append(stream, Position(0), entries)
    first = entries[0].event.meta.recorded_at
    clock = ManualClock(first + timedelta(seconds=20))
    outbox = MeasuredOutbox(MemoryOutbox(journal, 1), metrics, clock)

    runs = await outbox.read(await outbox.pending([0], 10), 10)
    assert value(metrics, "erx_outbox_oldest_timestamp_seconds") == first.timestamp()
    assert await outbox.advance(runs) == [True]
    assert value(metrics, "erx_relay_lag_seconds_count") == 2
    assert 2 * 10 < value(metrics, "erx_relay_lag_seconds_sum") <= 2 * 20
    assert not await outbox.pending([0], 10)
    assert value(metrics, "erx_outbox_oldest_timestamp_seconds") == 0


def test_a_store_that_cannot_tell_the_oldest_leaves_what_the_relay_has_seen() -> None:
    metrics = Metrics()
    seen = datetime(2026, 3, 1, tzinfo=UTC)
    RelayMetrics(metrics).depth(OutboxDepth(3, seen))
    RelayMetrics(metrics).depth(OutboxDepth(4, None))
    assert value(metrics, "erx_outbox_events") == 4
    assert value(metrics, "erx_outbox_oldest_timestamp_seconds") == seen.timestamp()


def test_commands_are_counted_by_outcome_and_queries_are_no_commands() -> None:
    metrics = Metrics()
    calls = CallMetrics(metrics)
    calls.finished(CallRecord(METHOD, "OK", "", 0.01))
    calls.finished(CallRecord(METHOD, "FAILED_PRECONDITION", "TRANSITION_NOT_ALLOWED", 0.01))
    calls.finished(CallRecord(METHOD, "UNAVAILABLE", "", 0.01))
    calls.finished(CallRecord("/erx.prescriptions.v1.PrescriptionQueryService/FetchHistory", "OK", "", 0.01))
    outcomes = {
        sample.labels["outcome"]: sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "erx_commands_total"
    }
    assert outcomes == {"ACCEPTED": 1, "TRANSITION_NOT_ALLOWED": 1, "UNAVAILABLE": 1}


def test_the_cache_of_aggregates_tells_hits_misses_and_what_it_holds() -> None:
    metrics, cache = Metrics(), AggregateCache(10)
    AggregateCacheMetrics(metrics, cache)
    kept: Aggregate[object] = Aggregate(new_stream(), None, Position(1), folded_bytes=1_000)
    cache.keep(kept)
    assert value(metrics, "erx_aggregate_cache_aggregates") == 1
    assert value(metrics, "erx_aggregate_cache_bytes") == kept.memory_bytes > 1_000
    assert cache.get(new_stream()) is None
    assert value(metrics, "erx_aggregate_cache_total", found="miss") == 1
    assert value(metrics, "erx_aggregate_cache_total", found="hit") == 0
