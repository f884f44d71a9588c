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


OnProgress: TypeAlias = Callable[[Progress], None]


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
