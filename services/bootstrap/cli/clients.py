"""Calls of the command line to running servers, and their errors as a person wants to read them."""

import asyncio
import getpass
import os
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

import grpc
import typer

from bootstrap.cli.options import settings_errors
from bootstrap.settings import Settings, SettingsError
from eventkernel.envelope import Actor
from eventkernel_grpc import ChannelSettings, ClientTls, RemoteError, call_metadata, channel, remote_errors

T = TypeVar("T")

COUNTS: Final = frozenset({"violations", "listed"})
PLACES: Final = frozenset({"field", "resource"})


def channel_to(settings: Settings, address: str) -> grpc.aio.Channel:
    """A channel to a server of these settings."""
    return channel(address, ChannelSettings(tls=tls_to(settings)))


def tls_to(settings: Settings) -> ClientTls | None:
    """Whom to trust and what to show, where the servers of these settings use TLS; None where they do not."""
    certificate, key = settings.tls_caller_certificate, settings.tls_caller_key
    if bool(certificate) != bool(key):
        raise SettingsError("tls_caller_certificate and tls_caller_key: both or neither")
    trusted = settings.tls_ca or settings.tls_certificate
    if trusted is None:
        if certificate:
            raise SettingsError("tls_caller_certificate: needs tls_ca, or tls_certificate, to know whom it is shown to")
        return None
    for file in (trusted, certificate, key):
        if file is not None and not file.is_file():
            raise SettingsError(f"{file}: is not there")
    return ClientTls(trusted, certificate, key)


def metadata(tenant: str, role: str = "auditor") -> Any:
    """The metadata of a call by the person at the command line."""
    return call_metadata(tenant=tenant, actor=Actor(id="command-line", role=role))


def operator(tenant: str) -> Any:
    """The metadata of a call by the person at the command line, by the name they are logged in under."""
    return call_metadata(tenant=tenant, actor=Actor(id=_user(), role="system", organisation="command-line"))


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run it; an error of the server ends the program with one line."""
    try:
        with settings_errors(1), remote_errors():
            return asyncio.run(work())
    except RemoteError as error:
        typer.secho(one_line(error), err=True, fg="red")
        raise typer.Exit(1) from error


def one_line(error: RemoteError) -> str:
    """Reason, message and details; where several fields are wrong, each of them with its rule."""
    rules = [f"{violation.field}: {violation.message}" for violation in error.violations]
    said = " ".join(("; ".join(rules) if len(rules) > 1 else error.message).split())
    more = {name: value for name, value in sorted(error.metadata.items()) if value and name not in COUNTS}
    for place in PLACES & more.keys():
        if more[place] in said:
            del more[place]
    details = ", ".join(f"{name}: {value}" for name, value in more.items())
    return f"{error.reason or error.code.name}: {said}{f' ({details})' if details else ''}"


async def query(settings: Settings, call: Callable[[grpc.aio.Channel], Awaitable[T]]) -> T:
    """One conversation with the query server."""
    async with channel_to(settings, settings.query_address) as opened:
        return await call(opened)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user in this container
        return f"uid-{os.getuid()}"
