"""A copy of what the checks read, to break."""

import shutil
from pathlib import Path

import pytest

from bootstrap.checkout import ROOT
from bootstrap.schemas import golden


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The golden files, sealed, and the released contracts; without history."""
    shutil.copytree(ROOT / golden.FOLDER, tmp_path / golden.FOLDER)
    (tmp_path / "protos").mkdir()
    shutil.copy(ROOT / golden.RELEASED, tmp_path / golden.RELEASED)
    golden.seal(tmp_path)
    return tmp_path
