"""What an import is going to say: prescriptions as lists of commands with their times, ids and actors. Pure data.

A plan is a function of the input files alone, so the ids are the same in every run and a second run is recognised command by
command.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from eventkernel.envelope import Actor
from prescriptions.domain.commands import Command, DispenseMedication
from prescriptions.domain.values import PharmacyRef
from prescriptions.imports.made_ids import made_uuid

IMPORT_ROLE = "import"


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One command. A ``claim_token`` in it is empty: it is the one that the claim before will be answered with."""

    request_id: UUID
    effective_time: datetime
    actor: Actor
    command: Command


@dataclass(frozen=True, slots=True)
class PlannedPrescription:
    """The commands of one prescription in their order, the first of which creates it.

    ``source`` says where it comes from, for reports: a file, with a line where it has lines.
    """

    prescription_id: UUID
    source: str
    steps: tuple[PlannedStep, ...]

    @property
    def fills(self) -> int:
        """How many fills it has when all commands are accepted."""
        return sum(type(step.command) is DispenseMedication for step in self.steps)


class Script:
    """Collects the steps of one prescription and gives each its id: made of the prescription, the place and the command."""

    def __init__(self, prescription_id: UUID, source: str) -> None:
        self.prescription_id = prescription_id
        self.source = source
        self._steps: list[PlannedStep] = []

    @property
    def latest(self) -> datetime:
        """When the last step so far takes effect."""
        return self.last.effective_time

    @property
    def last(self) -> PlannedStep:
        """The last step so far."""
        return self._steps[-1]

    def add(self, command: Command, at: datetime, actor: Actor) -> None:
        """Append a command."""
        request_id = made_uuid("command", str(self.prescription_id), str(len(self._steps)), type(command).__name__)
        self._steps.append(PlannedStep(request_id, at, actor, command))

    def mark(self) -> int:
        """Where it stands, for ``reset``."""
        return len(self._steps)

    def reset(self, mark: int) -> None:
        """Drop the steps added since ``mark``."""
        del self._steps[mark:]

    def finished(self) -> PlannedPrescription:
        """The prescription as planned."""
        return PlannedPrescription(self.prescription_id, self.source, tuple(self._steps))


def as_prescriber(person_id: str) -> Actor:
    """The import, acting for a prescriber."""
    return Actor(id=person_id, role=IMPORT_ROLE)


def as_pharmacy(pharmacy: PharmacyRef, person_id: str) -> Actor:
    """The import, acting for somebody in a pharmacy; the organisation is the pharmacy's NCPDP id."""
    return Actor(id=person_id, role=IMPORT_ROLE, organisation=pharmacy.ncpdp_id)


def fills_of(plans: Iterable[PlannedPrescription]) -> int:
    """The fills of all plans together."""
    return sum(plan.fills for plan in plans)
