"""What the components of a process stand on: every port, opened on one kind of store."""

from bootstrap.settings import Settings
from bootstrap.stores.record import SOURCE, TOPIC, Stores

__all__ = ("SOURCE", "TOPIC", "Stores", "open_stores")


async def open_stores(settings: Settings) -> Stores:
    """Open the stores that the settings name."""
    if settings.store == "stack":
        from bootstrap.stores.stack import open_stack

        return await open_stack(settings)
    from bootstrap.stores.embedded import open_embedded

    return await open_embedded(settings)
