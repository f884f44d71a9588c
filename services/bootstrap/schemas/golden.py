"""Golden files: stored bytes of every shape there has been, written once. A list of their hashes stands beside them.

``tests/golden/SHA256SUMS`` is what ``sha256sum --check`` reads. ``seal`` adds files to it and changes no line. Where there is a
repository's history it is asked besides: what was there at the last release, and whether a line was ever changed.
"""

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

FOLDER: Final = "tests/golden"
SUMS: Final = f"{FOLDER}/SHA256SUMS"
RELEASED: Final = "protos/released.binpb"
SEAL: Final = "./erx schemas seal"
MARK: Final = "FILL IN"
"""What generated skeletons have where a person must write; nothing that has it is finished."""

GIT_SECONDS_MAX: Final = 60


class SealRefused(Exception):
    """A golden file differs from what was sealed; the message names it."""


def files_of(root: Path) -> list[str]:
    """Every golden file, by its path below the golden folder."""
    folder = root / FOLDER
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path != root / SUMS
    )


def sealed(root: Path) -> dict[str, str]:
    """The hashes that were written down, by path below the golden folder."""
    path = root / SUMS
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines) if name}


def seal(root: Path) -> list[str]:
    """Write down the hashes of files that are new; give their names. Raises ``SealRefused`` where a known one differs.

    Bytes that stand beside as text alone (``v4/PrescriptionCancelled.txt``) are written first.
    """
    known = sealed(root)
    if problems := [*_edited(root, known), *_unfinished(root)]:
        raise SealRefused("\n".join(problems))
    _write_bytes(root)
    fresh = [name for name in files_of(root) if name not in known]
    lines = {**known, **{name: _digest(root, name) for name in fresh}}
    (root / SUMS).write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(lines.items())), encoding="utf-8")
    return fresh


def unsealed_or_edited(root: Path) -> Iterator[str]:
    """A sentence for every golden file that is gone, was edited, or was not written down."""
    known = sealed(root)
    yield from _edited(root, known)
    for name in files_of(root):
        if name not in known:
            yield f"{FOLDER}/{name}: its hash is not written down; when the file is final, run `{SEAL}`"


def edited_since_release(root: Path) -> Iterator[str]:
    """A sentence for every golden file that is not what it was when the contracts were last released.

    Says nothing where there is no history to ask, as in an archive of the sources or a shallow clone.
    """
    commit = _git(root, "log", "-1", "--format=%H", "--", RELEASED).strip()
    listing = _git(root, "ls-tree", "-r", "-z", commit, "--", FOLDER) if commit else ""
    for line in filter(None, listing.split("\0")):
        facts, _, name = line.partition("\t")
        blob = facts.split()[2]
        if name == SUMS:
            continue
        path = root / name
        if not path.is_file():
            yield f"{name}: removed, though it was released ({commit[:7]})"
        elif _blob(path.read_bytes(), len(blob)) != blob:
            yield f"{name}: edited after it was released ({commit[:7]}); stored bytes are added to, never edited"


def resealed(root: Path) -> Iterator[str]:
    """A sentence for every event's file whose line in the list is not the one that was first committed.

    Bytes of events may be in somebody's journal from the day they were committed. Says nothing where there is no history.
    """
    known = sealed(root)
    first: dict[str, str] = {}
    for line in _git(root, "log", "--format=", "--patch", "--unified=0", "--", SUMS).splitlines():
        digest, _, name = line[1:].partition("  ")
        if line.startswith("+") and len(digest) == hashlib.sha256().digest_size * 2 and "/events/" in name:
            first[name] = digest  # newest commits come first, so the oldest one's line stays
    for name, digest in sorted(first.items()):
        if known.get(name) != digest:
            yield f"{FOLDER}/{name}: sealed once, and the list says something else since; stored bytes are never edited"


def _edited(root: Path, known: dict[str, str]) -> Iterator[str]:
    for name, digest in known.items():
        if not (root / FOLDER / name).is_file():
            yield f"{FOLDER}/{name}: removed; golden files stay for ever"
        elif _digest(root, name) != digest:
            yield f"{FOLDER}/{name}: edited; golden files are written once, another case is another file"


def _unfinished(root: Path) -> Iterator[str]:
    for name in files_of(root):
        if MARK.encode() in (root / FOLDER / name).read_bytes():
            yield f"{FOLDER}/{name}: not filled in yet"


def _write_bytes(root: Path) -> None:
    from eventkernel.testing.wire_text import wire_bytes

    for name in files_of(root):
        path = root / FOLDER / name
        target = path.with_suffix(".binpb")
        if path.suffix == ".txt" and not target.exists():
            try:
                target.write_bytes(wire_bytes(path.read_text(encoding="utf-8")))
            except ValueError as error:
                raise SealRefused(f"{FOLDER}/{name}: {error}") from error


def _digest(root: Path, name: str) -> str:
    return hashlib.sha256((root / FOLDER / name).read_bytes()).hexdigest()


def _blob(data: bytes, digits: int) -> str:
    """Git's name for these bytes, in the hash that the repository uses."""
    algorithm = hashlib.sha1(usedforsecurity=False) if digits == 40 else hashlib.sha256()
    algorithm.update(b"blob %d\0" % len(data))
    algorithm.update(data)
    return algorithm.hexdigest()


def _git(root: Path, *arguments: str) -> str:
    try:
        command = ["git", *arguments]
        done = subprocess.run(  # noqa: S603 - git itself, with a list of arguments
            command, cwd=root, capture_output=True, text=True, timeout=GIT_SECONDS_MAX, check=False
        )
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""
