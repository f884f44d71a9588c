"""The audit of this program's stores: every stream gapless, on the bus in order, once in every view, and healed if need be."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bootstrap.stores import SOURCE, TOPIC, Stores
from eventkernel.runtime.auditing import Auditor, AuditPace, AuditSources, Report
from eventkernel.view import View
from prescriptions.views import VIEWS
from prescriptions.wire.events import PrescriptionEventCodec, decode_recorded

AT_ONCE = AuditPace()
PASSES_MAX = 4
"""Times that everything is compared while healing: what was healed among others who write may need to be healed once more."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What was compared, and every difference as a sentence; ``repeats`` are records that the bus holds more than once."""

    streams: int
    events: int
    rows: int
    repeats: int
    differences: tuple[str, ...]


def auditor(stores: Stores, views: Sequence[View[Any, Any]] = VIEWS, pace: AuditPace = AT_ONCE) -> Auditor:
    """Compares these stores."""
    sources = AuditSources(
        journal=stores.events,
        directory=stores.directory,
        tail=stores.tail,
        publisher=stores.publisher,
        store=stores.views,
        views=views,
        decode=decode_recorded,
        clock=stores.clock,
        topic=TOPIC,
        source=SOURCE,
        wire_name=PrescriptionEventCodec().wire_name,
    )
    return Auditor(sources, pace)


async def audit(stores: Stores, views: Sequence[View[Any, Any]] = VIEWS) -> Audit:
    """Fold every stream anew and compare. Ask while nothing is under way: what is, is told as behind."""
    report = await auditor(stores, views).look()
    told = tuple(str(finding) for finding in report.findings)
    return Audit(report.streams, report.events, report.rows, report.repeats, told)


async def healed(stores: Stores, *, pace: AuditPace = AT_ONCE, heard: Callable[[Report], None]) -> Report:
    """Compare and heal until nothing is left that can be healed, for some passes at most; gives the last comparison.

    ``heard`` is told each pass, with what was healed in it.
    """
    looking = auditor(stores, pace=pace)
    for _ in range(PASSES_MAX - 1):
        report = await looking.look()
        if not any(finding.healable for finding in report.findings):
            heard(report)
            return report
        heard(await looking.heal(report))
    report = await looking.look()
    heard(report)
    return report
