"""The partial targets, the losses and the methods of notebook 03."""

import itertools
import math
from functools import partial as bound

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdlab.data import Batch, Data
from kdlab.models import build
from kdlab.papers.kd.method import KD, kd_loss
from kdlab.papers.understanding import method as paper
from kdlab.papers.understanding.method import (
    Means,
    PartialKD,
    Reweighted,
    make_target,
    means,
    omega,
    partial_loss,
    soft_loss,
    top_k,
)
from kdlab.train.fit import fit
from kdlab.train.frozen import Frozen
from kdlab.train.recipe import Recipe
from tests import oracles
from tests.mutants import assert_caught

SHAPES = [(1, 2), (2, 3), (5, 10), (7, 4)]
TEMPERATURES = [0.5, 1.0, 4.0, 20.0]
OUT = -math.inf


def logits(b: int, c: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Return student and teacher logits (b, c)."""
    gen = torch.Generator().manual_seed(1000 * b + 10 * c + seed)
    return list((3 * torch.randn(2, b, c, generator=gen, dtype=torch.float64)).to(dtype))


def labels(b: int, c: int) -> Tensor:
    return torch.randint(0, c, (b,), generator=torch.Generator().manual_seed(b * c))


def weights(c: int) -> Tensor:
    """Return a shape (c, c), some of it 0."""
    gen = torch.Generator().manual_seed(c)
    return torch.rand(c, c, generator=gen, dtype=torch.float64).round(decimals=1)


def ways(c: int) -> list[tuple[float | None, Tensor | None]]:
    """Return every way to give or leave out a part."""
    return list(itertools.product((None, 0.7), (None, torch.ones(c, c).double(), weights(c))))


# --- slow oracles, in plain floats ----------------------------------------------------------------


def slow_target(v: list[float], y: int, T: float, mass: float | None, shape) -> list[float]:
    """r_y is the mass, r_k = (1 - r_y) w_k / sum of w over k != y."""
    p = oracles.softmax(v, T)
    held = p[y] if mass is None else mass
    row = p if shape is None else shape[y].tolist()
    total = math.fsum(row[k] for k in range(len(p)) if k != y)
    return [
        held if k == y else (1 - held) * (row[k] / total if total else 1 / (len(p) - 1))
        for k in range(len(p))
    ]


def slow_top_k(r: list[float], k: int) -> list[float]:
    """The k largest stay, what is left is dealt out evenly."""
    kept = sorted(range(len(r)), key=lambda i: -r[i])[:k]
    rest = math.fsum(r[i] for i in range(len(r)) if i not in kept)
    return [r[i] if i in kept else rest / (len(r) - k) for i in range(len(r))]


def slow_loss(z_s: Tensor, r: Tensor, T: float) -> float:
    pairs = list(zip(oracles.rows(z_s), oracles.rows(r), strict=True))
    return T**2 * math.fsum(oracles.kl(t, oracles.softmax(s, T)) for s, t in pairs) / len(pairs)


def slow_means(z_t: Tensor, y: Tensor, T: float) -> tuple[float, list[list[float]]]:
    p, c = [oracles.softmax(row, T) for row in oracles.rows(z_t)], z_t.shape[1]
    mass = math.fsum(row[label] for row, label in zip(p, y.tolist(), strict=True)) / len(p)
    shape = [[0.0] * c for _ in range(c)]
    for row, label in zip(p, y.tolist(), strict=True):
        for k in range(c):
            shape[label][k] += row[k] * (k != label)
    return mass, [[x / sum(row) if sum(row) else 0.0 for x in row] for row in shape]


# --- targets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "T"), list(itertools.product(SHAPES, TEMPERATURES)))
def test_targets_equal_the_slow_oracle(shape: tuple[int, int], T: float):
    (_, z_t), y = logits(*shape), labels(*shape)
    for mass, others in ways(shape[1]):
        rows = zip(oracles.rows(z_t), y.tolist(), strict=True)
        slow = torch.tensor([slow_target(v, label, T, mass, others) for v, label in rows])
        torch.testing.assert_close(
            make_target(z_t, y, T, mass, others), slow.double(), atol=1e-6, rtol=1e-6
        )


def test_values_worked_out_by_hand():
    """The card: T = 2, logits 4, 2, 1, 0."""
    v, y = torch.tensor([[4.0, 2.0, 1.0, 0.0]]), torch.tensor([0])
    p = [0.57926, 0.21310, 0.12925, 0.07839]
    assert make_target(v, y, 2.0)[0].tolist() == pytest.approx(p, abs=1e-5)
    even = make_target(v, y, 2.0, shape=torch.ones(4, 4))[0].tolist()
    assert even == pytest.approx([0.57926] + [0.140247] * 3, abs=1e-5)
    two = top_k(make_target(v, y, 2.0), 2)[0].tolist()
    assert two == pytest.approx([0.57926, 0.21310, 0.103822, 0.103822], abs=1e-5)
    z, r = torch.zeros(1, 4), make_target(v, y, 2.0)
    assert omega(z, r, y, 2.0, 0.5).item() == pytest.approx(0.939011, abs=1e-5)
    assert omega(z, r, torch.tensor([2]), 2.0, 0.5).item() == pytest.approx(0.339000, abs=1e-5)


def test_a_loss_worked_out_on_paper():
    """Two classes, T = 2, r = (3/4, 1/4), q = (1/2, 1/2): 4 (3/4 log 3/2 + 1/4 log 1/2)."""
    z, y = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([0])
    by_hand = 4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert partial_loss(z, z, y, 2.0, 0.75).item() == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_sum_to_one_and_no_part_disturbs_the_other(shape: tuple[int, int]):
    (_, z_t), y = logits(*shape), labels(*shape)
    for mass, others in ways(shape[1]):
        r = make_target(z_t, y, 4.0, mass, others)
        torch.testing.assert_close(r.sum(dim=1), torch.ones(shape[0]).double())
        assert (r >= 0).all()
        held = make_target(z_t, y, 4.0, mass).gather(1, y[:, None])
        torch.testing.assert_close(r.gather(1, y[:, None]), held)
        share = make_target(z_t, y, 4.0, 0.0, others)
        torch.testing.assert_close(r, held * F.one_hot(y, shape[1]) + (1 - held) * share)


def test_the_entry_of_the_label_in_a_shape_does_not_count():
    (_, z_t), y, shape = logits(5, 4)[:2], labels(5, 4), weights(4)
    other = shape.clone().fill_diagonal_(9.0)
    torch.testing.assert_close(
        make_target(z_t, y, 4.0, None, shape), make_target(z_t, y, 4.0, None, other)
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_all_of_the_answer_is_plain_kd(shape: tuple[int, int]):
    (z_s, z_t), y = logits(*shape), labels(*shape)
    for T in TEMPERATURES:
        torch.testing.assert_close(partial_loss(z_s, z_t, y, T), kd_loss(z_s, z_t, T))
        r = make_target(z_t, y, T)
        torch.testing.assert_close(soft_loss(z_s, top_k(r, shape[1]), T), kd_loss(z_s, z_t, T))


def test_an_even_rest_with_one_mass_is_label_smoothing_at_the_temperature():
    (z_s, z_t), y = logits(5, 4), labels(5, 4)
    r = make_target(z_t, y, 4.0, 0.7, torch.ones(4, 4))
    smoothed = 0.6 * F.one_hot(y, 4) + 0.4 / 4  # 0.6 + 0.1 = 0.7
    torch.testing.assert_close(r, smoothed.double())
    slope = torch.autograd.grad(soft_loss(z_s.requires_grad_(), r, 4.0), z_s)[0]
    loss = 16 * oracles_cross_entropy(z_s / 4, smoothed.double())
    torch.testing.assert_close(slope, torch.autograd.grad(loss, z_s)[0])


def oracles_cross_entropy(z: Tensor, target: Tensor) -> Tensor:
    return -(target * F.log_softmax(z, dim=1)).sum(dim=1).mean()


@pytest.mark.parametrize("k", range(1, 7))
def test_top_k_equals_the_slow_oracle(k: int):
    r = logits(8, 6)[1].softmax(dim=1)
    slow = torch.tensor([slow_top_k(row, k) for row in r.tolist()]) if k < 6 else r
    torch.testing.assert_close(top_k(r, k), slow.double(), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(top_k(r, k).sum(dim=1), torch.ones(8).double())


def test_one_entry_is_confidence_where_the_teacher_is_right_only():
    (_, z_t), y = logits(8, 6), labels(8, 6)
    r = make_target(z_t, y, 4.0)
    right = r.argmax(dim=1) == y
    same = (top_k(r, 1) - make_target(z_t, y, 4.0, None, torch.ones(6, 6))).abs().amax(1) < 1e-9
    assert right.any() and not right.all() and torch.equal(same, right)


def test_of_equal_entries_the_first_stay():
    r = torch.tensor([[0.2, 0.2, 0.2, 0.4]])
    assert top_k(r, 2)[0].tolist() == pytest.approx([0.2, 0.2, 0.2, 0.4])
    r = torch.tensor([[0.1, 0.3, 0.3, 0.3]])
    assert top_k(r, 2)[0].tolist() == pytest.approx([0.2, 0.3, 0.3, 0.2])


@pytest.mark.parametrize("T", TEMPERATURES)
def test_means_equal_the_slow_oracle(T: float):
    z_t, y = logits(30, 5)[1], labels(30, 5)
    found, (mass, shape) = means(z_t, y, T), slow_means(z_t, y, T)
    assert found.mass == pytest.approx(mass, rel=1e-9)
    torch.testing.assert_close(found.shape, torch.tensor(shape).double(), atol=1e-6, rtol=1e-5)
    assert (found.shape.diagonal() == 0).all()


def test_a_class_without_an_image_is_shared_out_evenly():
    z_t, y = logits(4, 3)[1], torch.tensor([0, 0, 1, 1])
    shape = means(z_t, y, 4.0).shape
    assert shape[2].tolist() == [0, 0, 0]
    r = make_target(z_t[:1], torch.tensor([2]), 4.0, 0.6, shape)
    assert r[0].tolist() == pytest.approx([0.2, 0.2, 0.6])


def test_a_mean_keeps_the_mean_mass_and_the_mean_shape():
    z_t, y = logits(30, 5)[1], labels(30, 5)
    told = means(z_t, y, 4.0)
    p, r = make_target(z_t, y, 4.0), paper.part(z_t, y, 4.0, told, "mean", "class")
    own = F.one_hot(y, 5)
    assert (p * own).sum().item() == pytest.approx((r * own).sum().item())
    for label in range(5):
        mine, theirs = ((a * (1 - own))[y == label].sum(dim=0) for a in (p, r))
        torch.testing.assert_close(mine / mine.sum(), theirs / theirs.sum())


def test_relations_from_weights_do_not_see_their_mean():
    w = torch.randn(5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shape = paper.from_weights(w)
    torch.testing.assert_close(paper.from_weights(w + 3.0), shape)
    torch.testing.assert_close(shape.sum(dim=1), torch.ones(5).double())
    assert (shape.diagonal() == 0).all()
    near = paper.cosines(w)
    assert torch.equal(shape[0, 1:].argmax(), near[0, 1:].argmax())
    even = torch.full((5, 5), 0.25).double().fill_diagonal_(0)
    torch.testing.assert_close(paper.from_weights(w, kappa=0.0), even)


# --- the loss -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "T"), list(itertools.product(SHAPES, TEMPERATURES)))
def test_the_loss_equals_the_slow_oracle(shape: tuple[int, int], T: float):
    (z_s, z_t), y = logits(*shape), labels(*shape)
    for mass, others in ways(shape[1]):
        r = make_target(z_t, y, T, mass, others)
        found = partial_loss(z_s, z_t, y, T, mass, others).item()
        assert found == pytest.approx(slow_loss(z_s, r, T), rel=1e-9, abs=1e-12)


def test_zero_and_flat_where_the_student_says_the_target():
    r = make_target(logits(5, 4)[1], labels(5, 4), 4.0, 0.7, weights(4) + 0.1)
    z = (4.0 * r.log()).requires_grad_()
    loss = soft_loss(z, r, 4.0)
    assert abs(loss.item()) < 1e-12
    assert torch.autograd.grad(loss, z)[0].abs().max() < 1e-12
    assert soft_loss(logits(5, 4)[0], r, 4.0) > 1e-3


@pytest.mark.parametrize("shape", SHAPES)
def test_the_gradient_is_the_gap_times_the_temperature(shape: tuple[int, int]):
    (z_s, z_t), y = logits(*shape), labels(*shape)
    z_s.requires_grad_()
    for mass, others in ways(shape[1]):
        r = make_target(z_t, y, 4.0, mass, others)
        slope = torch.autograd.grad(soft_loss(z_s, r, 4.0), z_s)[0]
        gap = 4.0 * ((z_s / 4.0).softmax(dim=1) - r) / len(r)
        torch.testing.assert_close(slope, gap.detach())
        assert torch.autograd.gradcheck(
            lambda z, r=r: soft_loss(z, r, 4.0), (z_s.detach().clone().requires_grad_(),)
        )


def test_no_gradient_reaches_teacher_or_target():
    (z_s, z_t), y = logits(5, 4), labels(5, 4)
    for z in (z_s, z_t):
        z.requires_grad_()
    for mass, others in ways(4):
        loss = partial_loss(z_s, z_t, y, 4.0, mass, others)
        own, none = torch.autograd.grad(loss, (z_s, z_t), allow_unused=True)
        assert none is None and own.abs().max() > 0
    r = z_t.softmax(dim=1)
    assert torch.autograd.grad(soft_loss(z_s, r, 4.0), z_t, allow_unused=True)[0] is None


def test_a_constant_and_the_order_of_rows_and_classes_do_not_matter():
    (z_s, z_t), y, shape = logits(5, 4), labels(5, 4), weights(4)
    loss = partial_loss(z_s, z_t, y, 4.0, None, shape)
    moved = partial_loss(z_s + 7, z_t - 3, y, 4.0, None, shape)
    torch.testing.assert_close(moved, loss)
    gen = torch.Generator().manual_seed(1)
    rows, classes = torch.randperm(5, generator=gen), torch.randperm(4, generator=gen)
    other = partial_loss(z_s[rows], z_t[rows], y[rows], 4.0, None, shape)
    torch.testing.assert_close(other, loss)
    named = classes.argsort()[y]
    turned = shape[classes][:, classes]
    other = partial_loss(z_s[:, classes], z_t[:, classes], named, 4.0, None, turned)
    torch.testing.assert_close(other, loss)
    again = partial_loss(z_s.repeat(3, 1), z_t.repeat(3, 1), y.repeat(3), 4.0, None, shape)
    torch.testing.assert_close(again, loss)


# --- omega ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("T", "alpha"), [(1.0, 0.5), (2.0, 0.9), (4.0, 1.0), (8.0, 0.0)])
def test_omega_is_the_ratio_of_gradients_that_autograd_measures(T: float, alpha: float):
    (z_s, z_t), y = logits(6, 5), labels(6, 5)
    z_s.requires_grad_()
    for mass, others in ways(5):
        r = make_target(z_t, y, T, mass, others)
        hard = F.cross_entropy(z_s, y)
        whole = (1 - alpha) * hard + alpha * soft_loss(z_s, r, T)
        one, two = (torch.autograd.grad(x, z_s, retain_graph=True)[0] for x in (whole, hard))
        ratio = (one / two).gather(1, y[:, None])[:, 0]
        torch.testing.assert_close(omega(z_s, r, y, T, alpha).detach(), ratio)


def test_for_a_new_student_omega_is_the_ratio_of_all_gradients_with_an_even_rest():
    """Sum of |gradient| over all classes: no sign changes where all logits are equal."""
    z, z_t = torch.zeros(5, 4).double().requires_grad_(), logits(5, 4)[1].clamp(min=0)
    y = z_t.argmax(dim=1)  # the mass on the label is above 1 / C
    r = make_target(z_t, y, 4.0, None, torch.ones(4, 4))
    hard = F.cross_entropy(z, y)
    whole = 0.1 * hard + 0.9 * soft_loss(z, r, 4.0)
    one, two = (torch.autograd.grad(x, z, retain_graph=True)[0].abs() for x in (whole, hard))
    expected = one.sum(dim=1) / two.sum(dim=1)
    torch.testing.assert_close(omega(z, r, y, 4.0, 0.9).detach(), expected)


def test_omega_rises_with_the_mass_on_the_label_and_falls_below_zero():
    z, y = torch.zeros(1, 4), torch.tensor([0])
    r = [make_target(z, y, 4.0, m, torch.ones(4, 4)) for m in (0.1, 0.5, 0.9)]
    found = [omega(z, target, y, 4.0, 0.9).item() for target in r]
    assert found == sorted(found) and found[0] < 0 < found[1]
    assert omega(z, r[1], y, 4.0, 0.0).item() == pytest.approx(1.0)


def test_a_sure_student_makes_omega_infinite():
    z, y = torch.tensor([[1e3, 0.0]]), torch.tensor([0])
    assert omega(z, torch.tensor([[0.5, 0.5]]), y, 4.0, 0.9).item() == -math.inf


# --- extreme inputs -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_logits_of_a_thousand_stay_finite_and_right(dtype: torch.dtype):
    z_s = torch.tensor([[1e3, -1e3, 0.0], [-1e3, 1e3, 5.0]], dtype=dtype, requires_grad=True)
    z_t, y = -z_s.detach(), torch.tensor([1, 1])
    for mass, others in ways(3):
        loss = partial_loss(z_s, z_t, y, 4.0, mass, others)
        assert torch.isfinite(loss)
        assert torch.isfinite(torch.autograd.grad(loss, z_s)[0]).all()
    # the first teacher says class 1 alone: nothing is left to share, so the rest is even
    r = make_target(z_t[:1], y[:1], 0.5, 0.6)
    assert r[0].tolist() == pytest.approx([0.2, 0.6, 0.2])


def test_a_class_that_the_teacher_rules_out():
    (z_s, z_t), y = logits(5, 4), torch.tensor([0, 1, 2, 0, 1])
    z_t = z_t.index_fill(1, torch.tensor([3]), OUT)
    z_s.requires_grad_()
    assert (make_target(z_t, y, 4.0)[:, 3] == 0).all()
    for k in (3, 4):
        loss = soft_loss(z_s, top_k(make_target(z_t, y, 4.0), k), 4.0)
        torch.testing.assert_close(loss, kd_loss(z_s, z_t, 4.0))
        assert torch.autograd.grad(loss, z_s)[0].isfinite().all()
    both = z_s.detach().index_fill(1, torch.tensor([3]), OUT).requires_grad_()
    loss = partial_loss(both, z_t, y, 4.0)
    assert loss.isfinite() and torch.autograd.grad(loss, both)[0].isfinite().all()
    assert partial_loss(both, z_t, y, 4.0, 0.7, torch.ones(4, 4)).item() == math.inf


def test_one_class_teaches_nothing():
    (z_s, z_t), y = logits(4, 1), torch.zeros(4, dtype=torch.long)
    for mass, others in ways(1):
        loss = partial_loss(z_s.requires_grad_(), z_t, y, 4.0, mass, others)
        assert loss.item() == 0
        assert torch.equal(torch.autograd.grad(loss, z_s)[0], torch.zeros_like(z_s))


def test_identical_rows_count_as_one():
    (z_s, z_t), y = logits(1, 6), labels(1, 6)
    loss = partial_loss(z_s, z_t, y, 4.0, 0.7)
    many = (z_s.expand(8, -1), z_t.expand(8, -1), y.expand(8))
    torch.testing.assert_close(partial_loss(*many, 4.0, 0.7), loss)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_computed_in_float32(dtype: torch.dtype):
    (z_s, z_t), y = logits(5, 10, dtype=dtype), labels(5, 10)
    z_s.requires_grad_()
    for T in TEMPERATURES:
        loss = partial_loss(z_s, z_t, y, T, None, torch.ones(10, 10))
        assert loss.dtype == torch.float32
        r = make_target(z_t.double(), y, T, None, torch.ones(10, 10))
        assert loss.item() == pytest.approx(slow_loss(z_s.detach().float(), r, T), rel=1e-3)
        assert torch.autograd.grad(loss, z_s)[0].dtype == dtype
    assert omega(z_s, make_target(z_t, y, 4.0), y, 4.0, 0.9).dtype == torch.float32


# --- bad inputs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"y": torch.tensor([0, -1])}, "label"),
        ({"y": torch.tensor([0, 3])}, "label"),
        ({"y": torch.tensor([0])}, "label"),
        ({"z_t": torch.zeros(2, 4)}, "logits"),
        ({"z_t": torch.zeros(0, 3), "z_s": torch.zeros(0, 3)}, "logits"),
        ({"T": 0.0}, "temperature"),
        ({"T": math.nan}, "temperature"),
    ],
)
def test_bad_input_is_refused(change: dict, word: str):
    given = {"z_s": torch.zeros(2, 3), "z_t": torch.zeros(2, 3), "y": torch.tensor([0, 1])}
    given = given | {"T": 4.0} | change
    with pytest.raises(ValueError, match=word):
        partial_loss(*given.values())


@pytest.mark.parametrize("mass", [-0.1, 1.1, math.nan])
def test_a_mass_outside_0_to_1_is_refused(mass: float):
    with pytest.raises(ValueError, match="mass"):
        make_target(torch.zeros(2, 3), torch.tensor([0, 1]), 4.0, mass)


@pytest.mark.parametrize("k", [0, 4, -1])
def test_a_number_of_entries_that_there_is_not_is_refused(k: int):
    with pytest.raises(ValueError, match="k is"):
        top_k(torch.full((2, 3), 1 / 3), k)


def test_a_net_that_does_not_end_linear_has_no_classifier():
    with pytest.raises(ValueError, match="linear"):
        paper.classifier(nn.Sequential(nn.Linear(3, 2), nn.ReLU()))


@pytest.mark.parametrize(
    ("knobs", "word"),
    [
        ({"mass": "mean"}, "means"),
        ({"shape": "class"}, "means"),
        ({"shape": "weights"}, "means"),
        ({"mass": "class"}, "mass"),
        ({"shape": "round"}, "shape"),
        ({"k": 0}, "k"),
        ({"alpha": 2.0}, "alpha"),
        ({"T": -1.0}, "temperature"),
    ],
)
def test_a_method_refuses_what_it_cannot_do(knobs: dict, word: str):
    with pytest.raises(ValueError, match=word):
        PartialKD(nn.Identity(), lambda batch: batch.x, **knobs)


# --- the methods ----------------------------------------------------------------------------------


def linear(seed: int, c: int = 5) -> nn.Module:
    gen = torch.Generator().manual_seed(seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, c)).double()
    with torch.no_grad():
        for weight in net.parameters():
            weight.copy_(torch.randn(weight.shape, generator=gen, dtype=torch.float64))
    return net


class Net:
    """A teacher that is a plain network, whose gradients are there to be seen."""

    def __init__(self, net: nn.Module) -> None:
        self.net = net

    def __call__(self, batch: Batch) -> Tensor:
        return self.net(batch.x)


def make_batch(b: int = 6) -> Batch:
    x = torch.randn(b, 1, 4, 4, generator=torch.Generator().manual_seed(b), dtype=torch.float64)
    return Batch(x, labels(b, 5), torch.arange(b))


PARTS = list(itertools.product(paper.MASSES, ("even", "class", "image")))


@pytest.mark.parametrize(("mass", "shape"), PARTS)
@pytest.mark.parametrize(("T", "alpha"), [(4.0, 0.9), (1.0, 0.5)])
def test_terms_are_named_and_weighted(mass: str, shape: str, T: float, alpha: float):
    student, net, batch = linear(1), linear(2), make_batch()
    told = Means(0.7, weights(5))
    terms = PartialKD(student, Net(net), told, T, alpha, mass, shape)(batch)
    z_s, z_t, y = student(batch.x).detach(), net(batch.x).detach(), batch.y.tolist()
    shared = {"even": torch.ones(5, 5), "class": told.shape, "image": None}[shape]
    rows = zip(oracles.rows(z_t), y, strict=True)
    held = 0.7 if mass == "mean" else None
    r = torch.tensor([slow_target(v, label, T, held, shared) for v, label in rows])
    assert list(terms) == ["hard", "soft"]
    assert terms["hard"].item() == pytest.approx((1 - alpha) * oracles.hard_loss(z_s, y))
    assert terms["soft"].item() == pytest.approx(alpha * slow_loss(z_s, r, T), rel=1e-5)


@pytest.mark.parametrize("k", [1, 2, 5, 1000])
def test_k_keeps_the_largest_entries(k: int):
    student, net, batch = linear(1), linear(2), make_batch()
    method = PartialKD(student, Net(net), k=k)
    p = (net(batch.x) / 4).softmax(dim=1).tolist()
    slow = torch.tensor([slow_top_k(row, k) if k < 5 else row for row in p]).double()
    torch.testing.assert_close(method.target(batch), slow, atol=1e-6, rtol=1e-6)


def test_the_whole_answer_is_the_method_kd():
    student, net, batch = linear(1), linear(2), make_batch()
    one, two = (kind(student, Net(net))(batch) for kind in (PartialKD, KD))
    assert {k: v.item() for k, v in one.items()} == pytest.approx(
        {k: v.item() for k, v in two.items()}, rel=1e-9
    )


def test_labels_are_weighted_by_the_teacher_and_keep_their_size():
    student, net, batch = linear(1), linear(2), make_batch()
    z_s, z_t, y = student(batch.x).detach(), net(batch.x).detach(), batch.y.tolist()
    held = [oracles.softmax(v, 4.0)[label] for v, label in zip(oracles.rows(z_t), y, strict=True)]
    losses = [oracles.hard_loss(z_s[i : i + 1], y[i : i + 1]) for i in range(len(y))]
    slow = math.fsum(a * b for a, b in zip(held, losses, strict=True)) / len(y)
    told = means(z_t, batch.y, 4.0)
    found = Reweighted(student, Net(net), told)(batch)["hard"].item()
    assert found == pytest.approx(slow / told.mass, rel=1e-9)
    assert Reweighted(student, Net(net))(batch)["hard"].item() == pytest.approx(slow, rel=1e-9)
    sure = Reweighted(student, lambda b: 1e3 * F.one_hot(b.y, 5).double())(batch)["hard"].item()
    assert sure == pytest.approx(oracles.hard_loss(z_s, y), rel=1e-9)


METHODS = {
    "even": bound(PartialKD, shape="even"),
    "two": bound(PartialKD, k=2),
    "weighted": Reweighted,
}


@pytest.mark.parametrize("name", METHODS)
def test_every_own_parameter_learns_and_the_teacher_does_not(name: str):
    student, net, batch = linear(1), linear(2), make_batch()
    method = METHODS[name](student, Net(net))
    sum(method(batch).values()).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in student.parameters())
    assert all(p.grad is None for p in net.parameters())
    assert torch.equal(method.predict(batch.x), student(batch.x))
    assert method.n_classes == 5


@pytest.mark.parametrize("name", METHODS)
def test_a_short_training_lowers_the_loss_and_leaves_the_teacher(name: str, data: Data):
    teacher = Frozen(build("cnn4", 10, seed=0), data)
    before = teacher.stored().clone()
    method = METHODS[name](build("cnn2", 10, seed=1), teacher)
    history = fit(method, data, Recipe(epochs=30), device="cpu")
    total = history.drop(columns=["epoch", "lr", "seconds"]).sum(axis=1)
    assert total.iloc[-1] < 0.95 * total.iloc[0]
    assert torch.equal(teacher.stored(), before)


# --- mutants --------------------------------------------------------------------------------------

target_oracle = bound(test_targets_equal_the_slow_oracle, shape=(5, 10), T=4.0)
loss_oracle = bound(test_the_loss_equals_the_slow_oracle, shape=(5, 10), T=4.0)
slope = bound(test_the_gradient_is_the_gap_times_the_temperature, shape=(5, 10))
whole = bound(test_all_of_the_answer_is_plain_kd, shape=(5, 10))
parted = bound(test_rows_sum_to_one_and_no_part_disturbs_the_other, shape=(5, 10))
by_hand = test_values_worked_out_by_hand
frozen = test_no_gradient_reaches_teacher_or_target
half = bound(test_half_precision_is_computed_in_float32, torch.float16)
thousand = bound(test_logits_of_a_thousand_stay_finite_and_right, torch.float32)
ratio = bound(test_omega_is_the_ratio_of_gradients_that_autograd_measures, T=2.0, alpha=0.9)
averages = bound(test_means_equal_the_slow_oracle, T=4.0)
terms = bound(test_terms_are_named_and_weighted, "mean", "class", 4.0, 0.9)
weighted = test_labels_are_weighted_by_the_teacher_and_keep_their_size
MUTANTS = {
    "T on the student alone": (make_target, " / T, dim=1", ", dim=1", [target_oracle, by_hand]),
    "the label takes part": (
        make_target,
        "others = (1 - own) * ",
        "others = ",
        [target_oracle, parted, whole],
    ),
    "the rest keeps the teacher's size": (
        make_target,
        "(1 - held) * torch",
        "torch",
        [target_oracle, parted],
    ),
    "the teacher's class for the label": (
        make_target,
        "own = F.one_hot(y, classes)",
        "own = F.one_hot(p.argmax(1), classes)",
        [target_oracle],
    ),
    "column for row of the shape": (
        make_target,
        "shape.to(p)[y]",
        "shape.to(p).T[y]",
        [target_oracle],
    ),
    "0 / 0 where nothing is left": (
        make_target,
        "torch.where(total > 0, others / total, even)",
        "others / total",
        [thousand, test_a_class_without_an_image_is_shared_out_evenly],
    ),
    "even with the label among the others": (
        make_target,
        "(1 - own) / (classes - 1)",
        "(1 - own) / classes",
        [thousand, test_a_class_without_an_image_is_shared_out_evenly],
    ),
    "teacher in half precision": (make_target, "in_float32(z_t.detach())", "z_t.detach()", [half]),
    "teacher not detached": (
        paper.soft_loss,
        "r.detach()",
        "r",
        [frozen],
    ),
    "the smallest entries": (
        top_k,
        "descending=True",
        "descending=False",
        [by_hand, bound(test_top_k_equals_the_slow_oracle, 2)],
    ),
    "the rest is dropped": (top_k, "small, rest, r", "small, 0 * rest, r", [by_hand]),
    "the rest is not shared": (top_k, " / max(1, r.shape[1] - k)", "", [by_hand]),
    "T instead of T^2": (soft_loss, "T**2", "T", [loss_oracle, slope, whole]),
    "drop T^2": (soft_loss, "T**2 * ", "", [loss_oracle, slope, whole]),
    "target at T twice": (soft_loss, "(r.detach()).log()", "(r.detach()).log() / T", [loss_oracle]),
    "swap the sides of KL": (
        soft_loss,
        ".log(), log_q)",
        ".log().flip(1), log_q)",
        [loss_oracle, slope],
    ),
    "mean over classes, too": (soft_loss, ".mean()", ".mean() / z_s.shape[1]", [loss_oracle]),
    "sum over the batch": (soft_loss, ".mean()", ".sum()", [loss_oracle, slope]),
    "parts forgotten": (paper.partial_loss, ", T, *parts)", ", T)", [loss_oracle]),
    "omega: T^2": (omega, "alpha * T *", "alpha * T**2 *", [ratio, by_hand]),
    "omega: no T": (omega, "alpha * T *", "alpha *", [ratio, by_hand]),
    "omega: no hard part": (omega, "(1 - alpha) + ", "", [ratio, by_hand]),
    "omega: student at T below": (omega, "(T, 1.0)", "(T, T)", [ratio]),
    "omega: student at 1 above": (omega, "(T, 1.0)", "(1.0, 1.0)", [ratio]),
    "means: the label takes part": (means, "(p * (1 - own))", "p", [averages]),
    "means: not shared": (means, ".sum(1, keepdim=True).clamp(1e-30)", ".sum()", [averages]),
    "means: the largest for the label": (
        means,
        "(p * own).sum()",
        "p.amax(1).sum()",
        [averages],
    ),
    "weights not centred": (
        paper.cosines,
        "w - w.mean(dim=0)",
        "w",
        [test_relations_from_weights_do_not_see_their_mean],
    ),
    "alpha on the wrong terms": (
        PartialKD,
        '"hard": (1 - self.alpha)',
        '"hard": self.alpha',
        [terms],
    ),
    "soft term without its weight": (PartialKD, "self.alpha * soft_loss", "soft_loss", [terms]),
    "mean of the wrong part": (
        paper.part,
        'told and mass == "mean"',
        'told and mass == "image"',
        [terms],
    ),
    "weights not over their mean": (
        Reweighted,
        "self.told.mass if self.told else ",
        "",
        [weighted],
    ),
    "weights forgotten": (Reweighted, "weight * F.cross", "F.cross", [weighted]),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_loss_is_caught(name: str):
    assert_caught(*MUTANTS[name])
