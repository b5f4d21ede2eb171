"""Where results are kept between runs, and how a file appears there whole or not at all."""

import os
import tempfile
from pathlib import Path


def cache_dir() -> Path:
    """Return the folder of stored arrays, teachers and runs. It need not exist yet.

    ``KDLAB_CACHE`` wins. Otherwise a clone keeps it in ``data/cache``, an installed package in
    ``~/.cache/kdlab``. Everything in it can be deleted: it is made again.
    """
    if chosen := os.environ.get("KDLAB_CACHE"):
        return Path(chosen).expanduser()
    root = Path(__file__).resolve().parent.parent
    if (root / "pyproject.toml").exists():
        return root / "data" / "cache"
    return Path.home() / ".cache" / "kdlab"


def write_atomic(path: Path, content: bytes) -> Path:
    """Write `content` to `path` so that a reader, or a kill, never meets half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(name, 0o644)  # a temporary file is for its owner alone, a result is for all
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path
