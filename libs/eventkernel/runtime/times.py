"""The two times of an event and the rules on the one that a caller may give."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from eventkernel.errors import InvalidCommand
from eventkernel.runtime.aggregate import Aggregate, CommandRequest


@dataclass(frozen=True, slots=True)
class TimeRules:
    """``skew_seconds``: how far a given effective time may lie from the server's clock; ``backdating_roles``: who may go
    further into the past.
    """

    skew_seconds: float = 60.0
    backdating_roles: frozenset[str] = frozenset({"import", "correction"})


DEFAULT_TIME_RULES = TimeRules()


def event_times(
    rules: TimeRules, aggregate: Aggregate[Any], request: CommandRequest[Any], now: datetime
) -> tuple[datetime, datetime]:
    """(occurred_at, recorded_at) of the request's event. Raises ``InvalidCommand`` on ``effective_time``.

    A defaulted effective time is max(now, the stream's last); the recorded time never runs backwards within a stream.
    """
    recorded_at = max(now, aggregate.recorded_at or now)
    last = aggregate.occurred_at
    given = request.effective_time
    if given is None:
        return max(now, last or now), recorded_at
    skew = timedelta(seconds=rules.skew_seconds)
    if given > now + skew:
        raise InvalidCommand(
            "effective_time",
            f"{given.isoformat()} is more than {rules.skew_seconds:g} s ahead of the server's clock",
            reason="EFFECTIVE_TIME_IN_FUTURE",
        )
    if last is not None and given < last:
        raise InvalidCommand(
            "effective_time",
            f"{given.isoformat()} lies before the stream's last event at {last.isoformat()}",
            reason="EFFECTIVE_TIME_BEFORE_LAST",
        )
    role = request.provenance.actor.role
    if given < now - skew and role not in rules.backdating_roles:
        roles = ", ".join(sorted(rules.backdating_roles))
        raise InvalidCommand(
            "effective_time", f"only the roles {roles} may backdate, not {role!r}", reason="BACKDATING_NOT_ALLOWED"
        )
    return given, recorded_at
