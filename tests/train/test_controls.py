"""A control lacks the one thing it should lack, and keeps all else."""

import torch
import torch.nn.functional as F

from kdlab.seeds import generator
from kdlab.train import frozen as controls

Z = torch.randn(500, 8, generator=generator(0, "controls")) * 3


def permuted() -> torch.Tensor:
    return controls.permuted(Z, generator(1, "controls"))


def test_permuted_keeps_top_class_confidence_and_entropy():
    before, after = F.softmax(Z, dim=1), F.softmax(permuted(), dim=1)
    assert torch.equal(before.argmax(1), after.argmax(1))
    assert torch.equal(Z.sort(dim=1).values, permuted().sort(dim=1).values)
    torch.testing.assert_close(before.amax(1), after.amax(1))
    entropies = [-(p * p.log()).sum(1) for p in (before, after)]
    torch.testing.assert_close(*entropies)


def test_permuted_loses_which_wrong_class_is_close():
    second = [z.topk(2, dim=1).indices[:, 1] for z in (Z, permuted())]
    kept = (second[0] == second[1]).float().mean().item()
    assert abs(kept - 1 / 7) < 4 * (1 / 7 * 6 / 7 / 500) ** 0.5  # as chance would have it


def test_permuted_deals_each_row_anew_and_leaves_its_input():
    same = torch.arange(6.0).repeat(400, 1)
    before = same.clone()
    rows = {tuple(row) for row in controls.permuted(same, generator(2, "controls")).tolist()}
    assert len(rows) > 100  # of 120 orders of the five wrong classes
    assert {row[5] for row in rows} == {5.0}
    assert torch.equal(same, before)


def test_permuted_follows_its_generator():
    assert torch.equal(permuted(), permuted())
    assert not torch.equal(permuted(), controls.permuted(Z, generator(9, "controls")))


def test_without_class_gives_it_no_probability_and_keeps_the_other_ratios():
    before = F.softmax(Z, dim=1)
    after = F.softmax(controls.without_class(Z, 3), dim=1)
    assert after[:, 3].max() == 0
    others = [c for c in range(8) if c != 3]
    expected = before[:, others] / before[:, others].sum(1, keepdim=True)
    torch.testing.assert_close(after[:, others], expected)
