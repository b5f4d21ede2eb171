"""The deep thin nets: their shapes, their first weights, and how the four kinds differ."""

import pytest
import torch
from torch import Tensor, nn

from kdlab.models import size, tap
from kdlab.papers.fitnets.nets import KINDS, WIDTH, Layer, middle, thin, up_to

GREY, COLOUR = (1, 28, 28), (3, 32, 32)


def a_net(depth: int = 9, kind: str = "plain", shape=GREY, seed: int = 0) -> nn.Sequential:
    return thin(depth, kind, n_classes=10, in_shape=shape, seed=seed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", [3, 5, 17])
def test_it_maps_images_to_logits_through_as_many_layers_as_asked(depth: int, kind: str):
    net = a_net(depth, kind)
    assert net(torch.randn(4, *GREY)).shape == (4, 10)
    assert sum(isinstance(part, nn.Conv2d) for part in net.modules()) == depth
    names = [f"layer{i}" for i in range(1, depth + 1)]
    assert [name for name, _ in net.named_children()] == ["shrink", *names, "pool", "linear"]


@pytest.mark.parametrize(("shape", "sides"), [(GREY, (7, 3)), (COLOUR, (8, 4))])
def test_maps_have_the_sizes_of_the_teachers_blocks(shape: tuple[int, int, int], sides):
    net = a_net(17, shape=shape)
    _, maps = tap(net, torch.randn(2, *shape), [f"layer{i}" for i in range(1, 18)])
    found = [f.shape[1:] for f in maps.values()]
    assert found == [(WIDTH, sides[0], sides[0])] * 12 + [(WIDTH, sides[1], sides[1])] * 5


def test_the_number_of_weights_by_hand():
    """Layer 1: 9 x 8 + 8. Each other: 9 x 8 x 8 + 8. Linear: 8 x 10 + 10. BN: 16 for 8 biases."""
    assert size(a_net(17)).params == 80 + 16 * 584 + 90
    assert size(a_net(17, "he")).params == size(a_net(17)).params
    assert size(a_net(17, "bn")).params == size(a_net(17, "skips")).params == 9514 + 17 * 8


def test_equal_arguments_give_equal_weights_and_leave_the_generator_alone():
    state = torch.random.get_rng_state()
    one, two, other = a_net(seed=1), a_net(seed=1), a_net(seed=2)
    assert torch.equal(torch.random.get_rng_state(), state)
    for a, b, c in zip(one.parameters(), two.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b) and not torch.equal(a, c)


def test_first_weights_of_the_two_inits():
    """Variance 1 / (3 fan in) by default, 2 / fan in by He et al.; fan in is 72."""
    for kind, variance in (("plain", 1 / 216), ("he", 2 / 72)):
        weights = torch.cat(
            [
                p.flatten()
                for n, p in a_net(17, kind).named_parameters()
                if n.endswith("conv.weight") and not n.startswith("layer1.")
            ]
        )
        assert weights.var().item() == pytest.approx(variance, rel=0.1)
    biases = [p for name, p in a_net(17, "he").named_parameters() if name.endswith("conv.bias")]
    assert len(biases) == 17 and not any(bias.any() for bias in biases)


def test_bn_and_skips_start_from_the_same_weights():
    one, two = a_net(5, "bn").state_dict(), a_net(5, "skips").state_dict()
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def layer_by_hand(layer: Layer, x: Tensor) -> Tensor:
    x = nn.functional.max_pool2d(x, 2) if isinstance(layer.pool, nn.Sequential) else x
    f = nn.functional.conv2d(x, layer.conv.weight, layer.conv.bias, padding=1)
    if isinstance(layer.norm, nn.BatchNorm2d):
        f = (f - f.mean((0, 2, 3), True)) / (f.var((0, 2, 3), False, keepdim=True) + 1e-5).sqrt()
    return (f + x if layer.skip else f).clamp(min=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("halve", [True, False])
def test_a_layer_by_hand(kind: str, halve: bool):
    layer, x = Layer(8, 8, kind, halve), torch.randn(6, 8, 6, 6)
    assert layer.skip == (kind == "skips")
    torch.testing.assert_close(layer(x), layer_by_hand(layer, x), rtol=1e-4, atol=1e-5)


def test_the_middle_has_the_size_of_block_2():
    assert [middle(depth) for depth in (5, 11, 17)] == ["layer3", "layer6", "layer9"]
    for depth in (5, 11, 17):
        assert up_to(a_net(depth), middle(depth))(torch.randn(1, *GREY)).shape == (1, 8, 7, 7)


@pytest.mark.parametrize(
    ("options", "word"),
    [({"kind": "relu"}, "kind"), ({"depth": 2}, "3 or more"), ({"shape": (1, 4, 9)}, "8x8")],
)
def test_what_cannot_be_built_is_refused(options: dict, word: str):
    with pytest.raises(ValueError, match=word):
        a_net(**options)
