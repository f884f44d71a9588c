"""The compiler of contracts that belongs to the pinned grpcio-tools."""

import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from bootstrap.checkout import TOOLS

PROTOC_SECONDS_MAX: Final = 120


class ProtocError(Exception):
    """The compiler refused the contracts; the message is what it said."""


def protoc(protos: Path, third_party: Path, outputs: Sequence[str], names: Sequence[str]) -> None:
    """Run the compiler that belongs to the pinned grpcio-tools; raise `ProtocError` with its words if it fails."""
    plugins = [f"--plugin=protoc-gen-{name}={TOOLS / f'protoc-gen-{name}'}" for name in ("mypy", "mypy_grpc")]
    includes = [f"-I{path}" for path in (protos, third_party, bundled_includes())]
    command = [sys.executable, "-P", "-m", "grpc_tools.protoc", *includes, *plugins, *outputs, *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PROTOC_SECONDS_MAX, check=False)  # noqa: S603 - our own tool, no shell
    if done.returncode:
        raise ProtocError(f"protoc ended with {done.returncode}:\n{done.stderr or done.stdout}")


def bundled_includes() -> Path:
    """Return the folder of `google/protobuf/*.proto` that grpcio-tools brings."""
    found = find_spec("grpc_tools")
    if found is None or found.origin is None:
        raise ProtocError("grpcio-tools is not installed; ./erx install dev")
    return Path(found.origin).parent / "_proto"
