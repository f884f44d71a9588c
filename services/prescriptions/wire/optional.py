"""Fields that a message may leave unset."""

from typing import Any


def given(m: Any, field: str) -> Any:
    """The field's value, None where it is unset. Only messages, ``optional`` fields and those of a oneof know."""
    return getattr(m, field) if m.HasField(field) else None
