"""The arms of notebook 10 on made data: each takes a replicate, of which only the number counts.

``accuracy`` is that on samples which show one view, in %. On samples that show both, every net is
right, and the theory has nothing to say. All nets make equally many updates.
"""

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kdlab.measure import evaluate, logits_of
from kdlab.papers.mysteries.made import DONE, Detectors, Made, Setting, descend, made, within
from kdlab.papers.mysteries.method import ViewKD
from kdlab.seeds import generator
from kdlab.train.frozen import permuted
from kdlab.train.method import CE
from kdlab.train.teachers import Ensemble
from kdlab.train.worlds import Replicate

NETS, STEPS = 5, 800  # nets in an ensemble; updates of every net
FULL: dict[str, Any] = {"T": 4.0, "lam": 1.0, "form": "KL"}
PLAIN = Setting()
Row = dict[str, Any]


def fresh(r: int, name: object, **how: Any) -> Detectors:
    """Return a net with first weights of its own stream: equal names, equal weights."""
    return Detectors(generator(r, "net", name), **how)


@functools.lru_cache(maxsize=16)  # the arms that a process makes of one replicate share them
def alone(
    r: int, name: object, setting: Setting = PLAIN, smoothing: float = 0.0, steps: int = STEPS
) -> Detectors:
    """Return the net `name`, trained with labels alone."""
    net = fresh(r, name)
    descend(CE(net, smoothing), made(r, setting).train, steps)
    return net


def team(
    r: int, count: int = NETS, setting: Setting = PLAIN, steps: int = STEPS
) -> list[Detectors]:
    """Return nets that differ in their first weights alone, each trained with labels."""
    return [alone(r, n, setting, steps=steps) for n in range(count)]


def known(nets: Sequence[Detectors], data: Made) -> Tensor:
    """Return which views each of `nets` knows, (nets, k, 2)."""
    return torch.stack([net.known(data.views) for net in nets])


def share(flags: Tensor) -> float:
    """Return how many of `flags` are set, in %; NaN where there are none."""
    return 100 * flags.double().mean().item()


def measured(nets: Sequence[Detectors], data: Made) -> Row:
    """Measure the mean of the scores of `nets`, and which share of all views they know together."""
    one, both = (evaluate(Ensemble(nets), part)["accuracy"] for part in (data.single, data.both))
    maps = known(nets, data)
    row = {"accuracy": one, "both": both, "share": share(maps.any(dim=0))}
    return row | {"known": maps.byte().numpy()}


def told(z: Tensor) -> Any:
    """Return a teacher that answers with its logits `z` for the training samples."""
    return lambda batch: z[batch.index]


def ensemble(r: Replicate, count: int = NETS, setting: Setting = PLAIN) -> Row:
    """Nets that are trained each alone; their scores are averaged."""
    return measured(team(r.r, count, setting), made(r.r, setting))


def joint(r: Replicate, mean: bool = False) -> Row:
    """The same five nets, added up before training: one net with five times as many detectors.

    `mean`: they are averaged instead, at five times the rate, so that each moves as fast as alone.
    """
    data, nets = made(r.r), [fresh(r.r, n) for n in range(NETS)]
    if mean:
        descend(CE(Ensemble(nets)), data.train, STEPS, rate=4 * NETS)
        return measured(nets, data)
    nets[0].w.data = torch.cat([net.w.data for net in nets], dim=1)
    descend(CE(nets[0]), data.train, STEPS)
    return measured(nets[:1], data)


def labels(r: Replicate, smoothing: float = 0.0, setting: Setting = PLAIN) -> Row:
    """The student alone."""
    return measured([alone(r.r, "student", setting, smoothing)], made(r.r, setting))


def distilled(
    r: Replicate,
    teachers: int = NETS,
    name: Any = "student",
    setting: Setting = PLAIN,
    **knobs: Any,
) -> Row:
    """A student of the first `teachers` nets; with one of them it is self-distillation.

    Args:
        name: of the student's first weights; 0 gives those of the first teacher.
        knobs: of `ViewKD`, and ``control``. "permuted": the teacher's wrong classes are dealt at
            random, sample by sample; "dealt": its answers are, within each class.

    Returns:
        Also, in %, how many views the student has of those that its teacher knows and the student
        alone would not (``inherited``), the other way round (``kept``), and of those that neither
        knows (``invented``); ``specific`` is inherited less invented.
    """
    data, nets, net = made(r.r, setting), team(r.r, teachers, setting), fresh(r.r, name)
    z, source = logits_of(Ensemble(nets), data.train.x), generator(r.r, "control")
    control = knobs.pop("control", "")
    z = permuted(z, source) if control == "permuted" else z
    z = z[within(data.train.y, source)] if control == "dealt" else z
    descend(ViewKD(net, told(z), **knobs), data.train, STEPS)
    teams = ([net], nets, [alone(r.r, name, setting)])
    has, theirs, own = (known(nets, data).any(dim=0) for nets in teams)
    parts = {"inherited": theirs & ~own, "kept": own & ~theirs, "invented": ~own & ~theirs}
    row = {name: share(has[part]) for name, part in parts.items()}
    return measured([net], data) | row | {"specific": row["inherited"] - row["invented"]}


def broken(r: Replicate, setting: Setting = PLAIN, pace: Any = (), **how: Any) -> Row:
    """Five nets where one condition of the theory is broken, each trained until the loss is DONE.

    `pace`: other arguments of `descend`; `how`: of `Detectors`.

    Returns:
        What the mean net does, and ``ensemble``: accuracy of all together.
    """
    data, nets = made(r.r, setting), [fresh(r.r, n, **how) for n in range(NETS)]
    for net in nets:
        descend(CE(net), data.train, stop=DONE, **dict(pace))
    each = [measured([net], data) for net in nets]
    row = {name: sum(one[name] for one in each) / NETS for name in ("accuracy", "both", "share")}
    return row | {"ensemble": measured(nets, data)["accuracy"]}
