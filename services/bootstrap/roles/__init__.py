"""The roles of a process, wired: command server, relay, projector, query server and webhooks."""

from collections.abc import Collection

from bootstrap.process import Process
from bootstrap.roles.auditing import audit_loop
from bootstrap.roles.commanding import command_server
from bootstrap.roles.projecting import projector
from bootstrap.roles.querying import overlay, query_server
from bootstrap.roles.relaying import relay, sweep
from bootstrap.roles.view_admin import rebuilder
from bootstrap.roles.view_lag import view_lag
from bootstrap.roles.webhooks import webhooks
from bootstrap.stores import EVERY_PART, Part
from eventkernel.runtime.components import Component

ROLES = ("command", "relay", "projector", "query", "webhooks")

_PARTS = {
    "command": frozenset({Part.JOURNAL}),
    "relay": frozenset({Part.JOURNAL, Part.BUS}),
    "query": frozenset({Part.VIEWS}),
}


def parts_of(names: Collection[str]) -> frozenset[Part]:
    """What a process with these roles opens, and so waits for, when it starts."""
    return frozenset[Part]().union(*(_PARTS.get(name, EVERY_PART) for name in names))


def components(process: Process, names: list[str]) -> list[Component]:
    """The components of these roles, in the order they start in: readers of the bus before its writers."""
    if "query" in names:
        # The others that live here write through its cache.
        process.overlaying()
    makers = {
        "projector": projector,
        "webhooks": webhooks,
        "rebuilder": rebuilder,
        "view lag": view_lag,
        "relay": relay,
        "sweep": sweep,
        "audit": audit_loop,
        "overlay": overlay,
        "query": query_server,
        "command": command_server,
    }
    wanted = {*names, "overlay"} if process.overlays else {*names}
    if "projector" in names:
        wanted.add("rebuilder")
    if process.settings.metrics_address and wanted & {"projector", "query"}:
        wanted.add("view lag")
    if "relay" in names and process.stores.sweep is not None:
        wanted.add("sweep")
    if "relay" in names and process.settings.audit_seconds:
        wanted.add("audit")
    return [makers[name](process) for name in makers if name in wanted]
