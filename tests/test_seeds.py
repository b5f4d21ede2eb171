"""Random streams that do not meet."""

import pytest
import torch

from kdlab.seeds import generator, stream


def test_a_stream_is_frozen():
    """These numbers decide every result of the course, on every machine; a change must be meant."""
    assert stream(0, "init") == 0x1514D1F1485CB8AE
    assert stream(3, "order", 7) == 0x749EA744F4ED670E


def test_streams_do_not_meet():
    names = [("init",), ("order",), ("augment",), *(("order", epoch) for epoch in range(100))]
    found = {stream(seed, *name) for seed in range(20) for name in names}
    assert len(found) == 20 * len(names)
    assert stream(1, 2) != stream(12) != stream(2, 1)
    assert all(0 <= number < 2**63 for number in found)


def test_a_generator_starts_at_its_stream():
    a, b, c = (
        torch.rand(100, generator=generator(*name)) for name in ((0, "x"), (0, "x"), (1, "x"))
    )
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert a.mean() == pytest.approx(0.5, abs=0.15)


def test_a_generator_leaves_the_global_one_alone():
    before = torch.get_rng_state()
    torch.rand(10, generator=generator(0, "x"))
    assert torch.equal(torch.get_rng_state(), before)
