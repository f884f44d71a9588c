"""Every port on SQLite files in one folder."""

from bootstrap.settings import Settings, SettingsError
from bootstrap.stores.record import TOPIC, Stores
from eventkernel.ports import EventSubscription


async def open_embedded(settings: Settings) -> Stores:
    """Journal, bus and views as three SQLite files in the data folder; several processes may share them."""
    from eventkernel_memory.clock import SystemClock
    from eventkernel_sqlite.bus_tail import SqliteBusTail
    from eventkernel_sqlite.database import Database
    from eventkernel_sqlite.event_bus import Bus
    from eventkernel_sqlite.event_publisher import SqliteEventPublisher
    from eventkernel_sqlite.event_store import SqliteEventStore
    from eventkernel_sqlite.event_subscription import SqliteEventSubscription
    from eventkernel_sqlite.journal_schema import JOURNAL
    from eventkernel_sqlite.outbox import SqliteOutbox
    from eventkernel_sqlite.shard_leases import SqliteShardLeases
    from eventkernel_sqlite.snapshot_store import SqliteSnapshotStore
    from eventkernel_sqlite.stream_directory import SqliteStreamDirectory
    from eventkernel_sqlite.view_store import SqliteViewStore
    from eventkernel_sqlite.webhook_store import WEBHOOKS_SCHEMA, SqliteWebhookStore

    folder = settings.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"data_dir: {folder}: {error.strerror}") from error
    clock = SystemClock()
    journal = Database(folder / "journal.db", JOURNAL)
    bus = Bus(folder / "bus.db")
    await bus.create_topic(TOPIC, settings.topic_partitions)
    views = SqliteViewStore(folder / "views.db")
    webhooks = Database(folder / "webhooks.db", WEBHOOKS_SCHEMA)
    subscriptions: list[EventSubscription] = []

    def subscribe() -> EventSubscription:
        subscription = SqliteEventSubscription(bus, settings.consumer_group, [TOPIC])
        subscriptions.append(subscription)
        return subscription

    async def close() -> None:
        for subscription in subscriptions:
            await subscription.close()
        await views.close()
        await webhooks.close()
        await bus.close()
        await journal.close()

    return Stores(
        clock=clock,
        events=SqliteEventStore(journal),
        snapshots=SqliteSnapshotStore(journal),
        outbox=SqliteOutbox(journal, settings.shard_count),
        leases=SqliteShardLeases(journal, clock),
        directory=SqliteStreamDirectory(journal),
        publisher=SqliteEventPublisher(bus),
        tail=SqliteBusTail(bus),
        views=views,
        webhooks=SqliteWebhookStore(webhooks),
        subscribe=subscribe,
        close=close,
    )
