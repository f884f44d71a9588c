"""Today's events in the shapes of the first two versions, for consumers that were never changed; a module for each step down.

Patients' details in clear are in none of them: what is told to others never holds them, whatever the shape could say.
"""

from typing import Any, Final

from google.protobuf.message import Message

from eventkernel.downcasting import Downcasters
from prescriptions.wire.downcasters import v2_to_v1, v3_to_v2
from prescriptions.wire.events import UPCASTERS


def differences(newest: Any, again: Any) -> tuple[str, ...]:
    """The paths of fields that are set in one message and are not the same in the other."""
    return tuple(_paths(newest, again, ""))


def _paths(newest: Message, again: Message, path: str) -> list[str]:
    found = []
    for descriptor, value in newest.ListFields():
        place, other = f"{path}{descriptor.name}", getattr(again, descriptor.name)
        if descriptor.has_presence and not again.HasField(descriptor.name):
            found.append(place)
        elif descriptor.message_type is None or descriptor.is_repeated:
            if value != other:
                found.append(place)
        else:
            found += _paths(value, other, f"{place}.")
    return found


DOWNCASTERS: Final = Downcasters(UPCASTERS, (*v3_to_v2.STEPS, *v2_to_v1.STEPS), differences=differences)
"""Versions 2 and 1 are offered."""
