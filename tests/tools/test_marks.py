"""Marking: who has solved what, while nobody's code is trusted."""

import csv
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from kdlab.papers import EXERCISES
from kdlab.tools import notebooks
from kdlab.tools.cli import main
from kdlab.tools.teaching import answers, marks, refused, trial
from tests.papers.exercise_texts import solutions

BOOKS = notebooks.of_papers(notebooks.find(Path(__file__).parents[2] / "notebooks"))
NAMES = {stem: list(found) for stem, found in EXERCISES.items()}
RIGHT = "def shrinkage(T: float) -> float:\n    return square(T)\n"
HELP = "from operator import mul\n\n\ndef square(T):\n    return mul(T, T)"
STUB = "def kd_gradient(z_s, z_t, y, T, alpha):\n    raise NotImplementedError"
CHECK = 'check("00_kd", shrinkage)'


def write(path: Path, *cells: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nb = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    path.write_text(notebooks.text(nb), encoding="utf-8")
    return path


def answer(*cells: str, name: str = "shrinkage", folder: Path) -> answers.Answer:
    _, found = answers.read(write(folder / "a.ipynb", *cells, CHECK), NAMES)
    return next(one for one in found if one.exercise == name)


def tried(source: str, name: str = "shrinkage", seconds: float = 20) -> tuple[str, str]:
    return trial.try_out("00_kd", name, source, seconds, 512)


def test_a_class_is_marked_and_saved(tmp_path: Path, capsys):
    room = tmp_path / "class"
    cheat = 'def check(*a):\n    print("right")\n\n\n'
    cheat += 'def shrinkage(T):\n    print("right")\n    return T'
    write(room / "anna/00_kd.ipynb", HELP, "raise RuntimeError('never run')", RIGHT, STUB, CHECK)
    write(room / "00_kd ben.ipynb", cheat, CHECK)
    write(room / "cleo/work.ipynb", "import os\n\n\ndef shrinkage(T):\n    os.abort()", CHECK)
    write(room / "dora/recipe.ipynb", "eggs = 3")
    (room / "emil.ipynb").write_text('{"cells": [')
    assert main(["exercises", str(room), "--save", str(tmp_path / "class.csv")]) == 0
    told = capsys.readouterr().out
    assert "recipe.ipynb: this is no notebook of the course" in told
    assert "emil.ipynb: this is no notebook that can be read" in told
    assert "account that holds nothing of value" in told
    with (tmp_path / "class.csv").open(newline="") as file:
        rows = {(row["student"], row["exercise"]): row for row in csv.DictReader(file)}
    results = {student: rows[student, "shrinkage"]["result"] for student in ("anna", "ben", "cleo")}
    assert results == {"anna": "passed", "ben": "failed", "cleo": "read it"}
    assert rows["anna", "kd_gradient"]["result"] == rows["ben", "diagnose"]["result"] == "not tried"
    assert "chain rule" in rows["ben", "shrinkage"]["hint"]
    assert "imports os" in rows["cleo", "shrinkage"]["hint"]


def test_a_folder_that_is_not_there_or_empty_gets_a_sentence(tmp_path: Path, capsys):
    assert main(["exercises", str(tmp_path / "no")]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert main(["exercises", str(tmp_path)]) == 2
    assert "no notebook" in capsys.readouterr().err


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_the_solutions_of_every_notebook_are_found_and_may_run(path: Path, tmp_path: Path):
    nb = notebooks.read(path)
    texts = solutions(nb)
    cells = [cell.source for cell in notebooks.code_cells(nb)]
    stem, found = answers.read(write(tmp_path / "renamed.ipynb", *cells, *texts.values()), NAMES)
    assert stem == path.stem and [one.exercise for one in found] == NAMES[stem]
    for one in found:
        assert refused.reasons(one.source) == [], one.exercise
        assert f"def {one.exercise}(" in one.source and "NotImplementedError" not in one.source
        assert "live(" not in one.source and "replicate(" not in one.source


def test_only_what_an_answer_needs_is_taken(tmp_path: Path):
    cells = ["import os\nrows = os.listdir()", HELP, "T = rows", RIGHT]
    assert (
        answer(*cells, folder=tmp_path).source
        == f"{HELP}\n\n{RIGHT}".replace("\n\n\n", "\n\n")[:-1]
    )


def test_the_last_definition_counts_and_a_lambda_is_one(tmp_path: Path):
    found = answer(RIGHT, "shrinkage = lambda T: T**2", folder=tmp_path)
    assert found.source == "shrinkage = lambda T: T ** 2"


def test_a_cell_that_is_not_python_fails_its_exercise_only(tmp_path: Path):
    broken = "def kd_gradient(z):\n    return ("
    assert "not Python in line 2" in answer(broken, name="kd_gradient", folder=tmp_path).problem
    assert answer(broken, f"%time 1\n{RIGHT}", folder=tmp_path).source.startswith("def shrinkage")


@pytest.mark.parametrize("line", ["torch.softmax?", "files = !ls", "t = %time f()", "%%time"])
def test_lines_for_ipython_fail_no_exercise(line: str, tmp_path: Path):
    found = answer(f"{line}\n{RIGHT}", folder=tmp_path)
    assert found.source.startswith("def shrinkage") and not found.problem


def test_files_of_one_name_are_of_the_students_of_their_folders(tmp_path: Path):
    files = [write(tmp_path / name / "00_kd.ipynb", RIGHT, CHECK) for name in ("anna", "ben")]
    assert [student for student, _ in marks.found(files)] == ["anna", "ben"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import subprocess", "imports subprocess"),
        ("from kdlab.papers.kd import exercises", "imports kdlab.papers.kd.exercises"),
        ("import kdlab.show.exercise as e", "imports kdlab.show.exercise"),
        ("from torch import hub", "imports hub"),
        ("def f(T):\n    return open('a').read()", "uses open"),
        ("def f(T):\n    return f.__globals__", "uses .__globals__"),
        ("import torch\ndef f(T):\n    torch.allclose = max", "changes torch"),
        ("import torch\ndef f(T):\n    del torch.nn.functional.relu", "changes torch"),
        ("def f(T):\n    return T.load", "uses .load"),
        ("def f(T):\n    global g", "names outside"),
    ],
)
def test_code_that_reaches_out_is_not_run(source: str, said: str):
    assert any(said in why for why in refused.reasons(source))


def test_what_an_exercise_may_need_is_not_refused():
    source = (
        "import torch\ndef f(z):\n    z = z.clone()\n    z[0] = 1\n    z.requires_grad = True\n"
    )
    assert refused.reasons(source + "    return torch.special.xlogy(z, z)") == []


OWN = "class Yes:\n    def __sub__(self, x): return self\n    __rsub__ = __abs__ = __sub__\n"
OWN += "    def __gt__(self, x): return True\n    __lt__ = __gt__\n"


@pytest.mark.parametrize(
    ("source", "result", "said"),
    [
        ("def shrinkage(T): return T**2", "passed", "autograd agrees"),
        ("def shrinkage(T): return T", "failed", "chain rule"),
        ("def shrinkage(T): raise NotImplementedError", "not tried", ""),
        ("def shrinkage(T): raise SystemExit(0)", "failed", "SystemExit"),
        ("shrinkage = 1 / 0", "failed", "ZeroDivisionError"),
        ("import os\ndef shrinkage(T): os._exit(0)", "failed", "without an answer"),
        ("import torch\ndef shrinkage(T): return torch.ones(2**33).sum()", "failed", "raised"),
        ("def shrinkage(T): raise ValueError('\\x1b[2J' + 'x' * 999)", "failed", "ValueError: [2J"),
        (f"{OWN}def shrinkage(T): return Yes()", "read it", "a Yes"),
        (
            "import kdlab.papers.kd.exercises as e\ndef shrinkage(T):\n"
            "    e.slip_unless = lambda *a: None\n    return 1.0",
            "read it",
            "no longer refuses",
        ),
    ],
)
def test_what_an_answer_does_stays_its_own(source: str, result: str, said: str):
    """Most of these would be refused unread; here they run, and still gain nothing."""
    got, hint = tried(source)
    assert got == result and said in hint and hint.isprintable()
    assert len(hint) <= trial.LONGEST + 1


def test_a_loop_that_never_ends_is_stopped():
    got, hint = tried("def shrinkage(T):\n    while True: pass", seconds=1)
    assert got == "failed" and "was stopped" in hint


def test_an_answer_sees_neither_this_folder_nor_this_environment(monkeypatch):
    monkeypatch.setenv("SECRET", "1")
    source = (
        "import os\ndef shrinkage(T): raise ValueError(f'{os.listdir()} {os.getenv(\"SECRET\")}')"
    )
    assert "ValueError: [] None" in tried(source)[1]


def test_a_spreadsheet_calculates_no_name(tmp_path: Path):
    marks.save([marks.Mark("=1+1", "00_kd", "shrinkage", "passed")], tmp_path / "a.csv")
    assert "'=1+1" in (tmp_path / "a.csv").read_text()
