"""`erx access`: who read or wrote what of a patient, as a table and as JSON."""

import json
from typing import Any
from uuid import uuid4

from bootstrap.testing.program import Child, Erx, awaited


async def test_what_was_written_and_read_of_a_patient_is_printed(
    erx: Erx, shared: Child, calling: Any, tenant: str
) -> None:
    patient = f"patient-{uuid4().hex}"
    async with calling() as people:
        told = await people.issued(patient_id=patient)
        await people.ask("FetchPrescription", prescription_id=told.prescription.prescription_id, token=told.token)
    words = ("access", patient, "--tenant", tenant, "--query-address", shared.address("query"))

    def entries() -> list[dict[str, Any]]:
        """Once the reading has been written down, behind its answer."""
        found: list[dict[str, Any]] = json.loads(erx.run(*words, "--json").output)
        return found if any(entry["action"] == "FetchPrescription" for entry in found) else []

    found = awaited("reading in the access log", entries)
    written = [entry["action"] for entry in found if entry["kind"] == "ACCESS_KIND_WRITE"]
    assert written == ["PrescriptionIssued", "PrescriptionSigned", "PrescriptionCreated"]
    printed = erx.run(*words, "--at-most", "100")
    assert (printed.code, "PrescriptionIssued" in printed.output, "FetchPrescription" in printed.output) == (
        0,
        True,
        True,
    )
