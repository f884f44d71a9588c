"""Encrypted connections and passwords, on a real server that asks for both."""

import asyncio
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from eventkernel.errors import StoreMismatch
from eventkernel_postgres.settings import PostgresSettings, Tls
from eventkernel_postgres.view_store import PostgresViewStore
from eventkernel_postgres.webhook_store import PostgresWebhookStore
from localstack import PostgresServer

pytestmark = [pytest.mark.slow, pytest.mark.stack("postgres")]

USER, PASSWORD = "keeper", "a password, not a good one"
ENCRYPTED_ALONE = "hostssl all keeper all scram-sha-256\nhost all erx all trust\n"


@dataclass(frozen=True, slots=True)
class Secured:
    """A server that takes `keeper` over TLS alone and by password; ``foreign`` vouches for somebody else."""

    server: PostgresServer
    authority: Path
    foreign: Path

    def settings(self, schema: str, *, password: str = PASSWORD, tls: Tls | None = None) -> PostgresSettings:
        endpoint = self.server.endpoint
        dsn = f"host={endpoint.host} port={endpoint.port} dbname=erx user={USER} password='{password}'"
        return PostgresSettings(dsn, schema=schema, tls=tls)


@pytest.fixture(scope="module")
def secured(own_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Secured:
    folder = tmp_path_factory.mktemp("certificates")
    ours, foreign = certificate(folder, "ours"), certificate(folder, "foreign")
    with psycopg.connect(own_server.dsn(), autocommit=True) as connection:
        data = Path(str(shown(connection, "data_directory")))
        for name, content in (("server.crt", ours.read_bytes()), ("server.key", ours.with_suffix(".key").read_bytes())):
            put(data / name, content)
        put(data / "pg_hba.conf", ENCRYPTED_ALONE.encode())
        connection.execute("ALTER SYSTEM SET ssl = on")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")
        connection.execute(f"GRANT CREATE ON DATABASE erx TO {USER}")
    return Secured(own_server, ours, foreign)


def certificate(folder: Path, name: str) -> Path:
    """A self-signed one for the loopback address; its key lies beside it."""
    made = folder / f"{name}.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run(
        [*command.split(), "-keyout", made.with_suffix(".key"), "-out", made], check=True, capture_output=True
    )
    return made


def put(path: Path, content: bytes) -> None:
    """A file of the server's own account that nobody else may read: it takes no other key."""
    owner = path.parent.stat()
    path.write_bytes(content)
    path.chmod(0o600)
    os.chown(path, owner.st_uid, owner.st_gid)


def shown(connection: "psycopg.Connection[tuple[object, ...]]", name: str) -> object:
    row = connection.execute(f"SHOW {name}".encode()).fetchone()
    assert row is not None
    return row[0]


async def test_views_and_webhooks_are_kept_over_an_encrypted_connection(secured: Secured) -> None:
    tls = Tls("verify-full", authority=secured.authority)
    views = await PostgresViewStore.open(secured.settings("views", tls=tls))
    webhooks = await PostgresWebhookStore.open(secured.settings("webhooks", tls=tls))
    try:
        assert await webhooks.select(None, "", 1) == []
        assert await views.status([]) == []
        with psycopg.connect(secured.server.dsn()) as connection:
            used = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = %s AND ssl"
            assert connection.execute(used, (USER,)).fetchone() != (0,)
    finally:
        await views.close()
        await webhooks.close()


@pytest.mark.parametrize(
    ("said", "mode", "trusted", "password"),
    [
        ("password authentication failed", "verify-full", "authority", "wrong"),
        ("certificate verify failed", "verify-full", "foreign", PASSWORD),
        ("no pg_hba.conf entry|no encryption", "disable", "authority", PASSWORD),
    ],
    ids=["wrong password", "untrusted certificate", "not encrypted"],
)
async def test_what_is_not_secured_as_agreed_is_refused_by_name(
    secured: Secured, said: str, mode: str, trusted: str, password: str
) -> None:
    settings = secured.settings("refused", password=password, tls=Tls(mode, authority=getattr(secured, trusted)))
    async with asyncio.timeout(30):
        with pytest.raises(StoreMismatch, match=said) as refused:
            await PostgresViewStore.open(settings)
    assert PASSWORD not in str(refused.value)
