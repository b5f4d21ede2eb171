"""Deep thin students, their lower part, and the regressor that is thrown away.

`thin` builds what Romero et al. 2015 call a thin deep net: any number of 3x3 convolutions, all of
one width. Three of the four KINDS differ from the first in a point that was found in the same year:

* ``plain``: convolution and ReLU, PyTorch's default first weights (variance 1 / (3 fan in));
* ``he``: the same with first weights of variance 2 / fan in (He et al. 2015, arXiv:1502.01852);
* ``bn``: plain with batch norm before each ReLU (Ioffe, Szegedy 2015, arXiv:1502.03167);
* ``skips``: bn with a shortcut around each layer, ReLU(x + f(x)) (He et al. 2015,
  arXiv:1512.03385, where a shortcut goes around two).

At the entrance images are averaged over 4 x 4 pixels, so that a run stays cheap: 28 x 28 pixels
become 7 x 7. After two thirds of the layers maps are halved. So they have the sizes of the second
block (7 x 7) and of the third (3 x 3) of the course's teacher.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kdlab.models import ChannelsLast, Shape
from kdlab.seeds import stream
from kdlab.train.method import Knob

KINDS, WIDTH = ("plain", "he", "bn", "skips"), 8
REGRESSOR = Knob("regressor", "conv", "weights shared by all places?", choices=("conv", "dense"))


class Layer(nn.Module):
    """Halve the maps or not, convolve, normalise or not, ReLU, with a shortcut or not."""

    def __init__(self, c_in: int, c_out: int, kind: str, halve: bool) -> None:
        super().__init__()
        normed = kind in ("bn", "skips")
        self.pool = nn.Sequential(ChannelsLast(), nn.MaxPool2d(2)) if halve else nn.Identity()
        self.conv = nn.Conv2d(c_in, c_out, 3, padding=1, bias=not normed)
        self.norm = nn.BatchNorm2d(c_out) if normed else nn.Identity()
        self.skip = kind == "skips" and c_in == c_out
        if kind == "he" and self.conv.bias is not None:
            nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")
            nn.init.zeros_(self.conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, c_in, H, W) to (B, c_out, H, W), or half of H and W."""
        x = self.pool(x)
        f = self.norm(self.conv(x))
        return torch.relu(x + f if self.skip else f)


def thin(
    depth: int, kind: str = "plain", *, n_classes: int, in_shape: Shape, seed: int
) -> nn.Sequential:
    """Return a net of `depth` convolutions of WIDTH channels, from images (C, H, W) to logits.

    Its children are ``shrink``, ``layer1`` to ``layerD``, ``pool`` and ``linear``. Equal arguments
    give equal weights; the global random generators stay as they were.

    Raises:
        ValueError: an unknown kind, fewer than three layers, or images below 8 x 8.
    """
    if kind not in KINDS:
        raise ValueError(f"the kind is {kind!r}; choose one of {', '.join(KINDS)}.")
    if depth < 3 or min(in_shape[1:]) < 8:
        raise ValueError(f"{depth} layers on {in_shape}; give 3 or more, and 8x8 pixels or more.")
    last = -(-2 * depth // 3) + 1  # the layer that halves the maps
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(stream(seed, "init", "thin", depth))
        layers = {
            f"layer{i}": Layer(in_shape[0] if i == 1 else WIDTH, WIDTH, kind, i == last)
            for i in range(1, depth + 1)
        }
        pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        ends = {"pool": pool, "linear": nn.Linear(WIDTH, n_classes)}
        return nn.Sequential(OrderedDict(shrink=nn.AvgPool2d(4), **layers, **ends))


def middle(depth: int) -> str:
    """Return the name of the layer in the middle: the paper's guided layer."""
    return f"layer{(depth + 1) // 2}"


def up_to(net: nn.Module, name: str) -> nn.Sequential:
    """Return the part of a sequential `net` that ends with its child `name`; it shares the weights.

    Raises:
        ValueError: `net` is not sequential, or has no such child.
    """
    names = [child for child, _ in net.named_children()]
    if not isinstance(net, nn.Sequential) or name not in names:
        raise ValueError(f"no layer {name!r} in this {type(net).__name__}: {', '.join(names)}.")
    return net[: names.index(name) + 1]


def kernel(guided: Sequence[int], hint: Sequence[int]) -> tuple[int, int]:
    """Return N_g - N_h + 1, the kernel of a regressor without padding, for maps (C, H, W).

    Raises:
        ValueError: the hint's map is the larger one.
    """
    if guided[1] < hint[1] or guided[2] < hint[2]:
        sizes = f"{hint[1]}x{hint[2]} is larger than the guided one of {guided[1]}x{guided[2]}"
        raise ValueError(f"the hint's map of {sizes}, and r only shrinks maps: take another pair.")
    return guided[1] - hint[1] + 1, guided[2] - hint[2] + 1


def build_regressor(
    guided: Sequence[int], hint: Sequence[int], kind: str = "conv", seed: int = 0
) -> nn.Sequential:
    """Return r, from maps (B, *guided) to maps (B, *hint), with the ReLU that the hint has, too.

    "conv" is the paper's convolution without padding. "dense" has a weight for each pair of units.
    """
    REGRESSOR.check(kind)
    inner, outer = torch.Size(guided), torch.Size(hint)
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(stream(seed, "init", "regressor"))
        if kind == "conv":
            return nn.Sequential(nn.Conv2d(inner[0], outer[0], kernel(inner, outer)), nn.ReLU())
        linear = nn.Linear(inner.numel(), outer.numel())
        return nn.Sequential(nn.Flatten(), linear, nn.Unflatten(1, outer), nn.ReLU())
