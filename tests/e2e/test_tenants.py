"""What one tenant wrote no other sees, by any call."""

from typing import Any

import grpc
import pytest

from eventkernel_grpc import RemoteError
from prescriptions.testing import stories


async def test_nothing_of_a_tenant_shows_in_another(calling: Any) -> None:
    async with calling() as mine, calling("elsewhere-1") as other:
        issued = await mine.issued()
        one = {"prescription_id": issued.prescription.prescription_id}
        await mine.ask("FetchPrescription", token=issued.token, **one)
        for method, more in (
            ("FetchPrescription", {}),
            ("FetchHistory", {}),
            ("FetchAsOf", {"version": 1}),
        ):
            with pytest.raises(RemoteError) as refused:
                await other.ask(method, **one, **more)
            assert refused.value.code is grpc.StatusCode.NOT_FOUND, method
        assert (await other.ask("FetchAllPrescriptions", include_total=True)).total_size == 0
        assert not (await other.ask("FetchMedicationList", patient_id="patient-1", include_inactive=True)).medications
        assert not (await other.ask("FetchPharmacyQueue", pharmacy_id=stories.CORNER.ncpdp_id)).entries
        assert (await other.ask("FetchStatistics")).totals.prescriptions == 0


async def test_nobody_acts_on_a_prescription_of_another_tenant(calling: Any) -> None:
    async with calling() as mine, calling("elsewhere-2") as other:
        issued = await mine.issued()
        one = issued.prescription.prescription_id
        with pytest.raises(RemoteError) as refused:
            await other.claim(one)
        assert refused.value.code in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND)
        assert len(await mine.history(one)) == 3


async def test_ids_of_prescriptions_and_requests_are_each_tenants_own(calling: Any, tenant: str) -> None:
    request_id = "0b8f4b9e-9d1c-4c55-8d0e-3a1f6e0c9a11"
    async with calling() as mine, calling(f"{tenant[:40]}-b") as other:
        first = await mine.write(request_id=request_id, medication_text="mine")
        second = await other.write(request_id=request_id, medication_text="theirs")
        assert first.prescription.prescription_id == second.prescription.prescription_id
        for caller, text, token in ((mine, "mine", first.token), (other, "theirs", second.token)):
            shown = await caller.ask(
                "FetchPrescription", token=token, prescription_id=first.prescription.prescription_id
            )
            assert shown.prescription.content.medication_text == text
            assert shown.prescription.version == 1


async def test_a_token_of_another_tenant_is_refused(calling: Any) -> None:
    async with calling() as mine, calling("elsewhere-3") as other:
        draft = await mine.write()
        with pytest.raises(RemoteError) as refused:
            await other.ask("FetchAllPrescriptions", token=draft.token)
        assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_page_token_of_another_tenant_is_refused(calling: Any) -> None:
    async with calling() as mine, calling("elsewhere-4") as other:
        await mine.write()
        last = await mine.write()
        page = await mine.ask("FetchAllPrescriptions", token=last.token, page_size=1)
        assert page.next_page_token
        with pytest.raises(RemoteError) as refused:
            await other.ask("FetchAllPrescriptions", page_size=1, page_token=page.next_page_token)
        assert refused.value.reason == "BAD_PAGE_TOKEN"
