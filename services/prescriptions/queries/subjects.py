"""Whom an answer told of: the patients, each with the prescriptions that were told."""

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.message import Message

PATIENT_UNKNOWN = ""
"""Of prescriptions whose patient the answer does not name: the event log is told by prescription."""


def told_of(request: Message, answer: Message) -> Mapping[str, list[str]]:
    """Prescriptions by patient; a patient asked about by name is told of even where there is nothing to tell.

    Entries that leave the patient out, as a pharmacy's queue does with what anybody may claim, tell of nobody.
    """
    found: dict[str, list[str]] = {}
    asked = _asked_about(request)
    if asked:
        found[asked] = []
    for patient_id, prescription_ids in _pairs(request, answer):
        known = found.setdefault(patient_id, [])
        known.extend(one for one in prescription_ids if one not in known)
    return found


def _asked_about(request: Any) -> str:
    fields = request.DESCRIPTOR.fields_by_name
    if "patient_id" in fields:
        return str(request.patient_id)
    return str(request.filter.patient_id) if "filter" in fields else ""


def _pairs(request: Any, answer: Any) -> Iterable[tuple[str, Iterable[str]]]:
    fields = answer.DESCRIPTOR.fields_by_name
    if "prescription" in fields:
        yield answer.prescription.content.patient_id, (answer.prescription.prescription_id,)
    elif "prescriptions" in fields:
        for prescription in answer.prescriptions:
            yield prescription.content.patient_id, (prescription.prescription_id,)
    else:
        for name in ("entries", "medications", "refills", "dispenses"):
            for entry in getattr(answer, name, ()):
                yield from _of_entry(request, entry)


def _of_entry(request: Any, entry: Any) -> Iterable[tuple[str, Iterable[str]]]:
    names = entry.DESCRIPTOR.fields_by_name
    if "patient_id" in names:
        if entry.patient_id:
            yield entry.patient_id, (entry.prescription_id,)
    elif "prescription_ids" in names and "patient_id" in request.DESCRIPTOR.fields_by_name:
        yield request.patient_id, entry.prescription_ids
    elif "envelope" in names:
        yield PATIENT_UNKNOWN, (request.prescription_id,)
