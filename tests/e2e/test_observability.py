"""What each kind of process tells: metrics over HTTP, health, one trace id in every log, on the bus and in history."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped] # its stubs are a package of their own

from bootstrap.bench.load import content_hash, content_message
from bootstrap.stores import TOPIC
from bootstrap.testing.calls import Caller, caller, request
from bootstrap.testing.data import stores_of
from bootstrap.testing.program import FREE_PORTS, Child, Erx, awaited, eventually
from erx.prescriptions.v1.command_service_pb2_grpc import PrescriptionCommandServiceStub
from eventkernel.envelope import Actor, Provenance
from eventkernel.runtime.cloudevents import from_record
from eventkernel_grpc import call_metadata
from localstack import Stack

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
PRESCRIBER = Actor("prescriber-bench", "prescriber", "practice-bench")
EVENTS = 3
ROLES = ("command", "relay", "projector", "query")


@dataclass(frozen=True)
class Running:
    """A process for each role, with its own metrics, its logs as JSON at the finest level."""

    roles: dict[str, Child]
    data: Path

    def metrics(self, role: str) -> dict[str, float]:
        """All samples over HTTP, by name and labels in their order."""
        return self.roles[role].metrics()

    async def sample(self, role: str, name: str, wanted: float) -> float:
        """The sample once it has this value."""

        async def reached() -> bool:
            return (await asyncio.to_thread(self.metrics, role)).get(name) == wanted

        assert await eventually(f"{name} of {wanted:g} from the {role} server", reached)
        return wanted

    def lines(self, role: str) -> list[dict[str, Any]]:
        """The lines of its log that carry the trace."""
        found = [json.loads(line) for line in self.roles[role].errors.splitlines() if line.endswith("}")]
        return [line for line in found if line.get("trace_id") == TRACE_ID]

    def caller(self, tenant: str) -> Any:
        return caller(self.roles["command"].address("command"), self.roles["query"].address("query"), tenant=tenant)


@pytest.fixture(params=["embedded", pytest.param("stack", marks=pytest.mark.stack)])
def running(request: pytest.FixtureRequest, erx: Erx, tmp_path: Path) -> Iterator[Running]:
    data = tmp_path / "data"
    data.mkdir()
    with ExitStack() as stack:
        if request.param == "stack":
            stack.enter_context(Stack(data / "stack"))
        words = ("--data", data, "--store", request.param, "--metrics-address", "127.0.0.1:0", *FREE_PORTS)
        logged = ("--log-format", "json", "--log-level", "debug")
        started = {role: erx.start("serve", role, *words, *logged) for role in ROLES}
        for child in started.values():
            child.says("ready")
        yield Running(started, data)
        for child in started.values():
            child.stopped()


async def traced(people: Caller, method: str, **fields: Any) -> Any:
    stub = PrescriptionCommandServiceStub(people.commands)
    metadata = call_metadata(tenant=people.tenant, provenance=Provenance(PRESCRIBER, traceparent=TRACEPARENT))
    return await getattr(stub, method)(request(method, **fields), metadata=metadata, timeout=30)


async def issue(people: Caller) -> str:
    """Three commands of one trace."""
    made = await traced(people, "CreatePrescription", request_id=ids(1), content=content_message())
    prescription_id: str = made.prescription.prescription_id
    signing = {"signature": b"s", "algorithm": "none", "certificate_id": "c", "factors": [1]}
    chosen = {"prescription_id": prescription_id, "content_sha256": content_hash(), **signing}
    await traced(people, "SignPrescription", request_id=ids(2), **chosen)
    await traced(people, "IssuePrescription", request_id=ids(3), prescription_id=prescription_id)
    return prescription_id


def ids(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


async def test_one_trace_id_and_every_metric_follow_a_prescription_through_all_parts(
    running: Running, tenant: str
) -> None:
    async with running.caller(tenant) as people:
        prescription_id = await issue(people)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await traced(people, "IssuePrescription", request_id=ids(4), prescription_id=prescription_id)
        shown = await people.ask("FetchPrescription", prescription_id=prescription_id, min_version=EVENTS)
        history = await people.history(prescription_id)
        status = await health_pb2_grpc.HealthStub(people.queries).Check(health_pb2.HealthCheckRequest())
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert shown.prescription.version == EVENTS
    assert [entry.envelope.traceparent for entry in history] == [TRACEPARENT] * EVENTS
    assert status.status == health_pb2.HealthCheckResponse.SERVING

    await every_metric(running)
    assert ("1", "published PrescriptionCreated") in told_by(running, "relay")
    assert ("1", "applied PrescriptionCreated") in told_by(running, "projector")
    calls = [line for line in running.lines("command") if "rpc_method" in line]
    assert {line["rpc_code"] for line in calls} == {"OK", "FAILED_PRECONDITION"}
    assert await headers(running) == {TRACEPARENT}


def told_by(running: Running, role: str) -> set[tuple[str, str]]:
    """Versions and events that a role has told of, in the trace, once it has told of all of them."""

    def told() -> set[tuple[str, str]]:
        found = {(str(line["version"]), str(line["event"])) for line in running.lines(role) if "version" in line}
        return found if len(found) == EVENTS else set()

    return awaited(f"lines of the {role} about {EVENTS} events", told, saw=lambda: running.lines(role))


async def every_metric(running: Running) -> None:
    await running.sample("projector", "erx_view_events_total prescription_view", EVENTS)
    await running.sample("query", "erx_view_events_behind", 0)
    await running.sample("relay", "erx_relay_lag_seconds_count", EVENTS)
    command = await asyncio.to_thread(running.metrics, "command")
    assert command["erx_commands_total CreatePrescription ACCEPTED"] == 1
    refused = {
        name: value for name, value in command.items() if name.startswith("erx_commands_total IssuePrescription")
    }
    assert sum(refused.values()) == 2, refused
    assert len(refused) == 2, refused
    assert command["erx_append_seconds_count appended"] == EVENTS
    assert command["erx_aggregate_cache_total hit"] >= 2
    assert command["erx_aggregate_cache_total miss"] >= 1
    assert command["erx_append_conflicts_total"] == command["erx_append_unknown_total"] == 0
    relay = await asyncio.to_thread(running.metrics, "relay")
    assert relay["erx_relay_published_total"] == EVENTS
    assert relay["erx_outbox_events"] >= 0
    assert relay["erx_outbox_oldest_timestamp_seconds"] >= 0
    for role in ("projector", "query"):
        told = await asyncio.to_thread(running.metrics, role)
        assert told["erx_view_lag_seconds"] >= 0
        assert told["erx_view_parked_streams prescription_view"] == 0


async def headers(running: Running) -> set[str]:
    """The trace contexts in headers and envelopes of all records on the bus."""
    child = running.roles["relay"]
    store = "stack" if "stack" in child.arguments else "embedded"
    async with stores_of(running.data, store=store) as stores:
        ends = await stores.tail.end_offsets(TOPIC)
        records = [record for place in ends for record in await stores.tail.read(place, 0, 100)]
    sent = {dict(record.headers)["traceparent"].decode() for record in records}
    return sent | {from_record(record).meta.provenance.traceparent for record in records}
