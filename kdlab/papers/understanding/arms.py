"""The arms of notebook 03: each takes a replicate, trains a student, returns what it measured."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import rankdata, spearmanr
from torch import Tensor, nn

from kdlab.data import Data
from kdlab.measure import divergence, entropies, evaluate, logits_of
from kdlab.papers.kd.method import KD
from kdlab.papers.understanding import method as losses
from kdlab.papers.understanding.method import PartialKD, labelled, make_target, means
from kdlab.train.fit import fit
from kdlab.train.frozen import Frozen
from kdlab.train.method import CE
from kdlab.train.worlds import Replicate

T = 4.0
LOOKS = (0.005, 0.02, 0.05, 0.1, 0.3, 1.0)  # shares of the training after which omega is measured
JUDGED = LOOKS.index(0.1)

Row = dict[str, Any]


def part(r: Replicate, **knobs: Any) -> Row:
    """KD from a part of the teacher's answer."""
    return r.train(PartialKD.of(r, **knobs))


def reweighted(r: Replicate) -> Row:
    """Labels alone; images that the teacher is sure of weigh more."""
    return r.train(losses.Reweighted.of(r))


def flipped(r: Replicate, mass: str, rate: float = 0.2) -> Row:
    """A share of the labels is wrong, for teacher and student; the other classes share evenly.

    `found`: how well a low omega finds the wrong labels after a tenth of the training, AUROC in %;
    omega is that of the teacher's whole answer, whatever the student is told. `curves` (looks, 2):
    the same at each look, beside that of a high loss of the student.
    """
    data, recipe = r.data.with_label_noise(rate, seed=r.r), r.recipe()
    wrong = (data.truth[data.train.index] != data.train.y).numpy()
    teacher = r.teacher_of(data=data)
    method = PartialKD.of(r, teacher, data, mass=mass, shape="even")
    z_t, y = labelled(teacher, data)
    whole = make_target(z_t, y, T)
    at = [max(1, round(share * recipe.total_epochs(len(y)))) for share in LOOKS]
    seen: dict[int, tuple[Tensor, Tensor]] = {}

    def look(epoch: int, now: nn.Module) -> None:
        if epoch in at:
            z = logits_of(now, data.train.x)
            doubt = -losses.omega(z, whole, y, T, method.alpha).nan_to_num()
            seen[epoch] = doubt, F.cross_entropy(z, y, reduction="none")

    fit(method, data, recipe, r.r, on_epoch=[look])
    curves = np.array([[auroc(score, wrong) for score in seen[epoch]] for epoch in at])
    return {
        **evaluate(method, data.test),
        "found": curves[JUDGED, 0],
        "curves": curves.astype(np.float32),
    }


def auroc(score: Tensor, hit: np.ndarray) -> float:
    """Return the chance, in %, that a hit has a higher score (N,) than another; 50 is guessing."""
    n = int(hit.sum())
    above = rankdata(score.numpy())[hit].sum() - n * (n + 1) / 2
    return 100 * float(above / n / (len(hit) - n))


def geometry(r: Replicate, told: str) -> Row:
    """How near the classes lie in the student's last layer.

    `likeness` with the teacher's relations: Spearman's correlation over pairs of classes, in %.
    `planted`: by how much the cosine of a pair that looks alike exceeds that of any, in hundredths.
    """
    method: CE | KD = KD(r.student(), r.teacher) if told == "KD" else CE(r.student())
    if told == "confidence":
        method = PartialKD.of(r, shape="even")
    row, relations = r.train(method), means(*labelled(r.teacher, r.data), T).shape
    near = losses.cosines(losses.classifier(method.student))
    pairs, n = planted(len(near)), len(near)
    alike = np.mean([near[i, j].item() for i, j in pairs]) if pairs else np.nan
    row |= {"likeness": likeness(near, relations), "map": near.numpy().astype(np.float16)}
    row |= {"planted": 100 * (alike - (near.sum() - near.trace()).item() / (n * n - n))}
    return row | ({"relations": relations.numpy().astype(np.float16)} if told == "KD" else {})


def likeness(a: Tensor, b: Tensor) -> float:
    """Return Spearman's correlation, in %, of two maps (C, C), made symmetric, over all pairs."""
    above = np.triu_indices(len(a), 1)
    return 100 * float(spearmanr(*((m + m.T).numpy()[above] for m in (a, b))).statistic)


def planted(n_classes: int) -> list[tuple[int, int]]:
    """Return the pairs of classes of rot40 that look alike; none for other numbers of classes.

    After half a turn a 6 is a 9, and 0, 1 and 8 hardly change. Class 4 d + t: digit d, t turns.
    """
    half = [(4 * d + t, 4 * d + t + 2) for d in (0, 1, 8) for t in (0, 1)]
    half += [(4 * 6 + t, 4 * 9 + (t + 2) % 4) for t in range(4)]
    return half if n_classes == 40 else []


def taught(r: Replicate, smoothing: float = 0.0, longer: int = 1) -> Row:
    """KD from a teacher of smoothed labels, or one trained `longer` on images that stand still."""
    recipe = r.world.teacher_recipe
    if longer > 1:
        steps = longer * recipe.total_steps(len(r.data.train.y))
        recipe = replace(recipe, steps=steps, shift=0)
    fresh = r.student(r.world.teacher_net).to(memory_format=torch.channels_last)  # faster
    fit(CE(fresh, smoothing), r.data, recipe, r.r)
    teacher = Frozen(fresh, r.data)
    usual = {f"usual {name}": value for name, value in said(r.teacher, r.data).items()}
    return r.train(KD(r.student(), teacher)) | said(teacher, r.data) | usual


def said(teacher: Frozen, data: Data) -> Row:
    """What a teacher says of the labelled images at T = 4.

    `mass`, `spread`: mean and standard deviation of its mass on the label. `evenness`: entropy of
    a class's relations over that of equal shares. `own`: how far an image's shares of the wrong
    classes are from those of its class, KL in hundredths of a nat.
    """
    z, y = labelled(teacher, data)
    held, shape = make_target(z, y, T).gather(1, y[:, None]), means(z, y, T).shape
    shares, usual = (s.clamp(min=1e-30).log() for s in (make_target(z, y, T, mass=0.0), shape[y]))
    return {
        "mass": held.mean().item(),
        "spread": held.std().item(),
        "evenness": entropies(shape.log()).mean().item() / np.log(len(shape) - 1),
        "own": 100 * divergence(shares, usual).mean().item(),
    }
