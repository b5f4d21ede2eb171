"""The lab book: every finished run, with a note, in one SQLite file that survives restarts.

It lies outside of the cache, where everything can be deleted: in ``KDLAB_HOME``, or ``~/.kdlab``.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from kdlab.store import digest, home_dir

MARK = 0x6B646C01  # "kdl" and the format: the application id of such a file; raise it with COLUMNS
COLUMNS = [  # of a run: `expected` are the seconds that were foreseen
    *("key", "seed", "at", "method", "words", "settings", "note"),
    *("accuracy", "nll", "ece", "seconds", "expected"),
]
TABLE = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS runs ({", ".join(COLUMNS)}, PRIMARY KEY (key, seed));
PRAGMA application_id = {MARK};
COMMIT;
"""


class Book:
    """The lab book at `path`; the file appears with the first run."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or home_dir() / "lab.sqlite"

    @property
    def begun(self) -> bool:
        """Whether there is a table: until the first run is kept, the file is missing or empty."""
        return self.path.exists() and self.path.stat().st_size > 0

    def mend(self) -> str:
        """Set a damaged or foreign file aside; return in a sentence where it is now, or ""."""
        if not self.begun:
            return ""
        try:
            with self._opened() as db:
                if (mark := db.execute("PRAGMA application_id").fetchone()[0]) != MARK:
                    raise sqlite3.DatabaseError(f"its mark is {mark}, not that of a lab book")
                if (told := db.execute("PRAGMA quick_check").fetchone()[0]) != "ok":
                    raise sqlite3.DatabaseError(told)
        except sqlite3.OperationalError:  # locked, or not to be opened, but not damaged
            raise
        except sqlite3.DatabaseError as error:
            aside = self.path.with_name(f"lab-{digest(self.path.read_bytes())[:8]}.sqlite")
            self.path.replace(aside)
            return (
                f"{self.path} is no lab book that can be read ({error}); it is kept as "
                f"{aside.name}, and a new one is begun."
            )
        return ""

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """Open the file; what was done is kept at the end. Each thread and process has its own."""
        with closing(sqlite3.connect(self.path, timeout=20)) as db, db:
            yield db

    def keep(self, entry: Mapping[str, Any], row: Mapping[str, Any]) -> None:
        """Keep a finished run: `entry` holds what it is, `row` what was measured."""
        facts = {"at": datetime.now().isoformat(" ", "seconds"), **row, **entry}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._opened() as db:
            db.executescript(TABLE)
            old = db.execute("SELECT note FROM runs WHERE key = ?", (facts["key"],)).fetchone()
            facts["note"] = old[0] if old else ""
            values = [facts.get(name) for name in COLUMNS]
            db.execute(
                f"INSERT OR IGNORE INTO runs VALUES ({', '.join('?' * len(values))})", values
            )

    def runs(self) -> pd.DataFrame:
        """Return one row a run, the latest first, with the reader's note."""
        if not self.begun:
            return pd.DataFrame(columns=COLUMNS)
        with self._opened() as db:
            return pd.read_sql_query("SELECT * FROM runs ORDER BY at DESC, rowid DESC", db)

    def note(self, key: str, text: str) -> None:
        """Keep a note of the reader's on all runs of one row."""
        with self._opened() as db:
            db.execute("UPDATE runs SET note = ? WHERE key = ?", (text.strip(), key))

    def delete(self, key: str) -> None:
        """Delete the runs of one row, and their note."""
        with self._opened() as db:
            db.execute("DELETE FROM runs WHERE key = ?", (key,))

    def csv(self) -> str:
        """Return all runs as text, for a table of one's own."""
        return self.runs().drop(columns="expected").to_csv(index=False, lineterminator="\n")
