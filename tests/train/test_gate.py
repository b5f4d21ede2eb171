"""Networks of somebody else: taken as they are, or refused in one sentence before training."""

import copy
import random
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kdlab.data import Batch, Data, load
from kdlab.measure import evaluate
from kdlab.models import build, tap
from kdlab.papers.kd.method import KD, kd_loss
from kdlab.papers.rkd.method import RKD
from kdlab.train.fit import fit
from kdlab.train.frozen import LOGITS, Frozen
from kdlab.train.gate import Suspicion, scaled, strict
from kdlab.train.method import CE, hard_loss
from kdlab.train.recipe import Recipe

SHORT = Recipe(steps=4)


@pytest.fixture(scope="module")
def digits() -> Data:
    return load("digits")


@pytest.fixture(scope="module")
def good(digits: Data) -> nn.Module:
    """A teacher that knows its digits."""
    method = CE(mlp(digits))
    fit(method, digits, Recipe(epochs=3), device="cpu")
    return method.student.eval()


@pytest.fixture(autouse=True)
def no_suspicion() -> Iterator[None]:
    """Nothing here is suspicious, except where a test says so."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Suspicion)
        yield


def mlp(data: Data, seed: int = 0) -> nn.Module:
    return build("mlp30", data.n_classes, data.in_shape, seed=seed)


class Answer(NamedTuple):
    logits: Tensor
    aux: Tensor


class Wrapped(nn.Module):
    """A network that answers as `shape` makes it."""

    def __init__(self, net: nn.Module, shape: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.net, self.shape = net, shape

    def forward(self, x: Tensor) -> Any:
        return self.shape(self.net(x))


SHAPES = {
    "tuple": lambda z: (z, {"feats": [z]}),
    "list": lambda z: [z, z],
    "named tuple": lambda z: Answer(z, 2 * z),
    "dict": lambda z: {"aux": 2 * z, "logits": z},
    "ordered dict": lambda z: OrderedDict(logits=z),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_an_answer_that_holds_logits_is_taken(digits: Data, good: nn.Module, shape: str):
    frozen = Frozen(Wrapped(good, SHAPES[shape]), digits)
    assert torch.equal(frozen.stored(), Frozen(good, digits).stored())
    method = KD(Wrapped(mlp(digits, 1), SHAPES[shape]), frozen)
    assert fit(method, digits, Recipe(epochs=2))["soft"].iloc[-1] > 0
    assert evaluate(method, digits.test)["accuracy"] > 20
    augmented = Recipe(steps=4, shift=1)
    assert fit(KD(mlp(digits), frozen), digits, augmented)["soft"].gt(0).all()


def scripted(net: nn.Module, x: Tensor) -> nn.Module:
    return torch.jit.trace(net, x[:2])


def exported(net: nn.Module, x: Tensor) -> nn.Module:
    sizes = ({0: torch.export.Dim("batch")},)
    return torch.export.export(net, (x[:4],), dynamic_shapes=sizes).module()


def weight_normed(net: nn.Module, _: Tensor) -> nn.Module:
    return nn.Sequential(net[:2], nn.utils.parametrizations.weight_norm(net[2]))


FORMS: dict[str, tuple[Callable[[nn.Module, Tensor], nn.Module], float]] = {
    "half": (lambda net, _: net.half(), 0.1),
    "bfloat16": (lambda net, _: net.bfloat16(), 0.5),
    "double": (lambda net, _: net.double(), 1e-4),
    "scripted": (scripted, 1e-4),
    "exported": (exported, 1e-4),
    "compiled": (lambda net, _: torch.compile(net, backend="eager"), 1e-4),
    "data parallel": (lambda net, _: nn.DataParallel(net), 1e-4),
    "weight norm": (weight_normed, 1e-4),
    "quantised": (lambda net, _: torch.ao.quantization.quantize_dynamic(net, {nn.Linear}), 3.0),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("form", FORMS)
def test_a_trained_network_is_taken_in_any_form(digits: Data, good: nn.Module, form: str):
    change, far = FORMS[form]
    net = change(copy.deepcopy(good), digits.train.x)
    frozen = Frozen(net, digits)
    z = frozen.stored()
    assert z.dtype == torch.float32
    torch.testing.assert_close(z, Frozen(good, digits).stored(), atol=far, rtol=0.1)
    history = fit(KD(mlp(digits), frozen), digits, Recipe(steps=4, shift=1))
    assert history["soft"].gt(0).all()


class Flattening(nn.Module):
    """Flattens by `view`, which refuses a map whose channels lie last."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 6, 3, padding=1), nn.Linear(6 * 16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.max_pool2d(torch.relu(self.conv(x)), 2)
        return self.fc(x.view(x.size(0), -1))


def test_a_network_leaves_as_it_came(digits: Data):
    net = Flattening().train()
    net.fc.eval()
    net.conv.weight.requires_grad_(False)
    before, source = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Suspicion)  # it is not trained
        frozen = Frozen(net, digits)
    fit(KD(mlp(digits), frozen), digits, Recipe(steps=3, shift=1))
    assert torch.equal(torch.get_rng_state(), source)
    assert net.training and net.conv.training and not net.fc.training
    assert not net.conv.weight.requires_grad and net.fc.weight.requires_grad
    assert net.conv.weight.is_contiguous()
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


class Noted(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value, self.head = value, nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        z = self.head(x.flatten(1))
        return torch.cat([torch.full_like(z[:1], self.value), z[1:]])


def to_flat(data: Data) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 1))


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (lambda d: Noted(torch.nan), "NaN or infinite"),
        (lambda d: Noted(torch.inf), "NaN or infinite"),
        (lambda d: Noted(-torch.inf), "NaN or infinite"),
        (lambda d: build("mlp30", 10, (1, 28, 28), seed=0), "shape .1, 8, 8."),
        (lambda d: build("resnet8", 10, (3, 32, 32), seed=0), "channels"),
        (lambda d: nn.Sequential(to_flat(d), nn.Flatten(0)), "one logit"),
        (to_flat, "one logit"),
        (lambda d: nn.Conv2d(1, 10, 3), "one row an image"),
        (lambda d: Wrapped(mlp(d), lambda z: {"features": z}), "expected are logits"),
    ],
)
@pytest.mark.parametrize("role", ["teacher", "student"])
def test_what_gives_no_logits_is_refused_before_training(digits: Data, role: str, net, words: str):
    with pytest.raises((ValueError, TypeError), match=words):
        if role == "teacher":
            Frozen(net(digits), digits)
        else:
            fit(CE(net(digits)), digits, SHORT)


@pytest.mark.parametrize(
    ("teacher", "words"),
    [
        (lambda net: net.state_dict(), "load_state_dict"),
        (lambda net: {"epoch": 3, "state_dict": net.state_dict()}, "load_state_dict"),
        (lambda net: "teacher.pt", "load_state_dict"),
        (lambda net: lambda x: x, "wrap it in an nn.Module"),
        (lambda net: None, "trained torch.nn.Module"),
    ],
)
def test_what_is_no_network_is_refused_with_the_way_to_one(good: nn.Module, teacher, words: str):
    with pytest.raises(TypeError, match=words):
        Frozen(teacher(good))


def test_a_frozen_teacher_is_not_frozen_again_and_can_be_measured(digits: Data, good: nn.Module):
    frozen = Frozen(good, digits)
    with pytest.raises(TypeError, match="frozen"):
        Frozen(frozen, digits)
    assert evaluate(frozen, digits.test)["accuracy"] == evaluate(good, digits.test)["accuracy"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda d: fit(mlp(d), d, SHORT), "CE.net."),
        (lambda d: fit(CE(mlp(d)), d.train, SHORT), "kdlab.load"),
        (lambda d: fit(CE(mlp(d)), [(d.train.x, d.train.y)], SHORT), "kdlab.load"),
        (lambda d: fit(CE(mlp(d)), d, 20), "Recipe"),
        (lambda d: fit(lambda batch: {}, d, SHORT), "CE.net"),
        (lambda d: load([d.train.x, d.train.y]), "path"),
    ],
)
def test_an_argument_of_another_kind_is_named(digits: Data, call, words: str):
    with pytest.raises(TypeError, match=words):
        call(digits)


@pytest.mark.parametrize("teacher", [None, torch.zeros(5, 10), nn.Linear(64, 10)])
def test_a_teacher_that_answers_no_batch_is_refused(digits: Data, teacher):
    with pytest.raises(ValueError, match="Frozen"):
        KD(mlp(digits), teacher)


# --- what trains, and probably not as it is meant ----------------------------------------------


class Projecting(nn.Module):
    """Its last registered layer is no part of the answer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 30), nn.ReLU())
        self.head, self.projector = nn.Linear(30, 10), nn.Linear(30, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


@pytest.mark.parametrize("width", [5, 128])
def test_classes_are_counted_by_what_comes_out(digits: Data, good: nn.Module, width: int):
    fit(KD(Projecting(width), Frozen(good, digits)), digits, SHORT)
    fit(CE(Projecting(width)), digits, SHORT)


def test_too_few_outputs_are_refused_whatever_the_last_layer(digits: Data, good: nn.Module):
    five = nn.Sequential(nn.Conv2d(1, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ValueError, match="5 classes"):
        fit(CE(five), digits, SHORT)
    twelve = Wrapped(build("mlp30", 12, digits.in_shape, seed=0), lambda z: z)
    with pytest.raises(ValueError, match="classes"):
        fit(KD(twelve, Frozen(good, digits)), digits, SHORT)


def test_an_embedding_names_no_classes(digits: Data, good: nn.Module):
    teacher = Frozen(good, digits, taps="hidden1")
    body = nn.Sequential(OrderedDict(flat=nn.Flatten(), hidden1=nn.Linear(64, 6)))
    fit(RKD(body, teacher, "hidden1", hard=0, soft=0), digits, SHORT)


class Placing(CE):
    """Learns places in the plane; says nothing of classes."""

    def __init__(self, student: nn.Module) -> None:
        super().__init__(student)
        del self.n_classes

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return {"spread": self.student(batch.x).square().mean()}


def test_a_method_that_does_not_tell_its_classes_may_answer_with_places(digits: Data):
    fit(Placing(nn.Sequential(nn.Flatten(), nn.Linear(64, 2))), digits, SHORT)


@pytest.mark.parametrize(
    ("wrap", "words"),
    [
        (lambda net, data: nn.Sequential(net, nn.Softmax(dim=1)), "probabilities"),
        (lambda net, data: Wrapped(net, lambda z: 0 * z + 1), "same answer"),
        (lambda net, data: Wrapped(net, lambda z: z.roll(3, dims=1)), "numbered otherwise"),
        (lambda net, data: mlp(data, 5), "another scale"),
    ],
)
def test_a_suspicious_teacher_is_told_once_with_its_figure(
    digits: Data, good: nn.Module, wrap, words: str
):
    with pytest.warns(Suspicion, match=words):
        Frozen(wrap(good, digits), digits)
    with warnings.catch_warnings():
        strict()
        with pytest.raises(Suspicion, match=words):
            Frozen(wrap(good, digits), digits)


def test_a_student_that_ends_in_a_softmax_is_told(digits: Data):
    with pytest.warns(Suspicion, match="probabilities"):
        fit(CE(nn.Sequential(mlp(digits), nn.Softmax(dim=1))), digits, SHORT)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1 / 255), (0.5, 0.5), ([0.45], [0.225])])
def test_a_teacher_of_another_scale_is_wrapped(digits: Data, good: nn.Module, mean, std):
    """One that was trained on (image - mean) / std is the good one behind the inverse layer."""
    m, s = (torch.tensor(v).reshape(-1, 1, 1) for v in (digits.mean, digits.std))
    theirs = torch.as_tensor(mean).reshape(-1, 1, 1), torch.as_tensor(std).reshape(-1, 1, 1)

    class Theirs(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return good((x * theirs[1] + theirs[0] - m) / s)

    right = Frozen(good, digits).stored()
    torch.testing.assert_close(
        Frozen(scaled(Theirs(), digits, mean, std), digits).stored(), right, atol=1e-2, rtol=1e-2
    )


# --- inside a training --------------------------------------------------------------------------


def dropping(data: Data) -> nn.Module:
    return nn.Sequential(nn.Dropout(0.5), mlp(data))


def test_equal_seeds_give_equal_runs_with_dropout_and_leave_the_generators(digits: Data):
    runs = []
    for seed in (0, 0, 1):
        torch.manual_seed(torch.seed() % 1000)
        before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
        runs.append(fit(CE(dropping(digits)), digits, Recipe(epochs=2), seed)["hard"].tolist())
        assert torch.equal(torch.get_rng_state(), before[0]) and random.getstate() == before[1]
        assert np.random.get_state()[1].tolist() == before[2]
    assert runs[0] == runs[1] != runs[2]


def test_mixed_precision_from_outside_is_left_aside(digits: Data):
    plain, inside = CE(mlp(digits)), CE(mlp(digits))
    fit(plain, digits, Recipe(epochs=2))
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.warns(Suspicion, match="float32"):
        fit(inside, digits, Recipe(epochs=2))
    assert torch.equal(plain.student.linear.weight, inside.student.linear.weight)


def test_batch_norm_of_a_single_row_is_one_sentence(digits: Data):
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))
    with pytest.raises(ValueError, match="larger batch"):
        fit(CE(net), digits, Recipe(epochs=1, batch=1))


class Keeping(nn.Module):
    """A method of one's own that keeps the network of its teacher, too."""

    def __init__(self, student: nn.Module, net: nn.Module, data: Data) -> None:
        super().__init__()
        self.student, self.net, self.teacher = student, net, Frozen(net, data)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        z = self.student(batch.x)
        return {"hard": hard_loss(z, batch.y), "soft": kd_loss(z, self.teacher(batch), 4.0)}

    def predict(self, x: Tensor) -> Tensor:
        return self.student(x)


def test_a_kept_teacher_answers_in_eval_mode_and_is_not_trained(digits: Data):
    warnings.simplefilter("ignore", Suspicion)  # it is not trained
    net = build("cnn2", 10, digits.in_shape, seed=3)
    with pytest.raises(ValueError, match="teacher would be trained"):
        fit(Keeping(mlp(digits), net, digits), digits, Recipe(steps=3, shift=1))
    net.requires_grad_(False)
    before = copy.deepcopy(net.state_dict())
    fit(Keeping(mlp(digits), net, digits), digits, Recipe(steps=3, shift=1))
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


# --- taps ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("inplace", [False, True])
def test_a_tap_is_what_its_layer_returned(inplace: bool):
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace), nn.Flatten()
    ).eval()
    x = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    found = tap(net, x, "1")[1]["1"]
    torch.testing.assert_close(found, net[1](net[0](x)))
    found.sum().backward()
    assert net[0].weight.grad is not None


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda net: torch.compile(net, backend="eager")])
@pytest.mark.parametrize("prefix", [True, False])
def test_a_wrapped_network_has_the_taps_of_the_one_inside(wrap, prefix: bool):
    net, x = build("cnn2", 10, seed=0).eval(), torch.zeros(2, 1, 28, 28)
    outer = wrap(net)
    name = next(n for n, _ in outer.named_modules() if n.endswith("pool")) if prefix else "pool"
    z, found = tap(outer, x, name)
    assert torch.equal(found[name], tap(net, x, "pool")[1]["pool"]) and torch.equal(z, net(x))


def test_a_tap_that_returns_no_tensor_is_refused():
    net = nn.Sequential(OrderedDict(pair=Wrapped(nn.Flatten(), SHAPES["tuple"])))
    with pytest.raises(TypeError, match="tap one of its parts"):
        tap(net, torch.zeros(1, 1, 2, 2), "pair")


def test_a_stored_teacher_of_taps_in_another_form(digits: Data, good: nn.Module):
    frozen = Frozen(copy.deepcopy(good).half(), digits, taps="hidden1")
    assert frozen.tables[LOGITS].dtype == frozen.tables["hidden1"].dtype == torch.float32
