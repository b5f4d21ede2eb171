"""Views follow from image, index and seed; the teacher's answers to them are its network's."""

import math
import warnings

import pytest
import torch
from torch import Tensor, nn

from kdlab.data import Batch, Data
from kdlab.models import build, tap
from kdlab.papers.sskd.views import VIEWS, Views, drawn, moves
from kdlab.train.frozen import Frozen
from kdlab.train.gate import Suspicion

POOLS = ("rotations", "moves")


@pytest.fixture(scope="module")
def teacher(data: Data) -> Frozen:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Suspicion)
        return Frozen(build("cnn2", 10, seed=3).eval(), data)


def batch_of(data: Data, stored: bool = True, progress: float = 0.0) -> Batch:
    x, y, index = (column[10:16] for column in data.train)
    return Batch(x, y, index, stored, progress)


def asked(net: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        z, f = tap(net, x, "pool")
    return z, f["pool"]


def test_rotations_are_turns_by_90_180_and_270_degrees(data: Data, teacher: Frozen):
    batch = batch_of(data)
    x = Views(teacher, data)(batch).x
    for view in range(VIEWS):
        assert torch.equal(x[:, view], torch.rot90(batch.x, view + 1, (2, 3)))
    assert torch.equal(torch.rot90(x[:, 2], 1, (2, 3)), batch.x)


def test_moves_are_small_and_each_image_has_its_own():
    theta = moves(500, seed=1)
    assert theta.shape == (500, VIEWS, 2, 3)
    zoom = theta[..., :2].det().abs().sqrt()
    angle = torch.atan2(theta[..., 1, 0], theta[..., 0, 0])
    assert 0.8 <= zoom.min() < 0.82 and 1.22 < zoom.max() <= 1.2501
    assert math.radians(24) < angle.abs().max() <= math.radians(25) + 1e-6
    assert 0.19 < theta[..., 2].abs().max() <= 0.2
    assert len(theta.flatten(0, 1).unique(dim=0)) == 1500
    assert torch.equal(theta, moves(500, seed=1)) and not torch.equal(theta, moves(500, seed=2))


def test_a_move_without_movement_is_the_image_and_black_comes_in(data: Data, teacher: Frozen):
    views, batch = Views(teacher, data, "moves"), batch_of(data)
    views.theta[:] = torch.eye(2, 3)
    torch.testing.assert_close(views(batch).x[:, 0], batch.x, rtol=1e-3, atol=1e-3)
    views.theta[..., 0, 2] = 2.0  # a whole side away
    assert (views(batch).x - data.black).abs().max() < 1e-5


@pytest.mark.parametrize("pool", POOLS)
def test_answers_are_those_of_the_network(data: Data, teacher: Frozen, pool: str):
    views = Views(teacher, data, pool, seed=1)
    for stored in (True, False):
        batch = batch_of(data, stored)
        seen = views(batch)
        assert seen.x.shape == (6, VIEWS, 1, 28, 28)
        torch.testing.assert_close(seen.f[:, 0], asked(teacher.net, batch.x)[1])
        for view in range(VIEWS):
            z, f = asked(teacher.net, seen.x[:, view])
            torch.testing.assert_close(seen.z[:, view], z, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(seen.f[:, 1 + view], f, rtol=1e-4, atol=1e-5)


def test_chosen_views_come_in_the_order_asked_for(data: Data, teacher: Frozen):
    views, batch = Views(teacher, data), batch_of(data)
    whole, which = views(batch), torch.tensor([[2, 0]] * 3 + [[1, 2]] * 3)
    some = views(batch, which)
    for i, pair in enumerate(which.tolist()):
        assert torch.equal(some.x[i], whole.x[i, pair])
        assert torch.equal(some.z[i], whole.z[i, pair])
        assert torch.equal(some.f[i], whole.f[i, [0, pair[0] + 1, pair[1] + 1]])


def test_an_augmented_image_is_asked_for_anew(data: Data, teacher: Frozen):
    views, batch = Views(teacher, data), batch_of(data, stored=False)
    moved = batch._replace(x=batch.x.flip(3))
    assert not torch.equal(views(moved).f, views(batch).f)


def test_dealing_keeps_image_and_views_together(data: Data, teacher: Frozen):
    views, batch = Views(teacher, data), Batch(*data.train)
    before = views(batch)
    after = views.deal(torch.Generator().manual_seed(3))(batch)
    assert torch.equal(after.z, before.z) and torch.equal(after.x, before.x)
    whose = (after.f[:, None] == before.f[None]).flatten(2).all(dim=2)
    assert whose.any(dim=1).all() and whose.any(dim=0).all()
    assert not torch.equal(after.f, before.f)
    augmented = views(batch._replace(stored=False, x=batch.x.flip(3)))
    assert torch.equal(augmented.f, after.f)


def test_a_step_draws_different_views_of_an_image_and_all_in_time(data: Data):
    counts = torch.zeros(VIEWS)
    for step in range(200):
        which = drawn(batch_of(data, progress=step / 200), 2, seed=1)
        assert (which[:, 0] != which[:, 1]).all()
        counts += torch.bincount(which.flatten(), minlength=VIEWS)
    assert (counts / counts.sum() - 1 / 3).abs().max() < 0.05
    assert drawn(batch_of(data), VIEWS, 0).tolist() == [[0, 1, 2]] * 6
    assert torch.equal(drawn(batch_of(data), 1, 1), drawn(batch_of(data), 1, 1))


def test_what_cannot_be_viewed_is_refused(data: Data, teacher: Frozen):
    with pytest.raises(ValueError, match="pool"):
        Views(teacher, data, "jigsaw")
    with pytest.raises(ValueError, match="network"):
        Views(teacher.mapped(lambda z, _: z), data)
    with pytest.raises(ValueError, match="Frozen"):
        Views(teacher.net, data)


def test_no_weights_and_nothing_to_store(data: Data, teacher: Frozen):
    views = Views(teacher, data)
    assert not list(views.parameters()) and not views.state_dict()


def test_views_follow_the_device(data: Data, teacher: Frozen, device: str):
    batch = batch_of(data)
    there = Batch(*(part.to(device) for part in batch[:3]))
    seen = Views(teacher, data, "moves").to(device)(there)
    assert {part.device.type for part in seen} == {device}
