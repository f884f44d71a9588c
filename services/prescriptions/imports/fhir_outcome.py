"""What became of each FHIR file."""

from dataclasses import dataclass
from enum import Enum

from prescriptions.imports.plan import PlannedPrescription


class Outcome(Enum):
    """The three ends of a file."""

    IMPORTED = "imported"
    LEFT_OUT = "left_out"  # it says itself that it did not happen, or is none of the two resource types
    REFUSED = "refused"  # it could not be told truthfully in the terms of the domain


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """The end of one file: ``reason`` in UPPER_SNAKE unless imported, ``status`` the prescription's at the end of the import.

    ``supplied`` names what the file lacks and a rule supplied.
    """

    file: str
    outcome: Outcome
    reason: str = ""
    status: str = ""
    supplied: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FhirPlan:
    """The prescriptions to send, and one outcome a file in the order of the files' names."""

    prescriptions: tuple[PlannedPrescription, ...]
    outcomes: tuple[FileOutcome, ...]


class Untold(Exception):
    """A resource cannot be told in the domain's terms; ``reason`` is UPPER_SNAKE. Caught by ``fhir_plan`` alone."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
