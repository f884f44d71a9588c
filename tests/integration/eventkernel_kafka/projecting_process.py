"""A projector in a process of its own: BOOTSTRAP TOPIC GROUP DSN SCHEMA TOTAL [crash]. Ends when TOTAL events are applied.

With ``crash`` it kills itself right after its first batch was committed in Postgres, before the offsets are on the bus.
"""

import asyncio
import os
import signal
import sys

from eventkernel.runtime.projector import Projector, ProjectorSettings
from eventkernel.testing.counter import COUNTER_SUMS, COUNTER_VIEW, decode
from eventkernel_kafka.event_subscription import KafkaEventSubscription
from eventkernel_kafka.settings import KafkaSettings
from eventkernel_memory.clock import SystemClock
from eventkernel_memory.event_store import MemoryEventStore
from eventkernel_memory.journal import MemoryJournal
from eventkernel_postgres.settings import PostgresSettings
from eventkernel_postgres.view_store import PostgresViewStore

VIEWS = (COUNTER_VIEW, COUNTER_SUMS)


def crash() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def main(*arguments: str) -> None:
    bootstrap, topic, group, dsn, schema, total, *options = arguments
    store = await PostgresViewStore.open(PostgresSettings(dsn, schema=schema))
    await store.prepare(VIEWS)
    subscription = KafkaEventSubscription(KafkaSettings(bootstrap), group, [topic])
    projector = Projector(
        VIEWS,
        subscription,
        store,
        journal=MemoryEventStore(MemoryJournal()),
        decode=decode,
        clock=SystemClock(),
        settings=ProjectorSettings(records_max=50, poll_seconds=0.1),
        on_applied=crash if options else None,
    )
    while (await store.status(VIEWS))[0].events_applied < int(total):
        await projector.run_once()
    await subscription.close()
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
