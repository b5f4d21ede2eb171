"""The losses and the methods of Romero et al. 2015."""

import copy
import doctest
import itertools
import math
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from kdlab.data import Batch, Data
from kdlab.measure import logits_of
from kdlab.models import build
from kdlab.papers.fitnets import method, nets
from kdlab.papers.fitnets.method import (
    REDUCTIONS,
    Hints,
    Joint,
    Soft,
    hint_loss,
    soft_loss,
    weight_at,
)
from kdlab.papers.fitnets.nets import build_regressor, kernel, middle, thin, up_to
from kdlab.papers.kd.method import KD, kd_loss
from kdlab.train.fit import fit
from kdlab.train.frozen import Frozen
from kdlab.train.recipe import Recipe
from tests.mutants import assert_caught
from tests.oracles import entropy, softmax
from tests.oracles import hard_loss as slow_hard_loss
from tests.papers.fitnets import oracles

MAPS = [(1, 1, 1, 1), (1, 2, 3, 1), (2, 3, 1, 4), (3, 4, 5, 2)]
LOGITS = [(1, 1), (1, 2), (5, 10), (7, 3)]
TEMPERATURES = [0.5, 1.0, 3.0, 20.0]
OUT = -math.inf


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Return two random tensors of one shape: of the student and of the teacher."""
    gen = torch.Generator().manual_seed(sum(10**i * n for i, n in enumerate(shape)) + seed)
    one, two = 2 * torch.randn(2, *shape, generator=gen, dtype=torch.float64)
    return one.to(dtype), two.to(dtype)


def slope(loss: Tensor, at: Tensor) -> Tensor:
    return torch.autograd.grad(loss, at)[0]


# --- the hint loss --------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_zero_and_flat_where_the_maps_agree(reduction: str):
    f, other = draw(3, 4, 5, 2)
    f.requires_grad_()
    loss = hint_loss(f, f.detach(), reduction)
    assert loss.item() == 0 and slope(loss, f).abs().max() == 0
    assert hint_loss(other, f, reduction) > 0.1


def test_values_worked_out_by_hand():
    """The examples in the docstrings."""
    found = [
        example
        for part in (hint_loss, soft_loss)
        for example in doctest.DocTestFinder(recurse=False).find(part, globs=dict(vars(method)))
    ]
    assert all(example.examples for example in found) and len(found) == 2
    for example in found:
        assert doctest.DocTestRunner(verbose=False).run(example).failed == 0


def test_values_worked_out_on_paper():
    """Two images of 1 x 2 x 1 units, squares 1, 9 and 4, 0: half sums 5 and 2; their mean 3.5."""
    f_t = torch.tensor([[[[1.0], [3.0]]], [[[2.0], [0.0]]]])
    zero = torch.zeros(2, 1, 2, 1)
    assert [hint_loss(zero, f_t, name).item() for name in REDUCTIONS] == [3.5, 3.5, 3.5]
    f_t = f_t.transpose(2, 3)  # one row of two: now a row has one unit in each column
    assert [hint_loss(zero.transpose(2, 3), f_t, name).item() for name in REDUCTIONS] == [
        3.5,
        1.75,
        3.5,
    ]


@pytest.mark.parametrize(("shape", "reduction"), list(itertools.product(MAPS, REDUCTIONS)))
def test_the_hint_loss_equals_the_slow_oracle(shape: tuple[int, ...], reduction: str):
    for seed in range(3):
        f_s, f_t = draw(*shape, seed=seed)
        expected = oracles.hint_loss(f_s, f_t, reduction)
        assert hint_loss(f_s, f_t, reduction).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("shape", MAPS)
def test_the_three_reductions_differ_by_a_factor(shape: tuple[int, ...]):
    f_s, f_t = draw(*shape)
    _, c, h, w = shape
    mean, rows, half = (hint_loss(f_s, f_t, name).item() for name in REDUCTIONS)
    assert half == pytest.approx(c * h * w / 2 * mean, rel=1e-9)
    assert rows == pytest.approx(h / 2 * mean, rel=1e-9)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_order_shift_and_scale(reduction: str):
    f_s, f_t = draw(3, 4, 5, 2)
    value = hint_loss(f_s, f_t, reduction)
    for axis, size in enumerate(f_s.shape):
        order = torch.randperm(size, generator=torch.Generator().manual_seed(axis))
        moved = (f.index_select(axis, order) for f in (f_s, f_t))
        torch.testing.assert_close(hint_loss(*moved, reduction), value)
    torch.testing.assert_close(hint_loss(f_s + 7, f_t + 7, reduction), value)
    torch.testing.assert_close(hint_loss(3 * f_s, 3 * f_t, reduction), 9 * value)
    torch.testing.assert_close(hint_loss(f_t, f_s, reduction), value)
    torch.testing.assert_close(
        hint_loss(f_s.repeat(4, 1, 1, 1), f_t.repeat(4, 1, 1, 1), reduction), value
    )


@pytest.mark.parametrize(("shape", "reduction"), list(itertools.product(MAPS, REDUCTIONS)))
def test_gradcheck_of_the_hint_loss(shape: tuple[int, ...], reduction: str):
    f_s, f_t = draw(*shape)
    f_s.requires_grad_()
    assert torch.autograd.gradcheck(lambda f: hint_loss(f, f_t, reduction), (f_s,))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_no_gradient_reaches_the_teachers_map(reduction: str):
    f_s, f_t = (f.requires_grad_() for f in draw(3, 4, 5, 2))
    loss = hint_loss(f_s, f_t, reduction)
    of_student, of_teacher = torch.autograd.grad(loss, (f_s, f_t), allow_unused=True)
    assert of_teacher is None and of_student.abs().max() > 0


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_maps_of_a_thousand(reduction: str):
    f_s, f_t = torch.full((1, 2, 3, 4), 1e3), torch.full((1, 2, 3, 4), -1e3)
    f_s.requires_grad_()
    loss = hint_loss(f_s, f_t, reduction)
    assert loss.item() == pytest.approx(oracles.hint_loss(f_s.detach(), f_t, reduction), rel=1e-6)
    assert slope(loss, f_s).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_half_precision_is_computed_in_float32(dtype: torch.dtype, reduction: str):
    """In half precision a half sum over 64 x 7 x 7 units overflows, or loses its digits."""
    f_s, f_t = (10 * f for f in draw(2, 64, 7, 7, dtype=dtype))
    f_s.requires_grad_()
    loss = hint_loss(f_s, f_t, reduction)
    assert loss.dtype == torch.float32
    expected = oracles.hint_loss(f_s.detach().float(), f_t.float(), reduction)
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    assert slope(loss, f_s).dtype == dtype


def test_the_same_on_every_device(device: str):
    f_s, f_t = (f.float().to(device) for f in draw(3, 4, 5, 2))
    z_s, z_t = (z.float().to(device) for z in draw(5, 10))
    hint, soft = hint_loss(f_s, f_t, "rows"), soft_loss(z_s, z_t, 3.0)
    assert hint.device.type == soft.device.type == device
    assert hint.item() == pytest.approx(oracles.hint_loss(f_s.cpu(), f_t.cpu(), "rows"), rel=1e-5)
    assert soft.item() == pytest.approx(oracles.soft_loss(z_s.cpu(), z_t.cpu(), 3.0), rel=1e-5)


@pytest.mark.parametrize(
    ("shapes", "word"),
    [
        (((2, 3, 4, 4), (2, 3, 4, 5)), "equal"),
        (((2, 3, 4, 4), (1, 3, 4, 4)), "equal"),
        (((2, 3), (2, 3)), "(B, C, H, W)"),
        (((0, 3, 4, 4), (0, 3, 4, 4)), "empty"),
    ],
)
def test_maps_of_wrong_shape_are_refused(shapes: tuple[tuple[int, ...], ...], word: str):
    with pytest.raises(ValueError) as error:
        hint_loss(torch.zeros(shapes[0]), torch.zeros(shapes[1]))
    assert word in str(error.value) and str(shapes[1]) in str(error.value)


def test_an_unknown_reduction_is_refused():
    f = torch.zeros(1, 1, 1, 1)
    with pytest.raises(ValueError, match="reduction"):
        hint_loss(f, f, "sum")


# --- the soft loss --------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "T"), list(itertools.product(LOGITS, TEMPERATURES)))
def test_the_soft_loss_equals_the_slow_oracle(shape: tuple[int, int], T: float):
    z_s, z_t = draw(*shape)
    expected = oracles.soft_loss(z_s, z_t, T)
    assert soft_loss(z_s, z_t, T).item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("T", TEMPERATURES)
def test_it_is_least_where_the_student_equals_the_teacher(T: float):
    z_s, z_t = draw(5, 10)
    z_s.requires_grad_()
    least = soft_loss(z_t.requires_grad_(), z_t, T)
    mean = sum(entropy(softmax(row, T)) for row in z_t.tolist()) / 5
    assert least.item() == pytest.approx(mean, rel=1e-9)
    assert slope(least, z_t).abs().max() < 1e-12
    assert soft_loss(z_s, z_t, T) > least


@pytest.mark.parametrize("T", TEMPERATURES)
def test_its_gradient_is_that_of_notebook_00_without_the_square(T: float):
    z_s, z_t = draw(5, 10)
    z_s.requires_grad_()
    mine, theirs = slope(soft_loss(z_s, z_t, T), z_s), slope(kd_loss(z_s, z_t, T), z_s)
    torch.testing.assert_close(T**2 * mine, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", LOGITS)
def test_gradcheck_of_the_soft_loss(shape: tuple[int, int]):
    z_s, z_t = draw(*shape)
    z_s.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: soft_loss(z, z_t, 3.0), (z_s,))


def test_a_common_shift_of_a_row_and_the_order_change_nothing():
    (z_s, z_t), (move_s, move_t) = draw(5, 10), draw(5, 1)
    value, order = soft_loss(z_s, z_t, 3.0), torch.randperm(5, generator=torch.Generator())
    torch.testing.assert_close(soft_loss(z_s + move_s, z_t + move_t, 3.0), value)
    torch.testing.assert_close(soft_loss(z_s[order], z_t[order], 3.0), value)
    torch.testing.assert_close(soft_loss(z_s.flip(1), z_t.flip(1), 3.0), value)
    torch.testing.assert_close(soft_loss(z_s.repeat(3, 1), z_t.repeat(3, 1), 3.0), value)


def test_no_gradient_reaches_the_teachers_logits():
    z_s, z_t = (z.requires_grad_() for z in draw(5, 10))
    found = torch.autograd.grad(soft_loss(z_s, z_t, 3.0), (z_s, z_t), allow_unused=True)
    assert found[1] is None and found[0].abs().max() > 0


def test_classes_that_are_ruled_out():
    z_s, z_t = draw(4, 5)
    z_t[:, 2] = OUT
    open_ = soft_loss(z_s.requires_grad_(), z_t, 3.0)
    assert open_.item() == pytest.approx(oracles.soft_loss(z_s.detach(), z_t, 3.0), rel=1e-9)
    both = z_s.detach().index_fill(1, torch.tensor([2]), OUT).requires_grad_()
    loss, keep = soft_loss(both, z_t, 3.0), [0, 1, 3, 4]
    torch.testing.assert_close(loss, soft_loss(both[:, keep], z_t[:, keep], 3.0))
    assert slope(loss, both).isfinite().all()
    assert soft_loss(both, torch.zeros(4, 5, dtype=torch.float64), 3.0).item() == math.inf


def test_extreme_logits_one_class_and_identical_rows():
    z_s = torch.tensor([[1e3, -1e3, 0.0]], requires_grad=True)
    loss = soft_loss(z_s, torch.tensor([[-1e3, 1e3, 0.0]]), 1.0)
    assert loss.item() == pytest.approx(2000, rel=1e-6) and slope(loss, z_s).isfinite().all()
    one = soft_loss(torch.ones(4, 1, requires_grad=True), torch.zeros(4, 1), 3.0)
    assert one.item() == 0
    z_s, z_t = draw(1, 10)
    torch.testing.assert_close(
        soft_loss(z_s.expand(8, -1), z_t.expand(8, -1), 3.0), soft_loss(z_s, z_t, 3.0)
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_soft_targets_in_half_precision(dtype: torch.dtype):
    z_s, z_t = draw(5, 10, dtype=dtype)
    loss = soft_loss(z_s, z_t, 20.0)
    assert loss.dtype == torch.float32
    expected = oracles.soft_loss(z_s.float(), z_t.float(), 20.0)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_bad_logits_and_temperatures_are_refused():
    with pytest.raises(ValueError, match="logits"):
        soft_loss(torch.zeros(2, 3), torch.zeros(2, 4), 3.0)
    for T in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="temperature"):
            soft_loss(torch.zeros(2, 3), torch.zeros(2, 3), T)


def test_the_weight_falls_in_a_straight_line():
    assert [weight_at(p) for p in (0.0, 0.5, 1.0)] == [4.0, 2.5, 1.0]
    assert [weight_at(p, 5.0, 0.0) for p in (0.0, 0.2, 1.0)] == [5.0, 4.0, 0.0]


# --- the regressor --------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "hint"), [(7, 7), (7, 3), (4, 1), (2, 2)])
def test_the_regressor_is_a_convolution_without_padding(side: int, hint: int):
    f, _ = draw(2, 3, side, side, dtype=torch.float32)
    r = build_regressor((3, side, side), (4, hint, hint))
    assert kernel((3, side, side), (4, hint, hint)) == (side - hint + 1,) * 2
    weight, bias = (p.detach() for p in r.parameters())
    assert weight.numel() == (side - hint + 1) ** 2 * 3 * 4
    expected = torch.tensor(oracles.convolved(f, weight, bias), dtype=torch.float32)
    torch.testing.assert_close(r(f), expected, rtol=1e-4, atol=1e-5)


def test_the_dense_regressor_has_a_weight_for_each_pair_of_units():
    f, _ = draw(2, 3, 4, 4, dtype=torch.float32)
    r = build_regressor((3, 4, 4), (5, 2, 2), "dense")
    weight, bias = (p.detach() for p in r.parameters())
    assert weight.shape == (20, 48)
    expected = (f.flatten(1) @ weight.T + bias).relu().view(2, 5, 2, 2)
    torch.testing.assert_close(r(f), expected, rtol=1e-4, atol=1e-5)
    assert build_regressor((3, 2, 2), (5, 4, 4), "dense")(f[:, :, :2, :2]).shape == (2, 5, 4, 4)


@pytest.mark.parametrize("kind", ["conv", "dense"])
def test_its_first_weights_follow_from_the_seed_alone(kind: str):
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    one, two, other = (build_regressor((3, 4, 4), (5, 2, 2), kind, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(one[-3 if kind == "dense" else 0].weight, next(two.parameters()))
    assert not torch.equal(next(one.parameters()), next(other.parameters()))


def test_a_pair_that_no_convolution_fits_is_refused():
    with pytest.raises(ValueError, match="larger"):
        build_regressor((8, 3, 3), (64, 7, 7))
    with pytest.raises(ValueError, match="regressor"):
        build_regressor((8, 3, 3), (64, 3, 3), "linear")


# --- the methods ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def teacher(data: Data) -> Frozen:
    return Frozen(build("cnn4", 10, seed=3), data, taps=("block2", "block3"))


def a_student(kind: str = "bn", depth: int = 5, seed: int = 1) -> nn.Sequential:
    return thin(depth, kind, n_classes=10, in_shape=(1, 28, 28), seed=seed)


def batch_of(data: Data, n: int = 6, progress: float = 0.0) -> Batch:
    x, y, index = (column[:n] for column in data.train)
    return Batch(x, y, index, True, progress)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_stage_one_is_the_hint_loss_of_the_lower_part(data: Data, teacher: Frozen, reduction: str):
    student, batch = a_student("plain"), batch_of(data)
    hints = Hints(student, teacher, data, "layer3", "block2", reduction)
    terms = hints(batch)
    assert list(terms) == ["hint"]
    f_s = batch.x
    for layer in list(student)[:4]:  # shrink, and three layers
        f_s = layer(f_s)
    predicted, f_t = hints.r(f_s).detach(), teacher.features(batch, "block2")
    assert terms["hint"].item() == pytest.approx(
        oracles.hint_loss(predicted, f_t, reduction), rel=1e-4
    )


def test_stage_one_moves_nothing_above_the_guided_layer(data: Data, teacher: Frozen):
    student = a_student("bn")
    before, told = copy.deepcopy(student.state_dict()), copy.deepcopy(teacher.net.state_dict())
    hints = Hints(student, teacher, data, "layer3", "block2")
    regressor = copy.deepcopy(hints.r.state_dict())
    history = fit(hints, data, Recipe(epochs=12, lr=0.05), device="cpu")
    assert history.hint.iloc[-1] < 0.9 * history.hint.iloc[0]
    for name, value in student.state_dict().items():
        below = name.startswith(("layer1.", "layer2.", "layer3."))
        assert torch.equal(value, before[name]) != below, name
    assert not torch.equal(hints.r[0].weight, regressor["0.weight"])
    assert all(torch.equal(v, told[name]) for name, v in teacher.net.state_dict().items())
    assert sum(p.numel() for p in student.parameters()) == sum(
        v.numel() for v in before.values()
    ) - (sum(v.numel() for name, v in before.items() if "running" in name or "tracked" in name))


def test_stage_one_needs_no_label(data: Data, teacher: Frozen):
    hints, batch = Hints(a_student(), teacher, data, "layer3", "block2").eval(), batch_of(data)
    hidden = batch._replace(y=torch.full_like(batch.y, -1))
    assert hints(batch)["hint"].item() == hints(hidden)["hint"].item()


def test_every_weight_of_the_lower_part_learns(data: Data, teacher: Frozen):
    hints = Hints(a_student("he"), teacher, data, "layer3", "block2")
    hints(batch_of(data))["hint"].backward()
    own = [p for part in (hints.part, hints.r) for p in part.parameters()]
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in own)
    rest = [p for p in hints.parameters() if not any(p is mine for mine in own)]
    assert rest and all(p.grad is None for p in rest)
    assert all(p.grad is None for p in teacher.net.parameters())


def test_predict_is_the_student_without_the_regressor(data: Data, teacher: Frozen):
    student, x = a_student(), batch_of(data).x
    for one in (
        Hints(student, teacher, data, "layer3", "block2"),
        Soft(student, teacher),
        Joint(student, teacher, data, guided="layer3"),
    ):
        assert torch.equal(one.eval().predict(x), student.eval()(x)) and one.n_classes == 10


def test_building_a_method_moves_no_batch_statistics(data: Data, teacher: Frozen):
    student = a_student("bn")
    before = copy.deepcopy(student.state_dict())
    Hints(student, teacher, data, "layer3", "block2")
    assert all(torch.equal(v, before[name]) for name, v in student.state_dict().items())
    assert student.training


@pytest.mark.parametrize(
    ("guided", "hint", "options", "word"),
    [
        ("layer9", "block2", {}, "layer9"),
        ("layer3", "block1", {}, "block1"),
        ("layer5", "block2", {}, "larger"),
        ("layer3", "block2", {"reduction": "sum"}, "reduction"),
        ("layer3", "block2", {"regressor": "linear"}, "regressor"),
    ],
)
def test_what_stage_one_cannot_do_is_refused(
    data: Data, teacher: Frozen, guided: str, hint: str, options: dict, word: str
):
    with pytest.raises(ValueError, match=word):
        Hints(a_student(), teacher, data, guided, hint, **options)


def test_only_a_sequential_net_has_a_lower_part():
    with pytest.raises(ValueError, match="Linear"):
        up_to(nn.Linear(2, 2), "block2")
    part = up_to(a_student(), "layer2")
    assert [name for name, _ in part.named_children()] == ["shrink", "layer1", "layer2"]


@pytest.mark.parametrize("progress", [0.0, 0.25, 1.0])
def test_the_terms_of_stage_two(data: Data, teacher: Frozen, progress: float):
    student, batch = a_student("he").double(), batch_of(data, progress=progress)
    batch = batch._replace(x=batch.x.double(), y=torch.tensor([0, 1, 2, -1, 4, 5]))
    terms = Soft(student, teacher, T=3.0, top=5.0, end=2.0)(batch)
    z_s, z_t = student(batch.x).detach(), teacher(batch)
    assert list(terms) == ["hard", "soft"]
    assert terms["hard"].item() == pytest.approx(slow_hard_loss(z_s, batch.y.tolist()), rel=1e-6)
    weight = 5 - 3 * progress
    expected = weight * oracles.soft_loss(z_s, z_t, 3.0)
    assert terms["soft"].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 0.9])
def test_the_terms_of_the_joint_form(data: Data, teacher: Frozen, alpha: float):
    student, batch = build("cnn2", 10, seed=1).eval(), batch_of(data)
    joint = Joint(student, teacher, data, beta=7.0, alpha=alpha, reduction="rows").eval()
    terms = joint(batch)
    kd = KD(student, teacher, T=4.0, alpha=alpha)(batch)
    assert list(terms) == ["hard", "soft", "hint"]
    for name in ("hard", "soft"):
        assert terms[name].item() == pytest.approx(kd[name].item(), rel=1e-6)
    predicted = joint.r(up_to(student, "block2")(batch.x)).detach()
    hint = 7 * oracles.hint_loss(predicted, teacher.features(batch, "block2"), "rows")
    assert terms["hint"].item() == pytest.approx(hint, rel=1e-4)


def test_without_weight_the_hint_changes_nothing(data: Data, teacher: Frozen):
    one, two = (build("cnn2", 10, seed=1) for _ in range(2))
    fit(Joint(one, teacher, data, beta=0.0), data, Recipe(steps=4), device="cpu")
    fit(KD(two, teacher, T=4.0, alpha=0.9), data, Recipe(steps=4), device="cpu")
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_values_out_of_range_are_refused(data: Data, teacher: Frozen):
    for options, word in (({"T": 0.0}, "T is"), ({"top": -1.0}, "top"), ({"end": 99.0}, "end")):
        with pytest.raises(ValueError, match=word):
            Soft(a_student(), teacher, **options)
    for options, word in (({"beta": -1.0}, "beta"), ({"alpha": 1.5}, "alpha")):
        with pytest.raises(ValueError, match=word):
            Joint(build("cnn2", 10, seed=1), teacher, data, **options)
    with pytest.raises(ValueError, match="classes"):
        Soft(build("cnn2", 7, seed=1), teacher)


def test_two_stages_learn_and_the_teacher_stays(data: Data, teacher: Frozen):
    student, before = a_student("bn"), copy.deepcopy(teacher.net.state_dict())
    one = fit(Hints(student, teacher, data, middle(5)), data, Recipe(steps=20), device="cpu")
    two = fit(Soft(student, teacher), data, Recipe(steps=60), device="cpu")
    assert one.hint.iloc[-1] < one.hint.iloc[0] and two.hard.iloc[-1] < two.hard.iloc[0]
    assert two.soft.iloc[-1] < two.soft.iloc[0] / 2  # its weight falls, too
    assert all(torch.equal(v, before[name]) for name, v in teacher.net.state_dict().items())
    assert logits_of(student, data.val.x).isfinite().all()


# --- mutants --------------------------------------------------------------------------------------

by_hand, on_paper = test_values_worked_out_by_hand, test_values_worked_out_on_paper
oracle = {
    name: partial(test_the_hint_loss_equals_the_slow_oracle, (3, 4, 5, 2), name)
    for name in REDUCTIONS
}
still = partial(test_no_gradient_reaches_the_teachers_map, "mean")
halved = partial(test_half_precision_is_computed_in_float32, torch.float16, "half sum")
factor = partial(test_the_three_reductions_differ_by_a_factor, (3, 4, 5, 2))
soft = partial(test_the_soft_loss_equals_the_slow_oracle, (5, 10), 3.0)
square = partial(test_its_gradient_is_that_of_notebook_00_without_the_square, 3.0)
conv = partial(test_the_regressor_is_a_convolution_without_padding, 7, 3)
dense = test_the_dense_regressor_has_a_weight_for_each_pair_of_units
falls = test_the_weight_falls_in_a_straight_line

MUTANTS = {
    "no half": (
        hint_loss,
        "dim=(1, 2, 3)).mean() / 2",
        "dim=(1, 2, 3)).mean()",
        [oracle["half sum"], factor],
    ),
    "summed over images": (
        hint_loss,
        "(1, 2, 3)).mean()",
        "(1, 2, 3)).sum()",
        [oracle["half sum"]],
    ),
    "columns for rows": (hint_loss, "sum(dim=2)", "sum(dim=3)", [oracle["rows"], factor, on_paper]),
    "rows without the half": (
        hint_loss,
        "sum(dim=2).mean() / 2",
        "sum(dim=2).mean()",
        [oracle["rows"]],
    ),
    "a half in the mean": (
        hint_loss,
        "else squares.mean()",
        "else squares.mean() / 2",
        [oracle["mean"], by_hand],
    ),
    "distance, not its square": (hint_loss, ".square()", ".abs()", [oracle["mean"], on_paper]),
    "teacher learns": (hint_loss, "f_t.detach()", "f_t", [still]),
    "regressor detached": (
        hint_loss,
        "in_float32(predicted)",
        "in_float32(predicted.detach())",
        [still],
    ),
    "half precision": (
        hint_loss,
        "(in_float32(f_t.detach()) - in_float32(predicted))",
        "(f_t.detach() - predicted)",
        [halved],
    ),
    "T^2": (soft_loss, "return -torch", "return -(T**2) * torch", [soft, square, by_hand]),
    "student not softened": (soft_loss, "in_float32(z_s) / T", "in_float32(z_s)", [soft, square]),
    "teacher not softened": (
        soft_loss,
        "in_float32(z_t.detach()) / T",
        "in_float32(z_t.detach())",
        [soft, square],
    ),
    "sides swapped": (soft_loss, "p * log_q", "log_q.exp() * p.log()", [soft, square, by_hand]),
    "mean over classes": (soft_loss, ".sum(dim=1)", ".mean(dim=1)", [soft, square]),
    "logits of the teacher learn": (
        soft_loss,
        "z_t.detach()",
        "z_t",
        [test_no_gradient_reaches_the_teachers_logits],
    ),
    "0 log 0": (
        soft_loss,
        "torch.where(p > 0, p * log_q, 0)",
        "(p * log_q)",
        [test_classes_that_are_ruled_out],
    ),
    "weight rises": (weight_at, "top + (end - top)", "end + (top - end)", [falls]),
    "weight falls at once": (weight_at, " * progress", "", [falls]),
    "kernel too small": (kernel, " + 1", "", [conv]),
    "no ReLU": (
        build_regressor,
        "kernel(inner, outer)), nn.ReLU())",
        "kernel(inner, outer)))",
        [conv],
    ),
    "no ReLU, dense": (
        build_regressor,
        "nn.Unflatten(1, outer), nn.ReLU())",
        "nn.Unflatten(1, outer))",
        [dense],
    ),
    "dense is conv": (build_regressor, 'if kind == "conv"', 'if kind != "none"', [dense]),
    "off by one layer": (
        nets.up_to,
        "index(name) + 1",
        "index(name) + 2",
        [test_only_a_sequential_net_has_a_lower_part],
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_loss_is_caught(name: str):
    assert_caught(*MUTANTS[name])


METHOD_MUTANTS = {
    "whole student in stage 1": (
        Hints,
        "self.part(batch.x)",
        "self.student[:4](batch.x) * 1.01",
        test_stage_one_is_the_hint_loss_of_the_lower_part,
        ("half sum",),
    ),
    "reduction ignored": (
        Hints,
        ", self.reduction)",
        ")",
        test_stage_one_is_the_hint_loss_of_the_lower_part,
        ("half sum",),
    ),
    "hard term weighted, too": (
        Soft,
        '"hard": hard_loss',
        '"hard": weight * hard_loss',
        test_the_terms_of_stage_two,
        (0.0,),
    ),
    "weight stands still": (Soft, "batch.progress", "0.0", test_the_terms_of_stage_two, (1.0,)),
    "temperature ignored": (Soft, "z_t, self.T)", "z_t, 1.0)", test_the_terms_of_stage_two, (0.0,)),
    "beta forgotten": (
        Joint,
        "self.beta * hint_loss",
        "hint_loss",
        test_the_terms_of_the_joint_form,
        (0.9,),
    ),
    "alpha on the wrong terms": (
        Joint,
        "(1 - self.alpha) * hard_loss",
        "self.alpha * hard_loss",
        test_the_terms_of_the_joint_form,
        (0.9,),
    ),
    "joint at another T": (Joint, "T=4.0", "T=3.0", test_the_terms_of_the_joint_form, (0.9,)),
}


@pytest.mark.parametrize("name", METHOD_MUTANTS)
def test_a_wrong_method_is_caught(name: str, data: Data, teacher: Frozen):
    target, old, new, test, value = METHOD_MUTANTS[name]
    assert_caught(target, old, new, [partial(test, data, teacher, *value)])
