"""The longest texts that the protos allow find room in every view, on every store."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from erx.prescriptions.v1 import lifecycle_commands_pb2, query_service_pb2
from eventkernel_grpc.errors import RequestInvalid
from eventkernel_grpc.validation import RequestValidator
from prescriptions.domain import commands as c
from prescriptions.domain.values import Coding, PrescriptionContent, Quantity, Reason
from prescriptions.testing.recorded import TimedStory, prescription, stream_of, untold
from prescriptions.testing.stories import PRESCRIBER, content
from prescriptions.views import VIEWS
from prescriptions.wire.content import content_to_reply

IDEOGRAPHS = range(0x4E00, 0x9FA5)
"""Three bytes each in UTF-8, and hardly to be compressed where they follow one another at random."""


def ideographs(count: int, seed: int) -> str:
    """A text that no compression makes much shorter."""
    random = Random(seed)
    return "".join(chr(random.choice(IDEOGRAPHS)) for _ in range(count))


LONG = content(
    patient_id=ideographs(128, 1),
    medication=(),
    medication_text=ideographs(500, 2),
    quantity=Quantity(content().quantity.value, ideographs(64, 3), ideographs(85, 4), ideographs(170, 5)),
    group_id=ideographs(128, 6),
)
LONG_CODING = Coding(ideographs(170, 7), ideographs(64, 8), ideographs(341, 9))
CODED = replace(LONG, medication=(LONG_CODING,))


async def parked(side: Any) -> dict[str, str]:
    """What keeps the first prescription out of which view."""
    async with side.views.transaction() as transaction:
        return {
            view.name: lane[0].error
            for view in VIEWS
            for lane in (await transaction.parked(view, [stream_of(1)])).values()
        }


@pytest.mark.parametrize("longest", [LONG, CODED], ids=["text alone", "coded"])
async def test_the_longest_texts_are_in_every_view(side: Any, longest: PrescriptionContent) -> None:
    story = TimedStory(longest).create().sign().issue().claim()
    story.dispense(30, 1, quantity=longest.quantity, product=longest.medication, lot=ideographs(64, 11))
    await side.told(1, story)
    assert await parked(side) == {}
    asked = query_service_pb2.FetchMedicationListRequest(patient_id=longest.patient_id)
    (entry,) = (await side.ask("FetchMedicationList", asked)).medications
    assert entry.medication_text == longest.medication_text


async def test_the_longest_reasons_are_in_every_view(side: Any) -> None:
    story = untold(refills_allowed=0).create().sign().issue()
    story.do(c.CancelPrescription(Reason(LONG_CODING, ideographs(666, 10))), PRESCRIBER)
    await side.told(1, story)
    assert await parked(side) == {}


@pytest.mark.parametrize("longest", [LONG, CODED], ids=["text alone", "coded"])
def test_that_is_what_the_protos_allow_and_not_more(longest: PrescriptionContent) -> None:
    validator = RequestValidator()
    request = lifecycle_commands_pb2.CreatePrescriptionRequest(request_id=prescription(1))
    request.content.CopyFrom(content_to_reply(longest))
    validator.check(request)
    request.content.medication_text += "字"
    request.content.quantity.unit_text += "字"
    if longest.medication:
        request.content.medication[0].display += "字"
    with pytest.raises(RequestInvalid) as refused:
        validator.check(request)
    assert {violation.rule for violation in refused.value.violations} == {"string.max_bytes"}
    assert len(refused.value.violations) == 2 + len(longest.medication)
