"""The losses and the methods of Xu et al. 2020."""

import copy
import doctest
import math
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kdlab.data import Batch, Data
from kdlab.measure import divergence
from kdlab.models import build, tap
from kdlab.papers.kd.method import kd_loss
from kdlab.papers.sskd import method, pretext, views
from kdlab.papers.sskd.method import SSKD, SameRows, keep_rows, rank_of, transfer_loss
from kdlab.papers.sskd.pretext import Pretext, build_head, contrastive_loss, own_rows, similarity
from kdlab.papers.sskd.views import Views, drawn
from kdlab.train.fit import fit
from kdlab.train.frozen import Frozen
from kdlab.train.gate import Suspicion
from kdlab.train.recipe import Recipe
from tests.mutants import assert_caught
from tests.oracles import hard_loss, soft_loss
from tests.papers.cases import gradient
from tests.papers.sskd import oracles

SHAPES = [(1, 1, 1), (3, 1, 2), (6, 2, 3), (12, 4, 5)]  # views, originals, features
TAUS = [0.1, 0.5, 1.0, 4.0]
OUT = -math.inf


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    gen = torch.Generator().manual_seed(sum(10**i * n for i, n in enumerate(shape)) + seed)
    return torch.randn(*shape, generator=gen, dtype=torch.float64).to(dtype)


def pair(r: int, b: int, d: int, seed: int = 0, dtype: torch.dtype = torch.float64):
    """Return projections of r views and b originals, and the views' originals."""
    own = torch.arange(b).repeat_interleave(r // b)
    return draw(r, d, seed=seed, dtype=dtype), draw(b, d, seed=seed + 1, dtype=dtype), own


# --- similarities and stage 1 ---------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_similarities_equal_the_slow_oracle(shape: tuple[int, int, int]):
    v, u, _ = pair(*shape)
    np.testing.assert_allclose(similarity(v, u), oracles.cosines(v, u), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("tau", TAUS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_contrastive_loss_equals_the_slow_oracle(shape: tuple[int, int, int], tau: float):
    v, u, own = pair(*shape)
    expected = oracles.contrastive(v, u, own.tolist(), tau)
    assert contrastive_loss(v, u, own, tau).item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_values_worked_out_by_hand():
    """The examples in the docstrings."""
    found = [
        example
        for part, home in ((contrastive_loss, pretext), (keep_rows, method))
        for example in doctest.DocTestFinder(recurse=False).find(part, globs=dict(vars(home)))
    ]
    assert len(found) == 2 and all(example.examples for example in found)
    for example in found:
        assert doctest.DocTestRunner(verbose=False).run(example).failed == 0


@pytest.mark.parametrize(("b", "tau"), [(16, 1.0), (64, 1.0), (25, 0.5)])
def test_its_floor_and_chance(b: int, tau: float):
    """1.87 and 3.19 at tau = 1, worked out on paper: log(1 + (B - 1) / e)."""
    u, own = torch.eye(b, dtype=torch.float64), torch.arange(b)
    floor = math.log(1 + (b - 1) * math.exp(-1 / tau))
    assert contrastive_loss(u, u, own, tau).item() == pytest.approx(floor, rel=1e-9)
    same = torch.ones(b, 3, dtype=torch.float64)
    assert contrastive_loss(same, same, own, tau).item() == pytest.approx(math.log(b), rel=1e-9)


def test_length_and_rotation_of_projections_do_not_matter():
    v, u, own = pair(12, 4, 5)
    turn = torch.linalg.qr(draw(5, 5))[0]
    value = contrastive_loss(v, u, own, 0.5)
    torch.testing.assert_close(contrastive_loss(1e6 * v, 7 * u, own, 0.5), value)
    torch.testing.assert_close(contrastive_loss(v @ turn, u @ turn, own, 0.5), value)
    order = torch.tensor([2, 0, 3, 1])
    moved = contrastive_loss(v, u[order], order.argsort()[own], 0.5)
    torch.testing.assert_close(moved, value)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradcheck_of_the_contrastive_loss(shape: tuple[int, int, int]):
    v, u, own = pair(*shape)
    v, u = v.requires_grad_(), u.requires_grad_()
    assert torch.autograd.gradcheck(lambda v, u: contrastive_loss(v, u, own, 0.5), (v, u))


def test_vectors_of_zeros_have_cosine_0_and_a_slope_that_ends():
    v, u = torch.zeros(3, 4, requires_grad=True), torch.randn(1, 4)
    assert similarity(v, u).abs().max() == 0
    slope = gradient(contrastive_loss(v, draw(2, 4).float(), torch.tensor([0, 1, 1]), 0.5), v)
    assert slope.isfinite().all() and slope.abs().max() < 1e4


def test_huge_projections_and_half_precision():
    for dtype in (torch.float16, torch.bfloat16):
        v, u, own = pair(6, 2, 3, dtype=dtype)
        loss = contrastive_loss(v, u, own, 0.5)
        assert loss.dtype == torch.float32
        expected = oracles.contrastive(v.float(), u.float(), own.tolist(), 0.5)
        assert loss.item() == pytest.approx(expected, rel=1e-4)
    v, u, own = pair(6, 2, 3, dtype=torch.float32)
    torch.testing.assert_close(
        contrastive_loss(1e3 * v, 1e3 * u, own, 0.5), contrastive_loss(v, u, own, 0.5)
    )


@pytest.mark.parametrize(
    ("v", "u"), [((3, 4), (2, 5)), ((3,), (2, 3)), ((0, 3), (2, 3)), ((3, 4), (0, 4))]
)
def test_projections_that_do_not_fit_are_refused(v: tuple[int, ...], u: tuple[int, ...]):
    with pytest.raises(ValueError, match="projections"):
        similarity(torch.zeros(v), torch.zeros(u))
    with pytest.raises(ValueError, match="temperature"):
        contrastive_loss(torch.ones(2, 2), torch.ones(2, 2), torch.arange(2), 0.0)


# --- ranking and transfer -------------------------------------------------------------------------


def test_ranks_equal_the_slow_oracle():
    for seed in range(3):
        scores = draw(12, 5, seed=seed)
        right = torch.arange(12) % 5
        assert rank_of(scores, right).tolist() == oracles.ranks(scores, right.tolist())
    assert rank_of(torch.zeros(3, 4), torch.tensor([0, 1, 3])).tolist() == [0, 0, 0]


@pytest.mark.parametrize("ratio", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_kept_rows_equal_the_slow_oracle(ratio: float):
    for seed in range(5):
        gen = torch.Generator().manual_seed(seed)
        rank = torch.randint(0, 4, (seed * 4 + 1,), generator=gen)
        assert keep_rows(rank, ratio).tolist() == oracles.kept(rank.tolist(), ratio)


def test_right_rows_are_always_kept_and_none_may_be():
    assert keep_rows(torch.zeros(5, dtype=torch.long), 0.0).all()
    assert not keep_rows(torch.arange(1, 6), 0.0).any()
    assert keep_rows(torch.arange(1, 6), 1.0).all()
    with pytest.raises(ValueError, match="ratio"):
        keep_rows(torch.arange(3), 1.5)


@pytest.mark.parametrize("T", TAUS)
@pytest.mark.parametrize(("r", "k"), [(1, 1), (4, 2), (12, 5)])
def test_the_transfer_equals_the_slow_oracle(r: int, k: int, T: float):
    a_s, a_t = draw(r, k), draw(r, k, seed=5)
    for keep in (torch.arange(r) % 3 != 1, torch.ones(r, dtype=torch.bool)):
        expected = oracles.transfer(a_s, a_t, T, keep.tolist())
        found = transfer_loss(a_s, a_t, T, keep).item()
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_a_value_worked_out_on_paper():
    """T = 1/2, cosines (log 3, 0) / 2 against 0: p = (3/4, 1/4), q = (1/2, 1/2)."""
    a_t = torch.tensor([[math.log(3) / 2, 0.0], [9.0, 9.0]], dtype=torch.float64)
    by_hand = 0.25 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    keep = torch.tensor([True, False])
    found = transfer_loss(torch.zeros(2, 2, dtype=torch.float64), a_t, 0.5, keep)
    assert found.item() == pytest.approx(by_hand, rel=1e-12)


def test_with_all_rows_it_is_the_soft_term_of_notebook_00():
    a_s, a_t = draw(6, 5), draw(6, 5, seed=1)
    torch.testing.assert_close(
        transfer_loss(a_s, a_t, 4.0, torch.ones(6, dtype=torch.bool)), kd_loss(a_s, a_t, 4.0)
    )


def test_nothing_kept_gives_zero_and_a_zero_gradient():
    a_s = draw(4, 3).requires_grad_()
    loss = transfer_loss(a_s, draw(4, 3, seed=1), 0.5, torch.zeros(4, dtype=torch.bool))
    assert loss.item() == 0 and torch.equal(gradient(loss, a_s), torch.zeros_like(a_s))


def test_zero_and_flat_at_equality_and_blind_to_dropped_rows():
    a = draw(4, 3).requires_grad_()
    keep = torch.tensor([True, True, False, True])
    loss = transfer_loss(a, a.detach(), 0.5, keep)
    assert abs(loss.item()) < 1e-12 and gradient(loss, a).abs().max() < 1e-12
    other = a.detach().clone()
    other[2] = 1e3
    assert transfer_loss(a, other, 0.5, keep).abs() < 1e-12
    assert gradient(transfer_loss(a, draw(4, 3, seed=9), 0.5, keep), a)[2].abs().max() == 0


def test_gradcheck_and_no_gradient_to_the_teacher():
    a_s, a_t, keep = draw(6, 4).requires_grad_(), draw(6, 4, seed=1), torch.arange(6) != 2
    assert torch.autograd.gradcheck(lambda a: transfer_loss(a, a_t, 0.5, keep), (a_s,))
    a_t.requires_grad_()
    found = torch.autograd.grad(transfer_loss(a_s, a_t, 0.5, keep), (a_s, a_t), allow_unused=True)
    assert found[0].abs().max() > 0 and found[1] is None


def test_extreme_answers_ruled_out_ones_and_half_precision():
    keep = torch.ones(1, dtype=torch.bool)
    a_s = torch.tensor([[1e3, -1e3, 0.0]], requires_grad=True)
    loss = transfer_loss(a_s, torch.tensor([[-1e3, 1e3, 0.0]]), 1.0, keep)
    assert loss.item() == pytest.approx(2000, rel=1e-6) and gradient(loss, a_s).isfinite().all()
    a_s, a_t = draw(4, 3).index_fill(1, torch.tensor([1]), OUT), draw(4, 3, seed=1)
    a_t[:, 1] = OUT
    a_s.requires_grad_()
    loss = transfer_loss(a_s, a_t, 4.0, torch.ones(4, dtype=torch.bool))
    both = [a.detach()[:, [0, 2]] for a in (a_s, a_t)]
    assert loss.item() == pytest.approx(oracles.transfer(*both, 4.0, [True] * 4), rel=1e-9)
    assert gradient(loss, a_s).isfinite().all()
    low = draw(4, 3, dtype=torch.bfloat16)
    loss = transfer_loss(low, (low + 1).flip(1), 4.0, torch.ones(4, dtype=torch.bool))
    assert loss.dtype == torch.float32
    assert transfer_loss(draw(5, 1), draw(5, 1, seed=1), 1.0, keep.expand(5)).item() == 0


def test_identical_rows_count_as_one():
    a_s, a_t = draw(1, 5), draw(1, 5, seed=1)
    one = transfer_loss(a_s, a_t, 0.5, torch.ones(1, dtype=torch.bool))
    eight = transfer_loss(a_s.expand(8, -1), a_t.expand(8, -1), 0.5, torch.arange(8) < 5)
    torch.testing.assert_close(eight, one)


def test_bad_answers_are_refused():
    keep = torch.ones(2, dtype=torch.bool)
    with pytest.raises(ValueError, match="logits"):
        transfer_loss(torch.zeros(2, 3), torch.zeros(2, 4), 1.0, keep)
    with pytest.raises(ValueError, match="keep"):
        transfer_loss(torch.zeros(3, 3), torch.zeros(3, 3), 1.0, keep)
    with pytest.raises(ValueError, match="temperature"):
        transfer_loss(torch.zeros(2, 3), torch.zeros(2, 3), 0.0, keep)


def test_the_same_on_every_device(device: str):
    v, u, own = (part.to(device) for part in pair(12, 4, 5, dtype=torch.float32))
    a, keep = similarity(v, u), keep_rows(rank_of(similarity(v, u), own), 0.5)
    loss = transfer_loss(a, a.flip(1), 0.5, keep)
    assert loss.device.type == keep.device.type == device
    expected = oracles.transfer(a.cpu(), a.flip(1).cpu(), 0.5, keep.tolist())
    assert loss.item() == pytest.approx(expected, rel=1e-4)


# --- the methods ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seen(data: Data) -> Views:
    """Views of a teacher that is no teacher yet: fresh weights are enough."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Suspicion)
        return Views(Frozen(a_net(3, data), data), data, seed=1)


def a_net(seed: int, data: Data) -> nn.Module:
    """Return a net of fresh weights whose batch norm knows the images, so that its answers vary."""
    net = build("cnn2", 10, seed=seed)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 1.0
    with torch.no_grad():
        net.train()(data.train.x)
    return net.eval()


def batch_of(data: Data, n: int = 6, progress: float = 0.0) -> Batch:
    x, y, index = (column[:n] for column in data.train)
    return Batch(x, y, index, True, progress)


def make(data: Data, seen: Views, **knobs) -> SSKD:
    return SSKD(a_net(5, data), seen, build_head(8, 0, "teacher"), seed=2, **knobs)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_four_terms_equal_the_slow_oracle(data: Data, seen: Views, n: int):
    """Loops over images and views: every row is asked for on its own."""
    knobs = {"alpha": 0.8, "lambda_T": 2.0, "lambda_ss": 5.0, "tau": 0.7, "ratio": 0.5}
    sskd, batch = make(data, seen, views_a_step=n, **knobs), batch_of(data)
    which, teacher = drawn(batch, n, 2), seen.teacher.net
    u_t, u_s, v_t, v_s, z, z_t, z_v, z_tv, own = ([] for _ in range(9))
    with torch.no_grad():
        for i, image in enumerate(batch.x):
            turned = [torch.rot90(image, int(k) + 1, (1, 2)) for k in which[i]]
            for row, x in enumerate([image, *turned]):
                (zs, fs), (zt, ft) = (tap(net, x[None], "pool") for net in (sskd.student, teacher))
                p_s, p_t = sskd.head(fs["pool"])[0], sskd.of_teacher(ft["pool"])[0]
                (v_s if row else u_s).append(p_s.tolist())
                (v_t if row else u_t).append(p_t.tolist())
                (z_v if row else z).append(zs[0].tolist())
                (z_tv if row else z_t).append(zt[0].tolist())
                own += [i] * bool(row)
    a_s, a_t = oracles.cosines(v_s, u_s), oracles.cosines(v_t, u_t)
    keep = oracles.kept(oracles.ranks(a_t, own), 0.5)
    expected = {
        "hard": 0.2 * hard_loss(z, batch.y.tolist()),
        "soft": 0.8 * soft_loss(z, z_t, 4.0),
        "turned": 2.0 * soft_loss(z_v, z_tv, 4.0),
        "alike": 5.0 * oracles.transfer(a_s, a_t, 0.7, keep),
    }
    found = {name: term.item() for name, term in sskd(batch).items()}
    assert found == pytest.approx(expected, rel=2e-3, abs=1e-5)


def test_plain_kd_on_the_same_rows(data: Data, seen: Views):
    rows, batch = SameRows(a_net(5, data), seen, T=2.0, alpha=0.7, seed=2), batch_of(data)
    x = seen(batch, drawn(batch, 1, 2)).x[:, 0]
    whole = torch.cat([batch.x, x])
    z, z_t = rows.student(whole).detach(), seen.teacher.net(whole).detach()
    terms = rows(batch)
    assert terms["hard"].item() == pytest.approx(0.3 * hard_loss(z, batch.y.tolist() * 2), rel=1e-4)
    assert terms["soft"].item() == pytest.approx(0.7 * soft_loss(z, z_t, 2.0), rel=1e-3, abs=1e-6)


def test_stage_one_is_the_contrastive_loss_of_all_views(data: Data, seen: Views):
    one, batch = Pretext(seen, tau=0.7, seed=1), batch_of(data)
    f = seen(batch).f
    u, v = one.head(f[:, 0]).detach(), one.head(f[:, 1:].reshape(18, -1)).detach()
    expected = oracles.contrastive(v, u, [i // 3 for i in range(18)], 0.7)
    assert one(batch)["ssp"].item() == pytest.approx(expected, rel=1e-4)


def test_only_the_head_learns_in_stage_one(data: Data, seen: Views):
    one, before = Pretext(seen, seed=1), copy.deepcopy(seen.teacher.net.state_dict())
    assert {id(p) for p in one.parameters()} == {id(p) for p in one.head.parameters()}
    history = fit(one, data, Recipe(steps=40, lr=0.05, batch=25), device="cpu")
    assert history.ssp.iloc[-1] < history.ssp.iloc[0] < 1.1 * math.log(25)
    after = seen.teacher.net.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_every_own_weight_learns_and_neither_teacher_nor_its_head_does(data: Data, seen: Views):
    sskd = make(data, seen)
    sum(sskd(batch_of(data)).values()).backward()
    for part in (sskd.student, sskd.head):
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in part.parameters())
    still = [*sskd.of_teacher.parameters(), *seen.teacher.net.parameters()]
    assert all(p.grad is None for p in still)
    assert not any(p.requires_grad for p in sskd.of_teacher.parameters())


def test_the_similarities_reach_the_students_first_layer(data: Data, seen: Views):
    sskd = make(data, seen)
    sskd(batch_of(data))["alike"].backward()
    slope = next(sskd.student.parameters()).grad
    assert slope is not None and slope.abs().max() > 0


def test_a_short_fit_falls_and_leaves_the_teacher_as_it_was(data: Data, seen: Views):
    sskd, before = make(data, seen), copy.deepcopy(seen.teacher.net.state_dict())
    head = copy.deepcopy(sskd.of_teacher.state_dict())
    history = fit(sskd, data, Recipe(steps=40, batch=25), device="cpu")
    assert history.soft.iloc[-1] < history.soft.iloc[0]
    assert history.turned.iloc[-1] < history.turned.iloc[0]
    for net, kept in ((seen.teacher.net, before), (sskd.of_teacher, head)):
        assert all(torch.equal(value, kept[name]) for name, value in net.state_dict().items())


def test_equal_batches_give_equal_terms(data: Data, seen: Views):
    sskd, batch = make(data, seen), batch_of(data, progress=0.25)
    one, two = sskd(batch), sskd(batch)
    assert all(torch.equal(one[name], two[name]) for name in one)
    later = sskd(batch_of(data, progress=0.5))
    assert not torch.equal(one["turned"], later["turned"])


def test_predict_is_the_student(data: Data, seen: Views):
    x = data.test.x[:4]
    for whole in (make(data, seen), SameRows(a_net(5, data), seen)):
        assert torch.equal(whole.predict(x), whole.student(x))
        assert whole.n_classes == 10


@pytest.mark.parametrize("knob", SSKD.knobs, ids=lambda knob: knob.name)
def test_a_knob_out_of_range_is_refused(data: Data, seen: Views, knob):
    for wrong in (knob.high + 1, knob.low - 1):
        with pytest.raises(ValueError, match=knob.name):
            make(data, seen, **{knob.name: wrong})


def test_other_classes_are_refused(seen: Views):
    for cls in (SSKD, SameRows):
        rest = (build_head(8, 0, "teacher"),) if cls is SSKD else ()
        with pytest.raises(ValueError, match="7 classes"):
            cls(build("cnn2", 7, seed=0), seen, *rest)


def test_heads_follow_from_seed_and_part_alone():
    state = torch.random.get_rng_state()
    one, two, other = (build_head(4, 1, who) for who in ("teacher", "teacher", "student"))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(one[0].weight, two[0].weight)
    assert not torch.equal(one[0].weight, other[0].weight)


def test_rows_stand_image_by_image(data: Data, seen: Views):
    assert own_rows(seen(batch_of(data, 3))).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


# --- mutants --------------------------------------------------------------------------------------

contrast = partial(test_the_contrastive_loss_equals_the_slow_oracle, (12, 4, 5), 0.5)
alike = partial(test_similarities_equal_the_slow_oracle, (12, 4, 5))
move = partial(test_the_transfer_equals_the_slow_oracle, 12, 5, 0.5)
kept = partial(test_kept_rows_equal_the_slow_oracle, 0.5)
still = test_gradcheck_and_no_gradient_to_the_teacher
extreme = test_extreme_answers_ruled_out_ones_and_half_precision

MUTANTS = {
    "no cosine": (similarity, "dim=1, eps=EPS", "dim=1, p=1.0, eps=EPS", [alike, contrast]),
    "tau forgotten": (contrastive_loss, " / tau", "", [contrast]),
    "normed over the batch": (similarity, "dim=1, eps", "dim=0, eps", [alike]),
    "half": (
        similarity,
        "in_float32(part)",
        "part",
        [test_huge_projections_and_half_precision],
    ),
    "ties beat": (rank_of, "scores > ", "scores >= ", [test_ranks_equal_the_slow_oracle]),
    "ranks of the worst": (rank_of, "scores > ", "scores < ", [test_ranks_equal_the_slow_oracle]),
    "worst kept": (keep_rows, "stable=True", "stable=True, descending=True", [kept]),
    "share of all rows": (
        keep_rows,
        "len(rank) - wrong + int(ratio * wrong)",
        "int(ratio * len(rank))",
        [kept, test_right_rows_are_always_kept_and_none_may_be],
    ),
    "rounded up": (keep_rows, "int(ratio * wrong)", "-int(-ratio * wrong - 0.5)", [kept]),
    "no T^2": (transfer_loss, "T**2 * ", "", [move, test_a_value_worked_out_on_paper]),
    "sides swapped": (transfer_loss, "(log_p, log_q)", "(log_q, log_p)", [move]),
    "mean over all rows": (transfer_loss, "keep.sum().clamp(min=1)", "len(keep)", [move]),
    "0 / 0": (
        transfer_loss,
        ".clamp(min=1)",
        "",
        [test_nothing_kept_gives_zero_and_a_zero_gradient],
    ),
    "dropped rows count": (
        transfer_loss,
        "[keep]",
        "",
        [move, test_zero_and_flat_at_equality_and_blind_to_dropped_rows],
    ),
    "teacher learns": (transfer_loss, "a_t.detach()", "a_t", [still]),
    "student detached": (transfer_loss, "in_float32(a_s", "in_float32(a_s.detach()", [still]),
    "softmax over rows": (transfer_loss, "dim=1", "dim=0", [move]),
    "0 log 0": (divergence, "torch.where(p > 0, log_p - log_q, 0)", "log_p - log_q", [extreme]),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_loss_is_caught(name: str):
    assert_caught(*MUTANTS[name])


terms = partial(test_the_four_terms_equal_the_slow_oracle, n=2)
learns = test_every_own_weight_learns_and_neither_teacher_nor_its_head_does
METHOD_MUTANTS = {
    "weights swapped": (SSKD, "self.lambda_T * kd", "self.lambda_ss * kd", terms),
    "tau of the classes": (SSKD, "a_t, self.tau, keep", "a_t, self.T, keep", terms),
    "all rows kept": (SSKD, "a_t, own), self.ratio)", "a_t, own), 1.0)", terms),
    "ranks of the student": (SSKD, "rank_of(a_t, own)", "rank_of(a_s, own)", terms),
    "views labelled, too": (SSKD, "hard_loss(z[:b]", "hard_loss(z[b:][::2]", terms),
    "heads swapped": (SSKD, "self.head(f[", "self.of_teacher(f[", terms),
    "alpha on the wrong term": (SSKD, "(1 - self.alpha)", "self.alpha", terms),
    "student detached": (
        SSKD,
        "self.head(f[self.tap].flatten(1))",
        "self.head(f[self.tap].flatten(1).detach())",
        test_the_similarities_reach_the_students_first_layer,
    ),
    "teacher's head learns": (SSKD, "head.requires_grad_(False)", "head", learns),
    "rows view by view": (
        own_rows,
        "repeat_interleave(v)",
        "repeat(v)",
        test_rows_stand_image_by_image,
    ),
    "labels of others": (
        SameRows,
        "batch.y[own_rows(seen)]",
        "batch.y.flip(0)",
        test_plain_kd_on_the_same_rows,
    ),
    "views not taught": (
        SameRows,
        "seen.z.flatten(0, 1)",
        "self.teacher(batch)",
        test_plain_kd_on_the_same_rows,
    ),
    "the same views in every step": (
        views.drawn,
        "batch.progress",
        "0",
        test_equal_batches_give_equal_terms,
    ),
}


@pytest.mark.parametrize("name", METHOD_MUTANTS)
def test_a_wrong_method_is_caught(name: str, data: Data, seen: Views):
    target, old, new, test = METHOD_MUTANTS[name]
    assert_caught(target, old, new, [partial(test, data, seen)])
