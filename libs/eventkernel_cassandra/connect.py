"""Opening a session with whichever driver there is."""

import importlib.util
from typing import Literal, TypeAlias

from eventkernel_cassandra.connecting import connected
from eventkernel_cassandra.session import CqlSession
from eventkernel_cassandra.settings import ConnectionSettings

Driver: TypeAlias = Literal["acsylla", "cassandra-driver"]


def preferred_driver() -> Driver:
    """Name acsylla where its wheel is installed; it exists for Linux and macOS."""
    return "acsylla" if importlib.util.find_spec("acsylla") is not None else "cassandra-driver"


async def open_session(settings: ConnectionSettings, driver: Driver | None = None) -> CqlSession:
    """Connect on the running event loop. Raises ``NotExecuted`` or ``ServerRefused``.

    Who is cancelled meanwhile comes back when the attempt has ended.
    """
    if (driver or preferred_driver()) == "acsylla":
        from eventkernel_cassandra.acsylla_session import open_acsylla_session

        return await connected(open_acsylla_session(settings))
    from eventkernel_cassandra.driver_session import open_driver_session

    return await connected(open_driver_session(settings))
