"""What is known of a view's rebuild: kept as a note with the view, so that any process can continue, stop or judge it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from eventkernel.envelope import from_micros, to_micros
from eventkernel.ports import ViewTransaction
from eventkernel.view import View

KIND = "rebuild"
KEY = "current"


class Phase(Enum):
    """How far a rebuild is. The first three are work; a rebuild that is not wanted any more rests in one of them."""

    FILLING = "filling"
    CATCHING_UP = "catching_up"
    COMPARING = "comparing"
    READY = "ready"
    SWITCHED = "switched"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"


WORKING = frozenset({Phase.FILLING, Phase.CATCHING_UP, Phase.COMPARING})


@dataclass(frozen=True, slots=True)
class TableDigest:
    """A table at a glance: rows, and the sum of the SHA-256 of each, modulo 2**256, as hex; the order of rows is all one."""

    rows: int = 0
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The old table, the new one and a fresh fold of the journal.

    ``old`` and ``new`` count the rows of streams that stand at equal versions in both (``streams``; ``apart`` are the others);
    ``whole`` is all of the new table, which must be what ``fresh`` gives. ``differing`` names some streams or keys whose rows
    are not the same, each with who differs.
    """

    streams: int
    apart: int
    old: TableDigest
    new: TableDigest
    whole: TableDigest
    fresh: TableDigest
    differing: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether the new table is what the journal says."""
        return self.whole == self.fresh

    @property
    def agrees(self) -> bool:
        """Whether all three are the same."""
        return self.sound and self.old == self.new


@dataclass(frozen=True, slots=True)
class Rebuild:
    """``generation`` is being filled beside ``previous``, which answers until the switch and can be brought back after it.

    ``since``: only streams with events recorded from then on are folded anew, the others are copied. ``seconds`` is the time
    worked, over all processes that did. ``owner`` works on it until ``leased_until``, or is dead.
    """

    generation: int
    previous: int
    phase: Phase = Phase.FILLING
    wanted: bool = True
    switch_when_equal: bool = False
    since: datetime | None = None
    streams_total: int = 0
    streams_done: int = 0
    events_total: int = 0
    events_done: int = 0
    seconds: float = 0.0
    owner: str = ""
    leased_until: datetime | None = None
    started_at: datetime | None = None
    changed_at: datetime | None = None
    by: str = ""
    error: str = ""
    comparison: Comparison | None = None

    @property
    def working(self) -> bool:
        """Whether somebody should work on it; one that is ready and wanted waits for its switch."""
        return self.wanted and self.phase in {*WORKING, Phase.READY}

    @property
    def events_per_second(self) -> float:
        """Events covered per second of work while filling; 0 before there is anything to tell."""
        return self.events_done / self.seconds if self.seconds else 0.0

    @property
    def time_left(self) -> timedelta | None:
        """How long the filling will take at that rate; None where it cannot be told."""
        if self.phase is not Phase.FILLING or not self.events_total or not self.events_per_second:
            return None
        return timedelta(seconds=max(0, self.events_total - self.events_done) / self.events_per_second)


def by_name(views: Iterable[View[Any, Any]]) -> tuple[View[Any, Any], ...]:
    """The order in which everybody locks rebuilds of several views in one transaction, lest two wait for each other."""
    return tuple(sorted(views, key=lambda view: view.name))


async def load_rebuild(transaction: ViewTransaction, view: View[Any, Any]) -> Rebuild | None:
    """The view's rebuild, locked until the end of the transaction; None where there never was one."""
    body = (await transaction.notes.all(view, KIND)).get(KEY)
    return None if body is None else from_bytes(body)


async def save_rebuild(transaction: ViewTransaction, view: View[Any, Any], rebuild: Rebuild) -> None:
    """Keep it."""
    await transaction.notes.put(view, KIND, KEY, to_bytes(rebuild))


def to_bytes(rebuild: Rebuild) -> bytes:
    """As JSON."""
    plain = {name: _plain(value) for name, value in asdict(rebuild).items()}
    return json.dumps(plain, separators=(",", ":")).encode()


def from_bytes(body: bytes) -> Rebuild:
    """Read what ``to_bytes`` wrote; unknown fields are ignored."""
    found: dict[str, Any] = json.loads(body)
    known = {field.name: found[field.name] for field in fields(Rebuild) if field.name in found}
    for name in ("since", "leased_until", "started_at", "changed_at"):
        if known.get(name) is not None:
            known[name] = from_micros(known[name])
    if known.get("comparison") is not None:
        known["comparison"] = _comparison(known["comparison"])
    return Rebuild(**{**known, "phase": Phase(known["phase"])})


def _comparison(found: Mapping[str, Any]) -> Comparison:
    tables = {name: TableDigest(**found[name]) for name in ("old", "new", "whole", "fresh")}
    return Comparison(found["streams"], found["apart"], **tables, differing=tuple(found["differing"]))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return to_micros(value)
    return value.value if isinstance(value, Phase) else value
