"""The generated documents about events, by their path in the checkout: `./erx gen` writes them and `./erx lint` compares."""

import tomllib
from pathlib import Path

from bootstrap.checkout import ROOT
from bootstrap.schemas import asyncapi, catalogue
from bootstrap.schemas.contexts import contexts
from bootstrap.schemas.described import describe
from bootstrap.schemas.images import written

PAGE = "docs/events.md"
ASYNCAPI = "docs/asyncapi.yaml"


def documents(protos: Path, third_party: Path) -> dict[str, bytes]:
    """Make both from the contracts in these folders and from what is registered. Raises ``ProtocError``."""
    described = describe(written(protos, third_party))
    registered = contexts()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    return {
        PAGE: catalogue.page(registered, described).encode(),
        ASYNCAPI: asyncapi.document(registered, described, version=version).encode(),
    }
