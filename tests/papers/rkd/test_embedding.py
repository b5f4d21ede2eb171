"""Retrieval and relational fidelity, against slow loops."""

import doctest
import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from kdlab.papers.rkd import embedding
from kdlab.papers.rkd import method as rkd
from kdlab.papers.rkd.embedding import angle_gap, distance_correlation, recall_at
from tests.mutants import assert_caught


def points(n: int, d: int, seed: int = 0) -> Tensor:
    gen = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=gen, dtype=torch.float64)


def turned(f: Tensor, seed: int = 3) -> Tensor:
    """Return `f` turned or mirrored, scaled and shifted."""
    turn = torch.linalg.qr(points(f.shape[1], f.shape[1], seed))[0]
    return 2.5 * f @ turn + points(1, f.shape[1], seed)


def slow_recall(f: Tensor, y: list[int], k: int) -> float:
    found = 0
    for a, row in enumerate(f.tolist()):
        others = [b for b in range(len(y)) if b != a]
        others.sort(key=lambda b: math.dist(row, f[b].tolist()))
        found += any(y[b] == y[a] for b in others[:k])
    return 100 * found / len(y)


def slow_fidelity(f_s: Tensor, f_t: Tensor) -> tuple[float, float]:
    n, one, two, gaps = len(f_s), f_s.tolist(), f_t.tolist(), []
    pairs = list(itertools.combinations(range(n), 2))
    r = np.corrcoef(*[[math.dist(f[i], f[j]) for i, j in pairs] for f in (one, two)])[0, 1]

    def angle(f: list[list[float]], i: int, j: int, k: int) -> float:
        a, b = (np.subtract(f[end], f[j]) for end in (i, k))
        return math.degrees(math.acos(np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b)))

    for i, j, k in itertools.permutations(range(n), 3):
        gaps.append(abs(angle(one, i, j, k) - angle(two, i, j, k)))
    return r, float(np.mean(gaps))


def test_the_example_in_the_docstring():
    assert doctest.testmod(embedding).attempted and not doctest.testmod(embedding).failed


@pytest.mark.parametrize("k", [1, 2, 4, 11])
def test_recall_equals_the_slow_loop(k: int):
    for seed in range(4):
        f, y = points(12, 2, seed), [0, 1, 2, 0, 1, 2, 0, 1, 2, 3, 3, 4]
        expected = slow_recall(f, y, k)
        assert recall_at(f, torch.tensor(y), k) == pytest.approx(expected)
        assert recall_at(turned(f).float().numpy(), np.array(y), k) == pytest.approx(expected)
    assert recall_at(f, torch.tensor(y), 11) == pytest.approx(100 * 11 / 12)  # 4 is alone


def test_an_image_does_not_find_itself_even_among_copies():
    f = torch.zeros(4, 2)
    f[2:] = 1e4
    assert recall_at(f, torch.tensor([0, 1, 2, 2]), 1) == 50.0


def test_fidelity_equals_the_slow_loop():
    f_s, f_t = points(9, 2), points(9, 5, seed=1)
    r, degrees = slow_fidelity(f_s, f_t)
    assert distance_correlation(f_s, f_t) == pytest.approx(r, abs=1e-9)
    assert angle_gap(f_s, f_t) == pytest.approx(degrees, rel=1e-6)


@pytest.mark.parametrize("cells", [1, 2 * 81, 4 * 81 + 5])
def test_vertices_in_parts_have_the_same_angles(cells: int):
    f_s, f_t = points(9, 2), points(9, 5, seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rkd, "CELLS", cells)
        assert angle_gap(f_s, f_t) == pytest.approx(slow_fidelity(f_s, f_t)[1], rel=1e-6)


def test_fidelity_does_not_see_where_the_student_lies():
    f = points(12, 3)
    moved = turned(f).float()
    assert distance_correlation(moved, f.numpy()) == pytest.approx(1, abs=1e-6)
    assert angle_gap(moved, f.numpy()) < 0.1  # acos near 1 loses half of the digits


def test_a_collapsed_student_has_no_correlation():
    point, f = torch.zeros(6, 2), points(6, 3)
    assert math.isnan(distance_correlation(point, f)) and angle_gap(point, f) > 10


@pytest.mark.parametrize(
    ("f", "y", "k"),
    [
        (torch.zeros(3, 2), torch.zeros(3), 3),
        (torch.zeros(3, 2), torch.zeros(3), 0),
        (torch.zeros(3, 2), torch.zeros(4), 1),
        (torch.zeros(3), torch.zeros(3), 1),
    ],
)
def test_a_recall_that_cannot_be_is_refused(f: Tensor, y: Tensor, k: int):
    with pytest.raises(ValueError, match=rf"recall@{k} of an embedding .* k from 1 to N - 1"):
        recall_at(f, y, k)


@pytest.mark.parametrize("shapes", [((3, 2), (4, 2)), ((2, 2), (2, 2)), ((3,), (3, 1))])
def test_embeddings_of_other_images_are_refused(shapes: tuple[tuple[int, ...], ...]):
    for measure in (distance_correlation, angle_gap):
        with pytest.raises(ValueError, match="at least three"):
            measure(*(torch.zeros(shape) for shape in shapes))


@pytest.mark.parametrize(
    ("target", "old", "new", "check"),
    [
        (recall_at, "torch.inf", "0.0", lambda: test_recall_equals_the_slow_loop(2)),
        (recall_at, "largest=False", "largest=True", lambda: test_recall_equals_the_slow_loop(1)),
        (distance_correlation, "pdist(f)", "pdist(f).square()", test_fidelity_equals_the_slow_loop),
        (angle_gap, "(n - 2)", "n", test_fidelity_equals_the_slow_loop),
        (
            angle_gap,
            "slice(j, j + step)",
            "slice(step)",
            lambda: test_vertices_in_parts_have_the_same_angles(1),
        ),
        (
            angle_gap,
            "gaps.diagonal(dim1=1, dim2=2).zero_()",
            "pass",
            lambda: test_coinciding_rows_count_their_triples_only(),
        ),
    ],
)
def test_a_wrong_measure_is_caught(target, old, new, check):
    assert_caught(target, old, new, by=[check])


def test_numbers_that_are_none_are_refused() -> None:
    f = points(6, 2)
    f[2] = math.nan
    with pytest.raises(ValueError, match=r"finite numbers \(N, D\)"):
        recall_at(f, torch.arange(6) % 2)


def test_coinciding_rows_count_their_triples_only() -> None:
    triangle = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 3**0.5 / 2]], dtype=torch.float64)
    one_point = torch.ones(3, 2, dtype=torch.float64)  # a cosine of 0, 90 degrees, against 60
    assert angle_gap(one_point, triangle) == pytest.approx(30)
