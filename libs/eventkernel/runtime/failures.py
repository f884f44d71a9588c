"""What is told of an event that could not be folded or applied: kept with its lane, logged, and shown by status.

Messages of exceptions quote the values that they met, and those may be a patient's. So only what kind of error it was, where in
the program it arose and at which event is told: who may read the event finds the rest there.
"""

from pathlib import PurePath

from eventkernel.envelope import RecordedEvent
from eventkernel.errors import UnknownSchemaVersion


def told(error: BaseException, event: RecordedEvent) -> str:
    """The error's type, the event's place, and the line of the program that raised it; how new an event may be, if it is too
    new.
    """
    what = f"{event.type} (schema version {event.schema_version}), {event.stream.name} version {event.version}"
    reach = f", this program reads up to {error.newest}" if isinstance(error, UnknownSchemaVersion) else ""
    return f"{type(error).__name__} at {what}{reach}{raised_in(error)}"


def raised_in(error: BaseException) -> str:
    """The innermost line of the program; nothing where the error was never raised."""
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    return f", raised in {code.co_qualname}, {PurePath(code.co_filename).name} line {trace.tb_lineno}"
