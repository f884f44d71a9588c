"""How the views are doing."""

from datetime import timedelta
from typing import Any

import grpc
import pytest

from erx.prescriptions.v1 import query_service_pb2 as q
from eventkernel.envelope import NewEvent
from eventkernel_grpc import RemoteError, remote_errors
from prescriptions.testing.recorded import new_events, stream_of, untold
from prescriptions.testing.stories import START
from prescriptions.views import VIEWS


async def test_every_view_tells_how_far_it_is(side: Any) -> None:
    await side.told(1, untold().create().sign())
    await side.told(2, untold().create())
    reply = await side.ask("ProjectionStatus", q.ProjectionStatusRequest())
    assert [found.view for found in reply.views] == sorted(view.name for view in VIEWS)
    for found in reply.views:
        assert (found.view_version, found.streams, found.events_applied, found.events_behind) == (1, 2, 3, 0)
        assert found.lag.ToTimedelta() == timedelta(0)
        assert found.HasField("applied_at")
        assert not found.HasField("last_error")
        assert len(found.positions) == 4


async def test_a_view_that_is_behind_tells_by_how_many_events_and_how_long(side: Any) -> None:
    await side.write(1, untold().create().sign())
    side.at(START + timedelta(minutes=5))
    (found,) = (await side.ask("ProjectionStatus", q.ProjectionStatusRequest(views=["medication_list"]))).views
    assert (found.view, found.events_behind, found.streams) == ("medication_list", 2, 0)
    assert found.lag.ToTimedelta() == timedelta(minutes=5)
    assert not found.HasField("applied_at")


async def test_an_event_that_cannot_be_read_is_told_and_holds_up_its_stream_alone(side: Any) -> None:
    stream = stream_of(1)
    good = new_events(untold().create(), stream)[0]
    broken = b"\xff Jane Doe, born 1990"
    await side.append(stream, 0, [NewEvent(good.event_id, good.type, good.schema_version, broken, good.meta)])
    await side.project()
    two = await side.told(2, untold().create())
    reply = await side.ask("ProjectionStatus", q.ProjectionStatusRequest())
    for found in reply.views:
        assert found.last_error.reason == "EVENT_PARKED"
        assert found.last_error.message.startswith(
            f"UpcastFailed at PrescriptionCreated (schema version 3), {stream.name}"
        )
        assert "Jane" not in found.last_error.message
    assert await side.ask("FetchPrescription", q.FetchPrescriptionRequest(prescription_id=two))


async def test_a_view_that_does_not_exist_is_refused_by_its_place(side: Any) -> None:
    with pytest.raises(RemoteError) as failed, remote_errors():
        await side.ask("ProjectionStatus", q.ProjectionStatusRequest(views=["medication_list", "nothing"]))
    assert failed.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in failed.value.violations] == ["views[1]"]
