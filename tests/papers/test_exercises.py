"""Checks have three answers, never raise, and refuse every known wrong answer."""

import pytest
import torch

from kdlab.papers import EXERCISES
from kdlab.papers.kd import exercises as hinton
from kdlab.show.exercise import Exercise, SlipError, slip_unless

ALL = [(stem, name) for stem in EXERCISES for name in EXERCISES[stem]]


def half(answer) -> str:
    slip_unless(answer(4) == 2, "half of 4 is 2: did you square it?")
    return "half of 4 is right."


def not_yet(_):
    raise NotImplementedError


EXERCISE = Exercise(half, {"twice": lambda x: 2 * x})


@pytest.mark.parametrize(
    ("answer", "state", "hint"),
    [
        (lambda x: x / 2, "right", "half of 4 is right."),
        (lambda x: x**2, "wrong", "half of 4 is 2: did you square it?"),
        (not_yet, "to do", "replace the line that raises NotImplementedError."),
        (lambda x: x / 0, "wrong", "your function raised ZeroDivisionError: division by zero"),
        (lambda: 1, "wrong", "your function raised TypeError"),
        (lambda x: None, "wrong", "your function returned None"),
    ],
)
def test_a_check_has_three_answers_and_never_raises(answer, state, hint):
    verdict = EXERCISE.check(answer)
    assert verdict.state == state
    assert verdict.hint.startswith(hint)
    assert repr(verdict) == f"{state}: {verdict.hint}"


def test_a_slip_is_an_error_of_its_own():
    with pytest.raises(SlipError, match="because"):
        slip_unless(False, "because")
    assert slip_unless(True, "because") is None


@pytest.mark.parametrize(("stem", "name"), ALL)
def test_every_wrong_answer_is_refused_with_a_hint(stem, name):
    exercise = EXERCISES[stem][name]
    assert len(exercise.wrong) >= 3
    for label, answer in exercise.wrong.items():
        verdict = exercise.check(answer)
        assert verdict.state == "wrong", f"{label}: {verdict}"
        assert len(verdict.hint) > 15


@pytest.mark.parametrize(("stem", "name"), ALL)
def test_a_forgotten_return_is_named(stem, name):
    assert "None" in EXERCISES[stem][name].check(lambda *_, **__: None).hint


@pytest.mark.parametrize(("stem", "name"), ALL)
def test_a_stub_is_to_do(stem, name):
    def stub(*_, **__):
        raise NotImplementedError

    assert EXERCISES[stem][name].check(stub).state == "to do"


def test_the_gradient_of_the_card():
    z, v = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[2.0, 0.0, 1.0]])
    found = hinton.gradient(z, v, torch.tensor([0]), T=2.0, alpha=0.5)
    assert found[0].tolist() == pytest.approx([-0.5769, 0.6528, -0.0759], abs=1e-4)


def test_the_patients_differ_where_they_are_shown():
    z, v = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[4.0, 0.0, 1.0]])
    values = [loss(z, v, 2.0).item() for loss in hinton.PATIENTS.values()]
    gaps = [abs(a - b) for i, a in enumerate(values) for b in values[:i]]
    assert min(gaps) > 0.01
