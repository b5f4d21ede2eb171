"""Four ways to distil one student, with the same first weights, batch size, loss and rates.

None prints, validates or saves, whatever its origin does.
"""

import copy
import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, RandomSampler

from bench.setting import ALPHA, Setting, T
from kdlab.measure import evaluate
from kdlab.papers.kd.method import KD
from kdlab.seeds import generator
from kdlab.train.fit import fit

WORKERS = 2  # of the data loaders
TEST_BATCH = 100  # images; kdlab's own, see `kdlab.measure.logits_of`


class Outcome(NamedTuple):
    """A trained student and the mean loss of each epoch."""

    student: nn.Module
    losses: list[float]


def with_kdlab(s: Setting, seed: int) -> Outcome:
    """Distil with `kdlab.train.fit`, which looks the stored teacher's answers up."""
    student = s.new_student(seed)
    method = KD(student, s.teacher, T, ALPHA)
    history = fit(method, s.data, s.recipe, seed, device="cpu")
    return Outcome(student, (history["hard"] + history["soft"]).tolist())


def with_plain_loop(s: Setting, seed: int) -> Outcome:
    """Distil as tutorials do: pictures through a loader, the teacher asked in every step."""
    torch.manual_seed(seed)
    loader = DataLoader(s.pictures, s.recipe.batch, shuffle=True, num_workers=WORKERS)
    student, losses = s.new_student(seed), []
    optimiser = s.recipe.optimiser_of(student.parameters())
    schedule = s.recipe.schedule_of(optimiser, len(s.rates))
    for _ in range(s.recipe.epochs):
        student.train()
        running = 0.0
        for x, y in loader:
            optimiser.zero_grad()
            with torch.no_grad():
                p = F.softmax(s.teacher.net(x) / T, dim=1)
            z = student(x)
            soft = F.kl_div(F.log_softmax(z / T, dim=1), p, reduction="batchmean")
            loss = ALPHA * T**2 * soft + (1 - ALPHA) * F.cross_entropy(z, y)
            loss.backward()
            optimiser.step()
            schedule.step()
            running += loss.item()
        losses.append(running / len(loader))
    return Outcome(student, losses)


def with_torchdistill(s: Setting, seed: int) -> Outcome:
    """Distil with torchdistill's ``DistillationBox``, driven as its image example drives it."""
    from torchdistill.core.distillation import get_distillation_box
    from torchdistill.losses import high_level, mid_level  # noqa: F401 - they register the losses

    torch.manual_seed(seed)
    student, teacher, cpu = s.new_student(seed), copy.deepcopy(s.teacher.net), torch.device("cpu")
    pictures = {"train": s.pictures}
    box = get_distillation_box(teacher, student, pictures, box_config(s), cpu, None, False, 1)
    losses, loader = [], box.train_data_loader
    for epoch in range(box.num_epochs):
        box.pre_epoch_process(epoch=epoch)
        running = 0.0
        for x, y, extra in loader:
            loss = box.forward_process(x, y, extra)
            box.post_forward_process(loss=loss)
            running += loss.item()
        box.post_epoch_process()
        losses.append(running / len(loader))
    return Outcome(student, losses)


def box_config(s: Setting) -> dict[str, Any]:
    """Return what a YAML file of torchdistill says; its alpha weighs the hard term."""
    logits = {"student_module_path": ".", "student_module_io": "output"}
    logits |= {"teacher_module_path": ".", "teacher_module_io": "output"}
    kd = {"key": "KDLoss", "kwargs": logits | {"temperature": T, "alpha": 1 - ALPHA}}
    terms = {"kd": {"criterion": kd, "weight": 1.0}}
    sgd = {"lr": s.recipe.lr, "momentum": s.recipe.momentum, "nesterov": s.recipe.momentum > 0}
    sampler = {"class_or_func": RandomSampler}
    loading = {"batch_size": s.recipe.batch, "num_workers": WORKERS}
    cycle = {"max_lr": s.recipe.lr, "total_steps": len(s.rates) + 1, "cycle_momentum": False}
    return {
        "num_epochs": s.recipe.epochs,
        "train_data_loader": {"dataset_id": "train", "sampler": sampler, "kwargs": loading},
        "teacher": {"forward_proc": "forward_batch_only", "requires_grad": False},
        "student": {"forward_proc": "forward_batch_only", "requires_grad": True},
        "optimizer": {"key": "SGD", "kwargs": sgd | {"weight_decay": s.recipe.weight_decay}},
        "scheduler": {"key": "OneCycleLR", "kwargs": cycle, "scheduling_step": 1},
        "criterion": {"key": "WeightedSumLoss", "kwargs": {"sub_terms": terms}},
    }


def with_bare_step(s: Setting, seed: int) -> Outcome:
    """Only what learning needs: forward, loss against a stored table, backward, SGD step."""
    (x, y, _), student = s.data.train, s.new_student(seed).train()
    optimiser, losses, rates = s.recipe.optimiser_of(student.parameters()), [], iter(s.rates)
    for epoch in range(1, s.recipe.epochs + 1):
        order = torch.randperm(len(y), generator=generator(seed, "order", epoch))
        parts = (column[order].split(s.recipe.batch) for column in (x, y, s.log_p))
        logs = []
        for x_part, y_part, log_p in zip(*parts, strict=True):
            z = student(x_part)
            log_q = F.log_softmax(z / T, dim=1)
            soft = F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)
            loss = ALPHA * T**2 * soft + (1 - ALPHA) * F.cross_entropy(z, y_part)
            optimiser.zero_grad()
            loss.backward()
            optimiser.param_groups[0]["lr"] = next(rates)
            optimiser.step()
            logs.append(loss.detach())
        losses.append(torch.stack(logs).mean().item())
    return Outcome(student, losses)


def tested_in_memory(s: Setting, student: nn.Module) -> float:
    """Return the test accuracy (%) as kdlab measures it."""
    return float(evaluate(student, s.data.test, "cpu")["accuracy"])


@torch.no_grad()
def tested_by_loader(s: Setting, student: nn.Module) -> float:
    """Return the test accuracy (%) as tutorials measure it: pictures through a loader."""
    student.eval()
    loader = DataLoader(s.test_pictures, TEST_BATCH, num_workers=WORKERS)
    correct = sum((student(x).argmax(dim=1) == y).sum().item() for x, y in loader)
    return 100 * correct / len(s.test_pictures)


class Way(NamedTuple):
    """How to distil and how to test, and whether on all cores or on one thread only."""

    distil: Callable[[Setting, int], Outcome]
    test: Callable[[Setting, nn.Module], float]
    all_cores: bool


KDLAB, PLAIN, BOX, BARE = "kdlab", "plain PyTorch loop", "torchdistill", "bare step"
WAYS = {
    KDLAB: Way(with_kdlab, tested_in_memory, all_cores=False),
    PLAIN: Way(with_plain_loop, tested_by_loader, all_cores=True),
    BOX: Way(with_torchdistill, tested_by_loader, all_cores=True),
    BARE: Way(with_bare_step, tested_in_memory, all_cores=False),
}


def missing() -> dict[str, str]:
    """Return {way: reason} for the ways that cannot run here."""
    if importlib.util.find_spec("torchdistill") is None:
        return {BOX: "torchdistill is not installed; `make bench` installs it"}
    return {}
