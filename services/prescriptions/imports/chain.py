"""Splits the fills of one row into a chain of prescriptions, as renewals do in life."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from prescriptions.domain.expiry import expires_at
from prescriptions.domain.profiles import Profile
from prescriptions.domain.values import Schedule


@dataclass(frozen=True, slots=True)
class Limits:
    """What one prescription may carry: so many refills, and no fill at or after ``expires_at(issued)``; None = no end."""

    refills_max: int
    expires_at: Callable[[datetime], datetime | None]


def limits_of(schedule: Schedule, profile: Profile) -> Limits:
    """The limits of a schedule under a profile."""
    return Limits(profile.schedules[schedule].refills_max, partial(expires_at, schedule, profile=profile))


@dataclass(frozen=True, slots=True)
class Link:
    """One prescription of a chain: issued at its first fill. ``open_refills`` are those it keeps beyond its fills."""

    fills: tuple[datetime, ...]
    open_refills: int = 0

    @property
    def refills_allowed(self) -> int:
        """Refills written on it."""
        return len(self.fills) - 1 + self.open_refills


def chain(fills: Sequence[datetime], limits: Limits, *, keep_open: bool) -> tuple[Link, ...]:
    """As few prescriptions as the limits allow, each with as many of the fills, in order, as it may carry.

    ``keep_open``: the last one has one refill more than it needs. Where it is full already, its last fill moves to one more
    prescription; where the schedule allows no refill at all there is nothing to keep open.
    """
    links: list[Link] = []
    begin = 0
    while begin < len(fills):
        end = _end(fills, begin, limits)
        links.append(Link(tuple(fills[begin:end])))
        begin = end
    if keep_open and links and limits.refills_max > 0:
        last = links.pop()
        if last.refills_allowed >= limits.refills_max:
            links.append(Link(last.fills[:-1]))
            last = Link(last.fills[-1:])
        links.append(Link(last.fills, open_refills=1))
    return tuple(links)


def _end(fills: Sequence[datetime], begin: int, limits: Limits) -> int:
    expires_at = limits.expires_at(fills[begin])
    end = begin + 1
    while end < len(fills) and end - begin <= limits.refills_max and (expires_at is None or fills[end] < expires_at):
        end += 1
    return end
