"""The catalogue tells every event there is, and the AsyncAPI file is what the specification and the events' bytes say it is."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema
import pytest
import yaml
from google.protobuf.json_format import MessageToDict

from bootstrap.checkout import ROOT
from bootstrap.schemas import asyncapi, catalogue
from bootstrap.schemas.contexts import EventContext, contexts
from bootstrap.schemas.described import Described, describe
from bootstrap.schemas.headers import HEADERS
from bootstrap.schemas.images import written
from eventkernel.envelope import Actor, EventMeta, Provenance, RecordedEvent
from eventkernel.ids import StreamId
from eventkernel.runtime.cloudevents import to_message

SCHEMA = ROOT / "tests" / "data" / "asyncapi" / "asyncapi-3.0.0.json"
CONTEXTS = contexts()
SHAPES = [(context, *shape) for context in CONTEXTS for shape in context.messages]
by_shape = pytest.mark.parametrize(("context", "event_type", "version"), SHAPES, ids=[f"{t}-{v}" for _, t, v in SHAPES])


@pytest.fixture(scope="module")
def described() -> Described:
    return describe(written(ROOT / "protos", ROOT / "protos" / "third_party"))


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text())
    return loaded


def golden_files(context: EventContext, event_type: str, version: int) -> list[Path]:
    folder = ROOT / context.golden / f"v{version}"
    return [path for path in sorted(folder.glob("*.binpb")) if path.name.split(".")[0].split("-")[0] == event_type]


def test_the_asyncapi_file_is_valid_by_the_specifications_own_schema(document: dict[str, Any]) -> None:
    validator = jsonschema.Draft7Validator(json.loads(SCHEMA.read_text()))
    assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)] == []


def test_a_document_without_an_address_or_with_an_unknown_action_would_not_be(document: dict[str, Any]) -> None:
    validator = jsonschema.Draft7Validator(json.loads(SCHEMA.read_text()))
    operation = next(iter(document["operations"].values()))
    broken = {**document, "operations": {"shout": {**operation, "action": "shout"}}}
    assert list(validator.iter_errors(broken))
    assert list(validator.iter_errors({**document, "asyncapi": "3.0"}))


def test_every_reference_of_the_asyncapi_file_leads_somewhere(document: dict[str, Any]) -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if "$ref" in value else []
            return own + [found for item in value.values() for found in references(item)]
        return [found for item in value for found in references(item)] if isinstance(value, list) else []

    found = references(document)
    assert found
    for reference in found:
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


@by_shape
def test_golden_bytes_are_what_the_payloads_schema_says(
    context: EventContext, event_type: str, version: int, document: dict[str, Any]
) -> None:
    message = context.messages[event_type, version]
    name = message.DESCRIPTOR.full_name
    schema = {**document, "$ref": f"#/components/schemas/{name}"}
    for path in golden_files(context, event_type, version):
        said = MessageToDict(message.FromString(path.read_bytes()), preserving_proto_field_name=True)
        jsonschema.Draft7Validator(schema).validate(said)
        assert said.keys() <= document["components"]["schemas"][name].get("properties", {}).keys()


@by_shape
def test_both_documents_tell_every_shape_with_all_its_fields(
    context: EventContext, event_type: str, version: int, document: dict[str, Any], described: Described
) -> None:
    page = (ROOT / "docs" / "events.md").read_text()
    message = described.messages[catalogue.wire_name(context, event_type, version)]
    assert message.full_name in document["components"]["messages"]
    part = page.partition(f"**Version {version}**: `{message.full_name}`")[2].partition("**Version")[0]
    for field in message.fields:
        assert field.comment, f"{message.full_name}.{field.name} has no comment"
        assert f"| {field.number} | `{field.name}` | {catalogue.type_text(field)} | {field.comment} |" in part


@by_shape
def test_every_link_within_the_page_leads_to_a_heading(
    context: EventContext, event_type: str, version: int, described: Described
) -> None:
    page = (ROOT / "docs" / "events.md").read_text()
    headings = {line.lstrip("# ").lower().replace(".", "") for line in page.splitlines() if line.startswith("#")}
    for field in described.messages[catalogue.wire_name(context, event_type, version)].fields:
        if not field.is_scalar and not field.type.startswith("google.protobuf."):
            assert field.type.lower().replace(".", "") in headings


def test_the_headers_told_are_those_that_the_relay_writes() -> None:
    moment = datetime(2026, 3, 14, tzinfo=UTC)
    said = Provenance(Actor("a", "system"), "", "correlation", "causation", "trace")
    event = RecordedEvent(
        StreamId("t", "order-1"), 1, UUID(int=1), "Placed", 1, b"", EventMeta(moment, moment, UUID(int=2), said)
    )
    wire: Any = lambda name, version: f"{name}{version}"  # noqa: E731
    whole = to_message(event, topic="t", source="/s", wire_name=wire)
    assert {name for name, _ in whole.headers} == {header.name for header in HEADERS}
    silent = Provenance(Actor("a", "system"))
    event = RecordedEvent(
        event.stream, 1, event.event_id, "Placed", 1, b"", EventMeta(moment, moment, UUID(int=2), silent)
    )
    bare = to_message(event, topic="t", source="/s", wire_name=wire)
    assert [name for name, _ in bare.headers] == [header.name for header in HEADERS if header.always]


def test_another_contexts_events_need_nothing_but_to_be_registered(described: Described) -> None:
    other = replace(CONTEXTS[0], name="payments", topic="erx.payments.events.v1")
    data = asyncapi.as_data([*CONTEXTS, other], described, version="1")
    assert set(data["channels"]) == {"prescriptionsEvents", "paymentsEvents"}
    assert data["channels"]["paymentsEvents"]["address"] == "erx.payments.events.v1"
    assert "## Payments" in catalogue.page([*CONTEXTS, other], described)
