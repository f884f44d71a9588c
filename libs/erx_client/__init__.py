"""A client of the prescription services: sessions that read their own writes, safe retries, typed errors, watches that resume.

::

    with Client("localhost:50051", "localhost:50052") as client:
        doctor = client.session(Actor("dr-1", "prescriber"))
        draft = doctor.commands.CreatePrescription(CreatePrescriptionRequest(content=content)).prescription
        wanted = FetchPrescriptionRequest(prescription_id=draft.prescription_id)
        shown = doctor.queries.FetchPrescription(wanted)  # not behind the write before

``AsyncClient`` is the same for asyncio. docs/clients.md has more.
"""

from erx_client import refusals
from erx_client.client import AsyncClient, AsyncSession, Client, Session
from erx_client.errors import CallFailed
from erx_client.retries import Retries
from erx_client.watching import AsyncWatch, Watch
from eventkernel.envelope import Actor
from eventkernel_grpc import ChannelSettings, ClientTls, Violation

__all__ = [
    "Actor",
    "AsyncClient",
    "AsyncSession",
    "AsyncWatch",
    "CallFailed",
    "ChannelSettings",
    "Client",
    "ClientTls",
    "Retries",
    "Session",
    "Violation",
    "Watch",
    "refusals",
]
