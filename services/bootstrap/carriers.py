"""What carries events over this program's stores, a relay and a projector, whoever runs them."""

from collections.abc import Callable

from bootstrap.stores import SOURCE, TOPIC, Stores
from eventkernel.ports import Outbox
from eventkernel.runtime.projector import OnFolded, Projector, ProjectorObserver, ProjectorSettings
from eventkernel.runtime.relay import Relay, RelayObserver, RelaySettings
from eventkernel.runtime.stream_fold import Decode
from prescriptions.domain.events import Event
from prescriptions.views import VIEWS
from prescriptions.wire.events import PrescriptionEventCodec, decode_recorded


def relay_over(
    stores: Stores,
    owner: str,
    settings: RelaySettings,
    *,
    outbox: Outbox | None = None,
    observer: RelayObserver | None = None,
) -> Relay:
    """From the stores' outbox, or this one in its place, to their topic."""
    return Relay(
        owner,
        outbox or stores.outbox,
        stores.publisher,
        tail=stores.tail,
        leases=stores.leases,
        clock=stores.clock,
        topic=TOPIC,
        source=SOURCE,
        wire_name=PrescriptionEventCodec().wire_name,
        settings=settings,
        observer=observer,
    )


def projector_over(
    stores: Stores,
    settings: ProjectorSettings,
    *,
    decode: Decode[Event] = decode_recorded,
    observer: ProjectorObserver | None = None,
    on_applied: Callable[[], None] | None = None,
    on_folded: OnFolded | None = None,
) -> Projector[Event]:
    """From a subscription of its own to every view; these must be prepared."""
    return Projector(
        VIEWS,
        stores.subscribe(),
        stores.views,
        journal=stores.events,
        decode=decode,
        clock=stores.clock,
        settings=settings,
        observer=observer,
        on_applied=on_applied,
        on_folded=on_folded,
    )
