"""`erx access`: who read or wrote what of a patient, as a table, or as JSON for programs."""

import json
from typing import Any

import typer
from google.protobuf.json_format import MessageToDict

from bootstrap.cli.clients import metadata, query, run
from bootstrap.cli.printing import console, listing
from bootstrap.cli.reading import time_text
from bootstrap.settings import Settings
from erx.prescriptions.v1 import access_pb2
from erx.prescriptions.v1.query_service_pb2_grpc import PrescriptionQueryServiceStub

_PAGE = 200


def access(settings: Settings, patient_id: str, *, at_most: int, tenant: str, as_json: bool) -> None:
    """Print the newest accesses to what there is of a patient."""

    async def ask() -> list[Any]:
        async def call(channel: Any) -> list[Any]:
            stub = PrescriptionQueryServiceStub(channel)
            entries: list[Any] = []
            request = access_pb2.FetchAccessLogRequest(patient_id=patient_id, page_size=min(_PAGE, at_most))
            while True:
                answer = await stub.FetchAccessLog(request, metadata=metadata(tenant))
                entries += answer.entries
                if not answer.next_page_token or len(entries) >= at_most:
                    return entries[:at_most]
                request.page_token = answer.next_page_token

        return await query(settings, call)

    entries = run(ask)
    if as_json:
        typer.echo(json.dumps([MessageToDict(e, preserving_proto_field_name=True) for e in entries], indent=2))
        return
    table = listing("when", "who", "for", "did", "what", "prescriptions")
    for entry in entries:
        who = f"{entry.actor.id} ({entry.actor.role})" if entry.actor.id else "nobody named"
        kind = access_pb2.AccessKind.Name(entry.kind).removeprefix("ACCESS_KIND_").lower()
        told = ", ".join(entry.prescription_ids[:3])
        if entry.prescription_count > 3:
            told = f"{told}, … ({entry.prescription_count})"
        table.add_row(time_text(entry.access_time), who, entry.actor.organisation, kind, entry.action, told)
    console().print(table)
