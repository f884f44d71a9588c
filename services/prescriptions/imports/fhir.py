"""Reads FHIR R4 MedicationRequest and MedicationDispense resources, one JSON file each, as far as the import uses them.

A file that is not what it claims to be refuses all of them; what a resource merely lacks is left empty here and judged by
``fhir_plan``.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from prescriptions.domain.values import Coding, Dosage, DoseStep, Quantity, Reason
from prescriptions.imports.errors import InputRefused, Problem
from prescriptions.imports.json_document import Node, read_document
from prescriptions.imports.systems import COMPOUND, ORDERABLE_DRUG_FORM, UCUM


@dataclass(frozen=True, slots=True)
class Medication:
    """A medicine: its own codings, or for a mixture one coding made of its ingredients'."""

    codings: tuple[Coding, ...]
    ingredients: tuple[Coding, ...]
    text: str


@dataclass(frozen=True, slots=True)
class RequestFile:
    """A MedicationRequest. References are as written, for example ``Practitioner/f007``."""

    file: str
    id: str
    status: str
    intent: str
    do_not_perform: bool
    authored_on: datetime | None
    patient: str
    requester: str
    medication: Medication
    quantity: Quantity | None
    days_supply: int | None
    refills_allowed: int
    substitution_refused: bool
    dosage: Dosage
    reason: Coding | None
    group_id: str
    prior: str
    status_reason: Reason


@dataclass(frozen=True, slots=True)
class DispenseFile:
    """A MedicationDispense. ``request`` is the reference of the request that it fills."""

    file: str
    id: str
    status: str
    request: str
    medication: Medication
    quantity: Quantity | None
    days_supply: int | None
    prepared_at: datetime | None
    handed_over_at: datetime | None
    performer: str
    location: str
    location_name: str
    status_reason: Reason


@dataclass(frozen=True, slots=True)
class FhirFiles:
    """What a directory holds, by file name. ``others`` are files of other resource types."""

    requests: tuple[RequestFile, ...]
    dispenses: tuple[DispenseFile, ...]
    others: tuple[str, ...]


def read_fhir(directory: Path) -> FhirFiles:
    """All ``*.json`` of a directory, or ``InputRefused`` with all that is wrong."""
    problems: list[Problem] = []
    requests: list[RequestFile] = []
    dispenses: list[DispenseFile] = []
    others: list[str] = []
    paths = sorted(directory.glob("*.json")) if directory.is_dir() else []
    if not paths:
        raise InputRefused(
            [Problem(str(directory), None, "", "is not a directory with FHIR resources, one *.json each")]
        )
    for path in paths:
        node = read_document(path, problems)
        match node and node.text("resourceType"):
            case None:
                continue
            case "MedicationRequest" if node:
                requests.append(_request(node))
            case "MedicationDispense" if node:
                dispenses.append(_dispense(node))
            case "" if node:
                node.refuse("resourceType", "must say which resource this is")
            case _:
                others.append(path.name)
    _refuse_repeats(requests, problems)
    _refuse_repeats(dispenses, problems)
    if problems:
        raise InputRefused(problems)
    return FhirFiles(tuple(requests), tuple(dispenses), tuple(others))


def _request(node: Node) -> RequestFile:
    supply = node.child("dispenseRequest")
    refills = supply.whole_number("numberOfRepeatsAllowed") or 0
    if refills < 0:
        supply.refuse("numberOfRepeatsAllowed", "must not be negative")
    return RequestFile(
        file=node.file,
        id=_required(node, "id"),
        status=_required(node, "status"),
        intent=_required(node, "intent"),
        do_not_perform=node.flag("doNotPerform") or False,
        authored_on=node.moment("authoredOn"),
        patient=node.child("subject").text("reference"),
        requester=node.child("requester").text("reference"),
        medication=_medication(node),
        quantity=_quantity(supply.child("quantity")),
        days_supply=supply.child("expectedSupplyDuration").whole_number("value"),
        refills_allowed=refills,
        substitution_refused=node.child("substitution").flag("allowedBoolean") is False,
        dosage=_dosage(list(node.children("dosageInstruction"))),
        reason=_first_coding(node.first("reasonCode")),
        group_id=node.child("groupIdentifier").text("value"),
        prior=node.child("priorPrescription").text("reference"),
        status_reason=_reason(node.child("statusReason")),
    )


def _dispense(node: Node) -> DispenseFile:
    return DispenseFile(
        file=node.file,
        id=_required(node, "id"),
        status=_required(node, "status"),
        request=node.first("authorizingPrescription").text("reference"),
        medication=_medication(node),
        quantity=_quantity(node.child("quantity")),
        days_supply=node.child("daysSupply").whole_number("value"),
        prepared_at=node.moment("whenPrepared"),
        handed_over_at=node.moment("whenHandedOver"),
        performer=node.first("performer").child("actor").text("reference"),
        location=node.child("location").text("reference"),
        location_name=node.child("location").text("display"),
        status_reason=_reason(node.child("statusReasonCodeableConcept")),
    )


def _required(node: Node, name: str) -> str:
    found = node.text(name)
    if not found:
        node.refuse(name, "must be given")
    return found


def _medication(node: Node) -> Medication:
    concept, reference = node.child("medicationCodeableConcept"), node.child("medicationReference")
    target = reference.text("reference")
    contained = [child for child in node.children("contained") if target == f"#{child.text('id')}"]
    if contained:
        concept = contained[0].child("code")
    codings = _codings(concept)
    ingredients = tuple(
        coding
        for child in (contained[0].children("ingredient") if contained and not codings else ())
        if (coding := _first_coding(child.child("itemCodeableConcept")))
    )
    text = concept.text("text") or next((coding.display for coding in codings if coding.display), "")
    text = text or reference.text("display") or " + ".join(coding.display for coding in ingredients)
    if ingredients:
        codings = (Coding(COMPOUND, "+".join(coding.code for coding in ingredients), text),)
    return Medication(codings, ingredients, text)


def _codings(concept: Node) -> tuple[Coding, ...]:
    found = (
        Coding(child.text("system"), child.text("code"), child.text("display")) for child in concept.children("coding")
    )
    return tuple(coding for coding in found if coding.code)


def _first_coding(concept: Node) -> Coding | None:
    return next(iter(_codings(concept)), None)


def _reason(concept: Node) -> Reason:
    return Reason(_first_coding(concept), concept.text("text"))


def _quantity(node: Node) -> Quantity | None:
    value = node.number("value")
    if value is None:
        return None
    system, code = node.text("system"), node.text("code")
    return Quantity(value, _one_spelling(system, code), system, node.text("unit") or code)


def _one_spelling(system: str, code: str) -> str:
    """One spelling where a system has two for one unit, or where the files do not keep to the system's own.

    UCUM writes the litre ``l`` or ``L``; the codes of v3-orderableDrugForm are in capitals.
    """
    if system == UCUM and code in {"ml", "l", "dl"}:
        return code[:-1] + "L"
    return code.upper() if system == ORDERABLE_DRUG_FORM else code


def _dosage(nodes: list[Node]) -> Dosage:
    texts = [text for node in nodes if (text := node.text("text"))]
    as_needed = any(node.flag("asNeededBoolean") or node.value.get("asNeededCodeableConcept") for node in nodes)
    return Dosage("\n".join(texts), tuple(_dose_step(node) for node in nodes), bool(as_needed))


def _dose_step(node: Node) -> DoseStep:
    amount, repeat = node.first("doseAndRate"), node.child("timing").child("repeat")
    dose_range = amount.child("doseRange")
    return DoseStep(
        dose=_quantity(amount.child("doseQuantity")) or _quantity(dose_range.child("low")),
        dose_high=_quantity(dose_range.child("high")),
        frequency=repeat.whole_number("frequency"),
        period=repeat.number("period"),
        period_unit=repeat.text("periodUnit"),
        route=_first_coding(node.child("route")),
    )


def _refuse_repeats(resources: Iterable[RequestFile | DispenseFile], problems: list[Problem]) -> None:
    seen: dict[str, str] = {}
    for resource in resources:
        if resource.id and resource.id in seen:
            problems.append(Problem(resource.file, None, "id", f"{resource.id} is also the id of {seen[resource.id]}"))
        seen[resource.id] = resource.file
