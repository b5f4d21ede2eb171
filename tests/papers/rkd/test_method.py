"""The losses of Park et al. 2019 and the method RKD."""

import copy
import doctest
import itertools
import json
import math
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from kdlab.data import Batch, Data
from kdlab.models import build, tap
from kdlab.papers.rkd import method as rkd
from kdlab.papers.rkd.method import RKD, angles, distances, on_sphere, rkd_angle, rkd_distance
from kdlab.train.fit import fit
from kdlab.train.frozen import Frozen
from kdlab.train.recipe import Recipe
from tests import oracles
from tests.mutants import assert_caught

SHAPES = [(1, 2, 3), (2, 2, 3), (3, 1, 4), (5, 4, 2), (8, 3, 3)]  # rows, student's, teacher's size
LOSSES = [rkd_distance, rkd_angle]
BOTH = pytest.mark.parametrize("loss", LOSSES)
SHAPED = pytest.mark.parametrize("shape", SHAPES)
Loss = Callable[[Tensor, Tensor], Tensor]


# --- the equations, one loop for each sum


def huber(x: float, y: float) -> float:
    """Equation 3."""
    return 0.5 * (x - y) ** 2 if abs(x - y) <= 1 else abs(x - y) - 0.5


def slow_distances(f: list[list[float]]) -> list[list[float]]:
    """Equations 4 and 5."""
    n = len(f)
    pairs = list(itertools.permutations(range(n), 2))
    mu = math.fsum(math.dist(f[i], f[j]) for i, j in pairs) / max(len(pairs), 1)
    return [[math.dist(f[i], f[j]) / mu if mu else 0.0 for j in range(n)] for i in range(n)]


def slow_cosine(f: list[list[float]], i: int, j: int, k: int) -> float:
    """Equation 6; 0 where an end lies on the vertex."""
    left, right = math.dist(f[i], f[j]), math.dist(f[k], f[j])
    if left == 0 or right == 0:
        return 0.0
    dot = math.fsum((a - v) * (b - v) for a, v, b in zip(f[i], f[j], f[k], strict=True))
    return dot / (left * right)


def slow_distance_loss(f_s: Tensor, f_t: Tensor) -> float:
    s, t = slow_distances(oracles.rows(f_s)), slow_distances(oracles.rows(f_t))
    n = len(s)
    return math.fsum(huber(t[i][j], s[i][j]) for i in range(n) for j in range(n)) / n**2


def slow_angle_loss(f_s: Tensor, f_t: Tensor) -> float:
    s, t = oracles.rows(f_s), oracles.rows(f_t)
    triples = list(itertools.product(range(len(s)), repeat=3))
    return (
        math.fsum(huber(slow_cosine(t, *at), slow_cosine(s, *at)) for at in triples) / len(s) ** 3
    )


SLOW = {rkd_distance: slow_distance_loss, rkd_angle: slow_angle_loss}


def features(b: int, c: int, d: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return student features (b, c) and teacher features (b, d) in float64."""
    gen = torch.Generator().manual_seed(1000 * b + 100 * c + 10 * d + seed)
    f_s, f_t = (torch.randn(b, n, generator=gen, dtype=torch.float64) for n in (c, d))
    return f_s + 1, 3 * f_t


def gradient(loss: Loss, f_s: Tensor, f_t: Tensor) -> Tensor:
    f_s = f_s.detach().clone().requires_grad_()
    return torch.autograd.grad(loss(f_s, f_t), f_s)[0]


def similar(f: Tensor, seed: int = 0) -> Tensor:
    """Return `f` turned, mirrored, scaled and shifted."""
    gen = torch.Generator().manual_seed(seed)
    n = f.shape[1]
    turn = torch.linalg.qr(torch.randn(n, n, generator=gen, dtype=f.dtype))[0]
    turn[:, 0] *= -1
    return 7 * f @ turn + torch.randn(1, n, generator=gen, dtype=f.dtype)


TRIANGLE = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
LINE = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)


# --- values


def test_values_worked_out_by_hand():
    """The 3-4-5 triangle against points 0, 1, 2: Huber .125 twice and 0; 1.1, .5 and .02."""
    assert rkd_distance(TRIANGLE, LINE).item() == pytest.approx(1 / 18, rel=1e-12)
    assert rkd_angle(TRIANGLE, LINE).item() == pytest.approx(2 * (0.5 + 1.1 + 0.02) / 27, rel=1e-12)
    assert rkd_angle(LINE[[0, 2, 1]], LINE).item() == pytest.approx(6 / 27, rel=1e-12)


def test_the_examples_in_the_docstrings():
    found = doctest.testmod(rkd)
    assert found.attempted >= 6 and not found.failed


def test_potentials_worked_out_by_hand():
    sides = torch.tensor([[0, 0.75, 1], [0.75, 0, 1.25], [1, 1.25, 0]], dtype=torch.float64)
    torch.testing.assert_close(distances(TRIANGLE), sides)
    cosines = angles(TRIANGLE)
    for (vertex, i, k), cosine in {(0, 1, 2): 0, (1, 0, 2): 0.6, (2, 0, 1): 0.8}.items():
        assert cosines[vertex, i, k].item() == pytest.approx(cosine, abs=1e-12)
        assert cosines[vertex, i, i].item() == pytest.approx(1)
        assert cosines[vertex, vertex].abs().max() == cosines[vertex, :, vertex].abs().max() == 0
    assert torch.equal(angles(TRIANGLE, slice(1, 2)), cosines[1:2])


@BOTH
@SHAPED
def test_equal_to_the_slow_oracle(shape: tuple[int, int, int], loss: Loss):
    for seed in range(3):
        f_s, f_t = features(*shape, seed)
        assert loss(f_s, f_t).item() == pytest.approx(SLOW[loss](f_s, f_t), rel=1e-9, abs=1e-15)


@BOTH
def test_equal_to_the_slow_oracle_where_rows_coincide(loss: Loss):
    f_s, f_t = features(6, 2, 3)
    f_s[3], f_t[5] = f_s[1], f_t[1]
    assert loss(f_s, f_t).item() == pytest.approx(SLOW[loss](f_s, f_t), rel=1e-9)
    f_s[:] = f_s[0]
    assert loss(f_s, f_t).item() == pytest.approx(SLOW[loss](f_s, f_t), rel=1e-9)


@BOTH
def test_zero_and_flat_where_the_relations_agree(loss: Loss):
    f_s, other = features(7, 3, 3)
    assert loss(f_s, f_s).item() == 0
    assert gradient(loss, f_s, f_s.clone()).abs().max() < 1e-15
    assert loss(f_s, other) > 1e-3


@BOTH
def test_maps_count_as_rows(loss: Loss):
    f_s, f_t = features(5, 12, 8)
    maps = loss(f_s.reshape(5, 3, 2, 2), f_t.reshape(5, 2, 4))
    torch.testing.assert_close(maps, loss(f_s, f_t))


# --- the invariances of section 3.2


@BOTH
@pytest.mark.parametrize("seed", range(4))
def test_shift_turn_mirror_and_scale_of_either_side_change_nothing(loss: Loss, seed: int):
    f_s, f_t = features(6, 3, 4, seed)
    for moved in (loss(similar(f_s, seed), f_t), loss(f_s, similar(f_t, seed))):
        torch.testing.assert_close(moved, loss(f_s, f_t))


@BOTH
def test_the_gradient_neither_shifts_nor_scales_the_student(loss: Loss):
    """Scale invariance: <s, dL/ds> = 0. It fails where the student's mean distance is detached."""
    f_s, f_t = features(6, 3, 4)
    slope = gradient(loss, f_s, f_t)
    assert slope.abs().max() > 1e-4
    assert abs((f_s * slope).sum().item()) < 1e-12
    assert slope.sum(dim=0).abs().max() < 1e-12


@BOTH
def test_the_order_of_the_batch_does_not_matter(loss: Loss):
    f_s, f_t = features(6, 3, 4)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(loss(f_s[order], f_t[order]), loss(f_s, f_t))
    assert not torch.allclose(loss(f_s[order], f_t), loss(f_s, f_t))


def test_a_mirrored_triangle_has_the_same_relations():
    assert rkd_angle(TRIANGLE * torch.tensor([1.0, -1.0]), TRIANGLE) < 1e-15


# --- gradients


@BOTH
@SHAPED
def test_gradcheck(loss: Loss, shape: tuple[int, int, int]):
    f_s, f_t = features(*shape)
    f_s.requires_grad_()
    assert torch.autograd.gradcheck(lambda f: loss(f, f_t), (f_s,))
    assert torch.autograd.gradcheck(lambda f: loss(on_sphere(f), on_sphere(f_t)), (f_s,))


@BOTH
@pytest.mark.parametrize("cells", [rkd.CELLS, 100])
def test_the_second_derivative_is_right(loss: Loss, cells: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rkd, "CELLS", cells)
    f_s, f_t = features(5, 3, 4)
    assert torch.autograd.gradgradcheck(lambda f: loss(f, f_t), (f_s.requires_grad_(),))


@BOTH
def test_no_gradient_reaches_the_teacher(loss: Loss):
    f_s, f_t = (f.requires_grad_() for f in features(6, 3, 4))
    of_student, of_teacher = torch.autograd.grad(loss(f_s, f_t), (f_s, f_t), allow_unused=True)
    assert of_teacher is None and of_student.abs().max() > 0


# --- extreme inputs


@BOTH
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_coinciding_points_have_a_bounded_gradient(loss: Loss, dtype: torch.dtype):
    f_s, f_t = (f.to(dtype) for f in features(6, 2, 3))
    usual = gradient(loss, f_s, f_t).norm().item()
    for gap in (0.0, 1e-30, 1e-12, 1e-7):
        near = f_s.clone()
        near[4] = near[2] + gap
        slope = gradient(loss, near, f_t)
        assert slope.isfinite().all()
        assert 0 < slope.norm() < 100 * usual


def test_the_distance_of_coinciding_points_is_0_and_flat():
    f = features(6, 2, 3)[0]
    f[4] = f[2]
    f.requires_grad_()
    apart = distances(f)[4, 2]
    assert apart == 0
    (slope,) = torch.autograd.grad(apart, f, create_graph=True)
    assert torch.equal(slope, torch.zeros_like(f))
    assert torch.autograd.grad(distances(f).sum() + slope.sum(), f)[0].isfinite().all()


@pytest.mark.parametrize("gap", [1e-2, 1e-3, 1e-4])
def test_the_distance_of_close_points_keeps_its_digits(gap: float):
    """A product of matrices has none left at 1e-4."""
    f = features(40, 4, 3)[0].float()
    f[4] = f[2] + gap
    expected = slow_distances(oracles.rows(f))[4][2]
    assert distances(f)[4, 2].item() == pytest.approx(expected, rel=1e-2)


def test_a_collapsed_student_costs_more_than_one_that_has_not_learned():
    """With psi_D = 1 for every pair, as the official code has it, it would cost less."""
    f_s, f_t = features(20, 3, 8)
    collapsed = torch.full_like(f_s, 0.7)
    assert torch.equal(distances(collapsed), torch.zeros(20, 20, dtype=torch.float64))
    assert rkd_distance(collapsed, f_t) > 2 * rkd_distance(f_s, f_t)
    evenly = torch.eye(20, dtype=torch.float64)
    assert rkd_distance(evenly, f_t) < rkd_distance(f_s, f_t)


@BOTH
def test_a_collapsed_student_has_a_value_and_no_gradient(loss: Loss):
    f_s, f_t = torch.full((5, 3), 0.7), features(5, 3, 4)[1].float()
    assert loss(f_s, f_t).item() == pytest.approx(SLOW[loss](f_s, f_t), rel=1e-5)
    assert torch.equal(gradient(loss, f_s, f_t), torch.zeros_like(f_s))


@BOTH
def test_rounding_is_no_geometry(loss: Loss):
    """Rows of one length in one dimension are equal on the sphere, but for the last bit."""
    f_t = features(9, 1, 4)[1].float()
    f_s = torch.linspace(0.1, 3, 9)[:, None]
    assert loss(on_sphere(f_s), f_t).item() == pytest.approx(loss(torch.ones(9, 1), f_t).item())
    assert torch.equal(gradient(lambda s, t: loss(on_sphere(s), t), f_s, f_t), torch.zeros(9, 1))
    noisy = torch.ones(9, 2) + 1e-7 * torch.arange(18).reshape(9, 2) % 3
    assert torch.equal(gradient(loss, noisy, f_t), torch.zeros(9, 2))


@BOTH
def test_rows_of_zeros_stay_on_the_sphere_of_none(loss: Loss):
    f_s, f_t = (f.relu() for f in features(6, 2, 3))
    f_s[1] = f_s[4] = f_t[2] = 0
    assert torch.equal(on_sphere(f_s)[1], torch.zeros(2, dtype=torch.float64))
    torch.testing.assert_close(on_sphere(f_s)[0].norm(), torch.tensor(1.0).double())

    def on_spheres(s: Tensor, t: Tensor) -> Tensor:
        return loss(on_sphere(s), on_sphere(t))

    slope = gradient(on_spheres, f_s, f_t)
    assert slope.isfinite().all() and slope.abs().max() < 10 / f_s.norm(dim=1).mean()
    assert torch.equal(slope[1], torch.zeros(2, dtype=torch.float64))


@BOTH
def test_batches_of_one_and_two_are_zero_with_a_zero_gradient(loss: Loss):
    for n in (1, 2):
        f_s, f_t = (f.float() for f in features(n, 3, 4))
        assert abs(loss(f_s, f_t).item()) < 1e-12
        assert gradient(loss, f_s, f_t).abs().max() < 1e-6


@BOTH
@pytest.mark.parametrize("scale", [1e-30, 1e-18, 1e18, 1e30])
def test_no_scale_overflows(loss: Loss, scale: float):
    f_s, f_t = (f.float() for f in features(6, 3, 4))
    assert loss(f_s * scale, f_t * scale).item() == pytest.approx(loss(f_s, f_t).item(), rel=1e-4)
    sphere = loss(on_sphere(f_s * scale), f_t).item()
    assert sphere == pytest.approx(loss(on_sphere(f_s), f_t).item(), rel=1e-4)
    slope = scale * gradient(loss, f_s * scale, f_t)
    torch.testing.assert_close(slope, gradient(loss, f_s, f_t), rtol=1e-3, atol=1e-6)


@BOTH
def test_features_far_from_zero_keep_their_relations(loss: Loss):
    """With a Gram matrix float32 loses them: the official code is wrong by a fifth at 1e3."""
    f_s, f_t = (f.float() for f in features(8, 3, 3))
    assert loss(f_s + 1e3, f_t).item() == pytest.approx(loss(f_s, f_t).item(), rel=1e-3)


@BOTH
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_computed_in_float32(loss: Loss, dtype: torch.dtype):
    f_s, f_t = (f.to(dtype) for f in features(6, 3, 4))
    found = loss(f_s, f_t)
    assert found.dtype == on_sphere(f_s).dtype == torch.float32
    assert found.item() == pytest.approx(SLOW[loss](f_s.float(), f_t.float()), rel=1e-5)
    torch.testing.assert_close(
        gradient(loss, f_s, f_t),
        gradient(loss, f_s.float(), f_t.float()).to(dtype),
    )


@BOTH
def test_the_same_on_every_device(loss: Loss, device: str):
    f_s, f_t = (f.float().to(device) for f in features(6, 3, 4))
    found = loss(f_s, f_t)
    assert found.device.type == device
    assert found.item() == pytest.approx(SLOW[loss](f_s.cpu(), f_t.cpu()), rel=1e-4)


# --- memory


def peak(work: Callable[[], object]) -> int:
    """Return the most bytes that tensors made within `work` hold at one time."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        seen.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    changes = sorted((e for e in events if e["name"] == "[memory]"), key=lambda e: e["ts"])
    return max(itertools.accumulate(e["args"]["Bytes"] for e in changes))


@pytest.mark.parametrize(("b", "d"), [(128, 128), (1024, 512)])
def test_distances_do_not_hold_the_differences(b: int, d: int):
    """For 1,024 rows of 512 features these take 8 GB; the bound is 63 MB."""
    f_s, f_t = (f.float() for f in features(b, d, d))
    assert peak(lambda: gradient(rkd_distance, f_s, f_t)) < 4 * (12 * b * b + 6 * b * d)


def test_angles_in_parts_are_the_same(monkeypatch: pytest.MonkeyPatch):
    f_s, f_t = features(23, 3, 30)
    whole = rkd_angle(f_s, f_t), gradient(rkd_angle, f_s, f_t)
    for cells in (1, 1000, 4000, 10_000):
        monkeypatch.setattr(rkd, "CELLS", cells)
        parts = rkd_angle(f_s, f_t), gradient(rkd_angle, f_s, f_t)
        torch.testing.assert_close(parts, whole)
        with torch.no_grad():
            torch.testing.assert_close(rkd_angle(f_s, f_t), whole[0])


@pytest.mark.parametrize("cells", [1, 5000, 20_000])
def test_the_memory_of_angles_in_parts_does_not_grow_with_the_triples(
    cells: int, monkeypatch: pytest.MonkeyPatch
):
    n = 48
    f_s, f_t = features(n, 3, 30)
    assert peak(lambda: gradient(rkd_angle, f_s, f_t)) > 8 * 2 * n**3
    monkeypatch.setattr(rkd, "CELLS", cells)
    assert peak(lambda: gradient(rkd_angle, f_s, f_t)) < 8 * 6 * max(cells, n**2)


# --- bad input


@BOTH
@pytest.mark.parametrize(
    "shapes", [((3, 2), (4, 2)), ((0, 2), (0, 2)), ((3,), (3,)), ((3, 0), (3, 2)), ((3, 2), (3,))]
)
def test_features_that_do_not_pair_are_refused(loss: Loss, shapes: tuple[tuple[int, ...], ...]):
    with pytest.raises(ValueError, match=r"give \(B, \.\.\.\) of the same B images, at least one"):
        loss(torch.zeros(shapes[0]), torch.zeros(shapes[1]))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"tap": "block9"}, "no tap 'block9' in this Sequential; it has block1, block2, block3"),
        ({"tap": ""}, "no tap ''"),
        ({"beta_d": -1.0}, "the weight of the term 'distance' is -1.0; give 0 or more"),
        ({"beta_a": math.nan}, "the weight of the term 'angle' is nan"),
        ({"hard": math.inf}, "the weight of the term 'hard' is inf"),
        ({"soft": -0.1}, "the weight of the term 'soft' is -0.1"),
        ({"beta_d": 0, "beta_a": 0, "hard": 0}, "all four weights are 0"),
        ({"T": 0.0}, "T is 0.0; a temperature is"),
        ({"unit": "student"}, "unit is 'student'; choose one of both, teacher, neither"),
    ],
)
def test_bad_settings_are_refused_at_construction(options: dict[str, Any], told: str):
    with pytest.raises(ValueError) as error:
        RKD(build("cnn2", 10, seed=0), Frozen(build("cnn4", 10, seed=1), None, "pool"), **options)
    assert told in str(error.value)
    assert str(error.value).count(". ") == 0


def test_a_tap_that_the_teacher_lacks_is_refused_when_it_is_asked():
    method = RKD(build("cnn2", 10, seed=0), Frozen(build("cnn4", 10, seed=1), None, "block1"))
    with pytest.raises(ValueError, match="'pool'"):
        method(Batch(torch.zeros(3, 1, 28, 28), torch.zeros(3, dtype=torch.long), torch.arange(3)))


def test_a_bare_network_is_no_teacher():
    with pytest.raises(ValueError, match="Frozen"):
        RKD(build("cnn2", 10, seed=0), build("cnn4", 10, seed=1))  # type: ignore[arg-type]


def test_other_classes_are_refused_where_logits_meet():
    student, teacher = build("cnn2", 7, seed=0), Frozen(build("cnn4", 10, seed=1), None, "pool")
    with pytest.raises(ValueError, match="the student knows 7 classes and the teacher 10; give"):
        RKD(student, teacher, soft=1.0)
    assert RKD(student, teacher).n_classes == 7
    assert RKD(student, teacher, hard=0).n_classes == 0, "it may return an embedding"


# --- the method


class Net:
    """A teacher that is a plain network: not frozen, and its gradients are there to be seen."""

    taps = ("pool",)

    def __init__(self, net: nn.Module) -> None:
        self.net = net
        self.asked = 0

    def __call__(self, batch: Batch) -> Tensor:
        return self.answers(batch, ())[0]

    def answers(self, batch: Batch, names: Iterable[str]) -> tuple[Tensor, dict[str, Tensor]]:
        self.asked += 1
        return tap(self.net, batch.x, names)


def small(seed: int, width: int = 2) -> nn.Module:
    return build(f"cnn{width}", 10, (1, 8, 8), seed=seed).double()


def make_batch(b: int = 6) -> Batch:
    x = torch.randn(b, 1, 8, 8, generator=torch.Generator().manual_seed(b), dtype=torch.float64)
    return Batch(x, torch.arange(b) % 3 - 1, torch.arange(b))


@pytest.mark.parametrize("unit", rkd.UNIT)
def test_terms_are_named_and_weighted(unit: str):
    student, net, batch = small(1), small(2, 3), make_batch()
    terms = RKD(student, Net(net), beta_d=25, beta_a=50, hard=0.3, soft=0.7, T=2.0, unit=unit)(
        batch
    )
    z_s, z_t = student(batch.x).detach(), net(batch.x).detach()
    f_s, f_t = (tap(one, batch.x, "pool")[1]["pool"].detach() for one in (student, net))
    f_s = nn.functional.normalize(f_s) if unit == "both" else f_s
    f_t = f_t if unit == "neither" else nn.functional.normalize(f_t)
    assert list(terms) == ["hard", "soft", "distance", "angle"]
    expected = {
        "hard": 0.3 * oracles.hard_loss(z_s, batch.y.tolist()),
        "soft": 0.7 * oracles.soft_loss(z_s, z_t, 2.0),
        "distance": 25 * slow_distance_loss(f_s, f_t),
        "angle": 50 * slow_angle_loss(f_s, f_t),
    }
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value, rel=1e-9), name


def test_terms_of_weight_zero_are_left_out_and_the_defaults_are_the_page_s():
    method = RKD(small(1), Net(small(2)))
    assert method.weights == {"hard": 1.0, "soft": 0.0, "distance": 25.0, "angle": 50.0}
    assert (method.T, method.unit, method.tap, method.teacher_tap) == (4.0, "both", "pool", "pool")
    assert list(method(make_batch())) == ["hard", "distance", "angle"]
    assert list(RKD(small(1), Net(small(2)), beta_d=0, hard=0)(make_batch())) == ["angle"]


def test_the_tap_of_the_student_may_be_its_output():
    student, batch = small(1), make_batch()
    teacher = Net(small(2))
    terms = RKD(student, teacher, tap="linear", teacher_tap="pool", hard=0, unit="neither")(batch)
    f_t = tap(teacher.net, batch.x, "pool")[1]["pool"].detach()
    expected = 25 * slow_distance_loss(student(batch.x).detach(), f_t)
    assert terms["distance"].item() == pytest.approx(expected, rel=1e-9)


def test_every_own_parameter_learns_and_the_teacher_does_not():
    student, teacher = small(1), Net(small(2))
    sum(RKD(student, teacher, soft=1.0)(make_batch()).values()).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in student.parameters())
    assert all(p.grad is None for p in teacher.net.parameters())
    assert teacher.asked == 1


def test_predict_is_the_student():
    student, x = small(1).eval(), make_batch().x
    assert torch.equal(RKD(student, Net(small(2))).predict(x), student(x))


@pytest.mark.parametrize("unit", rkd.UNIT)
def test_a_short_fit_learns_the_relations_and_leaves_the_teacher(data: Data, unit: str):
    net = build("cnn4", 10, seed=5)
    frozen = Frozen(net, data, "pool")
    before, table = copy.deepcopy(net.state_dict()), frozen.tables["pool"].clone()
    method = RKD(build("cnn2", 10, seed=1), frozen, hard=0.0, unit=unit)
    own = [name for name, _ in method.named_parameters()]
    assert own and all(name.startswith("student.") for name in own)
    history = fit(method, data, Recipe(epochs=15, batch=25))
    assert set(history) == {"epoch", "lr", "distance", "angle", "seconds"}
    for name in ("distance", "angle"):
        assert history[name].iloc[-1] < 0.8 * history[name].iloc[0]
    assert all(torch.equal(net.state_dict()[k].cpu(), v) for k, v in before.items())
    assert torch.equal(frozen.tables["pool"].cpu().nan_to_num(), table.nan_to_num())


# --- mutants

by_hand = test_values_worked_out_by_hand
potentials = test_potentials_worked_out_by_hand
d_oracle = partial(test_equal_to_the_slow_oracle, (8, 3, 3), rkd_distance)
a_oracle = partial(test_equal_to_the_slow_oracle, (8, 3, 3), rkd_angle)
d_scale = partial(test_the_gradient_neither_shifts_nor_scales_the_student, rkd_distance)
near_d = partial(test_coinciding_points_have_a_bounded_gradient, rkd_distance, torch.float32)
near_a = partial(test_coinciding_points_have_a_bounded_gradient, rkd_angle, torch.float32)
tiny_d = partial(test_batches_of_one_and_two_are_zero_with_a_zero_gradient, rkd_distance)
huge = partial(test_no_scale_overflows, rkd_distance, 1e30)
collapsed = partial(test_a_collapsed_student_has_a_value_and_no_gradient, rkd_distance)
zeros = partial(test_rows_of_zeros_stay_on_the_sphere_of_none, rkd_angle)
terms = partial(test_terms_are_named_and_weighted, "both")
of_teacher = partial(test_terms_are_named_and_weighted, "teacher")
learns = test_every_own_parameter_learns_and_the_teacher_does_not


held = partial(test_distances_do_not_hold_the_differences, 128, 128)
close = partial(test_the_distance_of_close_points_keeps_its_digits, 1e-4)
CDIST = 'torch.cdist(f, f, compute_mode="donot_use_mm_for_euclid_dist")'
HUBER = 'F.huber_loss(distances(f_s), distances(f_t.detach()), reduction="mean", delta=1.0)'


def in_parts() -> None:
    with pytest.MonkeyPatch.context() as patch:
        test_angles_in_parts_are_the_same(patch)


def held_in_parts() -> None:
    with pytest.MonkeyPatch.context() as patch:
        test_the_memory_of_angles_in_parts_does_not_grow_with_the_triples(5000, patch)


MUTANTS = {
    "no mean distance": (distances, "d / torch.where(mu > 0, mu, 1)", "d", [by_hand, d_oracle]),
    "mean distance detached": (distances, "mu = d.sum()", "mu = d.detach().sum()", [d_scale]),
    "mean with the diagonal": (
        distances,
        "(len(f) * (len(f) - 1), 1)",
        "(len(f) ** 2, 1)",
        [potentials],
    ),
    "squared distances": (distances, CDIST, f"{CDIST}.square()", [by_hand, d_oracle]),
    "root of zero": (distances, CDIST, "(f[:, None] - f).square().sum(dim=2).sqrt()", [near_d]),
    "all differences": (distances, CDIST, "(f[:, None] - f).norm(dim=2)", [held]),
    "product of matrices": (distances, "donot_use_mm", "use_mm", [close]),
    "as far apart as can be, where all coincide": (
        distances,
        CDIST,
        f"{CDIST}.clamp(min=1e-6) * (1 - torch.eye(len(f)))",
        [collapsed, test_a_collapsed_student_costs_more_than_one_that_has_not_learned],
    ),
    "no pair in a batch of one": (distances, "max(len(f) * (len(f) - 1), 1)", "0", [tiny_d]),
    "no mean distance to divide by": (
        distances,
        "torch.where(mu > 0, mu, 1)",
        "mu",
        [tiny_d, collapsed],
    ),
    "no direction, but divided": (rkd.unit, "torch.where(long, square, 1)", "square", [zeros]),
    "coinciding points not masked": (rkd.unit, "TINY**2 * mean_square", "0", [near_a]),
    "the vertex is the first": (
        angles,
        "e @ e.transpose(1, 2)",
        "(e.transpose(0, 1) @ e.permute(1, 2, 0)).transpose(0, 1)",
        [potentials],
    ),
    "no directions": (
        angles,
        "unit(f - f[vertices, None], mean_square)",
        "f - f[vertices, None]",
        [by_hand, a_oracle],
    ),
    "wrong vertices": (angles, "f[vertices, None]", "f[: len(f[vertices]), None]", [potentials]),
    "not scaled": (rkd.scaled, "/ torch.where(largest > 0, largest, 1)", "", [huge]),
    "squares instead of Huber": (
        rkd_distance,
        HUBER,
        "0.5 * F.mse_loss(distances(f_s), distances(f_t.detach()))",
        [partial(test_equal_to_the_slow_oracle_where_rows_coincide, rkd_distance)],
    ),
    "absolute instead of Huber": (
        rkd_distance,
        HUBER,
        HUBER.replace("huber_loss", "l1_loss").replace(", delta=1.0", ""),
        [by_hand, d_oracle],
    ),
    "sum of pairs": (rkd_distance, '"mean"', '"sum"', [by_hand, d_oracle]),
    "angles over two sums": (rkd_angle, "n**3", "n**2", [by_hand, a_oracle]),
    "delta of the angle": (rkd.angle_sum, "delta=1.0", "delta=0.5", [by_hand, a_oracle]),
    "student compared with itself": (
        rkd.angle_sum,
        "angles(f_t, vertices)",
        "angles(f_s, vertices)",
        [by_hand, a_oracle],
    ),
    "teacher of the angles learns": (
        rkd_angle,
        "f_t.detach()",
        "f_t",
        [partial(test_no_gradient_reaches_the_teacher, rkd_angle)],
    ),
    "too many vertices at once": (rkd.vertices_at_once, "n * widest", "n", [held_in_parts]),
    "parts keep their tensors": (rkd_angle, "else again", "else angle_sum", [held_in_parts]),
    "a part is left out": (rkd_angle, "range(0, n, step)", "range(0, n - 1, step)", [in_parts]),
    "teacher of the distances learns": (
        rkd_distance,
        "f_t.detach()",
        "f_t",
        [partial(test_no_gradient_reaches_the_teacher, rkd_distance)],
    ),
    "method compares the student with itself": (
        RKD,
        "told[self.teacher_tap]",
        "found[self.tap]",
        [terms],
    ),
    "student never on the sphere": (
        RKD,
        'on_sphere(f_s) if self.unit == "both" else f_s',
        "f_s",
        [terms],
    ),
    "teacher never on the sphere": (
        RKD,
        'f_t if self.unit == "neither" else on_sphere(f_t)',
        "f_t",
        [of_teacher],
    ),
    "weights exchanged": (
        RKD,
        '"distance": beta_d, "angle": beta_a',
        '"distance": beta_a, "angle": beta_d',
        [terms],
    ),
    "T ignored": (RKD, "kd_loss(z_s, z_t, self.T)", "kd_loss(z_s, z_t, 1.0)", [terms]),
    "terms not weighted": (RKD, "weight * terms[name]()", "terms[name]()", [terms]),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_loss_is_caught(name: str):
    target, old, new, by = MUTANTS[name]
    assert_caught(target, old, new, by)


@BOTH
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_is_none_shows_in_the_loss(loss: Loss, value: float) -> None:
    f = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    f[1, 1] = value
    assert not loss(f, torch.randn(5, 4)).isfinite()
