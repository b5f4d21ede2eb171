"""The machinery that runs, cleans and collects notebooks, on a small notebook of its own."""

import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_output

from kdlab.tools import course, notebooks
from kdlab.tools.cli import main
from tests.gate import nbval
from tests.notebooks import small_notebook

BROKEN_WIDGET = """import ipywidgets
def draw(T):
    raise ZeroDivisionError("inside the callback")
ipywidgets.interact(draw, T=(1, 20))"""


@pytest.fixture
def path(tmp_path):
    return small_notebook.write(tmp_path)


def parameters_cell(source):
    nb = small_notebook.build()
    cell = next(cell for cell in nb.cells if "parameters" in notebooks.tags(cell))
    cell.source = source
    return nb


def test_parameters_are_read():
    assert notebooks.parameters(small_notebook.build()) == {
        "budget": "lesson",
        "dataset": "mnist5k",
        "seed": 0,
    }


@pytest.mark.parametrize("line", ["seeds = 2 * 3", "import os", "a = b = 1", "n: int = 3", "f()"])
def test_derived_parameters_are_refused(line):
    with pytest.raises(ValueError, match=r"expected name = literal: move it"):
        notebooks.parameters(parameters_cell('budget = "ci"\n' + line))


def test_two_or_no_parameters_cells_are_refused():
    nb = small_notebook.build()
    notebooks.code_cells(nb)[1].metadata["tags"] = ["parameters"]
    with pytest.raises(ValueError, match="2 cells have the tag"):
        notebooks.parameters(nb)
    for cell in notebooks.code_cells(nb):
        cell.metadata.pop("tags", None)
    with pytest.raises(ValueError, match="0 cells have the tag"):
        notebooks.parameters(nb)


def test_prepare_injects_what_the_notebook_has(path, tmp_path):
    copy = course.prepare(path, tmp_path / "copy.ipynb", {"budget": "ci"})
    injected = [c for c in notebooks.read(copy).cells if "injected-parameters" in notebooks.tags(c)]
    assert [cell.source.splitlines()[-1] for cell in injected] == ['budget = "ci"']


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"bugdet": "ci"}, "unknown parameter 'bugdet': the notebook has budget, dataset, seed"),
        ({"seed": "0"}, "parameter seed is '0', expected int like 0"),
    ],
)
def test_prepare_refuses_a_misspelt_name_and_another_type(path, tmp_path, given, said):
    with pytest.raises(ValueError, match=said):
        course.prepare(path, tmp_path / "copy.ipynb", given)
    assert not (tmp_path / "copy.ipynb").exists()


def test_the_command_refuses_a_misspelt_name_before_it_runs(path, tmp_path, capsys):
    folder = ["--notebooks", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(["course", *folder, "--set", "sede=1"]) == 2
    assert "unknown parameter 'sede'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_command_names_what_it_cannot_find(path, tmp_path, capsys):
    assert main(["course", "--notebooks", str(tmp_path), "--only", "99_no"]) == 2
    assert "there is no notebook '99_no'; there are 00_small" in capsys.readouterr().err
    assert main(["claims", "--notebooks", str(tmp_path / "no")]) == 2
    assert "found no notebook" in capsys.readouterr().err


def test_course_runs_writes_pages_and_collects_claims(path, tmp_path, capsys):
    out, found = tmp_path / "out", tmp_path / "claims.json"
    where = ["--notebooks", str(tmp_path), "--out", str(out), "--claims", str(found)]
    assert main(["course", *where, "--budget", "ci", "--set", "seed=3"]) == 0
    (row,) = json.loads(found.read_text())
    assert row["id"] == "more" and row["claim"].endswith("at ci")  # the budget reached the cells
    line = capsys.readouterr().out.splitlines()[0].split()
    assert line[0] == "00_small" and float(line[1]) > 0 and float(line[3]) > 0.01  # seconds, GiB
    assert "More | is more" in (out / "00_small.html").read_text()
    ran = notebooks.code_cells(notebooks.read(out / path.name))
    printed = [o.text for cell in ran for o in cell.outputs if o.output_type == "stream"]
    assert printed == ["ci 3\n"]


def test_course_reports_a_failing_notebook_and_runs_the_others(path, tmp_path, capsys):
    nb = small_notebook.build()
    notebooks.code_cells(nb)[2].source = "1 / 0"
    small_notebook.write(tmp_path, nb, "01_broken.ipynb")
    small_notebook.write(tmp_path, name="02_small.ipynb")
    out, found = tmp_path / "out", tmp_path / "claims.json"
    where = ["--notebooks", str(tmp_path), "--out", str(out), "--claims", str(found)]
    assert main(["course", *where, "--only", "01_broken", "02_small"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "FAILED with ZeroDivisionError: division by zero" in lines[0]
    assert lines[1].startswith("02_small") and len(json.loads(found.read_text())) == 1
    assert "ZeroDivisionError" in (out / "01_broken.html").read_text()


def test_the_kernel_does_not_call_its_end_an_error(tmp_path, capfd):
    nb = small_notebook.build()
    nb.cells.append(new_code_cell("get_ipython().kernel.log.error('caught in kernel')"))
    course.execute(nb, tmp_path)
    assert "caught in kernel" not in capfd.readouterr().err


def test_a_cell_that_does_not_end_is_given_up(path, tmp_path, monkeypatch):
    nb = small_notebook.build()
    notebooks.code_cells(nb)[2].source = "import time\ntime.sleep(60)"
    slow = small_notebook.write(tmp_path, nb, "03_slow.ipynb")
    monkeypatch.setitem(course.PATIENCE, "ci", 1)
    ended = course.run(slow, tmp_path / "out", {"budget": "ci"})
    assert "timed out" in ended.error and ended.cost.seconds < 50


def test_the_stamp_changes_with_code_and_only_with_code():
    nb = small_notebook.build()
    before = notebooks.code_hash(nb)
    nb.cells[0].source += " More words."
    assert notebooks.code_hash(nb) == before
    notebooks.code_cells(nb)[2].source += "  # changed"
    assert notebooks.code_hash(nb) != before


def test_rewrite_leaves_a_clean_stamped_file_and_the_source_as_it_was():
    source, nb = small_notebook.build(), small_notebook.committed()
    assert [cell.source for cell in nb.cells] == [cell.source for cell in source.cells]
    assert nb.metadata.kdlab.code == notebooks.code_hash(source)
    assert nb.metadata.kdlab.budget == "lesson"
    assert sorted(nb.metadata) == ["kdlab", "kernelspec", "language_info"]
    assert [c.execution_count for c in notebooks.code_cells(nb)] == list(range(1, 9))
    texts = [
        o.data["text/plain"] for c in notebooks.code_cells(nb) for o in c.outputs if "data" in o
    ]
    assert "A widget: run this cell to use it." in texts


def test_rewrite_refuses_another_budget_and_keeps_a_failing_file(tmp_path):
    other = small_notebook.PARAMETERS.replace("lesson", "ci")
    path = small_notebook.write(tmp_path, parameters_cell(other))
    with pytest.raises(ValueError, match="has budget = 'ci', expected 'lesson'"):
        course.rewrite(path)
    nb = small_notebook.build()
    notebooks.code_cells(nb)[2].source = "1 / 0"
    before = small_notebook.write(tmp_path, nb).read_text()
    with pytest.raises(Exception, match="ZeroDivisionError"):
        course.rewrite(path)
    assert path.read_text() == before


def test_clean_removes_what_a_run_leaves_and_keeps_what_it_shows(tmp_path, capsys):
    nb = small_notebook.committed()
    nb.metadata["widgets"] = nb.metadata["papermill"] = {"state": {}}
    cell = notebooks.code_cells(nb)[2]
    cell.metadata["execution"] = {"iopub.execute_input": "2026-01-01T00:00:00Z"}
    bar = "\rruns:  50%|#####     | 1/2 [00:01<00:01]\rruns: 100%|##########| 2/2 [00:02<00:00]\n"
    cell.outputs.append(new_output("stream", name="stderr", text=bar))
    warning = new_output("stream", name="stderr", text="UserWarning: look at me")
    cell.outputs.append(warning)
    path = small_notebook.write(tmp_path, nb)
    assert main(["clean", str(path)]) == 0
    assert "cleaned" in capsys.readouterr().out
    want = small_notebook.committed()
    notebooks.code_cells(want)[2].outputs.append(nbformat.from_dict(warning))  # not swept away
    assert notebooks.read(path) == want
    assert main(["clean", str(path)]) == 0 and capsys.readouterr().out == ""  # the second time


def test_the_gate_passes_a_good_notebook_and_sees_every_cell(path):
    result = nbval(path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "8 passed" in result.stdout


def test_the_gate_catches_an_error_inside_a_widget(tmp_path):
    nb = small_notebook.build()
    nb.cells.append(new_code_cell(BROKEN_WIDGET))
    result = nbval(small_notebook.write(tmp_path, nb))
    assert result.returncode == 1
    assert "1 failed, 8 passed" in result.stdout and "inside the callback" in result.stdout
