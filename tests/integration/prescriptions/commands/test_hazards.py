"""The ways in which a medicine is handed out twice, each tried over the wire."""

import asyncio
from datetime import timedelta
from typing import Any

import grpc

from eventkernel_grpc import RemoteError
from prescriptions.testing import stories as s


async def outcomes(*calls: Any) -> list[Any]:
    return list(await asyncio.gather(*calls, return_exceptions=True))


def reasons(answers: list[Any]) -> list[str]:
    return [answer.reason for answer in answers if isinstance(answer, RemoteError)]


async def test_two_pharmacies_race_to_claim_and_one_of_them_has_it(server: Any, serve: Any, case: Any) -> None:
    other = await serve()
    for _ in range(5):
        it = await case().issued()
        answers = await outcomes(
            *(each.call(it.claim(), s.AT_CORNER) for each in (server, other)),
            *(each.call(it.claim(s.HARBOUR), s.AT_HARBOUR) for each in (server, other)),
        )
        assert sum(not isinstance(answer, Exception) for answer in answers) == 1
        assert set(reasons(answers)) <= {"PRESCRIPTION_WITH_ANOTHER_DISPENSER", "INVALID_STATE_TRANSITION"}
        assert (await server.events(it.id)).count("PrescriptionClaimed") == 1


async def test_a_retry_after_a_lost_answer_hands_out_nothing_more(server: Any, case: Any) -> None:
    it = await case(refills_allowed=0).claimed()
    dispensing = it.dispense(30, 1)
    answers = await outcomes(*(server.call(dispensing, s.AT_CORNER) for _ in range(8)))
    assert all(answer == answers[0] for answer in answers)
    assert (await server.events(it.id)).count("MedicationDispensed") == 1


async def test_two_terminals_hand_out_one_fill_once(server: Any, serve: Any, case: Any) -> None:
    it = await case().claimed()
    other = await serve()
    answers = await outcomes(
        server.call(it.dispense(30, 1, expected_version=4), s.AT_CORNER),
        other.call(it.dispense(30, 2, expected_version=4), s.AT_CORNER),
    )
    assert reasons(answers) == ["VERSION_CONFLICT"]
    again = await case().claimed()
    answers = await outcomes(
        server.call(again.dispense(30, 1), s.AT_CORNER), other.call(again.dispense(30, 2), s.AT_CORNER)
    )
    assert len(reasons(answers)) == 1
    assert (await server.events(again.id)).count("MedicationDispensed") == 1


async def test_a_late_dispense_after_return_cancel_or_expiry_is_refused(server: Any, case: Any) -> None:
    returned = await case().claimed()
    late = returned.dispense(30, 1)
    await server.call(returned.give_back(), s.AT_CORNER)
    assert (await server.refused(late, s.AT_CORNER)).code is grpc.StatusCode.FAILED_PRECONDITION
    await server.call(returned.cancel())
    assert (await server.refused(late, s.AT_CORNER)).reason == "INVALID_STATE_TRANSITION"
    expired = await case().claimed()
    await server.clock.advance(timedelta(days=800).total_seconds())
    assert (await server.refused(expired.dispense(30, 1), s.AT_CORNER)).reason == "PRESCRIPTION_EXPIRED"


async def test_parts_never_exceed_the_whole(server: Any, case: Any) -> None:
    it = await case().claimed()
    answers = await outcomes(*(server.call(it.part(12, number), s.AT_CORNER) for number in range(1, 6)))
    assert sum(not isinstance(answer, Exception) for answer in answers) == 2
    assert set(reasons(answers)) == {"QUANTITY_EXCEEDED"}
    assert (await server.refused(it.dispense(18, 9), s.AT_CORNER)).reason == "QUANTITY_EXCEEDED"


async def test_a_reversed_dispense_cannot_be_replayed_under_a_new_request(server: Any, case: Any) -> None:
    it = await case().claimed()
    await server.call(it.dispense(30, 1), s.AT_CORNER)
    await server.call(it.reverse(1), s.AT_CORNER)
    assert (await server.refused(it.dispense(30, 1), s.AT_CORNER)).reason == "DUPLICATE_DISPENSE"


async def test_a_claim_token_of_another_claim_opens_nothing(server: Any, case: Any) -> None:
    it, other = await case().claimed(), await case().claimed()
    it.token = other.token
    error = await server.refused(it.dispense(30, 1), s.AT_CORNER)
    assert (error.code, error.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_CLAIM_HOLDER")


async def test_a_clock_that_is_behind_does_not_revive_what_has_expired(server: Any, case: Any) -> None:
    it = await case().issued()
    await server.clock.advance(timedelta(days=800).total_seconds())
    await server.call(it.expire(), s.SYSTEM)
    server.clock.set(s.START)
    assert (await server.refused(it.claim(), s.AT_CORNER)).reason == "PRESCRIPTION_EXPIRED"


async def test_a_caller_that_gives_up_can_ask_again(server: Any, case: Any) -> None:
    it = await case().issued()
    claiming = it.claim()
    calls = [asyncio.create_task(server.call(claiming, s.AT_CORNER)) for _ in range(3)]
    await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    first = await server.call(claiming, s.AT_CORNER)
    assert first == await server.call(claiming, s.AT_CORNER)
    assert (await server.events(it.id)).count("PrescriptionClaimed") == 1
