"""Drives one prescription through its life with grpcurl and prints what it saw, one line for each step.

grpcurl learns the contracts from the servers' reflection, so this needs no generated code: JSON goes in and comes out.
docs/clients.md says what each line means.
"""

import argparse
import json
import subprocess
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

PACKAGE = "erx.prescriptions.v1"
COMMANDS = f"{PACKAGE}.PrescriptionCommandService"
QUERIES = f"{PACKAGE}.PrescriptionQueryService"
WATCHES = f"{PACKAGE}.PrescriptionWatchService"
CALL_SECONDS = 30

PRESCRIBER = ("erx-actor-id: dr-1", "erx-actor-role: prescriber")
PHARMACY = ("erx-actor-id: rph-1", "erx-actor-role: pharmacy", "erx-organisation-id: 9900007")
MEDICATION = [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "849574", "display": "Naproxen 220 mg"}]
TABLETS = {"value": {"value": "30"}, "unit_text": "tablet"}
CODES = {3: "INVALID_ARGUMENT", 9: "FAILED_PRECONDITION"}


def main() -> None:
    """Run every step."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--command", default="127.0.0.1:50051", help="address of the command server")
    parser.add_argument("--query", default="127.0.0.1:50052", help="address of the query server")
    parser.add_argument("--tenant", default="default", help="whose data")
    parser.add_argument("--grpcurl", default="grpcurl", help="the program")
    options = parser.parse_args()
    calls = Grpcurl(options.grpcurl, options.command, options.query, options.tenant)
    patient = f"patient-{uuid4()}"
    one = write(calls, patient)
    fill(calls, one)
    watch(calls, patient, one)
    refusals(calls, one)
    print("done")


@dataclass(frozen=True, slots=True)
class Grpcurl:
    """The program, pointed at the servers, as a tenant."""

    program: str
    command: str
    query: str
    tenant: str

    def do(self, method: str, body: dict[str, Any], actor: tuple[str, ...] = PRESCRIBER) -> Any:
        """Give a command; a refusal comes back as its status."""
        return self._call(self.command, f"{COMMANDS}/{method}", {"request_id": str(uuid4()), **body}, actor)

    def ask(self, method: str, body: dict[str, Any]) -> Any:
        """Ask the query server."""
        return self._call(self.query, f"{QUERIES}/{method}", body, ())

    def watch(self, body: dict[str, Any]) -> Generator[Any, None, None]:
        """Yield each message of a watch; leaving the loop ends grpcurl, and the call with it."""
        line = self._line(self.query, f"{WATCHES}/WatchPrescriptions", body, ())
        with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                told = ""
                for text in process.stdout:
                    told += text
                    if text == "}\n":  # messages are printed one after the other, each ending at the margin
                        yield json.loads(told)
                        told = ""
            finally:
                process.terminate()

    def _call(self, server: str, method: str, body: dict[str, Any], headers: tuple[str, ...]) -> Any:
        line = self._line(server, method, body, headers)
        done = subprocess.run(line, capture_output=True, text=True, timeout=2 * CALL_SECONDS, check=False)
        return json.loads(done.stdout if done.returncode == 0 else done.stderr)

    def _line(self, server: str, method: str, body: dict[str, Any], headers: tuple[str, ...]) -> list[str]:
        tagged = [word for header in (*headers, f"erx-tenant: {self.tenant}") for word in ("-H", header)]
        options = ["-plaintext", "-format-error", "-emit-defaults", "-max-time", str(CALL_SECONDS)]
        return [self.program, *options, *tagged, "-d", json.dumps(body), server, method]


def write(calls: Grpcurl, patient: str) -> str:
    """Draft, sign and release a prescription; the draft is sent twice under one request_id. Return its id."""
    create = {"request_id": str(uuid4()), "content": content(patient)}
    draft = calls.do("CreatePrescription", create)
    one = str(draft["prescription"]["prescription_id"])
    say("created", draft["prescription"], f"id={one}")
    again = calls.do("CreatePrescription", create)
    say("repeated", again["prescription"], f"same={str(draft == again).lower()}")
    signature = {
        "content_sha256": draft["prescription"]["content_sha256"],
        "signature": "c2lnbmVk",
        "algorithm": "ES256",
        "certificate_id": "cert-1",
        "factors": ["SIGNING_FACTOR_KNOWLEDGE", "SIGNING_FACTOR_HARD_TOKEN"],
    }
    say("signed", calls.do("SignPrescription", {"prescription_id": one, **signature})["prescription"])
    say("issued", calls.do("IssuePrescription", {"prescription_id": one})["prescription"])
    return one


def fill(calls: Grpcurl, one: str) -> None:
    """Claim and dispense it, and read each write at once by the token of its reply."""
    place = {"ncpdp_id": "9900007", "npi": "1245319599", "name": "Corner Pharmacy"}
    claimed = calls.do("ClaimPrescription", {"prescription_id": one, "pharmacy": place}, PHARMACY)
    say("claimed", claimed["prescription"])
    read(calls, one, "OVERLAY", claimed["token"])
    dispense = {
        "prescription_id": one,
        "claim_token": claimed["claim_token"],
        "dispense_id": str(uuid4()),
        "product": MEDICATION,
        "quantity": TABLETS,
        "days_supply": 15,
    }
    dispensed = calls.do("DispenseMedication", dispense, PHARMACY)
    say("dispensed", dispensed["prescription"])
    read(calls, one, "AT_LEAST", dispensed["token"])


def read(calls: Grpcurl, one: str, mode: str, token: str) -> None:
    """Ask for it as it is now."""
    body = {"prescription_id": one, "token": token, "consistency": f"CONSISTENCY_MODE_{mode}"}
    shown = calls.ask("FetchPrescription", body)
    reached = str(shown["as_of"]["requested_token_reached"]).lower()
    say("read", shown["prescription"], f"mode={mode}", f"reached={reached}")


def watch(calls: Grpcurl, patient: str, one: str) -> None:
    """Follow the patient's prescriptions, hear of one change, be cut off, and go on where it was."""
    wanted: dict[str, Any] = {"filter": {"patient_id": patient}}
    with closing(calls.watch(wanted)) as watched:
        for told in watched:
            wanted["resume_token"] = told["resume_token"]
            if "row" in told:
                say("watched row", told["row"])
            elif "rows_complete" in told:
                print("watched rows_complete")
                suspend = {"prescription_id": one, "reason": {"text": "laboratory values awaited"}}
                say("suspended", calls.do("SuspendPrescription", suspend)["prescription"])
            elif "changed" in told:
                say_changed(told["changed"])
                break
    # Nobody watches while this happens; the token remembers where to go on.
    say("resumed", calls.do("ResumePrescription", {"prescription_id": one})["prescription"])
    with closing(calls.watch(wanted)) as resumed:
        say_changed(next(told["changed"] for told in resumed if "heartbeat" not in told))


def refusals(calls: Grpcurl, one: str) -> None:
    """Ask for what cannot be, and read why not from the details of the status."""
    refused = calls.do("IssuePrescription", {"prescription_id": one})
    info = detail(refused, "ErrorInfo")
    code, known = CODES[refused["code"]], info["metadata"]
    reason, domain = info["reason"], info["domain"]
    print(f"refused code={code} reason={reason} domain={domain} state={known['state']} allowed={known['allowed']}")
    broken = {"request_id": "seven", "content": {**content(""), "refills_allowed": 100}}
    invalid = calls.do("CreatePrescription", broken)
    reason = detail(invalid, "ErrorInfo")["reason"]
    found = detail(invalid, "BadRequest")["field_violations"]
    violations = ",".join(f"{violation['field']}:{violation['reason']}" for violation in found)
    print(f"invalid code={CODES[invalid['code']]} reason={reason} violations={violations}")


def detail(status: Any, kind: str) -> Any:
    """Return the detail of this kind."""
    return next(found for found in status["details"] if found["@type"].endswith(f"google.rpc.{kind}"))


def content(patient: str) -> dict[str, Any]:
    """What the prescriber writes."""
    return {
        "patient_id": patient,
        "prescriber": {"id": "dr-1", "npi": "1234567893"},
        "medication": MEDICATION,
        "schedule": "SCHEDULE_NONE",
        "quantity": TABLETS,
        "refills_allowed": 1,
        "dosage": {"text": "one tablet twice a day"},
        "substitution": "SUBSTITUTION_ALLOWED",
    }


def say(step: str, shown: Any, *more: str) -> None:
    """Print one step: its name, the version and status of the prescription, and what else there is."""
    status = shown["status"].removeprefix("PRESCRIPTION_STATUS_")
    print(step, f"version={shown['version']}", f"status={status}", *more)


def say_changed(changed: Any) -> None:
    """Print one change."""
    say("watched changed", changed["prescription"], f"event={changed['event_type']}")


if __name__ == "__main__":
    main()
