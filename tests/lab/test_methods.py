"""Which methods there are follows from the papers; a reader's loss says what is wrong with it."""

import math
from typing import Annotated, Any, Literal

import pytest
import torch
from torch import nn

from kdlab.lab.methods import chosen, from_papers
from kdlab.papers.kd.method import KD
from kdlab.train.method import CE


def fitting(
    z_s,
    z_t,
    y,
    *,
    T: Annotated[float, (0.5, 20), "temperature"] = 4,
    power: int = 2,
    side: Literal["both", "one"] = "both",
    hard: bool = False,
):
    return ((z_s - z_t) / T).abs().pow(power).mean()


def test_the_methods_of_the_papers_are_found():
    found = from_papers()
    assert found["labels"].source is CE and found["labels"].kind == "alone"
    assert found["KD"].source is KD and found["KD"].kind == "taught" and found["KD"].taught
    assert found["RKD"].tap == "pool"
    assert [knob.name for knob in found["KD"].knobs] == ["T", "alpha"]
    for choice in found.values():
        assert bool(choice.kind) != bool(choice.fault), choice


def test_a_class_is_made_by_what_its_constructor_asks():
    class Peers(nn.Module):
        knobs = ()

        def __init__(self, peers, weight=1.0):
            super().__init__()

    class Told(Peers):
        @classmethod
        def of(cls, r, **knobs):
            return cls([r.student(), r.student(peer=1)], **knobs)

    class Asks(nn.Module):
        def __init__(self, student, teacher, memory):
            super().__init__()

    assert "begins with peers, weight, not with student" in chosen("peers", Peers).fault
    assert chosen("told", Told).kind == "of" and not chosen("told", Told).fault
    assert "its argument memory" in chosen("asks", Asks).fault
    assert chosen("KD", KD).kind == "taught"


def test_knobs_come_from_the_signature():
    found = chosen("fitting", fitting)
    assert not found.fault and found.kind == "loss" and found.taught
    T, power, side, hard = found.knobs
    assert (T.name, T.default, T.low, T.high, T.meaning) == ("T", 4.0, 0.5, 20, "temperature")
    assert isinstance(T.default, float) and isinstance(power.default, int)
    assert (power.low, power.high) == (-math.inf, math.inf)
    assert side.choices == ("both", "one") and hard.choices == (False, True)


def few(z_s):
    return z_s.mean()


def bare(z_s, z_t, y, *, T):
    return z_s.mean()


def text(z_s, z_t, y, *, mode="a"):
    return z_s.mean()


def outside(z_s, z_t, y, *, T: Annotated[float, (5, 20)] = 4.0):
    return z_s.mean()


def nothing(z_s, z_t, y):
    pass


def a_table(z_s, z_t, y):
    return z_s - z_t


def a_number(z_s, z_t, y):
    return z_s.mean().item()


def no_number(z_s, z_t, y):
    return z_s.mean() * math.nan


def no_gradient(z_s, z_t, y):
    return (z_s.detach() - z_t).square().mean()


def other_gradient(z_s, z_t, y):
    return torch.zeros(1, requires_grad=True).sum() + z_t.mean()


def broken_gradient(z_s, z_t, y):
    return (z_s - z_s.detach()).abs().sqrt().sum()


def raises(z_s, z_t, y):
    return z_s @ z_t


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (few, "its first three arguments must be z_s, z_t, y"),
        (bare, "its argument T needs a default"),
        (text, 'mode: Literal["a", "b"] = "a"'),
        (outside, "T is 4.0; give a number from 5 to 20"),
        (nothing, "NoneType; return a scalar tensor"),
        (a_table, "shape (8, 10); return a scalar tensor"),
        (a_number, "is float; return a scalar tensor"),
        (no_number, "became nan"),
        (no_gradient, "depends on weights that learn; look for a detach()"),
        (other_gradient, "no finite gradient by z_s"),
        (broken_gradient, "no finite gradient by z_s"),
        (raises, "RuntimeError: "),
    ],
)
def test_a_bad_loss_gets_its_sentence(loss: Any, said: str):
    assert said in chosen("mine", loss).fault


def test_what_is_no_method_is_refused():
    with pytest.raises(ValueError, match="is a int; give a function"):
        chosen("mine", 3)
