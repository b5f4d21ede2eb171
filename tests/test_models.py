"""Networks: sizes against hand counts and published figures, taps, streams, errors."""

import copy
import pickle

import pytest
import torch
from torch import nn

from kdlab.models import Size, build, size, tap, taps

CONV_TAPS = ["block1", "block2", "block3", "pool"]


def params(name: str, n_classes: int, in_shape: tuple[int, int, int]) -> int:
    return sum(p.numel() for p in build(name, n_classes, in_shape, seed=0).parameters())


def equal(a: nn.Module, b: nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


@pytest.mark.parametrize(("name", "count"), [("cnn2", 496), ("cnn4", 1_702), ("cnn32", 94_186)])
def test_cnn_parameters(name, count):
    assert params(name, 10, (1, 28, 28)) == count


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        *(("resnet20", "0.278"), ("resnet56", "0.86"), ("resnet110", "1.74")),
        *(
            ("resnet8x4", "1.23"),
            ("resnet32x4", "7.43"),
            ("wrn_16_2", "0.70"),
            ("wrn_40_2", "2.26"),
        ),
    ],
)
def test_parameters_on_cifar100_equal_the_published_figures(name, millions):
    digits = len(millions.split(".")[1])
    assert f"{params(name, 100, (3, 32, 32)) / 1e6:.{digits}f}" == millions


def test_depth_is_what_the_name_says():
    for name, depth in (("resnet20", 20), ("resnet8x4", 8), ("wrn_16_2", 16), ("wrn_10_1", 10)):
        net = build(name, 10, (3, 32, 32), seed=0)
        convs = [m for m in net.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
        # He et al. count the stem, the 3x3 layers and the linear one. Zagoruyko, Komodakis also
        # count the three shortcut convolutions: 6n + 4 stands for 6n layers, 3 shortcuts, a stem.
        assert len(convs) == (depth - 1 if name.startswith("resnet") else depth - 3)


def test_size_of_cnn4_by_hand():
    macs = 28 * 28 * 9 * 1 * 4 + 14 * 14 * 9 * 4 * 8 + 7 * 7 * 9 * 8 * 16 + 16 * 10
    assert size(build("cnn4", 10, seed=0), (1, 28, 28)) == Size(1_702, macs)


def test_size_of_an_mlp_by_hand():
    net = build("mlp30x20", 10, seed=0)
    weights = 784 * 30 + 30 * 20 + 20 * 10
    assert size(net, (1, 28, 28)) == Size(weights + 30 + 20 + 10, weights)


def test_size_of_a_network_of_ones_own_by_hand():
    """Groups, a stride, double precision, a layer that runs twice."""
    conv, linear = nn.Conv2d(4, 8, 3, stride=2, groups=2), nn.Linear(8, 8)
    net = nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear, linear).double()
    assert size(net, (4, 9, 9)) == Size(8 * 18 + 8 + 72, 4 * 4 * 8 * 18 + 2 * 64)


def test_size_disturbs_nothing():
    net = build("cnn4", 10, seed=0).train()
    net.block2.eval()
    before, modes = copy.deepcopy(net.state_dict()), [m.training for m in net.modules()]
    size(net)
    assert [m.training for m in net.modules()] == modes
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    with pytest.raises(RuntimeError):
        size(net, (2, 28, 28))
    assert [m.training for m in net.modules()] == modes


@pytest.mark.parametrize(
    ("name", "in_shape", "shapes"),
    [
        ("cnn4", (1, 28, 28), [(4, 14, 14), (8, 7, 7), (16, 3, 3), (16,)]),
        ("cnn4", (1, 8, 8), [(4, 4, 4), (8, 2, 2), (16, 1, 1), (16,)]),
        ("cnn4", (3, 32, 32), [(4, 16, 16), (8, 8, 8), (16, 4, 4), (16,)]),
        ("resnet8", (3, 32, 32), [(16, 32, 32), (32, 16, 16), (64, 8, 8), (64,)]),
        ("resnet8x4", (1, 8, 8), [(64, 8, 8), (128, 4, 4), (256, 2, 2), (256,)]),
        ("wrn_10_2", (1, 28, 28), [(32, 28, 28), (64, 14, 14), (128, 7, 7), (128,)]),
    ],
)
def test_taps_of_convolutional_nets(name, in_shape, shapes):
    net = build(name, 7, in_shape, seed=0)
    assert taps(net) == CONV_TAPS
    logits, features = tap(net, torch.randn(2, *in_shape), taps(net))
    assert logits.shape == (2, 7)
    assert list(features) == CONV_TAPS
    assert [tuple(f.shape[1:]) for f in features.values()] == shapes
    assert torch.allclose(net.linear(features["pool"]), logits)


def test_taps_of_an_mlp():
    net = build("mlp30x20", 10, (3, 8, 8), seed=0)
    assert taps(net) == ["hidden1", "hidden2"]
    _, features = tap(net, torch.randn(5, 3, 8, 8), ["hidden2", "hidden1"])
    assert {k: tuple(v.shape) for k, v in features.items()} == {
        "hidden2": (5, 20),
        "hidden1": (5, 30),
    }


def test_tap_equals_a_plain_forward_pass():
    net, x = build("cnn4", 10, seed=0).eval(), torch.randn(3, 1, 28, 28)
    logits, features = tap(net, x, "block1")
    assert torch.equal(logits, net(x))
    assert torch.equal(features["block1"], net.block1(x))


def test_tap_takes_dotted_names_of_any_net():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
            self.spare = nn.Linear(3, 3)

        def forward(self, x):
            return self.body(x)

    net, x = Own(), torch.randn(2, 4)
    assert taps(net) == ["body", "body.0", "body.1", "spare"]
    _, features = tap(net, x, ["body.0"])
    assert torch.equal(features["body.0"], net.body[0](x))
    with pytest.raises(ValueError, match="never runs 'spare'"):
        tap(net, x, ["spare"])


def hooks(net: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in net.modules())


def test_hooks_are_gone_afterwards_and_after_an_error():
    net = build("cnn4", 10, seed=0)
    tap(net, torch.randn(2, 1, 28, 28), CONV_TAPS)
    assert hooks(net) == 0
    with pytest.raises(RuntimeError):
        tap(net, torch.randn(2, 3, 28, 28), CONV_TAPS)
    assert hooks(net) == 0


def test_unknown_tap_names_the_known_ones():
    net = build("cnn4", 10, seed=0)
    with pytest.raises(ValueError, match=r"no tap 'layer1'.*block1, block2, block3, pool"):
        tap(net, torch.randn(2, 1, 28, 28), ["block1", "layer1"])
    assert hooks(net) == 0


@pytest.mark.parametrize("name", ["cnn4", "resnet8", "wrn_10_1"])
def test_gradient_flows_through_taps_in_train_mode(name):
    net = build(name, 10, seed=0).train()
    _, features = tap(net, torch.randn(2, 1, 28, 28), ["block2"])
    features["block2"].square().mean().backward()
    assert all(p.grad.abs().sum() > 0 for p in net.block1.parameters() if p.ndim == 4)
    assert net.linear.weight.grad is None


def test_residual_block_is_the_equation():
    block = build("resnet14", 10, (3, 32, 32), seed=0).eval().block2[1]
    x = torch.randn(2, 32, 4, 4)
    f = block.norm2(block.conv2(torch.relu(block.norm1(block.conv1(x)))))
    assert torch.allclose(block(x), torch.relu(x + f))


def test_pre_activation_block_keeps_the_identity_path():
    block = build("wrn_16_1", 10, (3, 32, 32), seed=0).eval().block2[1]
    nn.init.zeros_(block.conv2.weight)
    x = torch.randn(2, 32, 4, 4)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("name", ["cnn4", "mlp30", "resnet8", "wrn_10_1"])
def test_seed_decides_the_weights(name):
    first, again, other = (build(name, 10, seed=seed) for seed in (3, 3, 4))
    assert equal(first, again)
    assert not equal(first, other)


def test_global_generator_is_neither_used_nor_moved():
    torch.manual_seed(1)
    before, first = torch.get_rng_state(), build("cnn4", 10, seed=0)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert equal(first, build("cnn4", 10, seed=0))


def test_weights_come_from_the_stream_of_the_name():
    net, wide = build("mlp30", 10, seed=0), build("mlp30x30", 10, seed=0)
    assert not torch.equal(net.hidden1[0].weight, wide.hidden1[0].weight)


@pytest.mark.parametrize("name", ["cnn4", "mlp30x30", "resnet8", "wrn_10_1"])
def test_copies_and_pickles(name):
    net, x = build(name, 10, seed=0).eval(), torch.randn(2, 1, 28, 28)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(twin(x), net(x))


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("resnet20x", "resnet20"),
        ("ResNet20", "resnet20"),
        ("wrn-40-2", "wrn_40_2"),
        ("cnn0", "cn"),
    ],
)
def test_unknown_name_suggests_the_nearest(name, near):
    with pytest.raises(ValueError, match=f"no network '{name}'.*cnnW, mlpHxH.*mean '{near}"):
        build(name, 10, seed=0)


def test_unknown_name_without_a_near_one_lists_examples():
    with pytest.raises(ValueError, match=r"no network '\?'.*cnn4.*resnet20.*wrn_40_2"):
        build("?", 10, seed=0)


@pytest.mark.parametrize(
    ("name", "n_classes", "in_shape", "words"),
    [
        ("cnn4", 10, (1, 7, 28), "cnn4.*8x8 or more.*7x28: enlarge"),
        ("resnet20", 10, (1, 3, 3), "resnet20.*4x4 or more.*3x3"),
        ("wrn_16_2", 10, (1, 3, 3), "wrn_16_2.*4x4 or more.*3x3"),
        ("resnet21", 10, (1, 28, 28), "Depth 21 is not possible.*6n \\+ 2"),
        ("resnet2", 10, (1, 28, 28), "Depth 2 is not possible.*6n \\+ 2"),
        ("wrn_40_2", 0, (1, 28, 28), "n_classes is 0"),
        ("wrn_41_2", 10, (1, 28, 28), "Depth 41 is not possible.*6n \\+ 4"),
        ("cnn4", 10, (28, 28), "three positive"),
    ],
)
def test_bad_input_is_one_sentence(name, n_classes, in_shape, words):
    with pytest.raises(ValueError, match=words) as error:
        build(name, n_classes, in_shape, seed=0)
    assert "\n" not in str(error.value)
    assert str(error.value).endswith((".", "like.", "?"))


def test_a_network_is_no_name():
    with pytest.raises(TypeError, match=r"is a Sequential, but a name such as 'cnn8' is exp"):
        build(build("cnn2", 10, seed=0), 10, seed=0)
