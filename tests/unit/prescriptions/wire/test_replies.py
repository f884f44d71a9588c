from decimal import Decimal
from typing import Any

import pytest

from erx.prescriptions.types.v1 import enums_pb2
from prescriptions.domain.hashing import content_sha256
from prescriptions.domain.state import LIVE, TERMINAL, Status
from prescriptions.domain.table import TABLE
from prescriptions.testing import stories as s
from prescriptions.wire.replies import prescription_to
from prescriptions.wire.snapshots import PrescriptionStateCodec
from prescriptions.wire.values import STATUS_FROM, STATUS_TO, time_from

STORIES = {
    Status.DRAFT: s.draft,
    Status.SIGNED: s.signed,
    Status.ISSUED: s.issued,
    Status.WITH_PHARMACY: s.claimed,
    Status.PARTIALLY_DISPENSED: s.begun,
    Status.AWAITING_REFILL: s.awaiting_refill,
    Status.ON_HOLD: s.on_hold,
    Status.COMPLETED: s.completed,
    Status.NOT_DISPENSED: s.not_dispensed,
    Status.CANCELLED: s.cancelled,
    Status.EXPIRED: s.expired,
    Status.ENTERED_IN_ERROR: s.void,
}
by_status = pytest.mark.parametrize("status", STORIES, ids=lambda status: status.name)


def reply(status: Status) -> tuple[Any, Any]:
    story = STORIES[status]()
    state = story.state
    return story, prescription_to(
        state,
        prescription_id="0f8e7d6c-5b4a-4938-8271-605f4e3d2c1b",
        version=len(story.events),
        created_at=s.START,
        occurred_at=story.now,
        recorded_at=story.now,
        allowed=TABLE.allowed(state.status),
    )


def test_every_status_has_its_own_number_and_comes_back() -> None:
    assert len(set(STATUS_TO.values())) == len(Status)
    assert {STATUS_FROM[number] for number in STATUS_TO.values()} == set(Status)
    assert set(STATUS_TO.values()) == set(enums_pb2.PrescriptionStatus.values())


@by_status
def test_a_reply_tells_status_version_times_and_what_is_allowed_next(status: Status) -> None:
    story, message = reply(status)
    assert STATUS_FROM[message.status] is status
    assert message.version == len(story.events)
    assert list(message.allowed_commands) == list(TABLE.allowed(status))
    assert time_from(message.create_time) == s.START
    assert time_from(message.update_time) == story.now
    assert message.HasField("end_time") == (status in TERMINAL)
    assert message.content_sha256 == content_sha256(story.content)
    assert message.HasField("signature") == (story.state.signature is not None)
    assert message.HasField("issue_time") == (story.state.issued_at is not None)
    if status in LIVE:
        assert message.HasField("expire_time")


@by_status
def test_a_claim_is_active_exactly_while_it_holds(status: Status) -> None:
    story, message = reply(status)
    assert message.HasField("claim") == (story.state.last_claim is not None)
    assert message.claim.active == (status in (Status.WITH_PHARMACY, Status.PARTIALLY_DISPENSED))
    assert b"token" not in message.SerializeToString()


def test_amounts_of_an_open_fill() -> None:
    _, message = reply(Status.PARTIALLY_DISPENSED)
    assert Decimal(message.quantity_dispensed_this_fill.value.value) == 10
    assert Decimal(message.quantity_remaining_this_fill.value.value) == 20
    assert (message.fills_done, message.refills_remaining, message.refills_allowed) == (0, 2, 2)
    (dispense,) = message.dispenses
    assert dispense.partial
    assert dispense.dispense_id == str(s.dispense_id(1))


def test_nothing_is_owed_when_every_fill_is_done() -> None:
    _, message = reply(Status.COMPLETED)
    assert not message.HasField("quantity_remaining_this_fill")
    assert (message.fills_done, message.refills_remaining) == (1, 0)


def test_the_end_says_why_and_what_was_forfeited() -> None:
    _, cancelled = reply(Status.CANCELLED)
    assert cancelled.end_reason.text == s.WHY.text
    _, expired = reply(Status.EXPIRED)
    assert Decimal(expired.quantity_forfeited.value.value) == 90


@by_status
def test_a_state_comes_back_from_its_snapshot_equal(status: Status) -> None:
    codec, state = PrescriptionStateCodec(), STORIES[status]().state
    assert codec.decode(codec.encode(state)) == state
