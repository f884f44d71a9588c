"""Encrypted connections and passwords, on both drivers."""

import asyncio
import json
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from eventkernel.errors import StoreMismatch, StoreUnavailable
from eventkernel_cassandra.connect import Driver, open_session
from eventkernel_cassandra.session import Kind, Statement
from eventkernel_cassandra.settings import ConnectionSettings, Tls
from localstack import Stack

RELEASE = Statement("release", "SELECT release_version FROM system.local", Kind.READ)


@dataclass(frozen=True)
class Certificate:
    certificate: Path
    key: Path

    @property
    def tls(self) -> Tls:
        return Tls(self.certificate.read_bytes(), self.certificate.read_bytes(), self.key.read_bytes())


@pytest.fixture
def certificates(tmp_path: Path) -> tuple[Certificate, Certificate]:
    """Two self-signed ones for the loopback address."""
    made = []
    for name in ("ours", "foreign"):
        certificate, key = tmp_path / f"{name}.pem", tmp_path / f"{name}.key"
        command = (
            "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
        )
        subprocess.run([*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
        made.append(Certificate(certificate, key))
    return made[0], made[1]


@asynccontextmanager
async def encrypted(settings: ConnectionSettings, shown: Certificate) -> AsyncIterator[ConnectionSettings]:
    """The server behind an encrypted port that asks for the client's certificate as well."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(shown.certificate))
    context.load_cert_chain(shown.certificate, shown.key)
    context.verify_mode = ssl.CERT_REQUIRED
    pumps: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(settings.contact_points[0], settings.port)
        for ends in ((reader, inner_writer), (inner_reader, writer)):
            pumps.add(asyncio.create_task(pump(*ends)))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield replace(settings, port=server.sockets[0].getsockname()[1])
    await asyncio.gather(*pumps)


async def test_a_session_is_encrypted_and_both_ends_show_their_certificates(
    settings: ConnectionSettings, driver: Driver, certificates: tuple[Certificate, Certificate]
) -> None:
    ours, _ = certificates
    async with encrypted(settings, ours) as secured:
        session = await open_session(replace(secured, tls=ours.tls), driver)
        assert (await session.read(RELEASE, []))[0][0].startswith("5.")
        await session.close()


async def test_a_server_that_nobody_vouches_for_is_not_spoken_to(
    settings: ConnectionSettings, driver: Driver, certificates: tuple[Certificate, Certificate]
) -> None:
    ours, foreign = certificates
    async with encrypted(settings, foreign) as secured:
        with pytest.raises((StoreMismatch, StoreUnavailable)):
            await open_session(replace(secured, tls=ours.tls, connect_timeout_seconds=1.0), driver)


@pytest.mark.slow
@pytest.mark.stack("cassandra")
async def test_a_server_that_asks_for_a_password_and_shows_a_certificate(
    tmp_path: Path, certificates: tuple[Certificate, Certificate]
) -> None:
    ours, foreign = certificates
    drivers: list[Driver] = ["acsylla", "cassandra-driver"]
    with Stack(tmp_path / "stack", services=["cassandra"], password_authentication=True) as stack:
        endpoint = stack.cassandra.endpoint
        right = ConnectionSettings((endpoint.host,), endpoint.port, username="cassandra", password="cassandra")
        await opens(right, drivers)
        stack.cassandra.stop()
        stack.cassandra.own_settings.write_text(encrypting(ours, tmp_path), encoding="utf-8")
        stack.cassandra.start()
        trusting = replace(right, tls=Tls(ours.certificate.read_bytes()))
        await opens(trusting, drivers)
        doubting = replace(right, tls=Tls(foreign.certificate.read_bytes()), connect_timeout_seconds=1.0)
        for driver in drivers:
            with pytest.raises((StoreMismatch, StoreUnavailable)):
                await open_session(doubting, driver)


async def opens(right: ConnectionSettings, drivers: list[Driver]) -> None:
    """With the right password alone."""
    for driver in drivers:
        with pytest.raises(StoreMismatch):
            await open_session(replace(right, password="wrong"), driver)
        session = await open_session(right, driver)
        assert len(await session.read(RELEASE, [])) == 1
        await session.close()


def encrypting(shown: Certificate, folder: Path) -> str:
    """Cassandra's settings of encryption; what is not encrypted is let in beside it, for the probe that waits for the start."""
    store = folder / "keys.p12"
    command = f"openssl pkcs12 -export -inkey {shown.key} -in {shown.certificate} -out {store} -passout pass:changeit"
    subprocess.run(command.split(), check=True, capture_output=True)
    options = {
        "enabled": True,
        "optional": True,
        "keystore": str(store),
        "keystore_password": "changeit",
        "store_type": "PKCS12",
        "require_client_auth": False,
    }
    return f"client_encryption_options: {json.dumps(options)}\n"
