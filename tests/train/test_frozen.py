"""A frozen teacher answers with the features of the right image, from a table or from a pass.

Its logits are tested in test_teachers.py, with the teachers that are trained.
"""

import pickle
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from kdlab.data import Batch, Data, Split
from kdlab.fingerprint import fingerprint
from kdlab.models import build, tap
from kdlab.papers.kd.method import KD
from kdlab.seeds import generator
from kdlab.train import frozen
from kdlab.train.fit import fit
from kdlab.train.frozen import LOGITS, Frozen
from kdlab.train.recipe import Recipe
from kdlab.train.teachers import Ensemble, snapshots, teacher
from tests.mutants import assert_caught

CLOSE = {"rtol": 1e-4, "atol": 1e-5}  # convolutions sum in another order in another batch size
TAPS = ("block2", "pool")


@pytest.fixture
def net() -> nn.Module:
    return build("cnn2", 10, seed=3).eval()


@pytest.fixture
def passes(net: nn.Module) -> Iterator[list[int]]:
    """Note the size of every batch that runs through the network."""
    sizes: list[int] = []
    hook = net.register_forward_hook(lambda module, args, out: sizes.append(len(args[0])))
    yield sizes
    hook.remove()


def batch_of(split: Split, rows: slice | Tensor = slice(None)) -> Batch:
    return Batch(split.x[rows], split.y[rows], split.index[rows])


def shuffled(split: Split, n: int = 50) -> Batch:
    return batch_of(split, torch.randperm(len(split.y), generator=generator(0, "rows"))[:n])


def expected(net: nn.Module, batch: Batch, name: str) -> Tensor:
    with torch.no_grad():
        return tap(net, batch.x, name)[1][name]


@pytest.mark.parametrize("name", TAPS)
@pytest.mark.parametrize(
    "derived", [lambda d: d, lambda d: d.only_classes(0, 7), lambda d: d.with_views(3, 2, seed=1)]
)
def test_stored_features_are_those_of_the_image_asked_for(
    data: Data, net: nn.Module, name: str, derived: Callable[[Data], Data]
):
    part = derived(data)
    answering = Frozen(net, part, TAPS)
    batch = shuffled(part.train, 20)
    found = answering.features(batch, name)
    assert not found.requires_grad and len(found.flatten(1).unique(dim=0)) == 20
    torch.testing.assert_close(found, expected(net, batch, name), **CLOSE)


def test_a_table_costs_no_pass_and_no_table_costs_one(
    data: Data, net: nn.Module, passes: list[int], monkeypatch: pytest.MonkeyPatch
):
    batch = shuffled(data.train)
    kept = Frozen(net, data, TAPS)
    monkeypatch.setattr(frozen, "TABLE_BYTES", 0)
    recomputed = Frozen(net, data, TAPS)
    passes.clear()
    stored = kept.answers(batch, TAPS)
    assert passes == [] and list(recomputed.tables) == [LOGITS]
    again = recomputed.answers(batch, TAPS)
    assert passes == [50]
    torch.testing.assert_close(again, stored, **CLOSE)
    assert list(stored[1]) == list(again[1]) == list(TAPS)
    recomputed(batch)
    assert passes == [50]  # logits stand in a table all the same


def test_the_limit_is_for_all_taps_of_a_teacher_together(
    data: Data, net: nn.Module, monkeypatch: pytest.MonkeyPatch
):
    images, pool, block2 = 2500, 8 * 4, 4 * 7 * 7 * 4  # images, and bytes an image
    for limit, names in [
        (images * (pool + block2), {"pool", "block2"}),
        (images * (pool + block2) - 1, {"block2"}),
        (images * block2 - 1, {"pool"}),
        (images * pool - 1, set()),
    ]:
        monkeypatch.setattr(frozen, "TABLE_BYTES", limit)
        answering = Frozen(net, data, ["block2", "pool"])
        assert set(answering.tables) == names | {LOGITS}
        taken = sum(answering.tables[name].nbytes for name in names)
        assert taken <= limit
        batch = shuffled(data.unlabelled)
        for name in TAPS:
            torch.testing.assert_close(
                answering.features(batch, name), expected(net, batch, name), **CLOSE
            )


def test_too_large_a_table_is_never_computed(
    data: Data, net: nn.Module, passes: list[int], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(frozen, "TABLE_BYTES", 0)
    Frozen(net, data, "block1")
    assert sum(passes) == 2500 + 1  # the logits, and one image that tells the size


@pytest.mark.parametrize("limit", [0, frozen.TABLE_BYTES])
def test_other_images_than_the_stored_ones_are_refused(
    data: Data, net: nn.Module, limit: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(frozen, "TABLE_BYTES", limit)
    answering, batch = Frozen(net, data, "pool"), shuffled(data.train)
    for wrong in (
        batch._replace(index=batch.index.roll(1)),
        batch._replace(x=batch.x.roll(1, dims=3)),
        batch_of(data.val, slice(0, 9)),
    ):
        with pytest.raises(ValueError, match="no stored answer for these images"):
            answering.features(wrong, "pool")


@pytest.mark.parametrize("stores", [True, False])
def test_augmented_images_get_one_pass_for_all_taps(
    data: Data, net: nn.Module, passes: list[int], stores: bool
):
    answering = Frozen(net, data if stores else None, TAPS)
    batch = shuffled(data.train)
    moved = batch._replace(x=batch.x.roll(2, dims=3), stored=False)
    passes.clear()
    z, found = answering.answers(moved, TAPS)
    assert passes == [50]
    with torch.no_grad():
        assert torch.equal(z, net(moved.x))
    assert all(torch.equal(found[name], expected(net, moved, name)) for name in TAPS)


@pytest.mark.parametrize("names", ["block9", ["pool", "block9"], [""]])
def test_an_unknown_tap_is_refused_when_the_teacher_is_built(
    data: Data, net: nn.Module, passes: list[int], names: str | list[str]
):
    for build_it in (partial(Frozen, net), partial(Frozen, net, data)):
        with pytest.raises(ValueError, match=r"There is no tap '(block9)?' .* it has block1, "):
            build_it(taps=names)
    assert passes == []


def test_an_unknown_tap_is_refused_before_a_teacher_is_trained(
    data: Data, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("kdlab.train.teachers.fit", lambda *_, **__: pytest.fail("it was trained"))
    with pytest.raises(ValueError, match="There is no tap 'block9'"):
        teacher(data, "cnn2", seed=77, taps="block9")


@pytest.mark.parametrize(("taps", "told"), [((), "no features"), (("block2",), "block2")])
def test_a_tap_that_was_not_named_is_refused(
    data: Data, net: nn.Module, taps: tuple[str, ...], told: str
):
    for answering in (Frozen(net, data, taps), Frozen(net, None, taps)):
        with pytest.raises(ValueError, match=f"answers with {told}, not with 'pool'; name it when"):
            answering.features(shuffled(data.train), "pool")


def test_trained_teachers_and_snapshots_answer_with_features(data: Data):
    batch, short = shuffled(data.train), Recipe(steps=2)
    for found in (
        teacher(data, "cnn2", short, taps="pool"),
        snapshots(data, "cnn2", short, at=[0], taps="pool")[0],
    ):
        torch.testing.assert_close(
            found.features(batch, "pool"), expected(found.net, batch, "pool"), **CLOSE
        )


def test_the_member_of_an_ensemble_has_taps(data: Data, net: nn.Module):
    both = Frozen(Ensemble([net, build("cnn2", 10, seed=4)]), data, "members.0.pool")
    batch = shuffled(data.train)
    torch.testing.assert_close(
        both.features(batch, "members.0.pool"), expected(net, batch, "pool"), **CLOSE
    )


def test_features_come_on_the_device_of_the_batch(data: Data, net: nn.Module, device: str):
    answering, batch = Frozen(net, data, TAPS), shuffled(data.train)
    before = answering.features(batch, "pool")
    there = Batch(batch.x.to(device), batch.y.to(device), batch.index.to(device))
    for asked in (there, there._replace(stored=False)):
        found = answering.features(asked, "pool")
        assert found.device.type == device
        torch.testing.assert_close(found.cpu(), before, **CLOSE)
    control = answering.shuffled(generator(0))
    assert control.features(there, "pool").device.type == device


def test_the_teacher_travels_and_its_fingerprint_knows_its_taps(data: Data, net: nn.Module):
    answering, batch = Frozen(net, data, "pool"), shuffled(data.train)
    copy = pickle.loads(pickle.dumps(answering))
    assert torch.equal(copy.features(batch, "pool"), answering.features(batch, "pool"))
    plain = fingerprint(Frozen(net, data))
    control = answering.mapped(lambda f, _: 2 * f, "pool")
    told = {fingerprint(one) for one in (answering, copy, control)}
    assert len(told) == 2 and plain not in told


# --- controls


def test_shuffled_keeps_logits_and_features_of_an_image_together(data: Data, net: nn.Module):
    answering, batch = Frozen(net, data, TAPS), batch_of(data.train)
    dealt = answering.shuffled(generator(0))
    (z, f), (z_dealt, f_dealt) = answering.answers(batch, TAPS), dealt.answers(batch, TAPS)
    assert (z_dealt == z).all(dim=1).float().mean() < 0.1
    everything = batch_of(data.with_unlabelled().train)
    z_all, f_all = answering.answers(everything, TAPS)
    place = [int((z_all == row).all(dim=1).nonzero()[0]) for row in z_dealt]
    assert all(torch.equal(f_dealt[name], f_all[name][place]) for name in TAPS)
    assert torch.equal(answering.features(batch, "pool"), f["pool"])


def test_mapped_changes_one_tap_and_nothing_else(data: Data, net: nn.Module):
    answering, batch = Frozen(net, data, TAPS), shuffled(data.train)

    def doubled(f: Tensor, index: Tensor) -> Tensor:
        assert len(f) == len(index) == 2500 and not f.isnan().any()
        return 2 * f

    z, f = answering.answers(batch, TAPS)
    changed_z, changed = answering.mapped(doubled, "pool").answers(batch, TAPS)
    assert torch.equal(changed["pool"], 2 * f["pool"])
    assert torch.equal(changed["block2"], f["block2"]) and torch.equal(changed_z, z)
    assert torch.equal(answering.features(batch, "pool"), f["pool"])


def test_a_changed_teacher_answers_every_view_of_an_image_alike(
    data: Data, net: nn.Module, device: str
):
    batch = shuffled(data.train)
    x = Recipe(shift=4, flip=True).augment(batch.x, generator(0, "views"))
    view = Batch(x.to(device), batch.y.to(device), batch.index.to(device), stored=False)
    answering = Frozen(net, data, TAPS)
    doubled = answering.mapped(lambda z, _: 2 * z).mapped(lambda f, _: 2 * f, "pool")
    z, f = answering.answers(batch, TAPS)
    z_seen, f_seen = doubled.answers(view, TAPS)
    assert torch.equal(z_seen.cpu(), 2 * z) and torch.equal(f_seen["pool"].cpu(), 2 * f["pool"])
    assert torch.equal(f_seen["block2"].cpu(), f["block2"])
    dealt = answering.shuffled(generator(0))
    assert torch.equal(dealt(view).cpu(), dealt(batch))


def test_a_changed_teacher_refuses_views_of_images_that_have_no_answer(data: Data, net: nn.Module):
    part = data.without_classes(3)  # leaves gaps in the table
    changed = Frozen(net, part, "pool").mapped(lambda z, _: z)
    gone = data.train.index[data.train.y == 3]
    assert gone.min() < len(changed.stored())
    view = batch_of(part.train, slice(0, 5))._replace(stored=False)
    for index in (gone[0], torch.tensor(-1), torch.tensor(10**6)):
        wrong = view._replace(index=view.index.index_fill(0, torch.tensor(2), int(index)))
        with pytest.raises(ValueError, match="no stored answer for these images"):
            changed.features(wrong, "pool")


def test_a_changed_teacher_has_no_network(data: Data, net: nn.Module):
    changed = Frozen(net, data).mapped(lambda z, _: z)
    with pytest.raises(ValueError, match="it has no network; call it with a Batch, or"):
        changed.net(data.train.x)


@pytest.mark.parametrize("change", [lambda t: t.mapped(lambda z, _: 2 * z), lambda t: t])
def test_students_learn_from_it_on_augmented_images(
    data: Data, net: nn.Module, change: Callable[[Frozen], Frozen]
):
    learner = KD(build("cnn2", 10, seed=1), change(Frozen(net, data)))
    history = fit(learner, data, Recipe(steps=3, shift=4, flip=True), device="cpu")
    assert history.soft.gt(0).all()


def test_features_that_are_not_stored_cannot_be_changed(
    data: Data, net: nn.Module, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(frozen, "TABLE_BYTES", 0)
    for answering in (Frozen(net, data, "pool"), Frozen(net, data)):
        with pytest.raises(ValueError, match="stores no features, not 'pool'"):
            answering.mapped(lambda f, _: f, "pool")


def test_a_teacher_may_rule_a_class_out(data: Data, net: nn.Module):
    """-inf is an answer; only NaN means that there is none."""
    hidden = torch.tensor([3])
    changed = Frozen(net, data).mapped(lambda z, _: z.index_fill(1, hidden, -torch.inf))
    assert len(changed.stored()) == 2500 and changed(shuffled(data.train))[:, 3].isneginf().all()
    dealt = changed.shuffled(generator(0))
    assert dealt.stored()[:, 3].isneginf().all() and not dealt.stored().isnan().any()


# --- mutants


def test_a_wrong_teacher_is_caught(data: Data, net: nn.Module, monkeypatch: pytest.MonkeyPatch):
    def right_image() -> None:
        test_stored_features_are_those_of_the_image_asked_for(data, net, "pool", lambda d: d)

    def refused() -> None:
        limit = frozen.TABLE_BYTES
        test_other_images_than_the_stored_ones_are_refused(data, net, limit, monkeypatch)

    def limited() -> None:
        test_the_limit_is_for_all_taps_of_a_teacher_together(data, net, monkeypatch)
        monkeypatch.undo()

    def views() -> None:
        test_a_changed_teacher_answers_every_view_of_an_image_alike(data, net, "cpu")

    for old, new, check in [
        ("not batch.stored and not isinstance(self.net, Unanswerable)", "not batch.stored", views),
        ("[name].index_select(0, batch.index)", "[name][: len(batch.index)]", right_image),
        ("if not knows(self.probes, batch)", "if False", refused),
        ("room -= size", "pass", limited),
    ]:
        assert_caught(Frozen, old, new, by=[check])
