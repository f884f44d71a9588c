"""A caller without our code: grpcurl, which learns everything from the server's reflection."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from bootstrap.devtools.backends import in_ci
from bootstrap.devtools.clients import BuildFailed
from bootstrap.testing import foreign
from bootstrap.testing.foreign import ToolMissing
from bootstrap.testing.program import Child

COMMANDS = "erx.prescriptions.v1.PrescriptionCommandService"
QUERIES = "erx.prescriptions.v1.PrescriptionQueryService"

PRESCRIBER = ("erx-actor-id: dr-1", "erx-actor-role: prescriber")
PHARMACY = ("erx-actor-id: rph-1", "erx-actor-role: pharmacy", "erx-organisation-id: 9900007")
CONTENT = {
    "patient_id": "patient-1",
    "prescriber": {"id": "dr-1", "npi": "1234567893"},
    "medication": [
        {"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "849574", "display": "Naproxen 220 mg"}
    ],
    "schedule": "SCHEDULE_NONE",
    "quantity": {"value": {"value": "30"}, "unit_text": "tablet"},
    "refills_allowed": 1,
    "dosage": {"text": "one tablet twice a day"},
    "substitution": "SUBSTITUTION_ALLOWED",
}


@dataclass(frozen=True)
class Grpcurl:
    """The program, pointed at a server, as a tenant."""

    program: Path
    server: Child
    tenant: str

    def run(self, server: str, *words: str) -> "subprocess.CompletedProcess[str]":
        target = self.server.address(server)
        before = [word for word in words if word.startswith("-") or "=" in word]
        after = [word for word in words if word not in before]
        command = [str(self.program), "-plaintext", *before, target, *after]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def call(self, server: str, method: str, body: Any, headers: tuple[str, ...] = ()) -> Any:
        """The reply as JSON; a refusal is returned as its status."""
        tagged = [part for header in (*headers, f"erx-tenant: {self.tenant}") for part in ("-H", header)]
        service = COMMANDS if server == "command" else QUERIES
        data = ["-format-error", "-d", json.dumps(body)]
        done = subprocess.run(
            [str(self.program), "-plaintext", *tagged, *data, self.server.address(server), f"{service}/{method}"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return json.loads(done.stdout if done.returncode == 0 else done.stderr)


@pytest.fixture(scope="session")
def program() -> Path:
    """The program, built where Go is there; else what is missing is named, and in CI that is a failure."""
    try:
        return foreign.grpcurl()
    except (ToolMissing, BuildFailed) as missing:
        (pytest.fail if in_ci() else pytest.skip)(str(missing))


@pytest.fixture
def grpcurl(program: Path, shared: Child, tenant: str) -> Grpcurl:
    return Grpcurl(program, shared, tenant)


@pytest.fixture
def issued(grpcurl: Grpcurl) -> str:
    """The id of a prescription that was written, signed by the hash in the reply, and released."""
    draft = grpcurl.call("command", "CreatePrescription", {"request_id": new(), "content": CONTENT}, PRESCRIBER)
    one = {"prescription_id": draft["prescription"]["prescription_id"]}
    signature = {
        "content_sha256": draft["prescription"]["content_sha256"],
        "signature": "c2lnbmVk",
        "algorithm": "ES256",
        "certificate_id": "cert-1",
        "factors": ["SIGNING_FACTOR_KNOWLEDGE", "SIGNING_FACTOR_HARD_TOKEN"],
    }
    signed = grpcurl.call("command", "SignPrescription", {"request_id": new(), **one, **signature}, PRESCRIBER)
    assert signed["prescription"]["status"] == "PRESCRIPTION_STATUS_SIGNED", signed
    released = grpcurl.call("command", "IssuePrescription", {"request_id": new(), **one}, PRESCRIBER)
    assert released["prescription"]["status"] == "PRESCRIPTION_STATUS_ISSUED"
    return str(one["prescription_id"])


def new() -> str:
    return str(uuid4())


@pytest.mark.parametrize("server", ["command", "query"])
def test_servers_list_and_describe_themselves(grpcurl: Grpcurl, server: str) -> None:
    listed = grpcurl.run(server, "list")
    service = COMMANDS if server == "command" else QUERIES
    assert {service, "grpc.health.v1.Health"} <= set(listed.stdout.split()), listed.stderr
    for name in ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"):
        assert name in listed.stdout
    described = grpcurl.run(server, "describe", service)
    assert ("rpc CreatePrescription" if server == "command" else "rpc FetchPrescription") in described.stdout
    message = grpcurl.run(server, "describe", ".erx.prescriptions.v1.Prescription")
    assert "content_sha256" in message.stdout, message.stderr


def test_health_is_serving(grpcurl: Grpcurl) -> None:
    done = grpcurl.run("command", "grpc.health.v1.Health/Check")
    assert json.loads(done.stdout) == {"status": "SERVING"}


def test_a_prescription_is_written_filled_and_read(grpcurl: Grpcurl, issued: str) -> None:
    one = {"prescription_id": issued}
    pharmacy = {"ncpdp_id": "9900007", "npi": "1245319599", "name": "Corner Pharmacy"}
    claim = grpcurl.call("command", "ClaimPrescription", {"request_id": new(), **one, "pharmacy": pharmacy}, PHARMACY)
    filled = grpcurl.call(
        "command",
        "DispenseMedication",
        {
            "request_id": new(),
            **one,
            "claim_token": claim["claim_token"],
            "dispense_id": new(),
            "product": CONTENT["medication"],
            "quantity": CONTENT["quantity"],
            "days_supply": 15,
        },
        PHARMACY,
    )
    assert filled["prescription"]["status"] == "PRESCRIPTION_STATUS_AWAITING_REFILL", filled
    shown = grpcurl.call("query", "FetchPrescription", {**one, "token": filled["token"]})
    assert shown["prescription"]["version"] == filled["version"] == "5"
    assert shown["prescription"]["fills_done"] == 1


def test_a_command_out_of_turn_carries_reason_state_and_what_is_allowed(grpcurl: Grpcurl, issued: str) -> None:
    request = {"request_id": new(), "prescription_id": issued}
    refused = grpcurl.call("command", "IssuePrescription", request, PRESCRIBER)
    assert refused["code"] == 9  # FAILED_PRECONDITION
    (info,) = (detail for detail in refused["details"] if detail["@type"].endswith("google.rpc.ErrorInfo"))
    assert info["reason"] == "INVALID_STATE_TRANSITION"
    assert info["metadata"]["state"] == "ISSUED"
    assert "ClaimPrescription" in info["metadata"]["allowed"]


def test_a_request_sent_twice_has_one_reply_and_one_event(grpcurl: Grpcurl) -> None:
    request = {"request_id": new(), "content": CONTENT}
    replies = [grpcurl.call("command", "CreatePrescription", request, PRESCRIBER) for _ in range(3)]
    assert replies[0] == replies[1] == replies[2]
    prescription_id = replies[0]["prescription"]["prescription_id"]
    history = grpcurl.call("query", "FetchHistory", {"prescription_id": prescription_id})
    assert len(history["entries"]) == 1
