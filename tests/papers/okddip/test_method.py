"""The losses of Chen et al. 2020 and of Lan et al. 2018, and the methods OKDDip and ONE."""

import doctest
import itertools
import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from kdlab.data import Batch, Data
from kdlab.measure import divergence
from kdlab.models import build
from kdlab.papers.okddip import method as okddip
from kdlab.papers.okddip import mutual, nets
from kdlab.papers.okddip.method import (
    ONE,
    OKDDip,
    attention,
    even,
    labelled,
    okddip_loss,
    okddip_terms,
    one_terms,
    pull,
    targets,
)
from kdlab.papers.okddip.mutual import Mutual, mutual_loss
from kdlab.papers.okddip.nets import ramp_up
from kdlab.train.fit import fit
from kdlab.train.recipe import Recipe
from kdlab.train.worlds import replicate
from tests import oracles
from tests.mutants import assert_caught
from tests.papers.cases import gradient

K, B, C, D = 3, 5, 4, 6
SHAPES = [(2, 1, 1), (2, 1, 2), (3, 5, 10), (4, 3, 20)]
TEMPERATURES = [0.5, 1.0, 3.0, 20.0]
MIXES = ["probabilities", "logits"]
DOUBLE = torch.float64


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = DOUBLE) -> Tensor:
    gen = torch.Generator().manual_seed(sum(shape) + 100 * seed)
    return (2 * torch.randn(*shape, generator=gen, dtype=DOUBLE)).to(dtype)


def weights(k: int = K, b: int = B, seed: int = 5) -> Tensor:
    return normal(b, k, k, seed=seed).softmax(dim=2)


def labels(b: int = B, c: int = C) -> Tensor:
    y = torch.arange(b) % c
    y[1:2] = -1
    return y


def rows(z: Tensor) -> list[list[list[float]]]:
    return z.detach().double().tolist()


def slow_targets(z: Any, A: Any, T: float, mix: str = "probabilities") -> list[Any]:
    """t_a of each image, one loop for each sum."""
    z, A = rows(z), rows(A)
    found = []
    for a in range(len(A[0])):
        found.append([])
        for i in range(len(z[0])):
            if mix == "logits":
                said = [
                    sum(A[i][a][b] * z[b][i][c] for b in range(len(z))) for c in range(len(z[0][0]))
                ]
                found[-1].append(oracles.softmax(said, T))
            else:
                q = [oracles.softmax(z[b][i], T) for b in range(len(z))]
                found[-1].append(
                    [sum(A[i][a][b] * q[b][c] for b in range(len(z))) for c in range(len(q[0]))]
                )
    return found


def slow_pull(z: Any, t: Any, T: float) -> float:
    z, total = rows(z), []
    for a in range(len(z)):
        for i in range(len(z[a])):
            total.append(oracles.kl(t[a if len(t) > 1 else 0][i], oracles.softmax(z[a][i], T)))
    return T**2 * math.fsum(total) / len(z[0])


def slow_terms(z: Tensor, A: Tensor, y: Tensor, T: float, w: float, mix: str) -> dict[str, float]:
    mean = torch.full((z.shape[1], 1, len(z) - 1), 1 / (len(z) - 1), dtype=DOUBLE)
    return {
        "hard": sum(oracles.hard_loss(z_a.detach(), y.tolist()) for z_a in z),
        "peers": w * slow_pull(z[1:], slow_targets(z[1:], A, T, mix), T),
        "leader": w * slow_pull(z[:1], slow_targets(z[1:], mean, T, mix), T),
    }


def values(terms: dict[str, Tensor]) -> dict[str, float]:
    return {name: term.item() for name, term in terms.items()}


# --- attention ----------------------------------------------------------------------------------


def test_attention_equals_the_slow_oracle():
    f, W_Q, W_K = normal(K, B, D), normal(2, D, seed=1) / 4, normal(2, D, seed=2) / 4
    A = attention(f, W_Q, W_K)
    for i, a in itertools.product(range(B), range(K)):
        asks = [sum(W_Q[j, d] * f[a, i, d] for d in range(D)) for j in range(2)]
        heard = [
            [sum(W_K[j, d] * f[b, i, d] for d in range(D)) for j in range(2)] for b in range(K)
        ]
        expected = oracles.softmax([float(asks[0] * k[0] + asks[1] * k[1]) for k in heard])
        assert A[i, a].tolist() == pytest.approx(expected, rel=1e-9)


def test_rows_of_the_attention_sum_to_one_and_follow_the_order_of_the_peers():
    f, W_Q, W_K, order = normal(K, B, D), normal(2, D, seed=1), normal(2, D, seed=2), [2, 0, 1]
    A = attention(f, W_Q, W_K)
    torch.testing.assert_close(A.sum(dim=2), torch.ones(B, K, dtype=DOUBLE))
    torch.testing.assert_close(attention(f[order], W_Q, W_K), A[:, order][:, :, order])
    assert not torch.allclose(A, A.transpose(1, 2))  # asymmetric on purpose


def test_without_projections_everybody_is_heard_alike():
    A = attention(normal(K, B, D), torch.zeros(2, D, dtype=DOUBLE), normal(2, D, seed=2))
    torch.testing.assert_close(A, torch.full((B, K, K), 1 / K, dtype=DOUBLE))
    t = targets(normal(K, B, C), A, 3.0)
    torch.testing.assert_close(t, (normal(K, B, C) / 3).softmax(dim=2).mean(0).expand(K, -1, -1))


# --- targets and pull ---------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "T"), list(itertools.product(SHAPES, TEMPERATURES)))
@pytest.mark.parametrize("mix", MIXES)
def test_targets_and_pull_equal_the_slow_oracle(shape: tuple[int, int, int], T: float, mix: str):
    z, A = normal(*shape), weights(*shape[:2])
    t, expected = targets(z, A, T, mix), slow_targets(z, A, T, mix)
    torch.testing.assert_close(t, torch.tensor(expected, dtype=DOUBLE), rtol=1e-9, atol=1e-12)
    by_hand = slow_pull(z, expected, T)
    assert pull(z, t, T).item() == pytest.approx(by_hand, rel=1e-9, abs=1e-10)


def test_mixing_logits_is_sharper_unless_the_peers_agree():
    z, A = normal(K, B, C), weights()
    same = z[:1].expand(K, -1, -1)
    torch.testing.assert_close(*(targets(same, A, 3.0, mix) for mix in MIXES))
    soft, sharp = (torch.special.entr(targets(z, A, 1.0, m)).sum(dim=2).mean() for m in MIXES)
    assert sharp < soft
    assert not torch.allclose(*(targets(z, A, 3.0, mix) for mix in MIXES))


def test_who_listens_to_nobody_else_learns_nothing():
    z, A = normal(K, B, C).requires_grad_(), torch.eye(K, dtype=DOUBLE).expand(B, -1, -1)
    loss = pull(z, targets(z.detach(), A, 3.0), 3.0)
    assert abs(loss.item()) < 1e-12 and gradient(loss, z).abs().max() < 1e-12


def test_peers_that_agree_pull_nobody():
    z = normal(1, B, C).expand(K, -1, -1).clone().requires_grad_()
    for mix in MIXES:
        loss = pull(z, targets(z.detach(), weights(), 3.0, mix), 3.0)
        assert abs(loss.item()) < 1e-12 and gradient(loss, z).abs().max() < 1e-12


def test_a_larger_self_weight_always_lowers_the_pull():
    """Why the attention closes in on itself: KL(t || q) is convex in t, and 0 at t = q."""
    z = normal(K, 40, C)
    for E in (normal(40, K, K, seed=7), torch.zeros(40, K, K, dtype=DOUBLE)):
        E = E.requires_grad_()
        slope = gradient(pull(z, targets(z, E.softmax(dim=2), 3.0), 3.0), E)
        assert (slope.diagonal(dim1=1, dim2=2) < 0).all()


def test_values_worked_out_by_hand():
    found = [
        example
        for part in (attention, pull)
        for example in doctest.DocTestFinder(recurse=False).find(part, globs=dict(vars(okddip)))
    ]
    assert [len(example.examples) for example in found] == [1, 2]
    for example in found:
        assert doctest.DocTestRunner(verbose=False).run(example).failed == 0


def test_values_worked_out_on_paper():
    """Two peers say (3/4, 1/4) and (1/4, 3/4) at T = 2 and hear both alike: t = (1/2, 1/2)."""
    z = torch.tensor([[[2 * math.log(3), 0.0]], [[0.0, 2 * math.log(3)]]], dtype=DOUBLE)
    by_hand = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    t = targets(z, even(z).expand(-1, 2, -1), 2.0)
    torch.testing.assert_close(t, torch.full((2, 1, 2), 0.5, dtype=DOUBLE))
    assert pull(z, t, 2.0).item() == pytest.approx(4 * 2 * by_hand, rel=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mix", MIXES)
def test_gradcheck(shape: tuple[int, int, int], mix: str):
    z, E = normal(*shape).requires_grad_(), normal(shape[1], shape[0], shape[0], seed=3)

    def loss(z: Tensor, E: Tensor) -> Tensor:
        return pull(z, targets(z, E.softmax(dim=2), 2.0, mix), 2.0)

    assert torch.autograd.gradcheck(loss, (z, E.requires_grad_()))


def test_gradient_is_the_gap_times_the_temperature():
    z = normal(K, B, C).requires_grad_()
    t = targets(normal(K, B, C, seed=4), weights(), 3.0)
    expected = 3.0 * ((z / 3).softmax(dim=2) - t) / B
    torch.testing.assert_close(gradient(pull(z, t, 3.0), z), expected.detach())


def test_a_constant_added_and_the_order_of_images_change_nothing():
    z, A, move, order = normal(K, B, C), weights(), normal(K, B, 1, seed=9), [3, 1, 4, 0, 2]
    loss = pull(z, targets(z, A, 3.0), 3.0)
    torch.testing.assert_close(pull(z + move, targets(z - move, A, 3.0), 3.0), loss)
    torch.testing.assert_close(pull(z[:, order], targets(z[:, order], A[order], 3.0), 3.0), loss)


# --- extreme inputs -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_logits_of_a_thousand_stay_finite_and_right(dtype: torch.dtype):
    z = torch.tensor([[[1e3, -1e3]], [[-1e3, 1e3]]], dtype=dtype, requires_grad=True)
    E = torch.zeros(1, 2, 2, dtype=dtype, requires_grad=True)
    loss = pull(z, targets(z.detach(), E.softmax(dim=2), 3.0), 3.0)
    by_hand = 9 * 2 * (0.5 * math.log(0.5) + 0.5 * (math.log(0.5) + 2000 / 3))
    assert loss.item() == pytest.approx(by_hand, rel=1e-5)
    assert all(slope.isfinite().all() for slope in torch.autograd.grad(loss, (z, E)))


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("detach", ["peers", "nothing"])
def test_a_class_that_all_peers_rule_out_is_no_trouble(mix: str, detach: str):
    z = normal(K + 1, B, C)
    z[:, :, 2] = -math.inf
    z.requires_grad_()
    E = normal(B, K, K, seed=3).requires_grad_()
    y = torch.tensor([0, 1, 3, 0, 1])
    terms = okddip_terms(z, E.softmax(dim=2), y, mix=mix, detach=detach)
    left = [0, 1, 3]
    expected = okddip_terms(z[..., left], E.softmax(dim=2), y.clamp(max=2), mix=mix, detach=detach)
    assert values(terms) == pytest.approx(values(expected), rel=1e-9)
    slopes = torch.autograd.grad(sum(terms.values()), (z, E))
    assert all(slope.isfinite().all() for slope in slopes)
    assert slopes[1].abs().max() > 0


def test_a_class_that_one_peer_rules_out_is_taught_by_the_others():
    z = torch.tensor([[[0.0, 0.0, -math.inf]], [[0.0, 0.0, 0.0]]])
    t = targets(z, torch.full((1, 2, 2), 0.5), 1.0)
    torch.testing.assert_close(t[0, 0], torch.tensor([5 / 12, 5 / 12, 1 / 6]))
    assert pull(z, t, 1.0).item() == math.inf  # peer 1 rules out what its target does not
    silent = torch.eye(2)[None]
    for mix in MIXES:  # a peer that is not heard rules nothing out
        assert targets(z, silent, 1.0, mix)[1, 0].tolist() == pytest.approx([1 / 3] * 3)


def test_identical_rows_count_as_one_and_one_class_teaches_nothing():
    z, A = normal(K, 1, C), weights(b=1)
    many = pull(z.expand(-1, 8, -1), targets(z.expand(-1, 8, -1), A.expand(8, -1, -1), 3.0), 3.0)
    torch.testing.assert_close(many, pull(z, targets(z, A, 3.0), 3.0))
    alone = normal(K, B, 1)
    assert abs(pull(alone, targets(alone, weights(), 3.0), 3.0).item()) < 1e-12


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_computed_in_float32(dtype: torch.dtype):
    z = normal(K + 1, B, C, dtype=dtype).requires_grad_()
    f, W = normal(K, B, D, dtype=dtype), normal(2, D, seed=1, dtype=dtype)
    A = attention(f, W, W)
    assert A.dtype == torch.float32
    terms = okddip_terms(z, A, labels(), T=20.0)
    exact = okddip_terms(z.double(), A.double(), labels(), T=20.0)
    assert values(terms) == pytest.approx(values(exact), rel=1e-3)
    assert all(term.dtype == torch.float32 for term in terms.values())
    assert gradient(sum(terms.values()), z).dtype == dtype
    g = torch.full((B, K + 1), 1 / (K + 1))
    one = one_terms(z, g, labels(), T=20.0)
    assert values(one) == pytest.approx(
        values(one_terms(z.double(), g.double(), labels(), T=20.0)), rel=1e-3
    )


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: targets(normal(B, C), weights(), 3.0), "shape"),
        (lambda: targets(normal(K, 0, C), weights(b=0), 3.0), "shape"),
        (lambda: targets(normal(K, B, C), weights(k=2), 3.0), "attention"),
        (lambda: targets(normal(K, B, C), weights(b=2), 3.0), "attention"),
        (lambda: targets(normal(K, B, C), weights(), 0.0), "T is"),
        (lambda: targets(normal(K, B, C), weights(), 3.0, "mean"), "mix"),
        (lambda: pull(normal(K, B, C), weights(), -1.0), "T is"),
        (lambda: one_terms(normal(B, C), weights()[0], labels()), "shape"),
    ],
)
def test_bad_input_gets_a_sentence(call: Any, said: str):
    with pytest.raises(ValueError, match=said):
        call()


# --- all terms together -------------------------------------------------------------------------


@pytest.mark.parametrize(("T", "w"), [(3.0, 1.0), (1.0, 0.3), (5.0, 0.01)])
@pytest.mark.parametrize("mix", MIXES)
def test_terms_equal_the_slow_oracle(T: float, w: float, mix: str):
    z, A, y = normal(K + 1, B, C), weights(), labels()
    expected = slow_terms(z, A, y, T, w, mix)
    for detach in ("peers", "nothing", "all"):  # the value is the same
        terms = okddip_terms(z, A, y, T, w, mix=mix, detach=detach)
        assert values(terms) == pytest.approx(expected, rel=1e-9)
    if mix == "probabilities":
        assert okddip_loss(z, A, y, T, w).item() == pytest.approx(sum(expected.values()))


def test_a_level_can_be_left_out():
    z, A, y = normal(K + 1, B, C), weights(), labels()
    assert list(okddip_terms(z, None, y)) == ["hard", "leader"]
    assert list(okddip_terms(z, A, y, second=False)) == ["hard", "peers"]
    assert list(okddip_terms(z, None, y, second=False)) == ["hard"]
    assert list(okddip_terms(z, A, y, w=0.0)) == ["hard"]


def pieces(detach: str) -> dict[str, tuple[Tensor, Tensor]]:
    """Return for each level the gradients at the logits and at the attention's energies."""
    z, E = normal(K + 1, B, C).requires_grad_(), normal(B, K, K, seed=3).requires_grad_()
    terms = okddip_terms(z, E.softmax(dim=2), labels(), detach=detach)
    found = {}
    for name in ("peers", "leader"):
        grads = torch.autograd.grad(terms[name], (z, E), retain_graph=True, allow_unused=True)
        found[name] = tuple(torch.zeros(1) if g is None else g for g in grads)
    return found


def test_the_leader_does_not_pull_the_peers():
    found = pieces("peers")
    assert not found["leader"][0][1:].any() and found["leader"][0][0].any()
    assert not found["peers"][0][0].any()  # nor does the leader enter the attention
    assert not found["leader"][1].any()


def test_three_ways_to_detach():
    z, A = normal(K + 1, B, C), normal(B, K, K, seed=3).softmax(dim=2)
    constant = 3.0 * ((z[1:] / 3).softmax(dim=2) - targets(z[1:], A, 3.0)) / B
    for detach in ("peers", "all"):
        torch.testing.assert_close(pieces(detach)["peers"][0][1:], constant)
    flowing = pieces("nothing")
    assert not torch.allclose(flowing["peers"][0][1:], constant)
    assert flowing["leader"][0][1:].any()
    assert pieces("peers")["peers"][1].any() and flowing["peers"][1].any()
    assert not pieces("all")["peers"][1].any()


@pytest.mark.parametrize(("T", "w"), [(3.0, 1.0), (1.0, 0.3)])
def test_one_equals_the_slow_oracle(T: float, w: float):
    z, g, y = normal(K, B, C), normal(B, K, seed=2).softmax(dim=1), labels()
    z_e = [[sum(float(g[i, a] * z[a, i, c]) for a in range(K)) for c in range(C)] for i in range(B)]
    target = [[oracles.softmax(row, T) for row in z_e]]
    expected = {
        "hard": sum(oracles.hard_loss(z_a, y.tolist()) for z_a in z),
        "ensemble": oracles.hard_loss(z_e, y.tolist()),
        "group": w * slow_pull(z, target, T),
    }
    assert values(one_terms(z, g, y, T, w)) == pytest.approx(expected, rel=1e-9)
    assert list(one_terms(z, g, y, T, 0.0)) == ["hard", "ensemble"]


def test_the_target_of_one_is_a_constant():
    z, E = normal(K, B, C).requires_grad_(), normal(B, K, seed=2).requires_grad_()
    terms = one_terms(z, E.softmax(dim=1), labels(), 3.0)
    at_z, at_g = torch.autograd.grad(terms["group"], (z, E), allow_unused=True)
    assert at_g is None and at_z.abs().min() > 0
    z_e = torch.einsum("ia,aic->ic", E.softmax(dim=1), z)
    expected = 3.0 * ((z / 3).softmax(dim=2) - (z_e / 3).softmax(dim=1)) / B
    torch.testing.assert_close(terms["group"].new_tensor(1) * at_z, expected.detach())


def test_mutual_equals_the_slow_oracle_and_its_targets_are_constants():
    z = normal(K, B, C).requires_grad_()
    q = [[oracles.softmax(row) for row in part] for part in rows(z)]
    pairs = itertools.permutations(range(K), 2)
    expected = math.fsum(oracles.kl(q[b][i], q[a][i]) for a, b in pairs for i in range(B))
    loss = mutual_loss(z)
    assert loss.item() == pytest.approx(expected / B / (K - 1), rel=1e-9)
    p = z.softmax(dim=2).detach()
    torch.testing.assert_close(gradient(loss, z), (p - (p.sum(dim=0) - p) / (K - 1)) / B)


def test_labels_are_summed_over_members():
    z, y = normal(K, B, C), labels()
    expected = sum(oracles.hard_loss(z_a, y.tolist()) for z_a in z)
    assert labelled(z, y).item() == pytest.approx(expected, rel=1e-9)


def test_the_ramp():
    assert ramp_up(0.0, 0.27) == pytest.approx(math.exp(-5))
    assert ramp_up(0.135, 0.27) == pytest.approx(math.exp(-5 / 4))
    assert ramp_up(0.27, 0.27) == ramp_up(1.0, 0.27) == ramp_up(0.0, 0.0) == 1
    steps = [ramp_up(k / 20, 0.5) for k in range(21)]
    assert steps == sorted(steps)


# --- the methods --------------------------------------------------------------------------------


def students(net: str = "cnn2", count: int = 4) -> list[Any]:
    return [build(net, 10, seed=k) for k in range(count)]


def batch(b: int = 6, progress: float = 1.0) -> Batch:
    x = normal(b, 1, 28, 28, dtype=torch.float32)
    return Batch(x, torch.arange(b) % 10, torch.arange(b), True, progress)


def test_the_methods_weigh_what_their_members_say():
    now = batch(progress=0.1)
    w = 0.5 * ramp_up(0.1, 0.4)
    method = OKDDip(students(), T=2.0, weight=0.5, ramp=0.4, mix="logits")
    z, f, h = method.group(now.x)
    A = attention(f[1:], method.W_Q.weight, method.W_K.weight)
    expected = slow_terms(z, A, now.y, 2.0, w, "logits")
    assert values(method(now)) == pytest.approx(expected, rel=1e-4)
    one = ONE(students(), T=2.0, weight=0.5, ramp=0.4)
    g = (one.gate[1](one.gate[0](h.mean(dim=(2, 3))))).relu().softmax(dim=1)
    expected_one = values(one_terms(z, g, now.y, 2.0, w))
    assert values(one(now)) == pytest.approx(expected_one, rel=1e-4)
    dml = Mutual(students(), weight=0.5, ramp=0.4)
    pulled = {"hard": labelled(z, now.y).item(), "peers": w * mutual_loss(z).item()}
    assert values(dml(now)) == pytest.approx(pulled, rel=1e-4)


@pytest.mark.parametrize("kind", [OKDDip, ONE, Mutual])
@pytest.mark.parametrize("shared", [0, 1, 2])
def test_predict_is_the_first_student(kind: type, shared: int):
    x, (first, *rest) = batch().x, students()
    with torch.no_grad():
        expected = first.eval()(x)
        method = kind([first, *rest], shared=shared).eval()
        torch.testing.assert_close(method.predict(x), expected)
        torch.testing.assert_close(method.group(x)[0][0], expected)
    assert method.n_classes == 10


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (OKDDip, {}),
        (OKDDip, {"detach": "nothing", "shared": 1}),
        (OKDDip, {"shared": 0, "first": "uniform"}),
        (OKDDip, {"detach": "all"}),
        (ONE, {}),
        (ONE, {"shared": 0}),
        (Mutual, {}),
    ],
)
def test_every_parameter_learns(kind: Any, options: dict[str, Any]):
    method = kind(students("cnn4"), **options)
    sum(method(batch(12)).values()).backward()
    learning = [p for p in method.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in learning)
    fixed = len(list(method.parameters())) - len(learning)
    assert fixed == (2 if options.get("detach") == "all" or "first" in options else 0)


def test_independent_peers_hear_nobody():
    method = OKDDip(students(), first="none", second=False)
    assert list(method(batch())) == ["hard"]
    assert method.heard(normal(4, 2, 8)) is None
    even_heads = OKDDip(students(), first="uniform").heard(normal(4, 2, 8))
    torch.testing.assert_close(even_heads, torch.full((2, 3, 3), 1 / 3, dtype=DOUBLE))


def test_of_a_replicate_everything_follows_from_it():
    before = torch.get_rng_state()
    one, same, other = (OKDDip.of(replicate("mnist5k", r), T=2.0) for r in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert one.T == one.settings["T"] == 2.0 and len(one.group.branches) == 4
    pairs = list(zip(one.parameters(), same.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert not any(torch.equal(a, c) for a, _, c in pairs if a.dim() >= 2)
    plain = replicate("mnist5k", 1).student()
    for kind in (OKDDip, ONE, Mutual):
        mine = kind.of(replicate("mnist5k", 1)).group.member(0)
        assert all(map(torch.equal, mine.parameters(), plain.parameters()))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"T": 0.0}, "T is"),
        ({"weight": -1.0}, "weight"),
        ({"first": "mean"}, "first"),
        ({"detach": True}, "detach"),
        ({"mix": ""}, "mix"),
        ({"ramp": 2.0}, "ramp"),
        ({"shared": 3}, "shared"),
        ({"second": None}, "second"),
    ],
)
def test_a_bad_value_gets_a_sentence(options: dict[str, Any], said: str):
    with pytest.raises(ValueError, match=said):
        OKDDip(students(), **options)


@pytest.mark.parametrize("kind", [OKDDip, ONE, Mutual])
def test_fit_makes_the_labels_fall(kind: Any, data: Data):
    method = kind(students("cnn4"))
    history = fit(method, data, Recipe(epochs=25), device="cpu")
    assert history["hard"].iloc[-1] < 0.7 * history["hard"].iloc[0]
    assert len(set(history) - {"epoch", "lr", "seconds"}) == (2 if kind is Mutual else 3)
    right = method.predict(data.val.x).argmax(dim=1) == data.val.y
    assert right.float().mean() > 0.3


# --- mutants ------------------------------------------------------------------------------------

mixed = partial(test_targets_and_pull_equal_the_slow_oracle, shape=(3, 5, 10), T=3.0)
plain, sharp = partial(mixed, mix="probabilities"), partial(mixed, mix="logits")
terms = partial(test_terms_equal_the_slow_oracle, T=3.0, w=0.3, mix="probabilities")
by_logits = partial(terms, mix="logits")
one_oracle = partial(test_one_equals_the_slow_oracle, T=3.0, w=0.3)
half = partial(test_half_precision_is_computed_in_float32, dtype=torch.bfloat16)
masked = partial(test_a_class_that_all_peers_rule_out_is_no_trouble, mix="logits", detach="peers")
ruled_out = partial(masked, mix="probabilities")
rows_sum = test_rows_of_the_attention_sum_to_one_and_follow_the_order_of_the_peers
asked = test_attention_equals_the_slow_oracle
weighed = test_the_methods_weigh_what_their_members_say
dml_oracle = test_mutual_equals_the_slow_oracle_and_its_targets_are_constants
one_rules_out = test_a_class_that_one_peer_rules_out_is_taught_by_the_others
deployed = partial(test_predict_is_the_first_student, OKDDip, 2)

MUTANTS = {
    "softmax over who listens": (attention, "dim=2", "dim=1", [rows_sum, asked]),
    "transposed": (attention, "iab", "iba", [asked]),
    "scaled": (attention, "f @ W_Q.T", "f @ W_Q.T / 2**0.5", [asked]),
    "one projection": (attention, "f @ W_K.T", "f @ W_Q.T", [asked]),
    "the wrong way round": (
        targets,
        '"iab,bic->aic", A, (z / T)',
        '"iba,bic->aic", A, (z / T)',
        [plain],
    ),
    "always probabilities": (targets, 'mix == "logits"', "False", [sharp]),
    "never probabilities": (targets, 'mix == "logits"', "True", [plain]),
    "no temperature": (targets, "(z / T).softmax", "z.softmax", [plain]),
    "no temperature, logits": (targets, " / T).softmax(dim=2)\n", ").softmax(dim=2)\n", [sharp]),
    "0 times inf": (targets, "z.clamp(min=LOWEST)", "z", [masked, one_rules_out]),
    "half precision": (targets, "in_float32(z)", "z", [half]),
    "sides swapped": (
        pull,
        "log_t.expand_as(log_q).flatten(0, 1), log_q.flatten(0, 1)",
        "log_q.flatten(0, 1), log_t.expand_as(log_q).flatten(0, 1)",
        [plain, test_values_worked_out_on_paper],
    ),
    "no T^2": (pull, "T**2 * ", "", [plain, terms, test_values_worked_out_on_paper]),
    "mean over members": (pull, "rows.sum() / z.shape[1]", "rows.mean()", [plain, terms]),
    "sum over images": (pull, " / z.shape[1]", "", [plain, terms]),
    "log of 0": (pull, "t.clamp(min=torch.finfo(t.dtype).tiny).log()", "t.log()", [ruled_out]),
    "no mask": (divergence, "torch.where(p > 0, log_p - log_q, 0)", "log_p - log_q", [ruled_out]),
    "labels averaged": (labelled, "len(z) * ", "", [terms, test_labels_are_summed_over_members]),
    "the leader is a peer": (okddip_terms, "z[1:], {", "z[:-1], {", [terms]),
    "the last one leads": (okddip_terms, "pull(z[:1]", "pull(z[-1:]", [terms]),
    "peers not weighted": (okddip_terms, "w * pull(peers", "pull(peers", [terms]),
    "leader not weighted": (okddip_terms, "w * pull(z[:1]", "pull(z[:1]", [terms]),
    "mix forgotten": (okddip_terms, "T, mix), T)", "T), T)", [by_logits]),
    "never detached": (
        okddip_terms,
        'peers if detach == "nothing" else peers.detach()',
        "peers",
        [test_the_leader_does_not_pull_the_peers, test_three_ways_to_detach],
    ),
    "always detached": (
        okddip_terms,
        'peers if detach == "nothing" else peers.detach()',
        "peers.detach()",
        [test_three_ways_to_detach],
    ),
    "attention detached": (
        okddip_terms,
        'A.detach() if detach == "all" else A',
        "A.detach()",
        [test_three_ways_to_detach],
    ),
    "attention learns": (
        okddip_terms,
        'A.detach() if detach == "all" else A',
        "A",
        [test_three_ways_to_detach],
    ),
    "one: target attached": (
        one_terms,
        "z_e.detach()",
        "z_e",
        [test_the_target_of_one_is_a_constant],
    ),
    "one: no temperature": (one_terms, "z_e.detach() / T", "z_e.detach()", [one_oracle]),
    "one: no ensemble label": (one_terms, "hard_loss(z_e, y)", "hard_loss(z[0], y)", [one_oracle]),
    "one: not weighted": (one_terms, "w * pull", "pull", [one_oracle]),
    "dml: not a constant": (mutual.mutual_loss, ".detach()", "", [dml_oracle]),
    "dml: not averaged": (mutual.mutual_loss, " / (len(z) - 1)", "", [dml_oracle]),
    "ramp without square": (nets.ramp_up, " ** 2", "", [test_the_ramp]),
    "ramp forgotten": (nets.Together, " * ramp_up(batch.progress, self.ramp)", "", [weighed]),
    "weight forgotten": (nets.Together, "self.weight * ramp_up", "ramp_up", [weighed]),
    "another is deployed": (nets.Together, "member(0)", "member(1)", [deployed]),
    "settings forgotten": (OKDDip, ", **self.settings", "", [weighed]),
    "leader heard": (OKDDip, "attention(f[1:]", "attention(f[:-1]", [weighed]),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_loss_is_caught(name: str):
    target, old, new, by = MUTANTS[name]
    assert_caught(target, old, new, by)
