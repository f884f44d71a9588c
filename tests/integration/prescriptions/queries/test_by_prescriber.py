"""What waits for a prescriber, by the moment it is asked."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import grpc
import pytest

from erx.prescriptions.v1 import worklists_pb2 as wl
from eventkernel_grpc import RemoteError, remote_errors
from prescriptions.domain import commands as c
from prescriptions.domain.values import PersonRef
from prescriptions.testing.recorded import TimedStory, prescription, untold
from prescriptions.testing.stories import AUTHOR, HARBOUR, OTHER_PRESCRIBER, PRESCRIBER, START, WHY, Story, content

SIGN, ISSUE, UNANSWERED = wl.INBOX_TASK_SIGN, wl.INBOX_TASK_ISSUE, wl.INBOX_TASK_UNANSWERED


def written(days: int, **changes: Any) -> Story:
    return untold(**changes).later(days=days).create()


def issued(days: int, **changes: Any) -> Story:
    return written(days, **changes).sign().issue()


def of_another() -> TimedStory:
    story = TimedStory(content(prescriber=PersonRef("dr-brown", npi="1245319599")))
    story.create(OTHER_PRESCRIBER)
    return story


# Numbered from 1; as seen twenty days later.
TOLD: dict[int, Callable[[], Story]] = {
    1: lambda: written(3),
    2: lambda: written(2).later(days=2).sign(),
    3: lambda: issued(1),
    4: lambda: issued(15, nominated=HARBOUR),
    5: lambda: issued(5).claim(),
    6: lambda: issued(6).claim().give_back(),
    7: lambda: issued(7, refills_allowed=0).claim().dispense(30, 1),
    8: lambda: issued(8).do(c.SuspendPrescription(WHY), PRESCRIBER),
    9: lambda: issued(9).do(c.CancelPrescription(WHY), PRESCRIBER),
    10: of_another,
}


async def tell_all(side: Any) -> None:
    for number, story in TOLD.items():
        await side.write(number, story())
    await side.project()
    side.at(START + timedelta(days=20))


async def inbox(side: Any, *tasks: Any, prescriber: str = AUTHOR.id, **fields: Any) -> list[tuple[int, Any]]:
    numbers = {prescription(number): number for number in TOLD}
    request = wl.FetchByPrescriberRequest(prescriber_id=prescriber, tasks=tasks, **fields)
    reply = await side.ask("FetchByPrescriber", request)
    return [(numbers[entry.prescription_id], entry.task) for entry in reply.entries]


async def test_a_prescriber_sees_what_waits_the_longest_wait_first(side: Any) -> None:
    await tell_all(side)
    assert await inbox(side) == [(3, UNANSWERED), (1, SIGN), (2, ISSUE), (6, UNANSWERED), (4, UNANSWERED)]


async def test_another_prescriber_sees_their_own(side: Any) -> None:
    await tell_all(side)
    assert await inbox(side, prescriber="dr-brown") == [(10, SIGN)]
    assert await inbox(side, prescriber="dr-green") == []


@pytest.mark.parametrize(("task", "found"), [(SIGN, [1]), (ISSUE, [2]), (UNANSWERED, [3, 6, 4])])
async def test_one_task_alone_has_all_that_belongs_to_it(side: Any, task: Any, found: list[int]) -> None:
    await tell_all(side)
    assert await inbox(side, task) == [(number, task) for number in found]


async def test_unanswered_counts_the_days_until_it_is_asked(side: Any) -> None:
    await tell_all(side)
    assert await inbox(side, UNANSWERED, unanswered_days=5) == [(3, UNANSWERED), (6, UNANSWERED)]
    side.at(START + timedelta(days=20, microseconds=1))
    assert await inbox(side, UNANSWERED, unanswered_days=5) == [(3, UNANSWERED), (6, UNANSWERED), (4, UNANSWERED)]


async def test_the_days_narrow_no_other_task(side: Any) -> None:
    await tell_all(side)
    assert await inbox(side, unanswered_days=3_000) == [(1, SIGN), (2, ISSUE)]


async def test_what_has_run_out_of_time_waits_for_nobody(side: Any) -> None:
    await tell_all(side)
    side.at(START + timedelta(days=2_000))
    assert await inbox(side) == [(1, SIGN), (2, ISSUE)]


async def test_a_draft_waits_since_its_newest_change(side: Any) -> None:
    story = written(0).later(days=4)
    await side.told(1, story.do(c.AmendPrescription(content(days_supply=20)), PRESCRIBER))
    (entry,) = (await side.ask("FetchByPrescriber", wl.FetchByPrescriberRequest(prescriber_id=AUTHOR.id))).entries
    assert entry.since_time.ToDatetime() == (START + timedelta(days=4)).replace(tzinfo=None)
    assert (entry.version, entry.patient_id, entry.medication_text) == (2, "patient-1", "amoxicillin 500 mg")
    assert len(entry.content_sha256) == 32


async def test_pages_put_together_are_the_whole_though_time_goes_on(side: Any) -> None:
    await tell_all(side)
    whole = await inbox(side)
    request = wl.FetchByPrescriberRequest(prescriber_id=AUTHOR.id, page_size=2)
    found: list[str] = []
    for minutes in range(3):
        side.at(START + timedelta(days=20, minutes=minutes))
        reply = await side.ask("FetchByPrescriber", request)
        found += [entry.prescription_id for entry in reply.entries]
        request.page_token = reply.next_page_token
    assert (found, request.page_token) == ([prescription(number) for number, _ in whole], "")


async def test_a_page_token_is_for_the_same_question(side: Any) -> None:
    await tell_all(side)
    first = wl.FetchByPrescriberRequest(prescriber_id=AUTHOR.id, page_size=1)
    token = (await side.ask("FetchByPrescriber", first)).next_page_token
    for changed in ({"tasks": [SIGN]}, {"unanswered_days": 1}, {"prescriber_id": "dr-brown"}):
        other = wl.FetchByPrescriberRequest(**{"prescriber_id": AUTHOR.id, "page_token": token, **changed})
        with pytest.raises(RemoteError) as failed, remote_errors():
            await side.ask("FetchByPrescriber", other)
        assert failed.value.reason == "BAD_PAGE_TOKEN"


async def test_the_inboxes_of_tenants_are_apart(side: Any) -> None:
    await side.told(1, written(0), tenant="north")
    assert await inbox(side) == []


@pytest.mark.parametrize(
    "wrong", [{"prescriber_id": ""}, {"unanswered_days": -1}, {"unanswered_days": 3_651}, {"tasks": [0]}]
)
async def test_what_cannot_be_asked_is_refused(side: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(RemoteError) as failed, remote_errors():
        await side.ask("FetchByPrescriber", wl.FetchByPrescriberRequest(**{"prescriber_id": AUTHOR.id, **wrong}))
    assert failed.value.code is grpc.StatusCode.INVALID_ARGUMENT
