"""How images are made: records, hooks, the loop and its best image, the generator, the sources."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from kdlab.data import Batch
from kdlab.measure import logits_of
from kdlab.models import build, tap
from kdlab.papers.data_free import arms, privacy, sources
from kdlab.papers.data_free.dream import (
    PUBLISHED,
    deep_inversion,
    descend,
    dream,
    from_records,
    inversion,
    moved,
)
from kdlab.papers.data_free.generator import dafl, generator_net
from kdlab.papers.data_free.records import Records, bn_inputs, factor, last_tap
from kdlab.train.frozen import Frozen
from kdlab.train.recipe import Recipe
from kdlab.train.worlds import replicate
from tests.mutants import assert_caught
from tests.papers.cases import tiny
from tests.papers.data_free.oracles import bn_loss as slow_bn_loss

TINY = tiny(recipe=Recipe(steps=24), teacher_recipe=Recipe(steps=30))


@pytest.fixture(scope="module")
def r():
    return replicate(TINY, 1)


@pytest.fixture(scope="module")
def net(r):
    return sources.teacher(r).net


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- records --------------------------------------------------------------------------------------


def test_records_hold_means_of_each_class(r, net):
    x, y, _ = r.data.train
    kept = Records.of(net, x, y, ["block1", "pool"], covary=True)
    z, features = tap(net, x, ["block1"])
    for c in (0, 7):
        torch.testing.assert_close(kept.layers["logits"][0][c], z[y == c].mean(dim=0))
        own = features["block1"][y == c].mean(dim=0).flatten()
        torch.testing.assert_close(kept.layers["block1"][0][c], own)
    L = kept.layers["logits"][1][7]
    torch.testing.assert_close(L @ L.T, torch.cov(z[y == 7].T), rtol=1e-2, atol=1e-2)
    assert kept.layers["block1"][1] is None  # 8 x 14 x 14 units are too many
    units = z.shape[1], features["block1"][0].numel(), kept.layers["pool"][0].shape[1]
    numbers = 10 * (sum(units) + sum(u * (u + 1) // 2 for u in (units[0], units[2])))
    assert kept.bytes == 4 * numbers


def test_draws_have_the_recorded_mean_and_covariance():
    f = torch.randn(50, 3, generator=source()) @ torch.tensor([[1.0, 2, 0], [0, 1, 1], [0, 0, 3]])
    kept = Records({"logits": (f.mean(dim=0)[None], factor(f)[None])})
    drawn = kept.draw(torch.zeros(20_000, dtype=torch.long), source(1))["logits"]
    torch.testing.assert_close(drawn.mean(dim=0), f.mean(dim=0), atol=0.15, rtol=0)
    torch.testing.assert_close(torch.cov(drawn.T), torch.cov(f.T), atol=0.7, rtol=0.1)


def test_a_record_of_one_image_is_its_activation(r, net):
    x, y = r.data.train.x[:10], torch.arange(10)
    kept = Records.of(net, x, y, covary=True)
    torch.testing.assert_close(kept.layers["logits"][0], logits_of(net, x), rtol=1e-4, atol=1e-4)
    drawn = kept.draw(y, source())["logits"]
    torch.testing.assert_close(drawn, kept.layers["logits"][0], atol=1e-3, rtol=1e-3)


# --- hooks ----------------------------------------------------------------------------------------


def hooks_of(net: nn.Module) -> int:
    return sum(len(part._forward_pre_hooks) for part in net.modules())


def test_hooks_see_what_enters_each_layer_and_go(r, net):
    x = r.data.test.x[:6]
    with bn_inputs(net) as found:
        net(x)
        assert len(found) == 3 == hooks_of(net)
    first = next(m for m in net.modules() if isinstance(m, nn.Conv2d))
    torch.testing.assert_close(next(iter(found.values())), first(x))
    assert hooks_of(net) == 0


def test_hooks_go_after_an_error(net):
    with pytest.raises(RuntimeError, match="stop"), bn_inputs(net):
        raise RuntimeError("stop")
    assert hooks_of(net) == 0


def test_a_teacher_without_batch_norm_is_refused(r):
    with pytest.raises(ValueError, match="no batch norm"):
        sources.inverted(r, 4, net="mlp10", steps=1)


def test_the_term_of_batch_norm_is_the_sum_over_layers(r, net):
    x, y = r.data.test.x[:6], torch.arange(6)
    with inversion(net, y, PUBLISHED._replace(bn=2.0)) as terms_of, bn_inputs(net) as seen:
        terms = terms_of(x)
    slow = sum(slow_bn_loss(f, m.running_mean, m.running_var) for m, f in seen.items())
    assert terms["batch norm"].item() == pytest.approx(2 * slow, rel=1e-4)
    with inversion(net, y, PUBLISHED._replace(bn=0.0)) as terms_of:
        assert "batch norm" not in terms_of(x)


def test_the_rival_is_asked_and_both_get_the_images_gradient(r, net):
    rival, x = build("cnn2", 10, seed=3), r.data.test.x[:6].clone().requires_grad_()
    with inversion(net, torch.arange(6), PUBLISHED._replace(rival=1.0), rival) as terms_of:
        terms_of(x)["competition"].backward()
    assert x.grad.abs().max() > 0 and rival.training
    with (
        pytest.raises(ValueError, match="rival"),
        inversion(net, torch.arange(6), PUBLISHED._replace(rival=1.0)),
    ):
        pass


# --- the loop -------------------------------------------------------------------------------------


def test_the_loop_is_adam():
    one, two = (torch.tensor([3.0, -2.0], requires_grad=True) for _ in range(2))
    history = descend([one], lambda: {"a": one.square().sum()}, 20, rate=0.1)
    optimiser = torch.optim.Adam([two], lr=0.1)
    for _ in range(20):
        optimiser.zero_grad()
        two.square().sum().backward()
        optimiser.step()
    torch.testing.assert_close(one, two)
    assert len(history) == 20 and history["a"].is_monotonic_decreasing


def test_a_stop_keeps_what_is_there(r):
    seen = []

    def each(step: int, loss: float) -> None:
        seen.append(loss)
        if step == 3:
            raise KeyboardInterrupt

    x = torch.ones(1, requires_grad=True)
    history = descend([x], lambda: {"a": x.sum()}, 10, each=each)
    assert len(seen) == 4 and len(history) == 3


def test_the_best_batch_is_kept_and_not_the_last(r):
    levels = iter([3.0, 1.0, 2.0, 5.0])
    shown = []

    def terms_of(x: Tensor) -> dict[str, Tensor]:
        return {"a": next(levels) + 0 * x.sum() + (x - x.detach()).sum()}

    start = torch.zeros(1, 1, 28, 28)
    best = dream(
        r.data, start, terms_of, source(), steps=4, on_step=lambda _, x: shown.append(x.clone())
    )
    assert torch.equal(best, shown[1]) and not torch.equal(shown[1], shown[3])
    assert start.abs().max() == 0


def the_best():
    test_the_best_batch_is_kept_and_not_the_last(replicate(TINY, 1))


@pytest.mark.parametrize(
    ("old", "new"),
    [("x.detach().clone()\n        on", "x.detach()\n        on"), ("loss < best", "loss > best")],
)
def test_a_reference_in_place_of_a_copy_is_noticed(old: str, new: str):
    """The official script keeps a reference, and so always the last images."""
    assert_caught(dream, old, new, by=[the_best])


def test_pixels_stay_in_their_range(r, net):
    x = deep_inversion(net, r.data, torch.arange(6), source(), steps=5, rate=1.0)
    images = x * r.data.std[0] + r.data.mean[0]
    assert images.min() > -1e-4 and images.max() < 1 + 1e-4


def test_a_batch_is_rolled_as_one():
    x = torch.arange(50.0).view(2, 1, 5, 5)
    seen = {tuple(moved(x, source(i)).flatten().tolist()) for i in range(40)}
    assert len(seen) > 15
    for one in seen:
        assert sorted(one[:25]) == list(range(25))
    assert torch.equal(moved(x, source(), jitter=0, flip=False), x)


def test_synthesis_lowers_its_terms_and_leaves_the_teacher_as_it_was(r, net):
    before = {name: value.clone() for name, value in net.state_dict().items()}
    y, noise = torch.arange(10), sources.gaussian(r, 10)[0]
    x = deep_inversion(net, r.data, y, source(), steps=30)
    with inversion(net, y) as terms_of:
        now, then = (sum(terms_of(part).values()).item() for part in (x, noise))
    assert now < 0.8 * then
    kept = Records.of(net, r.data.train.x, r.data.train.y)
    from_records(net, r.data, kept, y, source(), steps=2)
    dafl(net, r.data, 10, source(), 0, steps=2)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not net.training and hooks_of(net) == 0


# --- the generator --------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
def test_the_generator_gives_normalised_images(shape):
    maker = generator_net(shape, seed=0)
    x = maker(torch.randn(64, 100, generator=source()))
    assert x.shape == (64, *shape)
    torch.testing.assert_close(x.mean(dim=(0, 2, 3)), torch.zeros(shape[0]), atol=1e-4, rtol=0)
    torch.testing.assert_close(x.std(dim=(0, 2, 3)), torch.ones(shape[0]), atol=1e-2, rtol=0)
    again = generator_net(shape, seed=0)
    assert all(
        torch.equal(p, q) for p, q in zip(maker.parameters(), again.parameters(), strict=True)
    )
    with pytest.raises(ValueError, match="divisible by 4"):
        generator_net((1, 30, 28), 0)


def test_images_come_from_the_second_half_and_survive_a_stop(r, net):
    x = dafl(net, r.data, 20, source(), 0, steps=10)
    assert len(x) == 20 and not x.requires_grad
    assert not torch.equal(x[0], x[-1])
    calls = []

    def stop(_: int) -> int:
        calls.append(1)
        raise KeyboardInterrupt

    class Stops(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool = nn.Flatten()

        def forward(self, x: Tensor) -> Tensor:
            stop(0)
            return self.pool(x)

    assert len(dafl(Stops(), r.data, 20, source(), 0, steps=10)) == 20 and calls


# --- sources and arms -----------------------------------------------------------------------------

PLAIN = {
    f.__name__: f
    for f in (sources.real, sources.other, sources.gaussian, sources.one_image, sources.shuffled)
}
MAKERS = {f.__name__: f for f in (sources.records, sources.generated, sources.inverted)}


@pytest.mark.parametrize("name", [*PLAIN, *MAKERS])
def test_every_source_gives_images_that_the_teacher_can_answer(r, name):
    options = {} if name in PLAIN else {"steps": 2}
    maker = (PLAIN | MAKERS)[name]
    x, size = maker(r, 12, **options)
    assert x.shape == (12, 1, 28, 28) and x.isfinite().all() and size >= 0
    assert torch.equal(x, maker(r, 12, **options)[0])  # the same again
    data = sources.made(r.data, x)
    told = Frozen(sources.teacher(r).net, data, logits=logits_of(sources.teacher(r).net, x))
    assert told(Batch(*data.train)).shape == (12, 10)
    assert (data.train.y == -1).all() and data.key != r.data.key
    assert data.test is r.data.test


def test_shuffled_pixels_stay_in_their_image(r):
    x, y = sources.real(r, 5)[0], sources.shuffled(r, 5)[0]
    assert torch.equal(x.flatten(1).sort().values, y.flatten(1).sort().values)
    assert not torch.equal(x, y)


def test_other_images_are_of_another_kind_and_unknown_worlds_are_refused(r):
    assert not torch.equal(sources.other(r, 5)[0], sources.real(r, 5)[0])
    with pytest.raises(ValueError, match="rot40"):
        sources.other(replicate("rot40", 0), 5)


def test_adi_trains_a_rival_and_differs_from_the_second_part_on(r, monkeypatch):
    monkeypatch.setattr(sources, "PART", 6)
    one, two = (
        sources.inverted(r, 12, PUBLISHED._replace(rival=w), steps=3)[0] for w in (0.0, 50.0)
    )
    assert torch.equal(one[:6], two[:6]) and not torch.equal(one[6:], two[6:])


@pytest.mark.parametrize("maker", [sources.gaussian, sources.generated])
def test_a_short_arm_gives_a_row(r, maker):
    options = {} if maker is sources.gaussian else {"steps": 2}
    row = arms.student(r, maker, n=30, **options)
    for name in ("accuracy", "agreement", "diversity", "auc", "confidence"):
        assert 0 <= row[name] < 1000
    assert 1 <= row["classes"] <= 10.001 and row["making"] >= 0


def test_looks_of_real_and_of_collapsed_images(r, net):
    x = sources.real(r, 100)[0]
    assert arms.looks(net, x, x)["diversity"] == pytest.approx(100, abs=1e-3)
    same = arms.looks(net, x[:1].repeat(50, 1, 1, 1), x)
    assert same["diversity"] == pytest.approx(0, abs=0.1)


def test_membership_is_half_for_a_net_that_knows_nothing_and_full_for_one_that_knows_all(r):
    class Knows(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            known = (x[:, None] == r.data.train.x).flatten(2).all(dim=2).any(dim=1)
            where = (x[:, None] == r.data.train.x).flatten(2).all(dim=2).int().argmax(dim=1)
            return 9.0 * known[:, None] * nn.functional.one_hot(r.data.train.y[where], 10)

    blind = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    nn.init.zeros_(blind[1].weight)
    nn.init.zeros_(blind[1].bias)
    few = replace(r.data, test=type(r.data.test)(*(c[:60] for c in r.data.test)))
    r2 = replace(r)
    object.__setattr__(r2, "__dict__", {**r2.__dict__, "data": few})
    assert arms.membership(blind, r2) == pytest.approx(50)
    assert arms.membership(Knows(), r2) == pytest.approx(100)


# --- privacy --------------------------------------------------------------------------------------


def test_one_class_has_few_images(r):
    data, c = privacy.with_few(r, 2)
    counts = torch.bincount(data.train.y)
    assert counts[c] == 2 and (counts.sum() - 2) == 900
    assert data.key != privacy.with_few(r, 5)[0].key


def test_psnr_by_hand():
    x, others = (
        torch.zeros(1, 1, 2, 2),
        torch.stack([torch.ones(1, 2, 2), torch.full((1, 2, 2), 0.1)]),
    )
    assert privacy.psnr(x, others).item() == pytest.approx(20, abs=1e-4)


def test_a_leak_is_measured_three_ways(r, monkeypatch):
    monkeypatch.setattr(privacy, "RECIPE", Recipe(steps=4))
    row = privacy.leak(r, 1, tries=2, steps=2)
    assert {*privacy.WAYS, "accuracy", "records near"} <= set(row)


def test_a_record_of_one_lies_on_its_image_and_a_record_of_many_tells_less():
    f = torch.randn(60, 8, generator=source())
    inside, outside = privacy.exposure(f, 1)
    assert inside.tolist() == [0.0] and len(outside) == 59
    assert privacy.told_apart(f, 1) == 100 > privacy.told_apart(f, 5) > privacy.told_apart(f, 40)
    with pytest.raises(ValueError, match="left out"):
        privacy.exposure(f, 60)


def test_the_tap_before_the_logits(net):
    assert last_tap(net) == "pool" and last_tap(build("mlp30x20", 10, seed=0)) == "hidden2"
