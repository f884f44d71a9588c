"""Prometheus metrics of every component, and the observers that fill them."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from eventkernel.errors import KernelError
from eventkernel.ids import StreamId
from eventkernel.ports import OutboxDepth
from eventkernel.runtime.aggregate_cache import AggregateCache
from eventkernel.runtime.cloudevents import BrokenRecord
from eventkernel.runtime.overlay_tail import OverlayTail
from eventkernel.runtime.row_cache import RowCache
from eventkernel_grpc import CallRecord

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_LAG_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 3_600)
CHILDREN_MAX = 1_024
_COMMAND_SERVICE = "CommandService"
ACCEPTED = "ACCEPTED"


class Metrics:
    """One registry a process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self.calls = Counter("erx_calls_total", "gRPC calls by method and status code", ["method", "code"], registry=r)
        self.call_seconds = Histogram(
            "erx_call_seconds", "Duration of gRPC calls", ["method"], buckets=_SECONDS, registry=r
        )
        self.commands = Counter(
            "erx_commands_total",
            "Commands by what came of them: accepted, or why not",
            ["command", "outcome"],
            registry=r,
        )
        self.append_seconds = Histogram(
            "erx_append_seconds", "Duration of appends to the journal", ["outcome"], buckets=_SECONDS, registry=r
        )
        self.events_appended = Counter("erx_events_appended_total", "Events stored", registry=r)
        self.conflicts = Counter("erx_append_conflicts_total", "Appends lost to another writer", registry=r)
        self.unknown = Counter("erx_append_unknown_total", "Appends whose outcome stayed unknown", registry=r)
        self.relay_published = Counter("erx_relay_published_total", "Events acknowledged by the bus", registry=r)
        self.relay_skipped = Counter("erx_relay_skipped_total", "Events found on the bus already", registry=r)
        self.relay_failures = Counter("erx_relay_failures_total", "Relay rounds repeated", registry=r)
        self.outbox_depth = Gauge("erx_outbox_events", "Events waiting for the bus", registry=r)
        self.outbox_oldest = Gauge("erx_outbox_oldest_timestamp_seconds", "When the oldest was recorded", registry=r)
        self.relay_lag = Histogram(
            "erx_relay_lag_seconds", "From an event's recording to its moved cursor", buckets=_LAG_SECONDS, registry=r
        )
        self.view_applied = Counter("erx_view_events_total", "Events folded", ["view"], registry=r)
        self.view_duplicates = Counter("erx_view_duplicates_total", "Events dropped as known", ["view"], registry=r)
        self.view_gaps = Counter("erx_view_gap_events_total", "Events read from the journal", ["view"], registry=r)
        self.view_parked = Counter("erx_view_parked_total", "Streams parked behind an event", ["view"], registry=r)
        self.view_parked_now = Gauge("erx_view_parked_streams", "Streams parked now", ["view"], registry=r)
        self.view_behind = Gauge("erx_view_events_behind", "Records on the bus that no view has folded yet", registry=r)
        self.view_lag = Gauge("erx_view_lag_seconds", "Age of the oldest of these when last looked at", registry=r)
        self.broken_records = Counter("erx_broken_records_total", "Records that are no events", registry=r)
        self.overlay_journal_reads = Counter(
            "erx_overlay_journal_reads_total", "Streams read from the journal, the bus lacking them", registry=r
        )
        self.overlay_journal_events = Counter("erx_overlay_journal_events_total", "Events of these", registry=r)
        self.overlay_degraded = Counter(
            "erx_overlay_degraded_total", "Overlays refused, too much being pending", registry=r
        )
        self.audit_findings = Gauge(
            "erx_audit_findings", "What the last audit found, by what it lacks", ["lack"], registry=r
        )
        self.audit_healed = Counter("erx_audit_healed_total", "Findings put right from the journal", registry=r)
        self.audit_streams = Gauge("erx_audit_streams", "Streams compared by the last audit", registry=r)
        self.audit_at = Gauge("erx_audit_timestamp_seconds", "When the last audit ended", registry=r)
        self.audit_oldest = Gauge(
            "erx_audit_oldest_timestamp_seconds", "When the oldest was recorded that it found; 0: none", registry=r
        )
        self.watchers = Gauge("erx_watchers", "Watches in progress", registry=r)
        self.webhook_taken = Counter("erx_webhook_taken_total", "Events taken for endpoints", registry=r)
        self.webhook_attempts = Counter("erx_webhook_attempts_total", "POSTs by outcome", ["outcome"], registry=r)
        self.webhook_seconds = Histogram("erx_webhook_seconds", "Duration of POSTs", buckets=_SECONDS, registry=r)
        self.projector_failures = Counter("erx_projector_failures_total", "Batches repeated", registry=r)

    def serve(self, address: str) -> int:
        """Serve the registry over HTTP; gives the port."""
        host, _, port = address.rpartition(":")
        server, _thread = start_http_server(int(port), addr=host, registry=self.registry)
        return int(server.server_port)


class HandlerMetrics:
    """``HandlerObserver``."""

    def __init__(self, metrics: Metrics) -> None:
        self._m = metrics

    def appended(self, events: int) -> None:
        """Count stored events."""
        self._m.events_appended.inc(events)

    def conflict(self) -> None:
        """Count a lost append."""
        self._m.conflicts.inc()

    def unknown(self) -> None:
        """Count an unknown outcome."""
        self._m.unknown.inc()


class RelayMetrics:
    """``RelayObserver``."""

    def __init__(self, metrics: Metrics) -> None:
        self._m = metrics

    def published(self, events: int, skipped: int) -> None:
        """Count a round."""
        self._m.relay_published.inc(events)
        self._m.relay_skipped.inc(skipped)

    def failed(self, error: KernelError) -> None:
        """Count a failed round."""
        self._m.relay_failures.inc()

    def depth(self, depth: OutboxDepth) -> None:
        """Show how much waits; since when, the relay's own reads say as well, where the store cannot tell."""
        self._m.outbox_depth.set(depth.events)
        if depth.oldest_recorded_at is not None:
            self._m.outbox_oldest.set(depth.oldest_recorded_at.timestamp())


class ProjectorMetrics:
    """``ProjectorObserver``."""

    def __init__(self, metrics: Metrics) -> None:
        self._m = metrics

    def applied(self, view: str, events: int, duplicates: int) -> None:
        """Count a committed batch of one view."""
        self._m.view_applied.labels(view).inc(events)
        self._m.view_duplicates.labels(view).inc(duplicates)

    def parked(self, view: str, stream: StreamId, error: str) -> None:
        """Count a parked stream."""
        self._m.view_parked.labels(view).inc()

    def gap(self, view: str, stream: StreamId, missing: int) -> None:
        """Count events fetched from the journal."""
        self._m.view_gaps.labels(view).inc(missing)

    def broken(self, error: BrokenRecord) -> None:
        """Count a record that is no event."""
        self._m.broken_records.inc()

    def failed(self, error: KernelError) -> None:
        """Count a repeated batch."""
        self._m.projector_failures.inc()


class OverlayMetrics:
    """``OverlayObserver``."""

    def __init__(self, metrics: Metrics) -> None:
        self._m = metrics

    def journal_read(self, events: int) -> None:
        """Count a stream that the bus did not have in time."""
        self._m.overlay_journal_reads.inc()
        self._m.overlay_journal_events.inc(events)

    def degraded(self) -> None:
        """Count a reading without overlay."""
        self._m.overlay_degraded.inc()


class AggregateCacheMetrics:
    """What the cache of aggregates of a command server holds and answers, looked up when asked for."""

    def __init__(self, metrics: Metrics, cache: AggregateCache) -> None:
        self._cache = cache
        metrics.registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """A command that creates counts as a miss: there was nothing to keep."""
        asked = CounterMetricFamily("erx_aggregate_cache", "Questions to the cache of aggregates", labels=["found"])
        asked.add_metric(["hit"], self._cache.hits)
        asked.add_metric(["miss"], self._cache.misses)
        yield asked
        yield GaugeMetricFamily("erx_aggregate_cache_aggregates", "Aggregates in memory", len(self._cache))
        yield GaugeMetricFamily("erx_aggregate_cache_bytes", "About what they take", self._cache.bytes)


class CacheMetrics:
    """What a cache of rows and an overlay hold and answer, looked up when asked for."""

    def __init__(self, metrics: Metrics, cache: RowCache[Any], tail: OverlayTail) -> None:
        self._cache = cache
        self._tail = tail
        metrics.registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """The hit rate is hits by hits and misses."""
        asked = CounterMetricFamily("erx_row_cache", "Questions to the cache of rows", labels=["found"])
        asked.add_metric(["hit"], self._cache.hits)
        asked.add_metric(["miss"], self._cache.misses)
        yield asked
        yield GaugeMetricFamily("erx_row_cache_states", "States in the cache of rows", len(self._cache))
        yield GaugeMetricFamily("erx_overlay_events", "Pending events in memory", self._tail.events)
        yield GaugeMetricFamily("erx_overlay_bytes", "About what they take", self._tail.bytes)


class CallMetrics:
    """``CallObserver`` of the gRPC edge."""

    def __init__(self, metrics: Metrics) -> None:
        # Children are kept: looking them up by their labels costs more than counting.
        self._calls = lru_cache(CHILDREN_MAX)(metrics.calls.labels)
        self._seconds = lru_cache(CHILDREN_MAX)(metrics.call_seconds.labels)
        self._commands = lru_cache(CHILDREN_MAX)(metrics.commands.labels)

    def started(self, method: str) -> None:
        """Nothing; calls are counted when they end."""

    def finished(self, record: CallRecord) -> None:
        """Count and time a call."""
        self._calls(record.method, record.code).inc()
        self._seconds(record.method).observe(record.seconds)
        service, _, command = record.method.rpartition("/")
        if service.endswith(_COMMAND_SERVICE):
            outcome = ACCEPTED if record.code == "OK" else record.reason or record.code
            self._commands(command, outcome).inc()
