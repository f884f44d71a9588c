"""People, pharmacies and stories that the rules of prescriptions are told with.

``issued(schedule=Schedule.II).claim().part(10, 1)`` is a prescription of which a part was handed out; its ``events`` are
what the decider gave, its ``when`` asks for one thing more. The ids have valid check digits and are made up.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any, TypeAlias
from uuid import UUID

from eventkernel.envelope import Actor
from eventkernel.testing.given_when_then import Given, Outcome, given
from prescriptions.domain import commands as c
from prescriptions.domain.decider import PRESCRIPTION
from prescriptions.domain.events import Event
from prescriptions.domain.facts import Facts
from prescriptions.domain.hashing import content_sha256
from prescriptions.domain.profiles import US, Profile
from prescriptions.domain.state import Prescription
from prescriptions.domain.values import (
    Coding,
    Dosage,
    PartialReason,
    PersonRef,
    PharmacyRef,
    PrescriptionContent,
    Quantity,
    Reason,
    Schedule,
    SigningFactor,
)

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
AMOXICILLIN = Coding(RXNORM, "308191", "amoxicillin 500 MG Oral Capsule")
OTHER_PRODUCT = Coding(RXNORM, "308192", "amoxicillin 500 MG Oral Tablet")
AUTHOR = PersonRef("dr-grey", npi="1234567893", dea_number="AP5836727")
CORNER = PharmacyRef("9900007", "1245319599", "Corner Pharmacy")
HARBOUR = PharmacyRef("9900019", "1993999998", "Harbour Pharmacy")
WHY = Reason(Coding("urn:example:reason", "why", "because"), "it was asked for")

PRESCRIBER = Actor("dr-grey", "prescriber", "clinic-1")
OTHER_PRESCRIBER = Actor("dr-brown", "prescriber", "clinic-1")
AGENT = Actor("nurse-1", "agent", "dr-grey")
PATIENT = Actor("patient-1", "patient")
REPRESENTATIVE = Actor("mother-1", "representative", "patient-1")
AT_CORNER = Actor("rph-1", "pharmacy", "9900007")
AT_HARBOUR = Actor("rph-2", "pharmacy", "9900019")
SYSTEM = Actor("scheduler", "system")
IMPORTER = Actor("loader", "import")


def tablets(value: Decimal | int | str) -> Quantity:
    """An amount in the unit that the stories use."""
    return Quantity(Decimal(value), "{tbl}", "http://unitsofmeasure.org", "tablet")


def dispense_id(number: int) -> UUID:
    """The id of the n-th dispense of a story."""
    return UUID(int=number)


Asked: TypeAlias = Outcome[c.Command, Event, Prescription, Facts]
"""What came of a question to a story."""


class Story:
    """One prescription's life, told by real decisions. Each verb returns the story; time moves only by ``later``."""

    def __init__(self, content: PrescriptionContent, profile: Profile = US) -> None:
        self.content = content
        self.profile = profile
        self.now = START
        self.events: list[Event] = []
        self.token = ""

    @property
    def given(self) -> Given[c.Command, Event, Prescription, Facts]:
        return given(PRESCRIPTION, *self.events)

    @property
    def state(self) -> Prescription:
        return self.given.state

    def facts(self, actor: Actor, **changes: Any) -> Facts:
        return replace(Facts(self.now, actor, self.profile), **changes)

    def when(self, command: c.Command, actor: Actor, **changes: Any) -> Asked:
        """Ask without it becoming part of the story."""
        return self.given.when(command, self.facts(actor, **changes))

    def do(self, command: c.Command, actor: Actor, **changes: Any) -> "Story":
        self.events.append(self.when(command, actor, **changes).event)
        return self

    def retell(self, other: "Story") -> "Story":
        """Begin where another story is now, without changing that one."""
        self.events, self.now, self.token = list(other.events), other.now, other.token
        return self

    def later(self, **time: float) -> "Story":
        self.now += timedelta(**time)
        return self

    def create(self, actor: Actor = PRESCRIBER) -> "Story":
        return self.do(c.CreatePrescription(self.content), actor)

    def sign(self, actor: Actor = PRESCRIBER) -> "Story":
        return self.do(self.signing(), actor)

    def issue(self, actor: Actor = PRESCRIBER, **fields: Any) -> "Story":
        return self.do(c.IssuePrescription(**fields), actor)

    def claim(self, pharmacy: PharmacyRef = CORNER, actor: Actor = AT_CORNER) -> "Story":
        token = f"token-{len(self.events)}"
        hashed = sha256(token.encode()).digest()
        self.do(c.ClaimPrescription(pharmacy), actor, claim_token_sha256=hashed)
        self.token = token
        return self

    def part(self, amount: Decimal | int | str, number: int, actor: Actor = AT_CORNER, **fields: Any) -> "Story":
        return self.do(self.partially(amount, number, **fields), actor)

    def dispense(self, amount: Decimal | int | str, number: int, actor: Actor = AT_CORNER, **fields: Any) -> "Story":
        return self.do(self.wholly(amount, number, **fields), actor)

    def reverse(self, number: int, actor: Actor = AT_CORNER, pharmacy: PharmacyRef = CORNER) -> "Story":
        return self.do(c.ReverseDispense(pharmacy, dispense_id(number), WHY), actor)

    def give_back(self, actor: Actor = AT_CORNER) -> "Story":
        return self.do(c.ReturnPrescription(self.token, WHY), actor)

    def signing(self, **fields: Any) -> c.SignPrescription:
        """The command by which the author signs this story's content."""
        factors = (SigningFactor.KNOWLEDGE, SigningFactor.HARD_TOKEN)
        return replace(
            c.SignPrescription(content_sha256(self.content), b"signature", "ES256", "cert-1", factors), **fields
        )

    def partially(self, amount: Decimal | int | str, number: int, **fields: Any) -> c.DispensePartially:
        command = c.DispensePartially(self.token, dispense_id(number), tablets(amount), (AMOXICILLIN,))
        return replace(command, **{"partial_reason": PartialReason.STOCK, **fields})

    def wholly(self, amount: Decimal | int | str, number: int, **fields: Any) -> c.DispenseMedication:
        return replace(c.DispenseMedication(self.token, dispense_id(number), tablets(amount), (AMOXICILLIN,)), **fields)


def content(**changes: Any) -> PrescriptionContent:
    """Thirty tablets with two refills, not controlled, unless said otherwise."""
    usual = PrescriptionContent(
        patient_id="patient-1",
        prescriber=AUTHOR,
        quantity=tablets(30),
        medication=(AMOXICILLIN,),
        medication_text="amoxicillin 500 mg",
        days_supply=10,
        refills_allowed=2,
        dosage=Dosage("one tablet three times a day"),
    )
    if changes.get("schedule", Schedule.NONE) is Schedule.II:
        changes = {"refills_allowed": 0, **changes}
    return replace(usual, **changes)


def untold(profile: Profile = US, **changes: Any) -> Story:
    """Nothing has happened yet. Keyword arguments change the content, here and below."""
    return Story(content(**changes), profile)


def draft(profile: Profile = US, **changes: Any) -> Story:
    """Written."""
    return untold(profile, **changes).create()


def signed(profile: Profile = US, **changes: Any) -> Story:
    """Signed by its author."""
    return draft(profile, **changes).sign()


def issued(profile: Profile = US, **changes: Any) -> Story:
    """Released to pharmacies."""
    return signed(profile, **changes).issue()


def claimed(profile: Profile = US, **changes: Any) -> Story:
    """Taken by the corner pharmacy."""
    return issued(profile, **changes).claim()


def begun(profile: Profile = US, **changes: Any) -> Story:
    """Ten of thirty handed out, as dispense 1."""
    return claimed(profile, **changes).part(10, 1)


def awaiting_refill(profile: Profile = US, **changes: Any) -> Story:
    """The first fill handed out, as dispense 1."""
    return claimed(profile, **changes).dispense(30, 1)


def completed(profile: Profile = US, **changes: Any) -> Story:
    """The only fill handed out, as dispense 1."""
    return claimed(profile, refills_allowed=0, **changes).dispense(30, 1)


def on_hold(profile: Profile = US, **changes: Any) -> Story:
    """Suspended by its author."""
    return issued(profile, **changes).do(c.SuspendPrescription(WHY), PRESCRIBER)


def cancelled(profile: Profile = US, **changes: Any) -> Story:
    """Withdrawn by its author."""
    return issued(profile, **changes).do(c.CancelPrescription(WHY), PRESCRIBER)


def not_dispensed(profile: Profile = US, **changes: Any) -> Story:
    """Ended unfilled by the pharmacy."""
    story = claimed(profile, **changes)
    return story.do(c.RecordNotDispensed(story.token, WHY), AT_CORNER)


def expired(profile: Profile = US, **changes: Any) -> Story:
    """Two years later, nothing dispensed."""
    return issued(profile, **changes).later(days=730).do(c.ExpirePrescription(), SYSTEM)


def void(profile: Profile = US, **changes: Any) -> Story:
    """Entered in error."""
    return draft(profile, **changes).do(c.MarkEnteredInError(WHY), PRESCRIBER)
