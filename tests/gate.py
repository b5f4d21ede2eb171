"""The gate: every cell of a notebook runs, and an error inside a widget is an error."""

import os
import subprocess
import sys
from pathlib import Path

CELL_SECONDS = 300
NOTEBOOK_SECONDS = 900


def nbval(path: Path) -> subprocess.CompletedProcess[str]:
    """Run ``pytest --nbval-lax`` on one notebook in a process of its own.

    papermill alone would pass a widget whose callback raises. It ends at the first cell that fails:
    what fails after it would hide the cause.
    """
    command = [sys.executable, "-m", "pytest", "--nbval-lax", str(path), "-q", "-x"]
    command += [f"--nbval-cell-timeout={CELL_SECONDS}", "--nbval-kernel-name=python3"]
    command += ["-p", "no:cacheprovider", "-p", "no:xdist", "-c", os.devnull]
    command += [f"--rootdir={path.parent}"]
    return subprocess.run(
        command, cwd=path.parent, capture_output=True, text=True, timeout=NOTEBOOK_SECONDS
    )
