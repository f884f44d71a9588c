"""Toxiproxy (Shopify, MIT): TCP proxies between the services and their stores that can be cut, silenced and slowed.

Built from its Go module at the pinned version and spoken to by its HTTP API (its README, "HTTP API").
"""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localstack.ports import free_ports

MODULE = "github.com/Shopify/toxiproxy/v2/cmd/server"
VERSION = "v2.12.0"
BUILD_SECONDS = 600
START_SECONDS = 30.0
CALL_SECONDS = 10.0
_POLL_SECONDS = 0.05


class ToxiproxyError(Exception):
    """It could not be built or started, or refused what was asked."""


def build(folder: Path) -> Path:
    """Build the server into a folder, with Go; raises ``ToxiproxyError`` naming what is missing."""
    go = shutil.which("go")
    if go is None:
        raise ToxiproxyError("toxiproxy is built with Go, and there is none: install golang 1.23 or newer")
    command = [go, "install", f"{MODULE}@{VERSION}"]
    environment = {**os.environ, "GOBIN": str(folder), "GOFLAGS": "-trimpath"}
    built = subprocess.run(  # noqa: S603 - Go as found on the path, at a pinned version
        command, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False, cwd=folder
    )
    if built.returncode != 0:
        raise ToxiproxyError(f"{' '.join(command)} failed: {built.stderr.strip()[-500:]}")
    return folder / "server"


@dataclass(slots=True)
class Toxiproxy:
    """One running server; its proxies by name."""

    program: Path
    log: Path
    addresses: dict[str, str] = field(default_factory=dict)
    _process: "subprocess.Popen[bytes] | None" = None
    _api: str = ""

    def start(self) -> "Toxiproxy":
        """Start it on a free port of the loopback address."""
        [port] = free_ports(1)
        self._api = f"http://127.0.0.1:{port}"
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - built by build()
                [self.program, "-host", "127.0.0.1", "-port", str(port), "-seed", "1"], stdout=output, stderr=output
            )
        ends_at = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
            except OSError as error:
                if self._process.poll() is not None or time.monotonic() > ends_at:
                    raise ToxiproxyError(f"toxiproxy did not answer on port {port}; its log is {self.log}") from error
                time.sleep(_POLL_SECONDS)
            else:
                return self

    def add(self, name: str, upstream: str) -> str:
        """A proxy before an address; gives its own."""
        [port] = free_ports(1)
        listen = f"127.0.0.1:{port}"
        self._call("POST", "/proxies", {"name": name, "listen": listen, "upstream": upstream, "enabled": True})
        self.addresses[name] = listen
        return listen

    def cut(self, name: str) -> None:
        """Close its connections and take no new ones."""
        self._call("POST", f"/proxies/{name}", {"enabled": False})

    def silence(self, name: str) -> None:
        """Let nothing through either way, and close nothing: packets that are lost, as seen by a program."""
        for stream in ("upstream", "downstream"):
            self._toxic(name, "timeout", stream, {"timeout": 0})

    def slow(self, name: str, milliseconds: int) -> None:
        """Hold everything up by about so long."""
        self._toxic(name, "latency", "downstream", {"latency": milliseconds, "jitter": milliseconds // 2})

    def heal(self) -> None:
        """Every proxy as it was made."""
        self._call("POST", "/reset", {})

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(CALL_SECONDS)

    def _toxic(self, proxy: str, kind: str, stream: str, attributes: dict[str, int]) -> None:
        toxic = {"name": f"{kind}-{stream}", "type": kind, "stream": stream, "toxicity": 1.0, "attributes": attributes}
        self._call("POST", f"/proxies/{proxy}/toxics", toxic)

    def _call(self, method: str, path: str, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        asked = urllib.request.Request(self._api + path, data=data, method=method)  # noqa: S310 - our own, on loopback
        try:
            with urllib.request.urlopen(asked, timeout=CALL_SECONDS):  # noqa: S310 - likewise
                return
        except urllib.error.HTTPError as error:
            raise ToxiproxyError(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from error
