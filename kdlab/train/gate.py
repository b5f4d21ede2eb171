"""One gate for networks: each is asked for its answers before anything trains.

What people bring is taken as it is: an answer object with ``.logits``, a tuple, half precision,
compiled, scripted, exported or quantised networks. What comes out must be finite logits (B, C).
Nonsense that a training would only show at its end is told before, as a `Suspicion`: a teacher
that does not know the labels, or a network that answers with probabilities. `strict` makes it an
error.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from kdlab.data import Batch, Data, Split
from kdlab.measure import logits_of
from kdlab.train.recipe import Recipe

FEW = 0.5  # a teacher that knows less of the labels it is asked for is looked at
SUM = 1e-3  # how far a row of rounded probabilities may sum up beside 1


class Suspicion(UserWarning):
    """Something that will train, and probably not as it is meant."""


def strict() -> None:
    """Make every `Suspicion` an error from here on."""
    warnings.simplefilter("error", Suspicion)


def check_network(net: Any, who: str = "teacher") -> None:
    """Refuse what is no network, and say how it becomes one; `who` names its part.

    Raises:
        TypeError: `net` is a path, a table of weights, a function, or a teacher that is frozen.
    """
    if isinstance(net, nn.Module):
        return
    lines = 'net.load_state_dict(torch.load("FILE", weights_only=True)), then Frozen(net, data)'
    told = {
        "wrap it in an nn.Module whose forward calls it": callable(net),
        "it is frozen: give it to the method as it is": hasattr(net, "answers"),
        f"build the network and load its weights: {lines}": isinstance(net, Mapping | str)
        or hasattr(net, "__fspath__"),
    }
    advice = [words for words, fits in told.items() if fits] or ["give a trained torch.nn.Module"]
    raise TypeError(f"the {who} is a {type(net).__name__}, not a network; {advice[-1]}.")


def check_call(method: Any, data: Any, recipe: Any) -> None:
    """Refuse what `kdlab.train.fit.fit` cannot train, in the words of its arguments.

    Raises:
        TypeError: one of the three is of another kind than `fit` takes.
    """
    if not isinstance(method, nn.Module) or not callable(getattr(method, "parameters", None)):
        raise TypeError(f"the method is a {type(method).__name__}; give CE(net), KD(net, ...).")
    if not isinstance(data, Data):
        raise TypeError(
            f"the data is a {type(data).__name__}; give what kdlab.load returns. Images and labels "
            "of your own become a data set by numpy.savez(file, x=..., y=...) and load(file)."
        )
    if not isinstance(recipe, Recipe):
        raise TypeError(f"the recipe is a {type(recipe).__name__}; give Recipe(epochs=...).")


def check_before(method: nn.Module, data: Data, stored: bool) -> None:
    """Ask the networks of `method` for two images of ``data.train`` before anything trains.

    Its teachers are what it holds and can answer a batch; its student is what it predicts.
    `stored`: the images will be those of the data, not augmented ones.

    Raises:
        ValueError: answers that are no logits, labels beyond them, teachers and students of
            different classes, or a teacher whose weights would be trained.
    """
    x, y, index = (column[:2] for column in data.train)
    if not len(y):
        raise ValueError("the training set is empty; give at least one labelled image.")
    learning = {id(p) for p in method.parameters() if p.requires_grad}
    widths = {}
    for name, teacher in vars(method).items():
        if not hasattr(teacher, "answers") or isinstance(teacher, nn.Module):
            continue
        if any(id(p) in learning for p in teacher.net.parameters()):
            raise ValueError(
                f"the weights of {name} would be trained, too: the method holds its network as a "
                "part. Keep only Frozen(net, data), or give the student weights of its own."
            )
        widths[name] = checked(teacher(Batch(x, y, index, stored)), len(x), name).shape[1]
    if not hasattr(method, "predict"):
        return
    z = answers_of(method, x, "student")
    known = getattr(method, "n_classes", 0)
    if known == 0:  # its answers name no classes, or it does not say that they do
        return
    look_at_student(z)
    widths["student"] = known or z.shape[1]
    check_labels(data.train.y, widths["student"])
    if len(set(widths.values())) > 1:
        told = ", ".join(f"{name} {n}" for name, n in widths.items())
        raise ValueError(f"the networks know different numbers of classes: {told}.")


def check_labels(y: Tensor, n_classes: int) -> None:
    """Refuse labels (N,) that a student of `n_classes` cannot name."""
    if (y >= n_classes).any():
        raise ValueError(
            f"the labels go up to {int(y.max())}, but the student knows {n_classes} classes, from "
            f"0 to {n_classes - 1}; build it with data.n_classes."
        )


@contextmanager
def told_plainly(method: nn.Module) -> Iterator[None]:
    """Say in one sentence what a first update shows: a bare network, or too small a batch.

    Mixed precision from outside is left aside: its stored weights would stay those of the first
    update.
    """
    if torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda"):
        warn("fit computes in float32; the autocast around it is left aside.")
    try:
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            yield
    except (TypeError, AttributeError) as error:
        if hasattr(method, "predict"):
            raise
        raise TypeError(
            f"a {type(method).__name__} cannot train on a batch ({error}); a method can: give "
            "CE(net), or KD(net, teacher)."
        ) from error
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(
            "batch norm cannot learn from a single value a channel; take a larger batch in the "
            "recipe, two rows at least, or a network without batch norm."
        ) from error


def answers_of(method: nn.Module, x: Tensor, who: str = "teacher") -> Tensor:
    """Return the logits (N, C), float32, that a network or a method gives for `x` (N, C, H, W).

    Raises:
        ValueError: it cannot take such images, or its answers are no finite logits of two or more
            classes; -inf may stand where a class is ruled out.
    """
    try:
        with torch.random.fork_rng(devices=[]):
            z = logits_of(method, x)
    except Exception as error:  # whatever a network of somebody else raises
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise ValueError(
            f"the {who} cannot answer images of shape {tuple(x.shape[1:])}: {reason} Another size "
            "or number of channels? Put a layer before it that turns the images into what it was "
            "trained on, e.g. nn.Sequential(nn.Upsample(size=(32, 32)), net)."
        ) from error
    return checked(z, len(x), who)


def checked(z: Tensor, n: int, who: str) -> Tensor:
    """Return logits `z`; refuse them unless they are (n, C), C > 1, finite or -inf."""
    if z.dim() != 2 or len(z) != n or z.shape[1] < 2:
        one = z.numel() == n
        advice = (
            "a network of one logit z for two classes becomes one of two by torch.stack([0 * z, z])"
            if one
            else "give one row an image and one column a class"
        )
        raise ValueError(f"the {who} answers {n} images with shape {tuple(z.shape)}; {advice}.")
    if not z.is_floating_point():
        raise ValueError(f"the {who} answers with {z.dtype}; logits are real numbers.")
    bad = z.isnan() | (z == torch.inf)
    broken = int((bad.any(dim=1) | (z == -torch.inf).all(dim=1)).sum())
    if broken:
        raise ValueError(
            f"the {who} answers {broken} of {n} images with NaN or infinite logits; look for a "
            "damaged checkpoint, or an overflow in half precision."
        )
    return z


def is_probabilities(z: Tensor) -> bool:
    """Tell whether the rows of `z` (N, C) are probabilities."""
    whole = (z.sum(dim=1) - 1).abs().max() < SUM
    return bool(whole and z.min() >= 0 and not z.eq(z.round()).all())


def look_at_student(z: Tensor) -> None:
    """Warn where a student answers with probabilities `z` (N, C)."""
    if is_probabilities(z):
        warn("the student answers with probabilities; let it end before its softmax.")


def look_at_teacher(z: Tensor, rows: Split, classes: tuple[str, ...] = ()) -> None:
    """Warn where a teacher's answers `z` (N, C) to the images of `rows` look like a mistake."""
    if is_probabilities(z):
        warn(
            "the teacher answers with probabilities, which a softmax makes nearly even; let it end "
            "before its softmax, or take the logarithm."
        )
    if len(z) > 1 and (z == z[:1]).all():
        warn("the teacher gives every image the same answer; are its weights loaded?")
        return
    known = (rows.y >= 0) & (rows.y < z.shape[1])
    guess, y = z.argmax(dim=1)[known], rows.y[known]
    if len(y) < 10 or (right := (guess == y).float().mean().item()) >= FEW:
        return
    told = f"the teacher agrees with {100 * right:.0f} % of {len(y)} labels"
    pairs = torch.zeros(z.shape[1], z.shape[1]).index_put_((y, guess), torch.ones(()), True)
    mine, theirs = linear_sum_assignment(-pairs.numpy())
    if (best := pairs[mine, theirs].sum().item() / len(y)) >= max(FEW, 2 * right):
        c = next(c for c in range(len(mine)) if mine[c] != theirs[c])
        name = f", here {classes[c]!r}," if c < len(classes) else ""
        warn(
            f"{told}, and with {100 * best:.0f} % if its classes are numbered otherwise: class {c}"
            f"{name} would be its class {theirs[c]}; bring its outputs into the order of "
            "data.classes."
        )
    else:
        warn(
            f"{told}, where chance has {100 / z.shape[1]:.0f} %; was it trained on images of "
            "another scale? Images here have mean 0 and deviation 1 a channel: see kdlab.scaled."
        )


def warn(text: str) -> None:
    """Tell a suspicion, once for each text."""
    warnings.warn(text, Suspicion, stacklevel=4)


class Rescaled(nn.Module):
    """A network of another scaling, behind a layer that undoes that of the course."""

    factor: Tensor
    offset: Tensor

    def __init__(self, net: nn.Module, factor: Tensor, offset: Tensor) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("factor", factor)
        self.register_buffer("offset", offset)

    def forward(self, x: Tensor) -> Tensor:
        """Return what the network answers to the images `x` (B, C, H, W) on its own scale."""
        return self.net(x * self.factor + self.offset)


def scaled(
    net: nn.Module, data: Any, mean: float | list[float] = 0.0, std: float | list[float] = 1.0
) -> nn.Module:
    """Return `net`, which was trained on (image - mean) / std, for the images of `data`.

    Args:
        net: a network, for images on the scale [0, 1] less `mean`, over `std`.
        data: a `kdlab.data.Data`, whose images have their own mean and deviation taken out.
        mean, std: one number, or one a channel. Bytes 0 to 255: mean 0, std 1 / 255.

    >>> from kdlab import load
    >>> data = load("digits")
    >>> round(scaled(nn.Identity(), data)(data.test.x).max().item(), 4)
    1.0
    """
    m, s = (torch.tensor(v).reshape(-1, 1, 1) for v in (data.mean, data.std))
    want_m, want_s = (torch.as_tensor(v).float().reshape(-1, 1, 1) for v in (mean, std))
    return Rescaled(net, s / want_s, (m - want_m) / want_s)
