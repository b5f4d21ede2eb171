"""Every network of the course, named features inside it, and its size.

Families (`W`, `D`, `K`, `H` are whole numbers):

* ``cnnW``: three blocks conv3x3 - BN - maxpool2 - ReLU of W, 2W and 4W channels, global average
  pool, linear. Pooling before the ReLU gives the same numbers as after it, from a quarter of the
  work. On (1, 28, 28) and 10 classes cnn2 has 496 parameters, cnn4 1,702, cnn32 94,186.
* ``mlpHxH``: hidden ReLU layers, e.g. ``mlp30x30`` or ``mlp800x800``.
* ``resnetD``: He, Zhang, Ren, Sun 2016, arXiv:1512.03385, section 4.2, D = 6n + 2, stages of 16,
  32 and 64 channels. Where a stage changes the shape, the shortcut is a 1x1 convolution with BN
  (option B), as the distillation benchmarks have it; the paper's CIFAR nets pad zeros (option A).
* ``resnetDx4``: stem of 32 channels, stages of 64, 128 and 256: the CIFAR-100 benchmark of Tian,
  Krishnan, Isola 2020 (CRD), arXiv:1910.10699.
* ``wrn_D_K``: pre-activation wide net, Zagoruyko, Komodakis 2016, arXiv:1605.07146, section 2,
  D = 6n + 4, stages of 16K, 32K and 64K channels, no dropout.

Parameters on (3, 32, 32) and 100 classes: resnet8 83,892, resnet20 278,324, resnet32 472,756,
resnet56 861,620, resnet110 1,736,564, resnet8x4 1,233,540, resnet32x4 7,433,860, wrn_16_2 703,284,
wrn_40_2 2,255,156: in millions, the figures that the benchmark prints.

Taps have the same names everywhere: ``block1``, ``block2``, ``block3`` are the maps (B, C, H, W)
after a stage, ``pool`` the pooled features (B, F); an MLP has ``hidden1``, ``hidden2``, ... (B, F).
A wide net's blocks end before the next BN and ReLU, so these maps have negative values too.
"""

import difflib
import math
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from kdlab.seeds import stream

Shape = tuple[int, int, int]  # channels, height, width of an image
Features = dict[str, Tensor]
Modules = dict[str, nn.Module]
Body = tuple[Modules, int]  # all but the last layer, and how many features reach that
EXAMPLES = (
    *("cnn2", "cnn4", "cnn8", "cnn16", "cnn32", "cnn64", "mlp30", "mlp30x30", "mlp800x800"),
    *("resnet8", "resnet20", "resnet32", "resnet56", "resnet110", "resnet8x4", "resnet32x4"),
    *("wrn_16_2", "wrn_40_2"),
)


class Size(NamedTuple):
    """Cost of a network: `params` weights and biases, `macs` multiply-adds for one image."""

    params: int
    macs: int


def build(name: str, n_classes: int, in_shape: Shape = (1, 28, 28), *, seed: int) -> nn.Module:
    """Return the network `name` for images `in_shape` (C, H, W), with fresh weights on the CPU.

    It maps (B, C, H, W) to logits (B, n_classes). Equal name, shapes and seed give equal weights
    bit for bit; the global random generators stay as they were.
    Raises ValueError for an unknown name, or a shape or depth that the family cannot have;
    TypeError for what is no name.
    """
    if not isinstance(name, str):
        raise TypeError(
            f"the network is a {type(name).__name__}, but a name such as 'cnn8' is expected; a "
            "trained network of your own becomes a teacher by Frozen(net, data)."
        )
    if n_classes < 1:
        raise ValueError(f"n_classes is {n_classes}, but a network needs at least one output.")
    if len(in_shape) != 3 or min(in_shape) < 1:
        raise ValueError(f"in_shape is {tuple(in_shape)}, but it must be three positive (C, H, W).")
    for pattern, side, family in FAMILIES:
        if not (match := re.fullmatch(pattern, name)):
            continue
        if min(in_shape[1:]) < side:
            given = f"{in_shape[1]}x{in_shape[2]}"
            need = f"{name} halves its maps and needs images of {side}x{side} or more"
            raise ValueError(f"{need}, but they are {given}: enlarge them or take an MLP.")
        with torch.device("cpu"), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(stream(seed, "init", name))
            body, features = family((*in_shape,), *match.groups())
            return nn.Sequential(OrderedDict(body, linear=nn.Linear(features, n_classes)))
    near = difflib.get_close_matches(name.lower(), EXAMPLES, n=1, cutoff=0.5)
    raise ValueError(
        f"There is no network {name!r}; the families are cnnW, mlpHxH, resnetD, resnetDx4 and "
        f"wrn_D_K" + (f": did you mean {near[0]!r}?" if near else f", e.g. {', '.join(EXAMPLES)}.")
    )


def _conv(c_in: int, c_out: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, bias=False)


def _pool() -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


class ChannelsLast(nn.Module):
    """The same numbers in another order in memory, in which a CPU pools several times faster."""

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` (B, C, H, W), the channels of a pixel side by side."""
        return x.contiguous(memory_format=torch.channels_last)


def _cnn(in_shape: Shape, width: str) -> Body:
    widths = (in_shape[0], *(int(width) * factor for factor in (1, 2, 4)))

    def block(i: int) -> nn.Module:
        layers = [_conv(widths[i - 1], widths[i]), nn.BatchNorm2d(widths[i])]
        layers += [ChannelsLast()] if i == 1 else []  # later blocks keep the order they get
        return nn.Sequential(*layers, nn.MaxPool2d(2), nn.ReLU())

    return {**{f"block{i}": block(i) for i in (1, 2, 3)}, "pool": _pool()}, widths[3]


def _mlp(in_shape: Shape, hidden: str) -> Body:
    widths = [math.prod(in_shape), *(int(width) for width in hidden.split("x"))]
    layers = {
        f"hidden{i}": nn.Sequential(nn.Linear(widths[i - 1], widths[i]), nn.ReLU())
        for i in range(1, len(widths))
    }
    return {"flatten": nn.Flatten(), **layers}, widths[-1]


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut: ReLU(x + f(x)). He et al. 2016, figure 2."""

    def __init__(self, c_in: int, c_out: int, stride: int):
        super().__init__()
        self.conv1, self.norm1 = _conv(c_in, c_out, stride=stride), nn.BatchNorm2d(c_out)
        self.conv2, self.norm2 = _conv(c_out, c_out), nn.BatchNorm2d(c_out)
        same = c_in == c_out and stride == 1
        change = () if same else (_conv(c_in, c_out, 1, stride), nn.BatchNorm2d(c_out))
        self.shortcut = nn.Sequential(*change)  # empty: the identity

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, c_in, H, W) to (B, c_out, H / stride, W / stride)."""
        f = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        return torch.relu(self.shortcut(x) + f)


class PreActivation(nn.Module):
    """BN and ReLU come before each 3x3 convolution. Zagoruyko, Komodakis 2016, figure 1 (c)."""

    def __init__(self, c_in: int, c_out: int, stride: int):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(c_in), _conv(c_in, c_out, stride=stride)
        self.norm2, self.conv2 = nn.BatchNorm2d(c_out), _conv(c_out, c_out)
        same = c_in == c_out and stride == 1
        self.shortcut = None if same else _conv(c_in, c_out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, c_in, H, W) to (B, c_out, H / stride, W / stride)."""
        active = torch.relu(self.norm1(x))
        f = self.conv2(torch.relu(self.norm2(self.conv1(active))))
        return f + (x if self.shortcut is None else self.shortcut(active))


def _stages(block: type[nn.Module], widths: tuple[int, ...], depth: str, rest: int) -> Modules:
    """Three stages of n blocks; the second and third halve the maps with their first block."""
    n, left = divmod(int(depth) - rest, 6)
    if n < 1 or left:
        raise ValueError(
            f"Depth {depth} is not possible: this family needs 6n + {rest} with n >= 1, "
            f"so take {', '.join(str(6 * n + rest) for n in (1, 2, 3, 6))} or the like."
        )
    return {
        f"block{i}": nn.Sequential(
            block(widths[i - 1], widths[i], 1 if i == 1 else 2),
            *(block(widths[i], widths[i], 1) for _ in range(n - 1)),
        )
        for i in (1, 2, 3)
    }


def _he(body: Modules) -> Modules:
    """Draw convolution weights as He et al. 2015, arXiv:1502.01852, section 2.2 (fan out)."""
    for module in nn.ModuleDict(body).modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return body


def _resnet(in_shape: Shape, depth: str, wide: str | None) -> Body:
    widths = (32, 64, 128, 256) if wide else (16, 16, 32, 64)
    stem = nn.Sequential(_conv(in_shape[0], widths[0]), nn.BatchNorm2d(widths[0]), nn.ReLU())
    stages = _stages(Residual, widths, depth, 2)
    return _he({"stem": stem, **stages, "pool": _pool()}), widths[3]


def _wrn(in_shape: Shape, depth: str, factor: str) -> Body:
    k = int(factor)
    widths = (16, 16 * k, 32 * k, 64 * k)
    stages = _stages(PreActivation, widths, depth, 4)
    pool = nn.Sequential(nn.BatchNorm2d(widths[3]), nn.ReLU(), *_pool().children())
    return _he({"stem": _conv(in_shape[0], 16), **stages, "pool": pool}), widths[3]


FAMILIES = (  # pattern of the name, smallest side of an image, what makes the body
    (r"cnn([1-9]\d*)", 8, _cnn),
    (r"mlp([1-9]\d*(?:x[1-9]\d*)*)", 1, _mlp),
    (r"resnet([1-9]\d*)(x4)?", 4, _resnet),
    (r"wrn_([1-9]\d*)_([1-9]\d*)", 4, _wrn),
)


def taps(model: nn.Module) -> list[str]:
    """Return the names that `tap` knows: block1.. and pool, or hidden1.., in forward order.

    A network of one's own without such children gives all its dotted submodule names instead.
    """
    model = plain(model)
    named = [n for n, _ in model.named_children() if re.fullmatch(r"(block|hidden)\d+|pool", n)]
    return named or [name for name, _ in model.named_modules() if name]


def plain(net: nn.Module) -> nn.Module:
    """Return the network inside a compiled or data-parallel one, which has the names of its parts.

    A compiled network runs no hooks, so features are asked of the network that was compiled.
    """
    while inner := getattr(net, "_orig_mod", None) or _replicated(net):
        net = inner
    return net


def _replicated(net: nn.Module) -> nn.Module | None:
    kinds = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    return net.module if isinstance(net, kinds) else None


def check_taps(net: nn.Module, names: str | Iterable[str]) -> tuple[str, ...]:
    """Return `names` as a tuple; refuse one that `net` does not have, before anything is run."""
    names = (names,) if isinstance(names, str) else tuple(names)
    known = {name for name, _ in plain(net).named_modules(remove_duplicate=False) if name}
    if unknown := [name for name in names if _inside(name) not in known]:
        raise ValueError(
            f"There is no tap {unknown[0]!r} in this {type(net).__name__}; it has "
            f"{', '.join(taps(net))}, and every name in net.named_modules()."
        )
    return names


def _inside(name: str) -> str:
    """Return the name of a part as the network itself has it, not the one that wraps it."""
    return re.sub(r"^(_orig_mod\.|module\.)+", "", name)


def logits_in(answer: Any) -> Tensor:
    """Return the logits in what a network answers.

    That is the tensor itself, the ``.logits`` of an object, the "logits" of a dict, or the first
    part of a tuple or list. What is in them is looked at by `kdlab.train.gate`.

    Raises:
        TypeError: the answer holds none of these.
    """
    found = answer
    if not isinstance(found, Tensor):
        found = getattr(answer, "logits", None)
        if found is None and isinstance(answer, Mapping):
            found = answer.get("logits")
        elif found is None and isinstance(answer, tuple | list) and answer:
            found = answer[0]
    if not isinstance(found, Tensor):
        parts = answer if isinstance(answer, tuple | list) else ()
        held = f" of {[type(part).__name__ for part in parts]}" if parts else ""
        raise TypeError(
            f"the network answers with a {type(answer).__name__}{held}; expected are logits "
            "(B, C), an object with .logits, or a tuple that begins with them: wrap it in an "
            "nn.Module whose forward returns the logits."
        )
    return found


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Let `net` answer as after training, batch norm by its statistics; then it is as it came."""
    modes = [(part, part.training) for part in net.modules()]
    try:
        for part, _ in modes:
            part.training = False  # an exported program has no eval()
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def tap(model: nn.Module, x: Tensor, names: str | Iterable[str]) -> tuple[Tensor, Features]:
    """Run `model` on `x` (B, C, H, W); return its logits (B, n_classes) and the named features.

    Any dotted submodule name will do (``"block2.0.conv1"``). Features keep their gradient and the
    order asked for; a submodule that runs twice gives its last output, as it was before a later
    layer changed it in place. The hooks are gone afterwards, also after an error. Raises ValueError
    for an unknown name or one that never runs, TypeError for a submodule that returns no tensor.
    """
    names = check_taps(model, names)
    model, found, hooks = plain(model) if names else model, dict[str, Tensor](), []

    def keep(name: str, module: nn.Module, args: Any, output: Any) -> None:
        if not isinstance(output, Tensor):
            raise TypeError(f"{name!r} returns a {type(output).__name__}; tap one of its parts.")
        found[name] = output.clone()

    try:
        for name in dict.fromkeys(names):
            part = model.get_submodule(_inside(name))
            hooks.append(part.register_forward_hook(partial(keep, name)))
        logits = logits_in(model(x))
    finally:
        for hook in hooks:
            hook.remove()
    if missed := [name for name in names if name not in found]:
        raise ValueError(f"The forward pass never runs {missed[0]!r}; tap one that it calls.")
    return logits, {name: found[name] for name in names}


@torch.no_grad()
def size(model: nn.Module, in_shape: Shape = (1, 28, 28)) -> Size:
    """Return the number of parameters of `model`, and the multiply-adds for one image (C, H, W).

    Counts convolutions, linear layers and other products of matrices; biases, BN, ReLU and pooling
    cost nothing here. Batch statistics and train mode stay as they were.
    """
    from torch.utils.flop_counter import FlopCounterMode  # slow to import, and seldom needed

    image = next(model.parameters(), torch.empty(0)).new_zeros(1, *in_shape)
    with FlopCounterMode(display=False) as counter, evaluating(model):
        model(image)
    macs = counter.get_total_flops() // 2  # a multiply-add is two operations
    return Size(sum(p.numel() for p in model.parameters()), macs)
