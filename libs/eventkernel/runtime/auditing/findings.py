"""What an audit finds, each by stream, version and what can be done about it."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Lack(StrEnum):
    """What is not as it should be."""

    JOURNAL_GAP = "journal-gap"
    JOURNAL_STREAM = "journal-stream"
    TOPIC_BEHIND = "topic-behind"
    TOPIC_LOST = "topic-lost"
    TOPIC_DIFFERS = "topic-differs"
    VIEW_BEHIND = "view-behind"
    VIEW_WAITS = "view-waits"
    VIEW_DIFFERS = "view-differs"
    VIEW_SUMS = "view-sums"
    VIEW_STRAY = "view-stray"


HEALABLE = frozenset({Lack.TOPIC_LOST, Lack.VIEW_BEHIND, Lack.VIEW_DIFFERS, Lack.VIEW_SUMS})
"""From the journal. A journal that lacks something can be healed by nobody here, and what waits for the relay waits for it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Versions ``first`` to ``last`` of a stream (0: no single one) are missing or wrong; ``since``: when the first of them
    was recorded. ``view`` is empty for the journal and the topic; ``stream`` is a tenant where rows are shared by streams.
    """

    lack: Lack
    stream: str
    told: str
    view: str = ""
    first: int = 0
    last: int = 0
    since: datetime | None = None

    @property
    def healable(self) -> bool:
        """Whether it can be put right from the journal."""
        return self.lack in HEALABLE

    def __str__(self) -> str:
        """One line."""
        where = f"{self.view} {self.stream}" if self.view else self.stream
        since = f", since {self.since.isoformat(timespec='milliseconds')}" if self.since else ""
        return f"{self.lack.value}: {where}: {self.told}{since}"


@dataclass(slots=True)
class Report:
    """One pass: what was compared, what was found, and what of it was put right (not yet looked at again)."""

    streams: int = 0
    events: int = 0
    rows: int = 0
    repeats: int = 0
    findings: list[Finding] = field(default_factory=list)
    healed: list[Finding] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def counts(self) -> Counter[str]:
        """How many there are of each kind."""
        return Counter(finding.lack.value for finding in self.findings)
