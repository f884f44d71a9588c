"""What an import tells: while it runs, and at its end."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

from prescriptions.imports.fhir_outcome import FileOutcome


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is: commands done of all planned, and for how long it has been sending."""

    commands_done: int
    commands_total: int
    fills_done: int
    seconds: float

    @property
    def commands_per_second(self) -> float:
        """The rate since the start."""
        return self.commands_done / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """The time that the rest takes at this rate; None while nothing is done."""
        rate = self.commands_per_second
        return (self.commands_total - self.commands_done) / rate if rate else None


OnProgress: TypeAlias = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A command that the service has said took effect, now or before, as the ``version`` of its prescription."""

    tenant: str
    prescription_id: UUID
    request_id: UUID
    version: int


OnAcknowledged: TypeAlias = Callable[[Acknowledged], None]


@dataclass(frozen=True, slots=True)
class RefusedCommand:
    """A command that the service refused; those after it in the same prescription were not sent."""

    source: str
    prescription_id: UUID
    command: str
    reason: str
    message: str
    not_sent: int


@dataclass(frozen=True, slots=True)
class ImportReport:
    """The end of an import.

    ``accepted`` counts every command that has taken effect, now or in an earlier run; ``known_before`` those of an earlier run,
    told by a recording time before this run began. ``files`` has the outcomes of FHIR files.
    """

    sources: int
    prescriptions: int
    commands: int
    accepted: int
    known_before: int
    fills: int
    retries: int
    refused: tuple[RefusedCommand, ...]
    seconds: float
    files: tuple[FileOutcome, ...] = ()

    @property
    def new(self) -> int:
        """Commands that took effect in this run."""
        return self.accepted - self.known_before

    @property
    def refusals(self) -> dict[str, int]:
        """Refused commands by reason, the most frequent first."""
        return dict(Counter(refused.reason for refused in self.refused).most_common())

    @property
    def complete(self) -> bool:
        """Whether everything planned has taken effect."""
        return self.accepted == self.commands
