"""Checks of the contracts with buf: `python -m bootstrap.devtools.protos lint|breaking|release`.

`protos/released.binpb` is the image of the contracts as they were last released. `breaking` compares with it: whatever code
made from it can read or call must go on working. `release` renews it, after a release and never to silence `breaking`.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bootstrap.checkout import ROOT, TOOLS

RELEASED: Final = ROOT / "protos" / "released.binpb"
BUF_SECONDS_MAX: Final = 120


def main(argv: Sequence[str] | None = None) -> int:
    """Run one check, or renew the image; print what buf says."""
    parser = argparse.ArgumentParser(prog="protos", description="Check the contracts with buf.")
    parser.add_argument("action", choices=("lint", "breaking", "release"))
    match parser.parse_args(argv).action:
        case "lint":
            status, output = lint()
        case "breaking":
            status, output = breaking()
        case _:
            status, output = release()
    print(output.rstrip() or "the contracts are in order")
    return status


def lint(root: Path = ROOT) -> tuple[int, str]:
    """Run the linter and the formatter's check; return the status and what they said."""
    linted, said = buf(root, "lint")
    formatted, changes = buf(root, "format", "--diff", "--exit-code")
    return linted or formatted, said + changes


def breaking(root: Path = ROOT, released: Path = RELEASED) -> tuple[int, str]:
    """Compare the contracts with the released image; return the status and what breaks."""
    if not released.is_file():
        return 1, f"{released.name} is missing: there is nothing to compare with"
    with tempfile.TemporaryDirectory(prefix="erx-image-") as folder:
        image = Path(folder) / "now.binpb"
        status, output = build(root, image)
        if status:
            return status, output
        # Two images are compared, because buf refuses to compare an image with a workspace of more than one module.
        rules = ("--config", str(root / "buf.yaml"))
        return buf(root, "breaking", str(image), "--against", str(released), "--exclude-imports", *rules)


def release(root: Path = ROOT, released: Path = RELEASED) -> tuple[int, str]:
    """Renew the released image, if nothing in the contracts breaks it; return the status and what was done."""
    if released.is_file():
        status, output = breaking(root, released)
        if status:
            return status, f"{output}\nthe image stays as it is: these changes would break callers of the last release"
    with tempfile.TemporaryDirectory(prefix="erx-image-") as folder:
        image = Path(folder) / released.name
        status, output = build(root, image)
        if status:
            return status, output
        released.write_bytes(image.read_bytes())
    return 0, f"{released.name} holds the contracts as they are now"


def build(root: Path, image: Path) -> tuple[int, str]:
    """Write the image of our contracts and all they import, without comments, so that it changes only when they do."""
    return buf(root, "build", "protos", "--exclude-source-info", "--output", str(image))


def buf(root: Path, *arguments: str) -> tuple[int, str]:
    """Run buf in a folder; return its status and its output. It needs no network: nothing is fetched from a registry."""
    command = [str(TOOLS / "buf"), *arguments]
    done = subprocess.run(
        command,
        cwd=root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUF_SECONDS_MAX,
        check=False,
    )
    return done.returncode, done.stdout


if __name__ == "__main__":
    sys.exit(main())
