"""librdkafka's own log lines, which would go to standard error otherwise."""

import logging
import time
from typing import Any

client_log = logging.getLogger("eventkernel_kafka.client")

AGAIN_SECONDS = 10.0
CHOSEN = "enable.gapless.guarantee is experimental"
"""Said by each producer at its start; it is set on purpose (``event_publisher``), and nobody who reads a log can act on it."""


class Sparing(logging.Filter):
    """One line of a kind and client every ten seconds: without brokers librdkafka tells of each attempt to connect."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[Any, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Lines come as ``(kind, client, text)``."""
        if isinstance(record.args, tuple) and any(CHOSEN in str(part) for part in record.args):
            return False
        kind = record.args[:2] if isinstance(record.args, tuple) else record.msg
        now = time.monotonic()
        if now - self._told.get(kind, -AGAIN_SECONDS) < AGAIN_SECONDS:
            return False
        if len(self._told) > 1_000:
            self._told.clear()
        self._told[kind] = now
        return True


client_log.addFilter(Sparing())
