"""TLS and mutual TLS from files, for servers and clients."""

from dataclasses import dataclass
from pathlib import Path

import grpc


@dataclass(frozen=True, slots=True)
class ServerTls:
    """A server's certificate chain and key (PEM). With ``client_ca_file`` only callers with a certificate of that CA get in."""

    certificate_file: Path
    private_key_file: Path
    client_ca_file: Path | None = None

    def credentials(self) -> grpc.ServerCredentials:
        """Read the files. Raises ``OSError`` where one cannot be read."""
        pair = (self.private_key_file.read_bytes(), self.certificate_file.read_bytes())
        ca = self.client_ca_file.read_bytes() if self.client_ca_file else None
        return grpc.ssl_server_credentials([pair], root_certificates=ca, require_client_auth=ca is not None)


@dataclass(frozen=True, slots=True)
class ClientTls:
    """Whom a client trusts (None: the CAs that come with gRPC) and, for mutual TLS, its own certificate chain and key."""

    ca_file: Path | None = None
    certificate_file: Path | None = None
    private_key_file: Path | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files. Raises ``OSError`` where one cannot be read."""
        return grpc.ssl_channel_credentials(
            root_certificates=self.ca_file.read_bytes() if self.ca_file else None,
            private_key=self.private_key_file.read_bytes() if self.private_key_file else None,
            certificate_chain=self.certificate_file.read_bytes() if self.certificate_file else None,
        )
