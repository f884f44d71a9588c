"""Python and the catalogue of events from the contracts: `./erx gen [--check]`.

Every file below `protos/erx` becomes modules at the same path below `libs/erx`; a path in `protos`, a package and an import
path are one and the same, and nothing is rewritten. `buf.validate` is generated beside them, into `libs/buf`, because no
installed package has it for code made by protoc; `google.*` comes from installed packages alone. `docs/events.md` and
`docs/asyncapi.yaml` are made by `bootstrap.schemas` from the same contracts, after the code that it needs.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from bootstrap.checkout import ROOT
from bootstrap.schemas.protoc import ProtocError, protoc

PROTOS: Final = ROOT / "protos"
THIRD_PARTY: Final = PROTOS / "third_party"
OUTPUT: Final = ROOT / "libs"
GENERATED: Final = ("erx", "buf")
"""The top-level packages that hold generated code and nothing else."""

SERVICE: Final = re.compile(r"^service \w+", re.MULTILINE)
PACKAGE: Final = re.compile(r"^package ([\w.]+);", re.MULTILINE)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the generated code, or with `--check` say where it differs from what would be written."""
    parser = argparse.ArgumentParser(prog="erx gen", description="Make libs/erx, libs/buf and docs from protos.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail and name the files that differ")
    arguments = parser.parse_args(argv)
    try:
        made = generate(PROTOS, THIRD_PARTY)
    except ProtocError as error:
        print(error)
        return 1
    if arguments.check:
        problems = list(differences(made, existing(OUTPUT)))
        if not problems:  # the catalogue is made by code that is generated, so that comes first
            documents = made_documents()
            problems = list(differences(documents, existing_documents(documents), below=""))
            made |= documents
        print("\n".join(problems) or f"{len(made)} generated files are current")
        return 1 if problems else 0
    written, removed = write(made, OUTPUT)
    documents = made_documents()
    for name, content in documents.items():
        if existing_documents([name]).get(name) != content:
            (ROOT / name).write_bytes(content)
            written += 1
    print(f"{len(made) + len(documents)} files: {written} written, {removed} removed, the rest as they were")
    return 0


def made_documents() -> dict[str, bytes]:
    """Return the catalogue's files by their path in the checkout. It imports generated code, so it comes after that."""
    from bootstrap.schemas.documents import documents

    return documents(PROTOS, THIRD_PARTY)


def existing_documents(names: Iterable[str]) -> dict[str, bytes]:
    """Return those of these files that are there."""
    return {name: (ROOT / name).read_bytes() for name in names if (ROOT / name).is_file()}


def generate(protos: Path, third_party: Path) -> dict[str, bytes]:
    """Return the generated files by their path below `libs`."""
    own = sorted(path.relative_to(protos).as_posix() for path in (protos / "erx").rglob("*.proto"))
    borrowed = sorted(path.relative_to(third_party).as_posix() for path in (third_party / "buf").rglob("*.proto"))
    served = [name for name in own if SERVICE.search((protos / name).read_text())]
    with tempfile.TemporaryDirectory(prefix="erx-gen-") as folder:
        protoc(protos, third_party, [f"--python_out={folder}", f"--mypy_out=quiet:{folder}"], [*own, *borrowed])
        protoc(protos, third_party, [f"--grpc_python_out={folder}", f"--mypy_grpc_out=quiet:{folder}"], served)
        made = {name: (Path(folder) / name).read_bytes() for name in files_below(Path(folder))}
    return made | package_files(protos, own)


def package_files(protos: Path, names: Sequence[str]) -> dict[str, bytes]:
    """Return an `__init__.py` for every package of ours; `buf` has none, so that others may add to that namespace."""
    said: dict[str, str] = {}
    for name in names:
        text = (protos / name).read_text()
        package = PACKAGE.search(text)
        if package is None or package[1].replace(".", "/") != name.rpartition("/")[0]:
            raise ProtocError(f"{name}: the package must be the folder's path")
        parts = package[1].split(".")
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            said.setdefault(folder, f"Generated from `protos/{folder}`; never edited.")
        said["/".join(parts)] = f"The messages and services of `{package[1]}`. Generated; never edited."
    made = {f"{folder}/__init__.py": f'"""{text}"""\n'.encode() for folder, text in said.items()}
    return made | {"erx/py.typed": b""}


def existing(libs: Path) -> dict[str, bytes]:
    """Return the generated files that are there, by their path below `libs`."""
    found = (f"{top}/{name}" for top in GENERATED for name in files_below(libs / top))
    return {name: (libs / name).read_bytes() for name in found}


def files_below(folder: Path) -> Iterator[str]:
    """Yield the paths of the files below a folder, relative to it and sorted, without compiled modules."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(folder).as_posix()


def differences(made: Mapping[str, bytes], there: Mapping[str, bytes], below: str = "libs/") -> Iterator[str]:
    """Yield a sentence for every file that is missing, superfluous or different."""
    for name in sorted(made.keys() | there.keys()):
        if name not in there:
            yield f"{below}{name}: missing; run ./erx gen"
        elif name not in made:
            yield f"{below}{name}: nothing in protos makes this file; run ./erx gen"
        elif made[name] != there[name]:
            yield f"{below}{name}: differs from what protos make; run ./erx gen"


def write(made: Mapping[str, bytes], libs: Path) -> tuple[int, int]:
    """Bring the folder to what was made; return how many files were written and removed. Equal files are not touched."""
    there = existing(libs)
    changed = [name for name, content in made.items() if there.get(name) != content]
    for name in changed:
        (libs / name).parent.mkdir(parents=True, exist_ok=True)
        (libs / name).write_bytes(made[name])
    superfluous = there.keys() - made.keys()
    for name in superfluous:
        (libs / name).unlink()
    return len(changed), len(superfluous)


if __name__ == "__main__":
    sys.exit(main())
