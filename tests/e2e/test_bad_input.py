"""What a caller may get wrong, and the answer to each: code, reason, and where the mistake is."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from bootstrap.testing.calls import Caller, request, signing
from eventkernel.envelope import Actor
from eventkernel_grpc import RemoteError, call_metadata, remote_errors
from prescriptions.domain.values import PersonRef, PharmacyRef, Schedule
from prescriptions.testing import stories
from prescriptions.wire.content import content_to_reply
from prescriptions.wire.values import pharmacy_to

NOBODY = "00000000-0000-4000-8000-000000000000"
IMPORTER = Actor("dr-grey", "import")


@dataclass(frozen=True)
class Bad:
    """A command or query that is refused; ``content`` changes what is written, ``place`` is the field that is named."""

    what: str
    method: str
    code: str
    reason: str
    place: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    content: dict[str, Any] = field(default_factory=dict)
    message: dict[str, Any] = field(default_factory=dict)


def wrong_person(**numbers: str) -> dict[str, Any]:
    return {"prescriber": PersonRef("dr-grey", **{"npi": stories.AUTHOR.npi, "dea_number": "AP5836727", **numbers})}


CREATE, LIST = "CreatePrescription", "FetchAllPrescriptions"
INVALID = "INVALID_ARGUMENT"
BAD = (
    Bad(
        "an enum value that does not exist",
        CREATE,
        INVALID,
        "INVALID_REQUEST",
        "content.schedule",
        message={"schedule": 77},
    ),
    Bad("an enum that is not said", CREATE, INVALID, "INVALID_REQUEST", "content.schedule", message={"schedule": 0}),
    Bad(
        "a patient who is missing", CREATE, INVALID, "INVALID_REQUEST", "content.patient_id", message={"patient_id": ""}
    ),
    Bad(
        "more refills than there can be",
        CREATE,
        INVALID,
        "INVALID_REQUEST",
        "content.refills_allowed",
        message={"refills_allowed": 100},
    ),
    Bad(
        "a text that is too long",
        CREATE,
        INVALID,
        "INVALID_REQUEST",
        "content.medication_text",
        message={"medication_text": "x" * 1001},
    ),
    Bad(
        "a text that no store can keep",
        CREATE,
        INVALID,
        "INVALID_REQUEST",
        "content.medication_text",
        message={"medication_text": "amoxi\0cillin"},
    ),
    Bad("an NPI with a wrong check digit", CREATE, INVALID, "INVALID_NPI", content=wrong_person(npi="1234567890")),
    Bad(
        "a DEA number with a wrong check digit",
        CREATE,
        INVALID,
        "INVALID_DEA",
        content={**wrong_person(dea_number="AP5836728"), "schedule": Schedule.II},
    ),
    Bad(
        "a wrong DEA number where none is needed", CREATE, INVALID, "INVALID_DEA", content=wrong_person(dea_number="X")
    ),
    Bad(
        "an NCPDP id with a wrong check digit",
        CREATE,
        INVALID,
        "INVALID_NCPDP_ID",
        content={"nominated": PharmacyRef("9900008", "1245319599", "Corner Pharmacy")},
    ),
    Bad(
        "refills of what may not be refilled",
        CREATE,
        INVALID,
        "REFILLS_NOT_ALLOWED",
        content={"schedule": Schedule.II, "refills_allowed": 1},
    ),
    Bad("a request id that is no UUID", CREATE, INVALID, "INVALID_REQUEST", "request_id", {"request_id": "twelve"}),
    Bad("no content", CREATE, INVALID, "INVALID_REQUEST", "content", {"content": None}),
    Bad("a stale version", CREATE, "ABORTED", "VERSION_CONFLICT", fields={"expected_version": 7}),
    Bad("an unknown prescription", "FetchPrescription", "NOT_FOUND", "NOT_FOUND", fields={"prescription_id": NOBODY}),
    Bad("the history of nobody", "FetchHistory", "NOT_FOUND", "NOT_FOUND", fields={"prescription_id": NOBODY}),
    Bad(
        "an id that is no UUID",
        "FetchPrescription",
        INVALID,
        "INVALID_REQUEST",
        "prescription_id",
        {"prescription_id": "1"},
    ),
    Bad("a page of negative size", LIST, INVALID, "INVALID_REQUEST", "page_size", {"page_size": -1}),
    Bad("a page that is too large", LIST, INVALID, "INVALID_REQUEST", "page_size", {"page_size": 201}),
    Bad("a page token that is broken", LIST, INVALID, "BAD_PAGE_TOKEN", fields={"page_token": "bm90IGEgdG9rZW4"}),
    Bad("a token that is broken", LIST, INVALID, "INVALID_FIELD", "token", {"token": b"\xff\xfe"}),
    Bad("a text with NUL", LIST, INVALID, "INVALID_REQUEST", "filter.text", {"filter": {"text": "amoxi\0cillin"}}),
    Bad("an order that does not exist", LIST, INVALID, "INVALID_REQUEST", "order_by", {"order_by": 99}),
    Bad("no point in time", "FetchAsOf", INVALID, "INVALID_REQUEST", "point", {"prescription_id": NOBODY}),
    Bad("a view that does not exist", "ProjectionStatus", INVALID, "INVALID_FIELD", "views[0]", {"views": ["nothing"]}),
)


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.what)
async def test_what_is_wrong_is_named_with_its_field_and_rule(calling: Any, bad: Bad) -> None:
    async with calling() as c:
        with pytest.raises(RemoteError) as refused:
            await give(c, bad)
        error = refused.value
        assert (error.code.name, error.reason) == (bad.code, bad.reason), error
        if bad.place:
            assert bad.place in {violation.field for violation in error.violations}
        if bad.method == CREATE:
            assert (await c.ask(LIST, include_total=True)).total_size == 0


async def give(c: Caller, bad: Bad) -> None:
    if bad.method != CREATE:
        await c.ask(bad.method, **bad.fields)
        return
    content = content_to_reply(stories.content(**bad.content))
    for name, value in bad.message.items():
        setattr(content, name, value)
    await c.do(CREATE, **{"content": content, **bad.fields})


async def test_a_version_that_is_not_the_head_is_told_with_both_versions(calling: Any) -> None:
    async with calling() as c:
        draft = (await c.write()).prescription
        await c.do("SignPrescription", **signing(draft))
        with pytest.raises(RemoteError) as refused:
            await c.do("IssuePrescription", prescription_id=draft.prescription_id, expected_version=1)
        assert refused.value.reason == "VERSION_CONFLICT"
        assert (refused.value.metadata["expected"], refused.value.metadata["actual"]) == ("1", "2")


async def test_a_request_id_is_one_commands_own(calling: Any) -> None:
    async with calling() as c:
        made = str(uuid4())
        first = await c.write(request_id=made)
        assert (await c.write(request_id=made)) == first
        with pytest.raises(RemoteError) as refused:
            await c.write(request_id=made, refills_allowed=7)
        assert (refused.value.code.name, refused.value.reason) == ("ALREADY_EXISTS", "IDEMPOTENCY_MISMATCH")
        assert len(await c.history(first.prescription.prescription_id)) == 1


async def test_a_message_that_is_too_large_is_refused_and_the_server_goes_on(calling: Any) -> None:
    async with calling() as c:
        content = content_to_reply(stories.content())
        content.dosage.text = "x" * 2_000_000
        with pytest.raises(RemoteError) as refused:
            await c.do(CREATE, content=content)
        assert refused.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await c.write()).version == 1


PAGE = "/erx.prescriptions.v1.PrescriptionQueryService/FetchAllPrescriptions"
WRITE = "/erx.prescriptions.v1.PrescriptionCommandService/CreatePrescription"


@pytest.mark.parametrize(
    ("metadata", "place"),
    [
        ((), "erx-actor-id"),
        ((("erx-actor-id", "dr-grey"),), "erx-actor-role"),
        ((("erx-actor-id", "dr-grey"), ("erx-actor-role", "Prescriber")), "erx-actor-role"),
        ((("erx-actor-id", "x" * 129), ("erx-actor-role", "prescriber")), "erx-actor-id"),
        ((("erx-tenant", "../other"), ("erx-actor-id", "a"), ("erx-actor-role", "prescriber")), "erx-tenant"),
        (
            (("erx-tenant", "a"), ("erx-tenant", "b"), ("erx-actor-id", "a"), ("erx-actor-role", "prescriber")),
            "erx-tenant",
        ),
    ],
)
async def test_metadata_that_breaks_its_rule_is_named_by_its_key(calling: Any, metadata: Any, place: str) -> None:
    async with calling() as c:
        made = request(CREATE, request_id=str(uuid4()), content=content_to_reply(stories.content()))
        with pytest.raises(RemoteError) as refused, remote_errors():
            await c.commands.unary_unary(WRITE)(made.SerializeToString(), metadata=metadata, timeout=20)
        assert (refused.value.code.name, refused.value.reason) == (INVALID, "INVALID_METADATA")
        assert place in refused.value.message


async def test_bytes_that_are_no_message_are_refused(calling: Any) -> None:
    async with calling() as c:
        metadata = call_metadata(tenant=c.tenant, actor=stories.PRESCRIBER)
        for opened, method in ((c.commands, WRITE), (c.queries, PAGE)):
            with pytest.raises(RemoteError) as refused, remote_errors():
                await opened.unary_unary(method)(b"\xff\xff\xff\xff", metadata=metadata, timeout=20)
            assert (refused.value.code.name, refused.value.reason) == (INVALID, "MALFORMED_REQUEST")


def stamp(moment: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(moment)
    return made


async def test_effective_time_lies_near_the_clock_unless_the_role_may_backdate(calling: Any) -> None:
    now = datetime.now(UTC)
    content = content_to_reply(stories.content())
    async with calling() as c:
        for moment in (now - timedelta(days=30), now + timedelta(hours=1)):
            with pytest.raises(RemoteError) as refused:
                await c.do(CREATE, content=content, effective_time=stamp(moment))
            assert refused.value.code.name in (INVALID, "FAILED_PRECONDITION", "PERMISSION_DENIED")
            assert "effective_time" in str(refused.value)
        with pytest.raises(RemoteError):
            await c.do(CREATE, content=content, effective_time=stamp(now + timedelta(hours=1)), actor=IMPORTER)
        near = await c.do(CREATE, content=content, effective_time=stamp(now - timedelta(seconds=5)))
        assert near.prescription.create_time.ToDatetime(UTC) == stamp(now - timedelta(seconds=5)).ToDatetime(UTC)
        past = now - timedelta(days=365)
        old = await c.do(CREATE, content=content, effective_time=stamp(past), actor=IMPORTER)
        assert old.prescription.create_time.ToDatetime(UTC) == past
        assert old.prescription.record_time.ToDatetime(UTC) >= now - timedelta(seconds=1)


async def test_time_does_not_run_backwards_within_a_prescription(calling: Any) -> None:
    now = datetime.now(UTC)
    async with calling() as c:
        draft = await c.do(
            CREATE,
            content=content_to_reply(stories.content()),
            effective_time=stamp(now - timedelta(days=10)),
            actor=IMPORTER,
        )
        with pytest.raises(RemoteError) as refused:
            await c.do(
                "SignPrescription",
                **signing(draft.prescription),
                effective_time=stamp(now - timedelta(days=11)),
                actor=IMPORTER,
            )
        assert "effective_time" in str(refused.value)


async def test_a_command_out_of_turn_tells_the_state_and_what_is_allowed(calling: Any) -> None:
    async with calling() as c:
        draft = (await c.write()).prescription
        with pytest.raises(RemoteError) as refused:
            await c.claim(draft.prescription_id)
        assert (refused.value.code.name, refused.value.reason) == ("FAILED_PRECONDITION", "INVALID_STATE_TRANSITION")
        assert refused.value.metadata["state"] == "DRAFT"
        assert "SignPrescription" in refused.value.metadata["allowed"]


async def test_a_claim_token_is_not_guessed_and_not_another_pharmacys(calling: Any) -> None:
    async with calling() as c:
        one = (await c.issued()).prescription.prescription_id
        claim = await c.claim(one)
        with pytest.raises(RemoteError) as refused:
            await c.dispense(one, "guessed")
        assert (refused.value.code.name, refused.value.reason) == ("PERMISSION_DENIED", "NOT_CLAIM_HOLDER")
        with pytest.raises(RemoteError) as refused:
            await c.dispense(one, claim.claim_token, actor=stories.AT_HARBOUR)
        assert refused.value.code.name == "PERMISSION_DENIED"
        with pytest.raises(RemoteError) as refused:
            await c.claim(one, stories.HARBOUR)
        assert refused.value.reason == "PRESCRIPTION_WITH_ANOTHER_DISPENSER"
        assert pharmacy_to(stories.CORNER) == claim.prescription.claim.pharmacy
