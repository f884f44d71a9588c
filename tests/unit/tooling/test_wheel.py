"""The wheel: what somebody gets who installs the distribution instead of cloning it."""

import subprocess
import sys
import zipfile

import pytest

from bootstrap.checkout import IMPORT_ROOTS, ROOT
from bootstrap.devtools import house

BUILD_SECONDS_MAX = 120


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-P", "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=BUILD_SECONDS_MAX)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_the_wheel_holds_every_module_of_both_import_roots(wheel: zipfile.ZipFile) -> None:
    roots = [f"{root.name}/" for root in IMPORT_ROOTS]
    modules = {
        name.removeprefix(root)
        for name in house.tracked(ROOT)
        for root in roots
        if name.startswith(root) and name.endswith(".py")
    }
    assert modules - set(wheel.namelist()) == set()


def test_the_wheel_holds_no_tests_and_no_image(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops & {"tests", "libs", "services", "docs", "Dockerfile", "Dockerfile.dockerignore"} == set()


def test_the_wheel_brings_the_command_and_the_licence(wheel: zipfile.ZipFile) -> None:
    info = next(name.split("/")[0] for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    assert "erx = bootstrap.cli:main" in wheel.read(f"{info}/entry_points.txt").decode()
    assert f"{info}/licenses/LICENSE" in wheel.namelist()
