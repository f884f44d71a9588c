"""Upcasters: what was written in older shapes, as it would be said in today's; a module for each pair of versions.

A step is a pure function of the payload, with neither clock nor I/O. What the older version could not say stays unknown, and
texts stay as they were, byte for byte. Nothing here is changed once it was released: another shape is another module.
"""

from collections.abc import Mapping
from typing import Final

from google.protobuf.message import Message

from erx.prescriptions.events.v1 import dispensing_pb2 as d1
from erx.prescriptions.events.v1 import lifecycle_pb2 as l1
from erx.prescriptions.events.v2 import dispensing_pb2 as d2
from erx.prescriptions.events.v2 import lifecycle_pb2 as l2
from eventkernel.upcasting import Step
from prescriptions.wire.upcasters import v1_to_v2, v2_to_v3

STEPS: Final[tuple[Step, ...]] = (*v1_to_v2.STEPS, *v2_to_v3.STEPS)
"""Every step, oldest first."""

_MODULES: Final = {1: (d1, l1), 2: (d2, l2)}

EARLIER_MESSAGES: Final[Mapping[tuple[str, int], type[Message]]] = {
    (name, version): message
    for version, modules in _MODULES.items()
    for module in modules
    for name, message in vars(module).items()
    if isinstance(message, type) and issubclass(message, Message)
}
"""The message of every older shape: each message of these files is an event."""
