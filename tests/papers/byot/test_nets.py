"""Networks with exits: what they answer, what they leave as it was, what an image pays."""

import itertools

import pytest
import torch
from torch import nn

from kdlab.measure import logits_of
from kdlab.models import build, size, tap
from kdlab.papers.byot.nets import HEADS, Exits, costs, head_of, separable
from tests.mutants import assert_caught

X = torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
NETS = ["cnn2", "cnn4", "resnet8", "wrn_10_1"]


@pytest.mark.parametrize(("net", "head"), list(itertools.product(NETS, HEADS)))
def test_an_exit_after_each_block(net: str, head: str):
    student = build(net, 10, seed=0)
    exits = Exits(student, head).eval()
    z, f = exits(X)
    assert [part.shape for part in z] == [(4, 10)] * 3
    assert {part.shape for part in f} == {(4, student.linear.in_features)}
    assert exits.K == 3
    own, found = tap(student, X, ["block1", "pool"])
    torch.testing.assert_close(z[-1], own)
    torch.testing.assert_close(f[-1], found["pool"])
    torch.testing.assert_close(f[0], exits.heads[0](found["block1"]))


def test_nothing_runs_beyond_the_exit_where_it_stops():
    exits, ran = Exits(build("cnn2", 10, seed=0)).eval(), []
    z, f = exits(X)
    for name, part in exits.named_modules():
        if name in ("net.block1", "net.block2", "net.block3", "heads.0", "heads.1", "net.pool"):
            part.register_forward_hook(lambda *_, name=name: ran.append(name))
    for stop, alone, wanted in (
        (1, False, ["net.block1", "heads.0"]),
        (2, False, ["net.block1", "heads.0", "net.block2", "heads.1"]),
        (2, True, ["net.block1", "net.block2", "heads.1"]),
        (3, True, ["net.block1", "net.block2", "net.block3", "net.pool"]),
    ):
        ran.clear()
        some = exits(X, stop, alone)
        assert ran == wanted
        torch.testing.assert_close(some[0][-1], z[stop - 1])
        torch.testing.assert_close(some[1][-1], f[stop - 1])


def test_equal_seeds_give_equal_heads_and_leave_the_generators_alone():
    before = torch.get_rng_state()
    one, same, other = (Exits(build("cnn2", 10, seed=0), seed=s) for s in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.heads[0][0][0].weight, other.heads[0][0][0].weight)
    assert torch.equal(one.net.linear.weight, build("cnn2", 10, seed=0).linear.weight)


@pytest.mark.parametrize("head", HEADS)
def test_predict_stacks_the_exits_for_measuring(head: str):
    exits = Exits(build("cnn2", 10, seed=0), head)
    exits(X)  # batch statistics move in train mode
    z = logits_of(exits, X)
    assert z.shape == (4, 3, 10) and exits.training
    torch.testing.assert_close(z[:, 1], exits.eval()(X)[0][1])


def test_the_cost_by_hand():
    """cnn2 on 28 x 28: 2 channels from 1, 4 from 2 on 14 x 14, 8 from 4 on 7 x 7, each 3 x 3."""
    exits, shape = Exits(build("cnn2", 10, seed=0), "linear"), (1, 28, 28)
    blocks = [784 * 9 * 2, 196 * 9 * 2 * 4, 49 * 9 * 4 * 8]
    heads = [2 * 8 + 80, 4 * 8 + 80, 80]  # 2 or 4 features to 8, 8 to 10 classes
    done = list(itertools.accumulate(blocks))
    assert costs(exits, shape, alone=True) == [a + b for a, b in zip(done, heads, strict=True)]
    paid = list(itertools.accumulate(heads))
    assert costs(exits, shape) == [a + b for a, b in zip(done, paid, strict=True)]
    assert costs(exits, shape, alone=True)[-1] == size(exits.net, shape).macs


def test_a_separable_module_is_as_the_authors_build_it():
    """Depthwise 3x3, stride 2; pointwise; BN, ReLU; depthwise 3x3; pointwise; BN, ReLU."""
    module, x = separable(4, 8), torch.randn(2, 4, 14, 14)
    assert [type(part).__name__ for part in module] == 2 * [
        *("Conv2d", "Conv2d", "BatchNorm2d", "ReLU")
    ]
    assert module(x).shape == (2, 8, 7, 7)
    weights = 4 * 9 + 4 * 4 + 2 * 4 + 4 * 9 + 4 * 8 + 2 * 8
    assert sum(p.numel() for p in module.parameters()) == weights


@pytest.mark.parametrize("side", [7, 14, 28, 32])
@pytest.mark.parametrize("kind", HEADS)
def test_a_head_takes_maps_of_every_side(side: int, kind: str):
    head = head_of(kind, [4, 8, 16])
    for x in (torch.randn(2, 4, side, side), torch.zeros(1, 4, side, side)):
        x = x.contiguous(memory_format=torch.channels_last)
        assert head.train(len(x) > 1)(x).shape == (len(x), 16)


@pytest.mark.parametrize("side", [7, 14])
def test_a_residual_head_keeps_to_its_memory(side: int):
    """A 1x1 convolution with stride 2 of 4 channels side by side can break the heap."""
    x = torch.randn(50, 4, side, side).contiguous(memory_format=torch.channels_last)
    head = head_of("residual", [4, 8, 16])
    strided = [c for c in head.modules() if isinstance(c, nn.Conv2d) and c.stride == (2, 2)]
    assert strided and all(c.kernel_size == (3, 3) for c in strided)
    head(x.requires_grad_()).sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize(
    ("net", "head", "told"),
    [
        (lambda: build("mlp30x30", 10, seed=0), "linear", "flatten, hidden1, hidden2, linear"),
        (nn.Identity, "linear", "the parts none"),
        (lambda: build("cnn2", 10, seed=0)[:2], "linear", "two or more blocks before pool and"),
        (lambda: build("cnn2", 10, seed=0), "huge", "linear, separable, residual"),
    ],
)
def test_what_has_no_exits_is_refused(net, head, told):
    with pytest.raises(ValueError, match=told):
        Exits(net(), head)


MUTANTS = {
    "goes on": (
        Exits,
        "[:last], start=1",
        ", start=1",
        [test_nothing_runs_beyond_the_exit_where_it_stops],
    ),
    "all heads": (
        Exits,
        "if alone and k < last",
        "if False",
        [test_nothing_runs_beyond_the_exit_where_it_stops, test_the_cost_by_hand],
    ),
    "no seed": (
        Exits,
        "stream(seed,",
        "stream(0,",
        [test_equal_seeds_give_equal_heads_and_leave_the_generators_alone],
    ),
    "the same head twice": (
        Exits,
        "self.heads[k - 1]",
        "self.heads[0]",
        [lambda: test_an_exit_after_each_block("cnn4", "separable")],
    ),
    "costs alone": (
        costs,
        "_Path(exits, k, alone)",
        "_Path(exits, k, True)",
        [test_the_cost_by_hand],
    ),
    "one stride too few": (
        separable,
        "(2, c), (1, d)",
        "(1, c), (1, d)",
        [test_a_separable_module_is_as_the_authors_build_it],
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_net_is_caught(name: str):
    target, old, new, by = MUTANTS[name]
    assert_caught(target, old, new, by)
