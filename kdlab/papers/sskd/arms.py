"""The arms of notebook 06: each takes a replicate, trains a student, returns what it measured.

All make the world's number of updates, and an update has the world's number of rows: 50 images, or
25 images with a view each. So all cost about the same, KD of notebook 00 as well.
"""

from dataclasses import replace
from typing import Any

from kdlab.data import Data
from kdlab.papers.kd.method import KD
from kdlab.papers.sskd.method import SSKD, SameRows
from kdlab.papers.sskd.pretext import stage_one
from kdlab.papers.sskd.views import Views
from kdlab.seeds import generator
from kdlab.train.fit import run
from kdlab.train.recipe import Recipe
from kdlab.train.worlds import Replicate

Row = dict[str, Any]


def recipe(r: Replicate, views_a_step: int = 1) -> Recipe:
    """Return the world's recipe with fewer images in a batch, as many rows as before."""
    own = r.recipe()
    return replace(own, batch=max(2, own.batch // (1 + views_a_step)))


def told(r: Replicate, share: float = 1, noise: float = 0) -> Data:
    """Return what the student sees: a share of the labelled images, a share of labels wrong.

    The teacher has learned from all of them, with right labels.
    """
    data = r.data if share == 1 else r.data.take(round(share * len(r.data.train.y)))
    return data.with_label_noise(noise, r.r) if noise else data


def sskd(
    r: Replicate,
    pool: str = "rotations",
    shuffled: bool = False,
    share: float = 1,
    noise: float = 0,
    net: str = "",
    **knobs: Any,
) -> Row:
    """Both stages. `shuffled`, a control: in L_ss each image has the likeness of another one."""
    data = told(r, share, noise)
    views = Views(r.teacher, data, pool, r.r)
    head = stage_one(r, views, data)
    if shuffled:
        views.deal(generator(r.r, "shuffled"))
    method = SSKD(r.student(net or None), views, head, seed=r.r, **knobs)
    return run(method, data, recipe(r, method.views_a_step), r.r)


def same_rows(r: Replicate) -> Row:
    """The control of equal cost: plain KD on images and turned images alike."""
    return run(SameRows.of(r), r.data, recipe(r), r.r)


def kd_told(r: Replicate, share: float = 1, noise: float = 0, net: str = "") -> Row:
    """Notebook 00's KD with fewer labels, wrong labels, or another student."""
    return run(KD(r.student(net or None), r.teacher), told(r, share, noise), r.recipe(), r.r)
