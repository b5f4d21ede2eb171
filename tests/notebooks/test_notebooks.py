"""The committed notebooks: they keep the rules, run at budget ci, and their exercises hold."""

from pathlib import Path

import pytest

from kdlab.papers import EXERCISES
from kdlab.tools import course, notebooks
from tests.gate import nbval
from tests.notebooks import rehearsal
from tests.notebooks.rules import RULES
from tests.papers import exercise_texts

FOLDER = Path(__file__).parents[2] / "notebooks"
PATHS = {path.stem: path for path in notebooks.find(FOLDER)}
NO_EXERCISES = {"12_lab"}
FEWEST_WRONG = 3
CHECKS = [(stem, name) for stem, checks in EXERCISES.items() for name in checks]


@pytest.mark.parametrize("stem", PATHS)
def test_it_runs_at_budget_ci(stem, tmp_path):
    copy = course.prepare(PATHS[stem], tmp_path / PATHS[stem].name, {"budget": "ci"})
    result = nbval(copy)
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr[-2000:]


@pytest.mark.rehearsal
@pytest.mark.parametrize("stem", PATHS)
def test_it_runs_at_a_small_budget_full(stem, tmp_path):
    copy = course.prepare(PATHS[stem], tmp_path / PATHS[stem].name, {"budget": "full"})
    rehearsal.rehearse(copy, rehearsal.write_data(tmp_path / "colours.npz"))
    result = nbval(copy)
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr[-2000:]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("stem", PATHS)
def test_it_keeps_the_rule(stem, rule):
    assert RULES[rule](notebooks.read(PATHS[stem])) == []


@pytest.mark.parametrize("stem", sorted(set(PATHS) - NO_EXERCISES))
def test_its_exercises_have_a_check_and_a_solution_each(stem):
    checks = EXERCISES.get(stem, {})
    assert checks, f"kdlab.show.exercise has no check for {stem}"
    assert set(exercise_texts.solutions(notebooks.read(PATHS[stem]))) == set(checks)


@pytest.mark.parametrize(("stem", "name"), CHECKS)
def test_the_solution_is_right_and_fills_its_stub(stem, name):
    nb = notebooks.read(PATHS[stem])
    solution = exercise_texts.function(exercise_texts.solutions(nb)[name], name)
    assert solution is not None, f"the fold does not define {name}"
    assert exercise_texts.differences(exercise_texts.stub(nb, name), solution) == []
    verdict = EXERCISES[stem][name].check(exercise_texts.define(nb, solution))
    assert verdict.state == "right", verdict.hint


@pytest.mark.parametrize(("stem", "name"), CHECKS)
def test_the_stub_is_to_do(stem, name):
    nb = notebooks.read(PATHS[stem])
    stub = exercise_texts.define(nb, exercise_texts.stub(nb, name))
    assert EXERCISES[stem][name].check(stub).state == "to do"


@pytest.mark.parametrize(("stem", "name"), CHECKS)
def test_wrong_answers_are_refused_with_a_hint(stem, name):
    exercise = EXERCISES[stem][name]
    assert len(exercise.wrong) >= FEWEST_WRONG
    for label, answer in exercise.wrong.items():
        verdict = exercise.check(answer)
        assert verdict.state == "wrong", f"{label}: {verdict.state}"
        assert verdict.hint, f"{label}: no hint"
