import pytest

from erx.eventlog.v1.consistency_pb2 import ConsistencyMode, Freshness
from erx.prescriptions.v1.lifecycle_commands_pb2 import IssuePrescriptionRequest, IssuePrescriptionResponse
from erx.prescriptions.v1.query_service_pb2 import FetchPrescriptionRequest, FetchPrescriptionResponse
from erx_client import Actor
from erx_client.exchange import Exchange
from erx_client.seen import Seen
from eventkernel.envelope import StreamPosition
from eventkernel.errors import InvalidCommand
from eventkernel_grpc import decode_token, encode_token
from eventkernel_grpc.tokens import BYTES_MAX, POSITIONS_MAX

TENANT = "clinic"


def token_of(stream: str, version: int, tenant: str = TENANT) -> bytes:
    return encode_token([StreamPosition("prescriptions", stream, version)], tenant=tenant)


def versions(seen: Seen) -> dict[str, int]:
    return {position.stream: position.version for position in decode_token(seen.token, tenant=TENANT)}


def test_a_session_remembers_of_each_stream_the_newest_version() -> None:
    seen = Seen(TENANT)
    for stream, version in (("prescription-a", 2), ("prescription-b", 7), ("prescription-a", 1)):
        seen.add(token_of(stream, version))
    assert versions(seen) == {"prescription-a": 2, "prescription-b": 7}


def test_beyond_what_a_token_holds_the_oldest_is_forgotten() -> None:
    seen = Seen(TENANT)
    names = [f"prescription-{number:03}" for number in range(POSITIONS_MAX + 2)]
    for name in names:
        seen.add(token_of(name, 1))
        seen.add(token_of(names[0], 1))  # what is seen again is not old
    assert set(versions(seen)) == {names[0], *names[3:]}


def test_a_token_never_grows_beyond_what_metadata_may_hold() -> None:
    seen = Seen(TENANT)
    for number in range(POSITIONS_MAX):
        seen.add(token_of(f"prescription-{number:0>110}", 1))
    assert 0 < len(seen.token) <= BYTES_MAX
    assert f"prescription-{POSITIONS_MAX - 1:0>110}" in versions(seen)


def test_a_token_of_another_tenant_is_refused() -> None:
    with pytest.raises(InvalidCommand):
        Seen(TENANT).add(token_of("prescription-a", 1, "elsewhere"))


def test_without_a_tenant_tokens_are_the_default_ones() -> None:
    seen = Seen()
    seen.add(token_of("prescription-a", 1, "default"))
    assert seen.token


def test_a_command_without_an_id_gets_one_and_the_callers_message_stays_as_it_is() -> None:
    given = IssuePrescriptionRequest(prescription_id="p")
    sent = Exchange().request(given)
    assert len(sent.request_id) == 36
    assert given.request_id == ""
    assert Exchange().request(given).request_id != sent.request_id


def test_an_id_that_the_caller_chose_is_kept() -> None:
    given = IssuePrescriptionRequest(request_id="mine")
    assert Exchange().request(given) is given


def test_a_query_is_as_fresh_as_the_session_wants_unless_it_says_otherwise() -> None:
    exchange = Exchange(consistency=ConsistencyMode.CONSISTENCY_MODE_OVERLAY)
    assert exchange.request(FetchPrescriptionRequest()).consistency == ConsistencyMode.CONSISTENCY_MODE_OVERLAY
    own = FetchPrescriptionRequest(consistency=ConsistencyMode.CONSISTENCY_MODE_ANY)
    assert exchange.request(own) is own


def test_what_commands_and_answers_show_goes_along_with_the_next_query() -> None:
    exchange = Exchange(tenant=TENANT, actor=Actor("dr-1", "prescriber"), seen=Seen(TENANT))
    assert "erx-consistency-bin" not in dict(exchange.metadata(FetchPrescriptionRequest()))
    exchange.answered(IssuePrescriptionResponse(token=token_of("prescription-a", 3)))
    exchange.answered(FetchPrescriptionResponse(as_of=Freshness(token=token_of("prescription-b", 4))))
    exchange.answered(FetchPrescriptionResponse())
    metadata = dict(exchange.metadata(FetchPrescriptionRequest()))
    assert metadata["erx-tenant"] == TENANT
    assert metadata["erx-actor-role"] == "prescriber"
    assert metadata["erx-consistency-bin"] == exchange.seen.token
    assert versions(exchange.seen) == {"prescription-a": 3, "prescription-b": 4}


def test_commands_do_not_carry_what_was_seen() -> None:
    exchange = Exchange(tenant=TENANT, seen=Seen(TENANT))
    exchange.seen.add(token_of("prescription-a", 3))
    assert "erx-consistency-bin" not in dict(exchange.metadata(IssuePrescriptionRequest()))
