"""Rows of evidence as files: numbers as text, arrays beside them, nothing pickled.

``evidence/NOTEBOOK/COMPARISON.csv``, a row a run, and ``.npz`` with arrays that some arms return.
"""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from kdlab.store import ROOT, write_atomic

FOLDER = ROOT / "evidence"
KEYS = ["world", "arm", "seed"]
NOTES = ["seconds", "stamp", "torch", "date"]  # how a row came about


def read(notebook: str, name: str, folder: Path = FOLDER) -> pd.DataFrame:
    """Return the evidence of one comparison: a row a run, with the columns that its arms measured.

    Columns: world, arm, seed (the replicate), numbers, arrays (where the arms returned some), and
    NOTES. No rows where nothing has been measured yet.
    """
    path = folder / notebook / f"{name}.csv"
    if not path.exists():
        table = pd.DataFrame(columns=[*KEYS, *NOTES])
    else:
        table = pd.read_csv(path, comment="#", dtype={"stamp": str, "torch": str})
        if (beside := path.with_suffix(".npz")).exists():
            with np.load(beside, allow_pickle=False) as arrays:
                table = _with_arrays(table, {key: arrays[key] for key in arrays.files})
    table.attrs["name"] = name
    return table


def _with_arrays(table: pd.DataFrame, arrays: dict[str, np.ndarray]) -> pd.DataFrame:
    """Return `table` with a column for each kind of array; None where a run has none."""
    table = table.copy()
    for kind in dict.fromkeys(key.split("|")[0] for key in arrays):
        column = []
        for row in table[KEYS].itertuples(index=False):
            world, arm, seed = row
            key = f"{kind}|{world}|{seed}" if kind == "rows" else f"{kind}|{world}|{arm}|{seed}"
            found = arrays.get(key)
            if kind == "correct" and found is not None:
                found = np.unpackbits(found)[: len(arrays[f"rows|{world}|{seed}"])].astype(bool)
            column.append(found)
        table[kind] = column
    return table


def write(notebook: str, table: pd.DataFrame, command: str, folder: Path = FOLDER) -> None:
    """Write the evidence of one comparison: numbers as text, arrays beside them, each file whole.

    The array ``correct`` is kept as bits. Columns that no run has any more are left out.
    """
    name, arrays = table.attrs["name"], dict[str, np.ndarray]()
    kinds = [c for c in table if table[c].map(lambda v: isinstance(v, np.ndarray)).any()]
    for row in table.to_dict("records"):
        for kind in kinds:
            if isinstance(value := row[kind], np.ndarray):
                key = [kind, row["world"], row["seed"]]
                key = key if kind == "rows" else [kind, row["world"], row["arm"], row["seed"]]
                small = np.packbits(value) if kind == "correct" else value
                arrays["|".join(map(str, key))] = small
    plain = table.drop(columns=kinds)
    plain = plain[[*KEYS, *(c for c in plain if c not in KEYS + NOTES), *NOTES]]
    text = f"# {command}\n" + plain.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    path = folder / notebook / f"{name}.csv"
    if arrays:  # first: a table without its arrays would be read as whole
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        write_atomic(path.with_suffix(".npz"), buffer.getvalue())
    write_atomic(path, text.encode())


def stacked(tables: Mapping[str, pd.DataFrame], *names: str) -> pd.DataFrame:
    """Return the rows of several comparisons as one table; without any, a table with columns."""
    full = [tables[name] for name in names if len(tables[name])]
    none = pd.DataFrame(columns=[*KEYS, "seconds", "accuracy"])
    return pd.concat(full, ignore_index=True) if full else none


def command_of(notebook: str, name: str, folder: Path = FOLDER) -> str:
    """Return the command that a file of evidence says it was made by."""
    with (folder / notebook / f"{name}.csv").open(encoding="utf-8") as file:
        return file.readline().lstrip("# ").rstrip()
