"""Sets of descriptors: the contracts as they are written, as they are built into this program, and as they were released."""

import pkgutil
import tempfile
from importlib import import_module
from pathlib import Path
from types import ModuleType

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import DecodeError

import erx
from bootstrap.checkout import ROOT
from bootstrap.schemas.protoc import protoc

RELEASED = ROOT / "protos" / "released.binpb"
"""The contracts as they were last released; `bootstrap.devtools.protos release` renews it."""


class ImageError(Exception):
    """A file is no set of descriptors; the message names it."""


def read_image(path: Path) -> FileDescriptorSet:
    """A set of descriptors from a file, as buf or protoc write it. Raises ``ImageError``."""
    try:
        image = FileDescriptorSet.FromString(path.read_bytes())
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror}") from error
    except DecodeError as error:
        raise ImageError(f"{path}: not a set of descriptors (`buf build -o`, `protoc --descriptor_set_out`)") from error
    if not any(file.name.endswith(".proto") for file in image.file):
        raise ImageError(f"{path}: holds no contract")
    return image


def built_in() -> FileDescriptorSet:
    """The contracts that this program was generated from, and what they import; without comments."""
    found: dict[str, FileDescriptorProto] = {}
    for module in _modules(erx):
        descriptor = getattr(module, "DESCRIPTOR", None)
        if isinstance(descriptor, FileDescriptor):
            _add(descriptor, found)
    return FileDescriptorSet(file=found.values())


def written(protos: Path, third_party: Path) -> FileDescriptorSet:
    """The contracts as they stand in the folder, with their comments. Needs the developer's tools; raises ``ProtocError``."""
    names = sorted(path.relative_to(protos).as_posix() for path in (protos / "erx").rglob("*.proto"))
    with tempfile.TemporaryDirectory(prefix="erx-described-") as folder:
        target = Path(folder) / "image.binpb"
        protoc(
            protos,
            third_party,
            [f"--descriptor_set_out={target}", "--include_source_info", "--include_imports"],
            names,
        )
        return read_image(target)


def _modules(package: ModuleType) -> list[ModuleType]:
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    return [import_module(module.name) for module in found if module.name.endswith("_pb2")]


def _add(descriptor: FileDescriptor, found: dict[str, FileDescriptorProto]) -> None:
    if descriptor.name in found:
        return
    for dependency in descriptor.dependencies:
        _add(dependency, found)
    proto = FileDescriptorProto()
    descriptor.CopyToProto(proto)
    found[descriptor.name] = proto
