"""Properties of public losses, loaders and the gate, for whatever input hypothesis thinks of."""

import contextlib
import tempfile
import warnings
from pathlib import Path

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from kdlab.data import load
from kdlab.data.checks import CHANNELS, check_images
from kdlab.measure import cka, fidelity, scores, softness
from kdlab.models import logits_in
from kdlab.papers.byot import method as byot
from kdlab.papers.data_free import losses as dreams
from kdlab.papers.dml.method import TARGETS, mimicry_loss
from kdlab.papers.efficacy.method import stop_loss
from kdlab.papers.fitnets import method as fitnets
from kdlab.papers.kd.method import kd_loss
from kdlab.papers.lsr.method import reg_term, soft_term
from kdlab.papers.mysteries.method import pull_up
from kdlab.papers.okddip.method import okddip_loss, one_terms
from kdlab.papers.okddip.mutual import mutual_loss
from kdlab.papers.rkd.method import rkd_angle, rkd_distance
from kdlab.papers.sskd.method import transfer_loss
from kdlab.papers.sskd.pretext import contrastive_loss
from kdlab.papers.understanding.method import partial_loss
from kdlab.train.frozen import Frozen
from kdlab.train.gate import checked
from kdlab.train.method import hard_loss

settings.register_profile("course", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("course")

NUMBERS = st.floats(-1e3, 1e3, width=32)


def tables(draw: st.DrawFn, count: int, least: int = 1) -> list[Tensor]:
    """Draw `count` tables (B, C) of one shape, in one of the types that logits come in."""
    shape = draw(st.tuples(st.integers(least, 6), st.integers(2, 6)))
    kind = draw(st.sampled_from([torch.float64, torch.float32, torch.float16, torch.bfloat16]))
    return [
        torch.from_numpy(draw(arrays.arrays(np.float32, shape, elements=NUMBERS))).to(kind)
        for _ in range(count)
    ]


@st.composite
def pair(draw: st.DrawFn) -> list[Tensor]:
    return tables(draw, 2)


@st.composite
def three(draw: st.DrawFn) -> list[Tensor]:
    return tables(draw, 3, least=3)


@given(pair(), st.floats(0.1, 50))
def test_the_soft_loss_is_a_number_never_negative_and_blind_to_order(z, T):
    loss = kd_loss(*z, T=T)
    assert loss.isfinite() and loss >= -1e-3
    order = torch.randperm(len(z[0]), generator=torch.Generator().manual_seed(0))
    again = kd_loss(z[0][order], z[1][order], T=T)
    torch.testing.assert_close(again, loss, rtol=1e-3, atol=1e-3)
    classes = torch.randperm(z[0].shape[1], generator=torch.Generator().manual_seed(1))
    again = kd_loss(z[0][:, classes], z[1][:, classes], T=T)
    torch.testing.assert_close(again, loss, rtol=1e-3, atol=1e-3)


@given(pair(), st.data())
def test_the_hard_loss_is_a_number_for_any_labels(z, data):
    y = torch.tensor([data.draw(st.integers(-1, z[0].shape[1] - 1)) for _ in z[0]])
    loss = hard_loss(z[0], y)
    assert loss.isfinite() and loss >= 0
    if (y < 0).all():
        assert loss == 0


@given(three(), st.sampled_from(TARGETS))
def test_the_mutual_loss_is_a_number(z, target):
    assert mimicry_loss(z[0], z[1:], target).isfinite()


@given(three())
def test_relations_are_numbers_with_gradients(z):
    f_s, f_t = z[0].float().requires_grad_(), z[1].float()
    loss = rkd_distance(f_s, f_t) + rkd_angle(f_s, f_t)
    loss.backward()
    assert loss.isfinite() and f_s.grad.isfinite().all()


def stop(z: list[Tensor], y: Tensor, T: float) -> Tensor:
    return stop_loss(z[0], z[1], y, T, (0.1, 0.9))


def one(z: list[Tensor], y: Tensor, T: float) -> Tensor:
    gate = torch.full((len(y), 3), 1 / 3)
    return sum(one_terms(torch.stack(z), gate, y, T).values(), torch.zeros(()))


LOSSES = {  # what it is, of three tables (B, C), labels (B,) and a temperature
    "kd_stop": stop,
    "Re-KD": lambda z, y, T: soft_term(z[0], z[1], T),
    "Tf-KD_reg": lambda z, y, T: reg_term(z[0], y, T),
    "partial target": lambda z, y, T: partial_loss(z[0], z[1], y, T, 0.7),
    "hint": lambda z, y, T: fitnets.hint_loss(*(t[:, :, None, None] for t in z[:2])),
    "FitNets' soft term": lambda z, y, T: fitnets.soft_loss(z[0], z[1], T),
    "exits": lambda z, y, T: byot.byot_loss(z, z, y, T, 0.3, 0.03),
    "exits' hint": lambda z, y, T: byot.hint_loss(z[0], z[1]),
    "pull up": lambda z, y, T: pull_up(z[0], z[1], T),
    "transfer": lambda z, y, T: transfer_loss(z[0], z[1], T, y > 0),
    "contrastive": lambda z, y, T: contrastive_loss(z[0], z[1], torch.arange(len(y)), max(T, 1)),
    "OKDDip": lambda z, y, T: okddip_loss(torch.stack(z), torch.full((len(y), 2, 2), 0.5), y, T, 1),
    "ONE": one,
    "mutual": lambda z, y, T: mutual_loss(torch.stack(z)),
    "records": lambda z, y, T: dreams.record_loss(z[0], z[1]),
    "one-hot": lambda z, y, T: dreams.one_hot_loss(z[0]),
    "activation": lambda z, y, T: dreams.activation_loss(z[0]),
    "balance": lambda z, y, T: dreams.balance_loss(z[0]),
    "competition": lambda z, y, T: dreams.competition_loss(z[0], z[1], T),
}


@pytest.mark.parametrize("name", LOSSES)
@given(z=three(), T=st.floats(0.1, 50), data=st.data())
def test_every_loss_and_its_gradient_are_finite(name, z, T, data):
    z = [table.float() for table in z]
    y = torch.tensor([data.draw(st.integers(0, z[0].shape[1] - 1)) for _ in z[0]])
    loss = LOSSES[name]([z[0].requires_grad_(), *z[1:]], y, T)
    loss.backward()
    assert loss.isfinite() and loss.dim() == 0 and z[0].grad.isfinite().all()


@given(st.lists(st.integers(1, 5), min_size=1, max_size=3), st.lists(st.integers(1, 5), max_size=3))
def test_no_loss_broadcasts_in_silence(a, b):
    z_s, z_t = torch.zeros(a), torch.zeros(b)
    if a == b and len(a) == 2:
        return
    for loss in (lambda: kd_loss(z_s, z_t, 4.0), lambda: fidelity(z_s, z_t)):
        with pytest.raises(ValueError):
            loss()


@given(pair())
def test_measures_are_numbers(z):
    y = z[1].argmax(dim=1)
    found = scores(z[0].float(), y)
    assert 0 <= found["accuracy"] <= 100 and np.isfinite(list(found.values())[1:4]).all()
    assert -1e-9 <= softness(z[0]) <= np.log(z[0].shape[1]) + 1e-9
    with contextlib.suppress(ValueError):  # features that are equal for all images
        assert -1e-6 <= cka(z[0].float(), z[1].float()) <= 1 + 1e-6


# --- arrays and files ---------------------------------------------------------------------------

SHAPES = arrays.array_shapes(min_dims=1, max_dims=5, min_side=0, max_side=5)
KINDS = st.sampled_from([np.uint8, np.int64, np.float16, np.float32, np.float64, np.bool_])


@given(KINDS.flatmap(lambda kind: arrays.arrays(kind, SHAPES)))
def test_any_array_is_images_or_one_sentence(x):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            images = check_images(x, "x")
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert images.ndim == 4 and images.shape[1] in CHANNELS and np.isfinite(images).all()
        assert images.max() <= (255 if images.dtype == np.uint8 else 1)


@given(
    st.binary(max_size=300),
    st.sampled_from([".npz", ".csv", ".npy", ".pt", "", ".png"]),
    st.sampled_from([b"", b"PK\x03\x04", b"\x93NUMPY", b"label,a,b\n", b"\x80\x04"]),
)
def test_any_file_is_data_or_one_sentence(content, ending, head):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"file{ending}"
        path.write_bytes(head + content)
        with pytest.raises(ValueError) as caught:
            load(path)
        assert len(str(caught.value)) < 600


# --- the gate -----------------------------------------------------------------------------------


@given(KINDS.flatmap(lambda kind: arrays.arrays(kind, SHAPES)), st.integers(1, 5))
def test_any_answer_is_logits_or_one_sentence(x, n):
    try:
        z = checked(torch.from_numpy(x), n, "teacher")
    except ValueError as error:
        assert "teacher" in str(error)
    else:
        assert z.shape[0] == n and z.shape[1] > 1 and not z.isnan().any()


ANSWERS = st.recursive(
    st.none() | st.integers() | st.text(max_size=3) | st.just(torch.zeros(2, 3)),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.lists(inner, max_size=2).map(tuple)
        | st.dictionaries(st.sampled_from(["logits", "aux"]), inner, max_size=2)
    ),
)


@given(ANSWERS)
def test_any_object_holds_logits_or_is_refused(answer):
    try:
        assert isinstance(logits_in(answer), Tensor)
    except TypeError as error:
        assert "logits" in str(error)


@given(ANSWERS)
def test_anything_is_a_network_or_is_refused(thing):
    with pytest.raises(TypeError):
        Frozen(thing)
    assert Frozen(nn.Identity()).tables == {}


@given(
    st.integers(2, 4),
    st.integers(8, 20),
    st.integers(0, 3),
    st.booleans(),
)
def test_every_image_stands_in_one_part(classes, each, seed, floats):
    """Every pixel tells which image it is."""
    n = classes * each
    x = np.arange(n, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8)
    x[:, 0, 0] += 1  # not constant
    y = np.arange(n) % classes
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.npz"
        np.savez(path, x=x / 255 if floats else x, y=y)
        data = load(path, seed=seed)
    parts = (data.train, data.unlabelled, data.val, data.test)
    whole = torch.cat([data.images(part.x)[:, 0, 1, 1] for part in parts]).mul(255).round()
    assert sorted(whole.tolist()) == list(range(n))
    for part in (data.val, data.test):
        counts = part.y.bincount(minlength=classes)
        assert counts.max() - counts.min() <= 1
