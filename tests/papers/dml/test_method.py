"""The losses of Zhang et al. 2018, peers that learn at once or in turn, and what they refuse."""

import copy
import doctest
import itertools
import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from kdlab.data import Batch, Data
from kdlab.measure import evaluate_members
from kdlab.models import build
from kdlab.papers.dml import method as dml
from kdlab.papers.dml.method import (
    DML,
    TARGETS,
    Cohort,
    DMLInTurn,
    mean_posterior,
    mimicry_loss,
)
from kdlab.train.fit import fit
from kdlab.train.method import CE
from kdlab.train.recipe import Recipe
from kdlab.train.worlds import replicate
from tests import oracles
from tests.mutants import assert_caught
from tests.papers.cases import gradient

SHAPES = [(2, 1, 2), (2, 5, 10), (3, 4, 3), (5, 3, 7)]  # peers, images, classes
SHORT = Recipe(epochs=2, batch=25)
PLAIN = replace(SHORT, schedule="constant", momentum=0.0, weight_decay=0.0)


def logits(K: int, b: int, c: int, seed: int = 0) -> list[Tensor]:
    """Return logits (b, c) of K peers, about as large as trained networks give."""
    gen = torch.Generator().manual_seed(1000 * K + 10 * b + c + seed)
    return list(3 * torch.randn(K, b, c, generator=gen, dtype=torch.float64))


def slow_mimicry(z: list[Tensor], k: int, target: str) -> float:
    """The second term of peer k in plain floats, from the equations of section 3."""
    peers = [oracles.rows(z_l) for place, z_l in enumerate(z) if place != k]
    total = 0.0
    for row, mine in enumerate(oracles.rows(z[k])):
        q_k, others = oracles.softmax(mine), [oracles.softmax(peer[row]) for peer in peers]
        if target in ("each", "sum"):
            kls = math.fsum(oracles.kl(q_l, q_k) for q_l in others)
            total += kls / len(peers) if target == "each" else kls
        elif target == "mean":
            total += oracles.kl([math.fsum(p) / len(p) for p in zip(*others, strict=True)], q_k)
        else:
            z_mean = [math.fsum(v) / len(v) for v in zip(*(p[row] for p in peers), strict=True)]
            total += oracles.kl(oracles.softmax(z_mean), q_k)
    return total / len(z[k])


def others_of(z: list[Tensor], k: int) -> list[Tensor]:
    return [z_l for place, z_l in enumerate(z) if place != k]


# --- the second term ----------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "target"), list(itertools.product(SHAPES, TARGETS)))
def test_it_equals_the_slow_oracle(shape: tuple[int, int, int], target: str):
    for seed in range(3):
        z = logits(*shape, seed)
        for k in range(len(z)):
            found = mimicry_loss(z[k], others_of(z, k), target).item()
            assert found == pytest.approx(slow_mimicry(z, k, target), rel=1e-9, abs=1e-12)


def test_values_worked_out_by_hand():
    """The docstring. q_1 = (1/2, 1/2), q_2 = (3/4, 1/4): 3/4 log 3/2 + 1/4 log 1/2, and back."""
    (found,) = doctest.DocTestFinder(recurse=False).find(mimicry_loss, globs=vars(dml).copy())
    assert found.examples
    assert doctest.DocTestRunner(verbose=False).run(found).failed == 0
    z = [torch.zeros(1, 2).double(), torch.tensor([[math.log(3), 0.0]], dtype=torch.float64)]
    by_hand = 0.75 * math.log(1.5) + 0.25 * math.log(0.5), 0.5 * math.log(4 / 3)
    assert mimicry_loss(z[0], z[1:]).item() == pytest.approx(by_hand[0], rel=1e-12)
    assert mimicry_loss(z[1], z[:1]).item() == pytest.approx(by_hand[1], rel=1e-12)


@pytest.mark.parametrize("target", TARGETS)
def test_zero_and_flat_where_all_agree(target: str):
    z = logits(1, 5, 10)[0].requires_grad_()
    loss = mimicry_loss(z, [z.detach()] * 3, target)
    assert abs(loss.item()) < 1e-12
    assert gradient(loss, z).abs().max() < 1e-12
    assert mimicry_loss(z, [*[z.detach()] * 2, logits(2, 5, 10)[1]], target) > 1e-3


@pytest.mark.parametrize("shape", SHAPES)
def test_the_gradient_is_the_gap_to_the_mean_posterior(shape: tuple[int, int, int]):
    """(q_k - mean of q_l) / B, for the mean of KLs and for DML_e alike; K - 1 times that for sum.

    This is the identity that section 3.6 of the paper does not see.
    """
    z = logits(*shape)
    mine, others = z[0].requires_grad_(), z[1:]
    gap = torch.softmax(mine.detach(), 1) - torch.stack(others).softmax(2).mean(0)
    found = {target: gradient(mimicry_loss(mine, others, target), mine) for target in TARGETS}
    for target in ("each", "mean"):
        torch.testing.assert_close(found[target], gap / len(mine), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found["sum"], len(others) * gap / len(mine), rtol=1e-9, atol=1e-12)
    if len(others) > 1:
        assert (found["logits"] - found["each"]).abs().max() > 1e-3


@pytest.mark.parametrize("shape", SHAPES)
def test_the_gap_of_the_values_is_the_peers_divergence(shape: tuple[int, int, int]):
    """Mean of KLs minus DML_e is the Jensen-Shannon divergence of the others, whatever z_k is."""
    z = logits(*shape)
    others = [oracles.rows(z_l.softmax(1)) for z_l in z[1:]]
    mixed = oracles.rows(torch.stack(z[1:]).softmax(2).mean(0))
    members = [math.fsum(map(oracles.entropy, rows)) for rows in others]
    divergence = (math.fsum(map(oracles.entropy, mixed)) - sum(members) / len(others)) / len(z[0])
    assert divergence > -1e-12  # by concavity: the mean is never more peaked than its members
    for z_k in (z[0], torch.zeros_like(z[0]), logits(*shape, seed=9)[0]):
        gap = mimicry_loss(z_k, z[1:]) - mimicry_loss(z_k, z[1:], "mean")
        assert gap.item() == pytest.approx(divergence, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_mean_posterior_is_the_mean_of_posteriors(shape: tuple[int, int, int]):
    z = logits(*shape)
    expected = torch.stack([z_l.softmax(1) for z_l in z]).mean(0)
    torch.testing.assert_close(mean_posterior(z).exp(), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("target", TARGETS)
def test_invariances(target: str):
    """The order of peers, rows and classes, and a constant added to a row, change nothing."""
    z = logits(4, 6, 5)
    before = mimicry_loss(z[0], z[1:], target)
    gen = torch.Generator().manual_seed(1)
    rows, classes = torch.randperm(6, generator=gen), torch.randperm(5, generator=gen)
    same = [
        [z[0], z[3], z[1], z[2]],
        [z_l[rows] for z_l in z],
        [z_l[:, classes] for z_l in z],
        [z_l.repeat(3, 1) for z_l in z],
        [z_l + torch.randn(6, 1, generator=gen) for z_l in z],
    ]
    for changed in same:
        torch.testing.assert_close(mimicry_loss(changed[0], changed[1:], target), before)


def test_two_peers_know_one_target_only():
    z = logits(2, 5, 10)
    values = [mimicry_loss(z[0], z[1:], target).item() for target in TARGETS]
    assert values == pytest.approx([values[0]] * len(TARGETS), rel=1e-12)


def test_the_peer_is_the_reference():
    """A peer that is sure where I am not costs less than the reverse."""
    sure, unsure = torch.tensor([[9.0, 0.0, 0.0]]), torch.zeros(1, 3)
    assert mimicry_loss(unsure, [sure]) < math.log(3) < mimicry_loss(sure, [unsure])


@pytest.mark.parametrize(("shape", "target"), list(itertools.product(SHAPES, TARGETS)))
def test_gradcheck_and_no_gradient_to_the_others(shape: tuple[int, int, int], target: str):
    z = [z_l.requires_grad_() for z_l in logits(*shape)]
    assert torch.autograd.gradcheck(
        lambda z_k: mimicry_loss(z_k, [z_l.detach() for z_l in z[1:]], target), (z[0],)
    )
    found = torch.autograd.grad(mimicry_loss(z[0], z[1:], target), z, allow_unused=True)
    assert found[0].abs().max() > 0
    assert found[1:] == (None,) * (len(z) - 1)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_confident_disagreement_is_right_and_pulls(dtype: torch.dtype, target: str):
    """The gap of 200 in logits is the loss; an epsilon in the logarithm would stop at 18.4."""
    z_k = torch.tensor([[100.0, -100.0]], dtype=dtype, requires_grad=True)
    other = -z_k.detach()
    loss = mimicry_loss(z_k, [other, other.clone()], target)
    assert loss.item() == pytest.approx(400 if target == "sum" else 200, rel=1e-6)
    assert gradient(loss, z_k).abs().min() > 0.9


def ruled_out(shape: tuple[int, int, int] = (3, 4, 5)) -> list[Tensor]:
    """Return logits where all peers rule out class 2, and the last peer class 3 besides."""
    z = logits(*shape)
    for z_l in z:
        z_l[:, 2] = -math.inf
    z[-1][:, 3] = -math.inf
    return z


@pytest.mark.parametrize("target", TARGETS)
def test_classes_that_are_ruled_out_cost_nothing(target: str):
    z = ruled_out()
    z_k = z[0].clone().requires_grad_()
    loss = mimicry_loss(z_k, z[1:], target)
    assert loss.item() == pytest.approx(slow_mimicry(z, 0, target), rel=1e-9)
    assert gradient(loss, z_k).isfinite().all()
    assert mimicry_loss(z_k, [z_k.detach()] * 2, target).item() == pytest.approx(0, abs=1e-12)
    assert (mean_posterior(z)[:, 2] == -math.inf).all() and mean_posterior(z)[:, 3].isfinite().all()


def test_ruling_out_what_the_target_does_not_costs_everything():
    """The mean of logits rules out class 3, too, as one of the two others does."""
    z = ruled_out()
    found = {target: mimicry_loss(z[2], z[:2], target).item() for target in TARGETS}
    assert list(found.values()) == [math.inf] * len(TARGETS)
    found = {target: mimicry_loss(z[2], [z[0], z[2]], target).item() for target in TARGETS}
    assert [target for target in TARGETS if math.isfinite(found[target])] == ["logits"]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_computed_in_float32(dtype: torch.dtype, target: str):
    for scale in (1, 10):
        z = [(scale * z_l).to(dtype) for z_l in logits(3, 4, 5)]
        loss = mimicry_loss(z[0].requires_grad_(), z[1:], target)
        assert loss.dtype == torch.float32
        expected = slow_mimicry([z_l.detach().double() for z_l in z], 0, target)
        assert loss.item() == pytest.approx(expected, rel=1e-5)
        assert gradient(loss, z[0]).isfinite().all()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("shapes", [[(2, 3), (2, 4)], [(2, 3), (1, 3)], [(3,), (3,)], [(0, 3)] * 2])
def test_logits_that_are_not_of_one_shape_are_refused(target: str, shapes: list[tuple[int, ...]]):
    mine, other = (torch.zeros(shape) for shape in shapes)
    for others in ([other], [mine, other], [other, other]):
        with pytest.raises(ValueError, match=r"both must be \(B, C\), equal and not empty"):
            mimicry_loss(mine, others, target)


# --- the method ---------------------------------------------------------------------------------


def linear(seed: int, c: int = 10) -> nn.Module:
    """Return a small peer with batch norm, for images (B, 1, 4, 4)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(16, c), nn.BatchNorm1d(c)).double()


def peers(K: int = 2, net: str = "cnn2") -> list[nn.Module]:
    return [build(net, 10, seed=k) for k in range(K)]


def in_double(data: Data) -> Data:
    """Return `data` with training images in float64."""
    return replace(data, train=data.train._replace(x=data.train.x.double()))


def make_batch(b: int = 6, hidden: bool = True, progress: float = 0.0) -> Batch:
    gen = torch.Generator().manual_seed(b)
    x = torch.randn(b, 1, 4, 4, generator=gen, dtype=torch.float64)
    y = torch.randint(0, 10, (b,), generator=gen)
    if hidden:
        y[1::2] = -1
    return Batch(x, y, torch.arange(b), progress=progress)


@pytest.mark.parametrize("K", [2, 4])
@pytest.mark.parametrize(("weight", "target"), [(1.0, "each"), (0.5, "sum"), (2.0, "mean")])
def test_terms_are_named_and_weighted(K: int, weight: float, target: str):
    nets, batch = [linear(k) for k in range(K)], make_batch()
    terms = DML(nets, weight, target)(batch)
    z = [net(batch.x).detach() for net in nets]
    assert list(terms) == [f"{name} {k + 1}" for k in range(K) for name in ("hard", "peers")]
    for k in range(K):
        hard = oracles.hard_loss(z[k], batch.y.tolist())
        assert terms[f"hard {k + 1}"].item() == pytest.approx(hard)
        soft = weight * slow_mimicry(z, k, target)
        assert terms[f"peers {k + 1}"].item() == pytest.approx(soft)


def test_the_defaults_are_the_ones_of_the_page():
    method = DML([linear(0), linear(1)])
    assert (method.weight, method.target) == (1.0, "each")


def test_rows_without_a_label_enter_the_second_term_alone():
    """Section 3.4: no label at all leaves the hard term at 0, the peers still learn."""
    method, batch = DML([linear(0), linear(1)]), make_batch(hidden=False)
    terms = method(batch._replace(y=torch.full_like(batch.y, -1)))
    assert terms["hard 1"].item() == terms["hard 2"].item() == 0
    sum(terms.values()).backward()
    assert all(p.grad.abs().max() > 0 for p in method.parameters())


def test_each_loss_moves_its_own_peer_only():
    nets = [linear(0), linear(1), linear(2)]
    terms = DML(nets)(make_batch())
    (terms["hard 2"] + terms["peers 2"]).backward()
    assert all(p.grad.abs().max() > 0 for p in nets[1].parameters())
    assert all(p.grad is None for net in (nets[0], nets[2]) for p in net.parameters())


def test_each_peer_meets_the_batch_once():
    """A second pass in train mode would move the statistics of batch norm twice."""
    method = DML([linear(0), linear(1)]).train()
    method(make_batch())
    assert [int(net[2].num_batches_tracked) for net in method.peers] == [1, 1]


def test_predict_is_the_first_member():
    nets, x = [linear(0).eval(), linear(1).eval()], make_batch().x
    assert torch.equal(DML(nets).predict(x), nets[0](x))


def test_weight_0_is_independent_training(data: Data):
    """Bit for bit what each peer becomes alone."""
    method = DML(peers(), weight=0.0)
    fit(method, data, SHORT, device="cpu")
    for k, alone in enumerate(peers()):
        fit(CE(alone), data, SHORT, device="cpu")
        for a, b in zip(method.peers[k].parameters(), alone.parameters(), strict=True):
            assert torch.equal(a, b)


def test_peers_that_become_equal_never_part(data: Data):
    """Equal weights give KL = 0 for ever: mutual learning silently becomes plain training."""
    method = DML(peers())
    method.peers[1].load_state_dict(method.peers[0].state_dict())
    history = fit(method, data, SHORT, device="cpu")
    assert history[["peers 1", "peers 2"]].abs().max(axis=None) < 1e-6
    first, second = (net.state_dict() for net in method.peers)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_lab_makes_as_many_peers_as_the_class_says():
    """Peers of a replicate begin with different weights, the first with those of all arms."""
    r = replicate("mnist5k", 0)
    for make, count, options in ((DML, 2, {}), (DMLInTurn, 2, {}), (Cohort, 3, {"target": "sum"})):
        method = make.of(r, weight=0.5, **options)
        assert len(method.peers) == count and method.weight == 0.5
        assert method.target == options.get("target", "each")
        first, alone = method.peers[0].state_dict(), r.student().state_dict()
        assert all(torch.equal(first[name], alone[name]) for name in alone)


@pytest.mark.parametrize("make", [DML, DMLInTurn])
def test_the_loss_falls_and_all_peers_learn(data: Data, make: type[DML]):
    method = make(peers(3, "cnn4"))
    before = copy.deepcopy(method.state_dict())
    history = fit(method, data, Recipe(epochs=12, batch=25), device="cpu")
    for k in (1, 2, 3):
        assert history[f"hard {k}"].iloc[-1] < 0.9 * history[f"hard {k}"].iloc[0]
        assert (history[f"peers {k}"] > 0).all()
    assert not any(torch.equal(p, before[name]) for name, p in method.named_parameters())
    assert evaluate_members(method.peers, data.val)["accuracy"] > 20


def test_mean_of_kls_and_dml_e_train_the_same_peers(data: Data):
    """Equal gradients, so equal networks: 50 updates in float64."""
    double, trained = in_double(data), {}
    for target in ("each", "mean", "logits"):
        method = DML(peers(3), target=target).double()
        fit(method, double, Recipe(steps=50, batch=25), device="cpu")
        trained[target] = torch.cat([p.detach().flatten() for p in method.parameters()])
    torch.testing.assert_close(trained["mean"], trained["each"], rtol=0, atol=1e-10)
    assert (trained["logits"] - trained["each"]).abs().max() > 1e-4


# --- in turn ------------------------------------------------------------------------------------


def test_in_turn_is_algorithm_1(data: Data):
    """Plain gradient descent by hand in float64: step net 1, ask it again, then step net 2."""
    nets, hand = ([net.double() for net in peers()] for _ in range(2))
    recipe = replace(PLAIN, epochs=1, steps=2)
    data = in_double(data)
    fit(DMLInTurn(nets), data, recipe, device="cpu")
    met: list[Batch] = []
    recorder = DML(peers()).double()
    recorder.register_forward_pre_hook(lambda _, args: met.append(args[0]))
    fit(recorder, data, recipe, device="cpu")
    for batch in met:
        for k in (0, 1):
            stored = [{n: b.clone() for n, b in net.named_buffers()} for net in hand]
            target = hand[1 - k].train()(batch.x).detach()
            for name, buffer in hand[1 - k].named_buffers():
                buffer.copy_(stored[1 - k][name])
            z = hand[k].train()(batch.x)
            loss = nn.functional.cross_entropy(z, batch.y) + mimicry_loss(z, [target])
            for p, g in zip(
                hand[k].parameters(), torch.autograd.grad(loss, hand[k].parameters()), strict=True
            ):
                p.data -= recipe.lr * g
    for mine, theirs in zip(nets, hand, strict=True):
        for name, value in mine.state_dict().items():
            torch.testing.assert_close(value, theirs.state_dict()[name], rtol=1e-7, atol=1e-9)


def test_in_turn_batch_norm_counts_each_batch_once():
    method, batch = DMLInTurn([linear(0), linear(1), linear(2)]).train(), make_batch()
    before = [net[2].running_mean.clone() for net in method.peers]
    list(method.updates(batch))
    for net, start in zip(method.peers, before, strict=True):
        assert int(net[2].num_batches_tracked) == 1
        mean = net[1](batch.x.flatten(1)).mean(0)
        torch.testing.assert_close(net[2].running_mean, 0.9 * start + 0.1 * mean)


def test_in_turn_a_peer_meets_the_others_as_they_are_now():
    method, batch = DMLInTurn([linear(0), linear(1)]).train(), make_batch()
    at_once = DML(method.peers)(batch)
    turn = method.updates(batch)
    torch.testing.assert_close(next(turn)["peers 1"], at_once["peers 1"])
    with torch.no_grad():
        for p in method.peers[0].parameters():
            p.add_(0.5)
    second = next(turn)["peers 2"]
    assert (second - at_once["peers 2"]).abs() > 1e-3
    torch.testing.assert_close(second, DML(method.peers)(batch)["peers 2"])


def test_on_every_device(data: Data, device: str):
    method = DMLInTurn(peers())
    assert fit(method, data, SHORT, device=device).notna().all(axis=None)


# --- bad inputs ---------------------------------------------------------------------------------

TWO = [linear(0), linear(1)]


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda: DML([linear(0)]), "DML got 1 peer; give two or more networks, or use CE."),
        (lambda: DML([]), "DML got 0 peer"),
        (lambda: DML([linear(0), linear(1), linear(0)]), "peers 1 and 3 have equal weights and"),
        (lambda: DML([TWO[0], TWO[0]]), "peers 1 and 2 have equal weights and would never disag"),
        (lambda: DML(TWO, weight=-1.0), "weight is -1.0; give a finite number, 0 or more"),
        (lambda: DML(TWO, weight=math.nan), "weight is nan"),
        (lambda: DML(TWO, weight=math.inf), "weight is inf"),
        (lambda: DML(TWO, target="ensemble"), "target is 'ensemble'; choose one of each, sum, m"),
        (lambda: mimicry_loss(torch.zeros(2, 3), []), "a peer has 0 others to learn from"),
        (lambda: mimicry_loss(torch.zeros(2, 3), [torch.zeros(2, 3)], "all"), "target is 'all'"),
        (lambda: DML([linear(0), linear(1, c=9)])(make_batch()), "(6, 10) and teacher logits (6,"),
    ],
)
def test_bad_input_gets_one_sentence(ask, told: str):
    with pytest.raises(ValueError) as error:
        ask()
    assert told in str(error.value)


@pytest.mark.parametrize("make", [DML, DMLInTurn])
def test_peers_of_other_classes_are_refused_before_training(data: Data, make: type[DML]):
    peers = [build("cnn2", classes, seed=1) for classes in (10, 7)]
    before = [p.clone() for p in make(peers).parameters()]
    with pytest.raises(ValueError, match="the peers know 10 and 7 classes; give all peers the sa"):
        fit(method := make(peers), data, Recipe(steps=1), device="cpu")
    assert all(map(torch.equal, before, method.parameters()))


def test_peers_know_what_the_one_knows_that_tells_it():
    assert DML([linear(0), linear(1)]).n_classes is None, "they end in batch norm"
    known = build("cnn2", 10, seed=0)
    assert DML([linear(0), known]).n_classes == 10


# --- mutants ------------------------------------------------------------------------------------

by_hand = test_values_worked_out_by_hand
oracle = {t: partial(test_it_equals_the_slow_oracle, shape=(3, 4, 3), target=t) for t in TARGETS}
slope = partial(test_the_gradient_is_the_gap_to_the_mean_posterior, shape=(3, 4, 3))
named = partial(test_terms_are_named_and_weighted, K=4, weight=0.5, target="sum")
pair_named = partial(test_terms_are_named_and_weighted, K=2, weight=1.0, target="each")
posterior = partial(test_the_mean_posterior_is_the_mean_of_posteriors, shape=(3, 4, 3))
half = {t: partial(test_half_precision_is_computed_in_float32, torch.float16, t) for t in TARGETS}
shaped = partial(test_logits_that_are_not_of_one_shape_are_refused, "mean", [(2, 3), (2, 4)])
MUTANTS = {
    "sum for mean": (
        mimicry_loss,
        'each.sum() if target == "sum" else each.mean()',
        "each.sum()",
        [oracle["each"], slope],
    ),
    "mean for sum": (
        mimicry_loss,
        'each.sum() if target == "sum" else each.mean()',
        "each.mean()",
        [oracle["sum"], slope, named],
    ),
    "KL the other way": (
        mimicry_loss,
        "kd_loss(z_k, z_l, T=1.0)",
        "kd_loss(z_l, z_k, T=1.0)",
        [by_hand, oracle["each"], test_the_peer_is_the_reference],
    ),
    "a temperature": (
        mimicry_loss,
        "kd_loss(z_k, z_l, T=1.0)",
        "kd_loss(z_k, z_l, T=4.0)",
        [by_hand, oracle["each"], slope],
    ),
    "logits for posteriors": (
        mimicry_loss,
        "mean_posterior(others)",
        "stacked(others).mean(dim=0)",
        [oracle["mean"], slope],
    ),
    "posteriors for logits": (
        mimicry_loss,
        "stacked(others).mean(dim=0)",
        "mean_posterior(others)",
        [oracle["logits"], slope],
    ),
    "no division by K": (mean_posterior, " - math.log(len(z))", "", [posterior]),
    "mean of logarithms": (
        mean_posterior,
        "torch.logsumexp(F.log_softmax(stacked(z), dim=2), dim=0) - math.log(len(z))",
        "F.log_softmax(stacked(z), dim=2).mean(dim=0)",
        [posterior, oracle["mean"]],
    ),
    "softmax over peers": (mean_posterior, "dim=2", "dim=0", [posterior, oracle["mean"]]),
    "shapes not checked": (mimicry_loss, "check_logits(z_k, z_l)", "pass", [shaped]),
    "the first shape checked only": (mimicry_loss, "in others:", "in others[:1]:", [shaped]),
    "half precision kept": (dml.stacked, "in_float32(z_l)", "z_l", [half["mean"], half["logits"]]),
    "a peer mimics itself": (DML, "place != k", "place == k", [named]),
    "itself among the others": (DML, "if place != k", "", [pair_named]),
    "weight forgotten": (DML, "self.weight * mimicry", "mimicry", [named]),
    "weight on the labels": (
        DML,
        "hard_loss(z[k], y)}",
        "self.weight * hard_loss(z[k], y)}",
        [named],
    ),
    "labels for the first peer only": (DML, "hard_loss(z[k], y)}", "hard_loss(z[0], y)}", [named]),
    "target forgotten": (DML, ", self.target)", ")", [named]),
    "the last peer predicts": (
        DML,
        "self.peers[0](x)",
        "self.peers[-1](x)",
        [test_predict_is_the_first_member],
    ),
    "buffers not copied": (
        DMLInTurn,
        "value.clone()",
        "value",
        [test_in_turn_batch_norm_counts_each_batch_once],
    ),
    "not asked again": (
        DMLInTurn,
        "z[k] = logits_in",
        "_ = logits_in",
        [test_in_turn_a_peer_meets_the_others_as_they_are_now],
    ),
}
WITH_DATA = {
    "asked for the gradient too late": (
        DMLInTurn,
        "z[k] = logits_in",
        "_ = logits_in",
        test_in_turn_is_algorithm_1,
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_loss_is_caught(name: str):
    target, old, new, by = MUTANTS[name]
    assert_caught(target, old, new, by)


@pytest.mark.parametrize("name", WITH_DATA)
def test_a_wrong_order_is_caught(name: str, data: Data):
    target, old, new, check = WITH_DATA[name]
    assert_caught(target, old, new, by=[partial(check, data)])
