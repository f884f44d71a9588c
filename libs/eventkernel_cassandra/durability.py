"""Whether a server keeps what it acknowledges: two settings whose defaults do not suit a journal."""

from collections.abc import Sequence

from eventkernel_cassandra.session import CqlSession, Kind, Statement

_SETTING = Statement("select_setting", "SELECT value FROM system_views.settings WHERE name = ?", Kind.READ)


async def concerns(session: CqlSession) -> Sequence[str]:
    """What an operator should change, one sentence each; of the node that answers, which may differ from others.

    Raises ``NotExecuted``, and ``ServerRefused`` where the settings may not be read.
    """
    found: list[str] = []
    if await _value(session, "commitlog_sync") == "periodic":
        found.append(
            "commitlog_sync is periodic: what is acknowledged is lost if all replicas die before the next sync;"
            " set it to group with commitlog_sync_group_window 2ms to 5ms"
        )
    if await _value(session, "paxos_variant") != "v2":
        found.append("paxos_variant is not v2: a commit that times out calls itself a plain write")
    return found


async def _value(session: CqlSession, name: str) -> str | None:
    rows = await session.read(_SETTING, [name])
    return rows[0][0] if rows else None
