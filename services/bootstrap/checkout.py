"""Where things are in a checkout."""

import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
"""The top of the checkout."""

IMPORT_ROOTS: Final = (ROOT / "libs", ROOT / "services")
"""The two folders that packages are imported from."""

GENERATED: Final = ROOT / "libs" / "erx"
"""Code made from the protos; no check of style looks at it."""

TOOLS: Final = Path(sys.executable).parent
"""The folder of the environment's command-line tools."""
