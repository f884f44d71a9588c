"""Webhooks, wired: the role that delivers, and the service beside the queries that keeps subscriptions."""

import asyncio
from collections.abc import Mapping
from random import SystemRandom

from bootstrap.metrics import Metrics
from bootstrap.process import Process
from bootstrap.secrets import kept_key
from bootstrap.stores import TOPIC
from erx.eventlog.v1.webhook_service_pb2_grpc import add_WebhookServiceServicer_to_server
from eventkernel.runtime.components import Component, LoopComponent
from eventkernel.runtime.watch_log import StepLog
from eventkernel_grpc import GrpcServer
from eventkernel_grpc.call import current_call
from eventkernel_grpc.pages import PageTokens
from eventkernel_webhooks.dispatcher import Dispatcher, DispatcherSettings
from eventkernel_webhooks.sender import Sender
from eventkernel_webhooks.service import WebhookService
from eventkernel_webhooks.signing import SecretBox
from prescriptions.queries.visibility import may_subscribe, viewer_of
from prescriptions.watching import prescription_steps
from prescriptions.webhooks import COLUMNS, TYPES, webhook_body, webhook_body_in
from prescriptions.wire.shapes import VERSIONS

ERROR_DOMAIN = "webhooks.erx"


def webhooks(process: Process) -> Component:
    """Bus in, POSTs out."""
    settings, stores = process.settings, process.stores
    lease_seconds = 3 * settings.webhook_timeout_seconds

    async def run(stop: asyncio.Event) -> None:
        sender = Sender(
            private_allowed=settings.webhook_private_addresses, timeout_seconds=settings.webhook_timeout_seconds
        )
        async with sender:
            dispatcher = Dispatcher(
                stores.webhooks,
                StepLog(stores.tail, TOPIC, prescription_steps(stores.events)),
                stores.events,
                sender,
                secrets=secret_box(process),
                body=webhook_body,
                body_in=webhook_body_in,
                clock=stores.clock,
                random=SystemRandom(),
                settings=DispatcherSettings(lease_seconds=lease_seconds),
                observer=WebhookMetrics(process.metrics),
            )
            await dispatcher.run(stop)

    return LoopComponent("webhooks", run, process.failed, stop_seconds=settings.webhook_timeout_seconds + 1.0)


def add_webhook_service(server: GrpcServer, process: Process, page_key: bytes) -> None:
    """Subscriptions are kept beside the queries: they are about what is read."""
    stores = process.stores

    async def ends() -> Mapping[int, int]:
        return {source.partition: end for source, end in (await stores.tail.end_offsets(TOPIC)).items()}

    service = WebhookService(
        stores.webhooks,
        ends=ends,
        secrets=secret_box(process),
        pages=PageTokens(page_key),
        clock=stores.clock,
        columns=COLUMNS,
        event_types=TYPES,
        schema_versions=VERSIONS,
        private_allowed=process.settings.webhook_private_addresses,
        may_have=lambda one: may_subscribe(
            viewer_of(current_call().provenance.actor, by_role=process.settings.visibility_by_role),
            dict(one.conditions),
        ),
    )
    server.add(add_WebhookServiceServicer_to_server, service, error_domain=ERROR_DOMAIN)


def secret_box(process: Process) -> SecretBox:
    """Under the key of the settings, else the one that the processes of a data folder share."""
    return SecretBox(kept_key(process.settings.webhook_key, process.settings.data_dir, "webhook.key"))


class WebhookMetrics:
    """``DispatcherObserver``."""

    def __init__(self, metrics: Metrics) -> None:
        self._m = metrics

    def attempted(self, outcome: str, seconds: float) -> None:
        """Count and time an attempt."""
        self._m.webhook_attempts.labels(outcome).inc()
        self._m.webhook_seconds.observe(max(seconds, 0.0))

    def taken(self, deliveries: int) -> None:
        """Count what was taken."""
        self._m.webhook_taken.inc(deliveries)
