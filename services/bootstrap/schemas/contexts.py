"""The bounded contexts as their stored events show them: what is checked, catalogued and compared, registered here once each.

Another context's events need one more entry in ``contexts`` and nothing else.
"""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from bootstrap.checkout import ROOT
from bootstrap.stores import SOURCE, TOPIC
from eventkernel.codec import Codecs
from eventkernel.decider import Decider
from eventkernel.downcasting import Downcasters
from eventkernel.upcasting import Step, Upcasters
from eventkernel.view import View


@dataclass(frozen=True, slots=True)
class Consumer:
    """Who reads the topic, and what for."""

    name: str
    purpose: str


@dataclass(frozen=True, slots=True)
class EventContext:
    """One context's events and all that rests on their shapes.

    ``package`` is the protobuf package without its version; ``messages`` has every shape that can be read, by type and schema
    version; ``wrapper`` is the message in which histories and watches tell an event of today; ``producers`` the commands that
    each event of today comes of; ``state_version`` is the declared one of snapshots. ``wire`` is the folder of the codec's
    modules.
    """

    name: str
    category: str
    package: str
    topic: str
    source: str
    messages: Mapping[tuple[str, int], type[Message]]
    wrapper: type[Message]
    upcasters: Upcasters
    downcasters: Downcasters | None
    codecs: Codecs[Any, Any]
    decider: Decider[Any, Any, Any, Any]
    state: type[Any]
    state_version: int
    producers: Mapping[str, tuple[str, ...]]
    consumers: tuple[Consumer, ...]
    wire: Path

    @property
    def golden(self) -> str:
        """The folder of its golden bytes below the top of the checkout; inside, a folder for each version."""
        return f"tests/golden/{self.name}/events"

    @property
    def steps(self) -> dict[tuple[str, int], Step]:
        """Every upcaster by the shape that it reads."""
        return {(step.type, step.version): step for step in self.upcasters.steps}

    def told_also_as(self, event_type: str) -> list[tuple[str, int]]:
        """The older shapes in which an event of today is told to who asks for them, newest first."""
        steps = {(step.type, step.version): step for step in self.downcasters.steps} if self.downcasters else {}
        name, version, found = event_type, self.upcasters.newest.get(event_type, 0), []
        while step := steps.get((name, version)):
            name, version = step.gives or name, version - 1
            found.append((name, version))
        return found

    def versions_of(self, event_type: str) -> list[int]:
        """The schema versions in which an event can be read, oldest first."""
        return sorted(version for name, version in self.messages if name == event_type)

    @property
    def types(self) -> list[str]:
        """Every event type ever stored: those of today in the order of their declaration, then those of the past."""
        names = list(dict.fromkeys(name for name, _ in self.messages))
        return [n for n in names if n in self.producers] + sorted(n for n in names if n not in self.producers)


def contexts() -> tuple[EventContext, ...]:
    """Every context there is."""
    return (prescriptions(),)


def prescriptions() -> EventContext:
    """The prescriptions."""
    from erx.prescriptions.events.v3 import event_pb2
    from prescriptions.domain.decider import PRESCRIPTION
    from prescriptions.domain.state import Prescription
    from prescriptions.domain.table import ROWS
    from prescriptions.streams import CATEGORY, CONTEXT
    from prescriptions.views import VIEWS
    from prescriptions.wire import events
    from prescriptions.wire.downcasters import DOWNCASTERS
    from prescriptions.wire.snapshots import VERSION, PrescriptionStateCodec

    return EventContext(
        name=CONTEXT,
        category=CATEGORY,
        package=events.PACKAGE,
        topic=TOPIC,
        source=SOURCE,
        messages=events.MESSAGES,
        wrapper=event_pb2.PrescriptionEvent,
        upcasters=events.UPCASTERS,
        downcasters=DOWNCASTERS,
        codecs=Codecs(events.PrescriptionEventCodec(), PrescriptionStateCodec()),
        decider=PRESCRIPTION,
        state=Prescription,
        state_version=VERSION,
        producers=produced((row.transition.event.__name__, row.transition.name) for row in ROWS),
        consumers=(
            *map(view_consumer, VIEWS),
            Consumer("watch", "tells open `Watch` calls of what happens, as it happens."),
            Consumer("webhooks", "tells subscribed HTTP endpoints, in order per prescription."),
        ),
        wire=ROOT / "services" / "prescriptions" / "wire",
    )


def produced(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """Commands by the event that comes of them."""
    found: dict[str, tuple[str, ...]] = {}
    for event, command in pairs:
        found[event] = (*found.get(event, ()), command)
    return found


def view_consumer(view: View[Any, Any]) -> Consumer:
    """A view as a consumer; what it is for says the first sentence of the module that declares its rows."""
    module = inspect.getmodule(view.rows)
    said = (inspect.getdoc(module) or "").splitlines()[0] if module else ""
    return Consumer(f"view `{view.base}`", said.partition(": ")[2] or said)
