"""Noise on the weights: as large as told, in proportion to each filter, and gone afterwards."""

from functools import partial

import numpy as np
import pytest
import torch

from kdlab.data import Data, Split
from kdlab.measure import evaluate
from kdlab.models import build
from kdlab.papers.dml.flatness import noisy, rise
from kdlab.seeds import generator
from kdlab.train.fit import fit
from kdlab.train.method import CE
from kdlab.train.recipe import Recipe
from tests.mutants import assert_caught


def tables(net: torch.nn.Module) -> list[torch.Tensor]:
    return [w.detach().clone() for w in net.parameters() if w.dim() > 1]


@pytest.mark.parametrize("net", ["cnn4", "mlp30x30", "resnet8"])
def test_the_noise_of_each_filter_is_sigma_times_its_length(net: str):
    model = build(net, 10, seed=0)
    before = tables(model)
    with noisy(model, 0.3, torch.Generator().manual_seed(1)):
        for w, start in zip(tables(model), before, strict=True):
            ratio = (w - start).flatten(1).norm(dim=1) / start.flatten(1).norm(dim=1)
            torch.testing.assert_close(ratio, torch.full_like(ratio, 0.3), rtol=1e-4, atol=0)


def test_noise_by_filter_does_not_see_the_scale_of_the_weights():
    """Twice the weights, twice the noise: the net looks no flatter. Raw noise falls for it."""
    moved = {}
    for by_filter in (True, False):
        for scale in (1.0, 2.0):
            model = build("mlp30", 10, seed=0)
            with torch.no_grad():
                for w in model.parameters():
                    w.mul_(scale)
            start = tables(model)
            with noisy(model, 0.1, torch.Generator().manual_seed(1), by_filter):
                moved[by_filter, scale] = torch.cat(
                    [((a - b) / scale).flatten() for a, b in zip(tables(model), start, strict=True)]
                )
    torch.testing.assert_close(moved[True, 2.0], moved[True, 1.0], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(moved[False, 2.0], moved[False, 1.0] / 2, rtol=1e-4, atol=1e-6)


def test_raw_noise_has_the_standard_deviation_sigma():
    model = build("mlp800x800", 10, seed=0)
    start = tables(model)
    with noisy(model, 0.05, torch.Generator().manual_seed(1), by_filter=False):
        noise = torch.cat([(a - b).flatten() for a, b in zip(tables(model), start, strict=True)])
    assert noise.std().item() == pytest.approx(0.05, rel=0.01)
    assert abs(noise.mean().item()) < 1e-3


def test_biases_and_batch_norm_stay():
    model = build("cnn4", 10, seed=0)
    flat = [w.detach().clone() for w in model.parameters() if w.dim() == 1]
    with noisy(model, 1.0, torch.Generator().manual_seed(1)):
        now = [w for w in model.parameters() if w.dim() == 1]
        assert all(torch.equal(a, b) for a, b in zip(now, flat, strict=True))


@pytest.mark.parametrize("fails", [False, True])
def test_the_weights_are_back_bit_for_bit(fails: bool):
    model = build("cnn4", 10, seed=0)
    before = tables(model)
    try:
        with noisy(model, 1.0, torch.Generator().manual_seed(1)):
            assert not any(torch.equal(a, b) for a, b in zip(tables(model), before, strict=True))
            if fails:
                raise KeyError
    except KeyError:
        pass
    assert all(torch.equal(a, b) for a, b in zip(tables(model), before, strict=True))


def test_draws_come_from_the_generator_alone():
    seen = []
    for seed, other in ((1, 0), (1, 5), (2, 0)):
        torch.manual_seed(other)
        model = build("cnn4", 10, seed=0)
        with noisy(model, 0.1, torch.Generator().manual_seed(seed)):
            seen.append(torch.cat([w.flatten() for w in tables(model)]))
    assert torch.equal(seen[0], seen[1]) and not torch.equal(seen[0], seen[2])


def test_sigma_0_changes_nothing():
    model = build("cnn4", 10, seed=0)
    before = tables(model)
    with noisy(model, 0.0, torch.Generator().manual_seed(1)):
        assert all(torch.equal(a, b) for a, b in zip(tables(model), before, strict=True))


@pytest.mark.parametrize("sigma", [-0.1, float("nan")])
def test_a_negative_sigma_is_refused(sigma: float):
    with (
        pytest.raises(ValueError, match=rf"sigma is {sigma}; give 0 or more"),
        noisy(build("cnn4", 10, seed=0), sigma, torch.Generator()),
    ):
        pass


def test_rise_is_the_mean_over_draws_and_0_without_noise(data: Data):
    net, part = build("cnn4", 10, seed=0), Split(*(column[:50] for column in data.val))
    fit(CE(net), data, Recipe(steps=40, batch=25), device="cpu")
    before = tables(net)
    found = rise(net, part, (0.0, 0.2, 0.6), draws=2)
    assert all(torch.equal(a, b) for a, b in zip(tables(net), before, strict=True))
    clean, noise = evaluate(net, part), []
    for draw in (0, 1):
        with noisy(net, 0.6, generator(draw, "noise")):
            noise.append(evaluate(net, part))
    assert found["loss"][0] == found["accuracy"][0] == 0
    loss = np.mean([one["nll"] for one in noise]) - clean["nll"]
    assert found["loss"][2] == pytest.approx(loss) and loss > found["loss"][1] > 0
    accuracy = clean["accuracy"] - np.mean([one["accuracy"] for one in noise])
    assert found["accuracy"][2] == pytest.approx(accuracy) and accuracy > 0
    assert rise(net, part, (0.2,), by_filter=False)["loss"] != pytest.approx(found["loss"][1])


lengths = partial(test_the_noise_of_each_filter_is_sigma_times_its_length, net="cnn4")
MUTANTS = {
    "one length for a whole table": ("dim=1", "dim=(0, 1)", lengths),
    "noise of length 1": (" / noise.flatten(1).norm(dim=1)", "", lengths),
    "never restored": (
        "w.copy_(before)",
        "pass",
        partial(test_the_weights_are_back_bit_for_bit, fails=False),
    ),
    "biases too": (" if w.dim() > 1", " if w.dim() > 0", test_biases_and_batch_norm_stay),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_noise_is_caught(name: str):
    old, new, check = MUTANTS[name]
    assert_caught(noisy, old, new, by=[check])
