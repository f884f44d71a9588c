"""What the components of a process stand on: every port, opened on one kind of store."""

from collections.abc import Collection

from bootstrap.settings import Settings
from bootstrap.stores.record import EVERY_PART, SOURCE, TOPIC, NotOpened, Part, Stores

__all__ = ("EVERY_PART", "SOURCE", "TOPIC", "NotOpened", "Part", "Stores", "open_stores")


async def open_stores(settings: Settings, parts: Collection[Part] = EVERY_PART) -> Stores:
    """Open the stores that the settings name: these parts of them at once. The embedded ones open whole."""
    if settings.store == "stack":
        from bootstrap.stores.stack import open_stack

        return await open_stack(settings, parts)
    from bootstrap.stores.embedded import open_embedded

    return await open_embedded(settings)
