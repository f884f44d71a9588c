import pytest

from eventkernel.envelope import Actor, Provenance
from eventkernel_grpc import metadata
from eventkernel_grpc.errors import MetadataInvalid

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
FULL = Provenance(Actor("p-1", "prescriber", "org-1"), "TREATMENT", "co-1", "ca-1", TRACE)


def read(**values: str) -> dict[str, str | bytes]:
    return metadata.read([(key.replace("_", "-"), value) for key, value in values.items()])


def test_what_a_client_sends_is_what_the_server_reads() -> None:
    found = metadata.read(metadata.call_metadata(tenant="t-1", provenance=FULL, token=b"\0\1"))
    assert metadata.tenant_of(found) == "t-1"
    assert metadata.provenance_of(found, actor_required=True) == FULL
    assert metadata.consistency_of(found) == b"\0\1"


def test_without_a_tenant_it_is_the_default_one() -> None:
    assert metadata.tenant_of({}) == "default"


@pytest.mark.parametrize("tenant", ["", "A", "a/b", "x" * 64, "../x"])
def test_tenant_that_breaks_its_rule_is_refused_by_its_key(tenant: str) -> None:
    with pytest.raises(MetadataInvalid) as caught:
        metadata.tenant_of({"erx-tenant": tenant})
    assert caught.value.key == "erx-tenant"


@pytest.mark.parametrize("missing", ["erx-actor-id", "erx-actor-role"])
def test_command_without_its_actor_is_refused_by_the_missing_key(missing: str) -> None:
    found = metadata.read(metadata.call_metadata(provenance=FULL))
    del found[missing]
    with pytest.raises(MetadataInvalid) as caught:
        metadata.provenance_of(found, actor_required=True)
    assert caught.value.key == missing


def test_query_may_come_without_an_actor_but_not_with_half_of_one() -> None:
    assert metadata.provenance_of({}, actor_required=False).actor == metadata.NOBODY
    with pytest.raises(MetadataInvalid):
        metadata.provenance_of(read(erx_actor_id="p-1"), actor_required=False)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("erx-actor-id", "with space"),
        ("erx-actor-id", "x" * 129),
        ("erx-actor-role", "Prescriber"),
        ("erx-purpose", "treatment"),
        ("erx-correlation-id", "a\nb"),
        ("erx-causation-id", "é"),
        ("erx-organisation-id", " "),
    ],
)
def test_value_that_breaks_its_rule_is_refused_without_being_repeated(key: str, value: str) -> None:
    found = metadata.read(metadata.call_metadata(provenance=FULL)) | {key: value}
    with pytest.raises(MetadataInvalid) as caught:
        metadata.provenance_of(found, actor_required=True)
    assert caught.value.key == key
    assert value == " " or value not in str(caught.value)


def test_key_of_ours_given_twice_is_refused_and_a_foreign_one_is_not() -> None:
    assert metadata.read([("x", "1"), ("x", "2")]) == {"x": "2"}
    with pytest.raises(MetadataInvalid) as caught:
        metadata.read([("erx-tenant", "a"), ("erx-tenant", "b")])
    assert caught.value.key == "erx-tenant"


@pytest.mark.parametrize(
    "value",
    [
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        TRACE + "-more",
        "",
    ],
)
def test_traceparent_that_breaks_the_standard_is_ignored(value: str) -> None:
    assert metadata.traceparent_of({"traceparent": value}) == ""


def test_traceparent_of_a_later_version_is_taken_with_what_follows() -> None:
    later = "01" + TRACE[2:] + "-more"
    assert metadata.traceparent_of({"traceparent": later}) == later
    assert metadata.trace_id(TRACE) == "4bf92f3577b34da6a3ce929d0e0e4736"
