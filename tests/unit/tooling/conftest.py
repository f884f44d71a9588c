"""A small checkout of its own: the real bootstrap script and pip, packages from a folder instead of an index."""

import base64
import hashlib
import importlib.machinery
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from bootstrap.checkout import ROOT

RUN_SECONDS_MAX = 120
PROGRAM = """
import sys
import kernel
print(kernel.PLACE, *sys.argv[1:])
"""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A folder with the script, lock files and two import roots."""

    root: Path
    wheels: Path

    @property
    def venv(self) -> Path:
        """Where its environment is, or will be."""
        return self.root / ".venv"

    def write_lock(self, name: str, *packages: tuple[str, str]) -> None:
        """Lock these packages, at these versions, by the hashes of wheels that are there."""
        lines = ["# made for a test"]
        for package, version in packages:
            digest = hashlib.sha256(make_wheel(self.wheels, package, version).read_bytes()).hexdigest()
            lines.append(f"{package}=={version} \\\n    --hash=sha256:{digest}")
        (self.root / name).write_text("\n".join(lines) + "\n")

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start the script as a person would, with no network to fall back on."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "ERX_", "PYTHON"))}
        settings = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels), "PIP_CONFIG_FILE": os.devnull}
        return subprocess.Popen(
            [sys.executable, str(self.root / "erx"), *arguments],
            cwd=self.root.parent,
            env={**clean, **settings, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the script to its end."""
        with self.start(*arguments, **environment) as process:
            out, err = process.communicate(timeout=RUN_SECONDS_MAX)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def installed(self) -> set[str]:
        """Return name and version of what the script installed."""
        found = self.venv.glob("lib/python*/site-packages/*.dist-info")
        return {path.name.removesuffix(".dist-info") for path in found} - self.bundled()

    def bundled(self) -> set[str]:
        """Return what every environment begins with."""
        found = self.venv.glob("lib/python*/site-packages/*.dist-info")
        return {path.name.removesuffix(".dist-info") for path in found if path.name.startswith(("pip-", "setuptools-"))}


def make_wheel(folder: Path, package: str, version: str) -> Path:
    """Write a wheel with one module and one command."""
    path = folder / f"{package}-{version}-py3-none-any.whl"
    info = f"{package}-{version}.dist-info"
    files = {
        f"{package}.py": f"VERSION = {version!r}\ndef main(): print(VERSION)\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{package} = {package}:main\n",
    }
    record = [f"{name},sha256={digest(text)},{len(text.encode())}" for name, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"]) + "\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)  # a fixed date: equal content, equal hash
    return path


def digest(text: str) -> str:
    """Return a hash as wheels write it."""
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture(scope="session")
def made_checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout after its first call; tests get copies of it."""
    root = tmp_path_factory.mktemp("made") / "checkout"
    checkout = Checkout(root, root / "wheels")
    for folder in (checkout.wheels, root / "libs", root / "services" / "bootstrap"):
        folder.mkdir(parents=True)
    shutil.copy(ROOT / "erx", root / "erx")
    (root / "libs" / "kernel.py").write_text("from pathlib import Path\nPLACE = Path(__file__).parents[1]\n")
    (root / "services" / "bootstrap" / "__main__.py").write_text(PROGRAM)
    checkout.write_lock("requirements.txt", ("base", "1.0"))
    checkout.write_lock("requirements-stack.txt", ("driver", "1.0"))
    checkout.write_lock("requirements-telemetry.txt")
    checkout.write_lock("requirements-dev.txt", ("tool", "1.0"))
    first = checkout.run("demo")
    assert first.returncode == 0, first.stderr
    return checkout


@pytest.fixture
def checkout(made_checkout: Checkout, tmp_path: Path) -> Checkout:
    """A copy of a checkout after its first call: a moved one, in fact."""
    root = tmp_path / "checkout"
    shutil.copytree(made_checkout.root, root, symlinks=True)
    return Checkout(root, root / "wheels")


@pytest.fixture(scope="session")
def script() -> ModuleType:
    """The bootstrap script as a module."""
    loader = importlib.machinery.SourceFileLoader("erx_script", str(ROOT / "erx"))
    spec = importlib.util.spec_from_loader("erx_script", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # no __pycache__ beside the script
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = bytecode
    return module
