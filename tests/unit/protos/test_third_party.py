"""The copies of other projects' contracts are those that the installed packages were made from."""

from pathlib import Path

import google
import pytest
from google.protobuf import descriptor_pb2
from protovalidate._gen.buf.validate import validate_pb

from bootstrap.devtools.gen import THIRD_PARTY
from buf.validate import validate_pb2


@pytest.mark.parametrize("path", sorted((THIRD_PARTY / "google").rglob("*.proto")), ids=lambda path: path.name)
def test_google_contracts_are_those_of_the_installed_package(path: Path) -> None:
    installed = [Path(folder) / path.parent.name / path.name for folder in google.__path__]
    assert path.read_bytes() in [candidate.read_bytes() for candidate in installed if candidate.is_file()]


def test_validation_rules_are_those_of_the_installed_validator() -> None:
    ours = descriptor_pb2.FileDescriptorProto()
    validate_pb2.DESCRIPTOR.CopyToProto(ours)
    theirs = descriptor_pb2.FileDescriptorProto.FromString(validate_pb.desc().proto.to_binary())
    assert [message.name for message in ours.message_type] == [message.name for message in theirs.message_type]
    assert fields_of(ours) == fields_of(theirs)


def fields_of(file: descriptor_pb2.FileDescriptorProto) -> set[tuple[str, str, int, int]]:
    return {
        (message.name, field.name, field.number, field.type) for message in file.message_type for field in message.field
    }
