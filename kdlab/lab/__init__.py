"""The lab: ablations without code. Rows in plain words, trained while one watches.

`run` is what a worker process does, `methods` which losses there are, `rows` one row, `book` what
was tried, `pace` how long it takes, `training` who works when, `cluster` where, `results` the
numbers, `bench` all of it together, `widget` what one sees.
"""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from kdlab.data import Data
    from kdlab.lab.widget import Lab

__all__ = ["lab"]


def lab(
    start: "str | Mapping[str, Any] | Sequence[Mapping[str, Any]]" = "kd",
    *,
    methods: Mapping[str, Any] | None = None,
    data: "Data | str | PathLike[str] | None" = None,
    teacher: "nn.Module | None" = None,
    n_jobs: int | None = None,
    dask: str | None = None,
) -> "Lab":
    """Return the lab, a widget: end a cell with it.

    Args:
        start: a paper's folder ("kd"), whose presets then stand in the lab, or "all"; or presets,
            {name: {"rows": [...], "why": sentence, "replicates": 3}}; or a list of rows, such as
            ``[{"method": "KD", "knobs": {"T": 20}}, {"method": "labels"}]``.
        methods: your own, {name: loss}. A loss is a function ``f(z_s, z_t, y, *, T=4.0)`` that
            returns a scalar, or a class like those of the papers. `Lab.add` takes one later.
        data: your own images, as one more world: a `Data`, or a path that `kdlab.data.load` reads.
        teacher: your own trained network. It is the same in all replicates, so no interval then
            speaks of another teacher. Train it on no image that tests the students.
        n_jobs: worker processes; None takes all cores, or 1 on a GPU.
        dask: the address of a scheduler, whose workers make the runs then; see docs/cluster.md.

    Raises:
        ValueError: a row, a preset or a method that cannot be; says which, and why.
    """
    from kdlab.lab.widget import Lab  # a worker process needs no widget

    return Lab(start, methods or {}, data, teacher, n_jobs, dask)
