"""Generated code is what the contracts make, and says so when it is not."""

from pathlib import Path

import pytest

from bootstrap.devtools import gen
from bootstrap.schemas import protoc


def test_committed_code_is_what_the_contracts_make(capsys: pytest.CaptureFixture[str]) -> None:
    assert gen.main(["--check"]) == 0, capsys.readouterr().out


def test_each_kind_of_difference_is_named_with_its_file() -> None:
    made = {"erx/a.py": b"1", "erx/b.py": b"1", "erx/c.py": b"1"}
    there = {"erx/a.py": b"1", "erx/b.py": b"2", "erx/d.py": b"1"}
    assert list(gen.differences(made, there)) == [
        "libs/erx/b.py: differs from what protos make; run ./erx gen",
        "libs/erx/c.py: missing; run ./erx gen",
        "libs/erx/d.py: nothing in protos makes this file; run ./erx gen",
    ]


def test_writing_touches_only_what_changed_and_removes_what_nothing_makes(tmp_path: Path) -> None:
    (tmp_path / "erx").mkdir()
    for name in ("same.py", "old.py", "gone.py"):
        (tmp_path / "erx" / name).write_bytes(b"1")
    before = (tmp_path / "erx" / "same.py").stat().st_mtime_ns
    made = {"erx/same.py": b"1", "erx/old.py": b"2", "erx/new/a.py": b"3"}
    assert gen.write(made, tmp_path) == (2, 1)
    assert gen.existing(tmp_path) == made
    assert (tmp_path / "erx" / "same.py").stat().st_mtime_ns == before


def test_a_package_that_is_not_its_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "erx" / "x").mkdir(parents=True)
    (tmp_path / "erx" / "x" / "y.proto").write_text('syntax = "proto3";\npackage erx.z;\n')
    with pytest.raises(protoc.ProtocError, match=r"^erx/x/y\.proto: the package must be the folder's path"):
        gen.package_files(tmp_path, ["erx/x/y.proto"])


def test_what_the_compiler_says_reaches_the_caller(tmp_path: Path) -> None:
    (tmp_path / "a.proto").write_text('syntax = "proto3";\nmessage A { Unknown b = 1; }\n')
    with pytest.raises(protoc.ProtocError, match='"Unknown" is not defined'):
        protoc.protoc(tmp_path, gen.THIRD_PARTY, [f"--python_out={tmp_path}"], ["a.proto"])
