"""The table of who sees what names columns that there are, and webhooks are held to it."""

import pytest

from erx.eventlog.v1.envelope_pb2 import EventShape
from erx.prescriptions.v1 import watch_service_pb2 as w
from eventkernel.envelope import Actor
from eventkernel.errors import Refusal
from prescriptions.queries.visibility import SIGHTS, may_subscribe, viewer_of
from prescriptions.testing.stories import AT_CORNER, AT_HARBOUR, PATIENT, PRESCRIBER, SYSTEM
from prescriptions.views import VIEWS
from prescriptions.views.access_log import ACCESS_LOG
from prescriptions.watching import veil

COLUMNS = {view.name: {column.name for column in view.columns} for view in (*VIEWS, ACCESS_LOG)}


@pytest.mark.parametrize("role", SIGHTS)
def test_every_column_of_the_table_is_one_of_its_view(role: str) -> None:
    sight = SIGHTS[role]
    for view, columns in sight.columns.items():
        assert set(columns) <= COLUMNS[view]
    assert {*sight.history, sight.patients_of} - {""} <= COLUMNS["prescription_view"]


def test_where_roles_do_not_matter_everybody_sees_everything() -> None:
    assert viewer_of(Actor("", ""), by_role=False) is None
    assert viewer_of(PATIENT, by_role=False) is None
    assert viewer_of(SYSTEM, by_role=True) is None


@pytest.mark.parametrize(
    ("actor", "conditions", "may"),
    [
        (PATIENT, {"patient_id": ("patient-1",)}, True),
        (PATIENT, {"patient_id": ("patient-1",), "status": ("ISSUED",)}, True),
        (PATIENT, {"patient_id": ("patient-1", "patient-2")}, False),
        (PATIENT, {"status": ("ISSUED",)}, False),
        (PATIENT, {}, False),
        (PRESCRIBER, {"prescriber_id": ("dr-grey",)}, True),
        (PRESCRIBER, {"patient_id": ("patient-1",)}, False),
        (AT_CORNER, {"holder_id": ("9900007",)}, True),
        (AT_CORNER, {"nominated_id": ("9900007",)}, True),
        (AT_CORNER, {"holder_id": ("9900019",)}, False),
        (SYSTEM, {}, True),
    ],
)
def test_a_webhook_is_kept_to_the_rows_of_whom_it_is_for(
    actor: Actor, conditions: dict[str, tuple[str, ...]], may: bool
) -> None:
    assert may_subscribe(viewer_of(actor, by_role=True), conditions) is may


def test_a_payer_may_have_no_webhook() -> None:
    assert not may_subscribe(viewer_of(Actor("fund-1", "payer"), by_role=True), {"patient_id": ("fund-1",)})


def test_a_role_that_nobody_named_sees_nothing() -> None:
    with pytest.raises(Refusal, match="neighbour"):
        viewer_of(Actor("joe", "neighbour"), by_role=True)


def test_the_event_of_a_change_is_told_where_its_patient_is() -> None:
    for actor, told in ((AT_CORNER, True), (AT_HARBOUR, False), (PATIENT, True)):
        changed = w.PrescriptionChanged(event=EventShape(schema_version=3))
        changed.prescription.content.patient_id = "patient-1"
        changed.prescription.nominated_pharmacy.ncpdp_id = AT_CORNER.organisation
        message = w.WatchPrescriptionsResponse(changed=changed)
        veil(viewer_of(actor, by_role=True), message)
        assert message.changed.HasField("event") is told
        assert (message.changed.prescription.content.patient_id == "patient-1") is told


def test_a_pharmacy_hears_that_something_is_gone_and_no_more() -> None:
    message = w.WatchPrescriptionsResponse(removed=w.PrescriptionRemoved(event=EventShape(schema_version=3)))
    veil(viewer_of(AT_CORNER, by_role=True), message)
    assert message.HasField("removed")
    assert not message.removed.HasField("event")
