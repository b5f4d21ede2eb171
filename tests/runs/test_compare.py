"""Runs are kept, resumed and never stale; the table is tidy wherever the runs were made."""

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import nbclient
import nbformat
import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from joblib.externals.loky import get_reusable_executor

import kdlab
from kdlab.data import Data
from kdlab.models import build
from kdlab.runs.compare import STARTING, ArmError, compare, start_workers
from kdlab.runs.workers import prepare
from kdlab.store import cache_dir
from kdlab.train.fit import run
from kdlab.train.method import CE
from kdlab.train.recipe import Recipe
from tests.faults import fault

PACKAGE = Path(kdlab.__file__).parent
Arm = Callable[[int], dict[str, Any]]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test an empty store."""
    monkeypatch.setenv("KDLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def log(tmp_path: Path) -> str:
    """The file to which arms append their runs, in whatever process they are."""
    return str(tmp_path / "log.txt")


def trained(log: str | Path) -> list[str]:
    """Return what the log says, one entry per run that was really made; then forget it."""
    path = Path(log)
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return sorted(lines)


def counting(log: str, name: str, scale: float = 1.0) -> Arm:
    """Return an arm that notes each of its runs."""

    def arm(seed: int) -> dict[str, Any]:
        with open(log, "a") as file:
            file.write(f"{name} {seed}\n")
        return {"accuracy": scale * seed}

    return arm


# --- the table


def test_one_tidy_row_per_run_in_the_order_of_arms_and_seeds(log: str) -> None:
    arms = {"b": counting(log, "b", 2.0), "a": counting(log, "a", 3.0)}
    table = compare(arms, [3, 0, 7], n_jobs=2)
    assert list(table.columns) == ["arm", "seed", "accuracy"]
    assert list(table.arm) == ["b"] * 3 + ["a"] * 3
    assert list(table.seed) == [3, 0, 7] * 2
    assert list(table.accuracy) == [6.0, 0.0, 14.0, 9.0, 0.0, 21.0]
    assert list(table.index) == list(range(6))
    assert table.dtypes["seed"] == np.int64 and table.dtypes["accuracy"] == np.float64


def test_every_arm_meets_the_same_seeds() -> None:
    def arm(seed: int) -> dict[str, Any]:
        return {"draw": torch.rand((), generator=torch.Generator().manual_seed(seed))}

    table = compare({"one": arm, "two": lambda seed: arm(seed)}, 4, n_jobs=1)
    wide = table.pivot(index="seed", columns="arm", values="draw")
    assert (wide.one == wide.two).all() and wide.one.nunique() == 4


def test_names_may_be_tuples_with_a_column_for_each_part() -> None:
    def arm(T: int, n: int) -> Arm:
        return lambda seed: {"x": 100 * T + n + seed}

    arms = {(T, n): arm(T, n) for T in (1, 4) for n in (10, 20)}
    table = compare(arms, 2, by=("T", "n"), n_jobs=1)
    assert list(table.columns) == ["T", "n", "seed", "x"]
    assert list(table["T"]) == [1, 1, 1, 1, 4, 4, 4, 4] and table.dtypes["T"] == np.int64
    assert (table.x == 100 * table["T"] + table.n + table.seed).all()


def test_what_an_arm_measures_comes_back_as_it_was(tmp_path: Path) -> None:
    def arm(seed: int) -> dict[str, Any]:
        return {
            **{"int": 3, "float": 0.1, "text": "Zürich", "yes": True, "nothing": None},
            **{"nan": float("nan"), "list": [1, 2], "np": np.float32(0.5), "tiny": 1e-300},
            "zero-d": np.array(2.5),
            "array": np.arange(6, dtype=np.int16).reshape(2, 3),
            "right": np.array([True, False]),
            "empty": np.zeros((0, 2)),
            "tensor": torch.linspace(0, 1, 3, requires_grad=True),
            "scalar": torch.tensor(7),
        }

    first = compare({"a": arm}, 1, n_jobs=1).iloc[0]
    again = compare({"a": arm}, 1, n_jobs=1).iloc[0]
    for name, value in arm(0).items():
        expected = value.detach().numpy() if isinstance(value, torch.Tensor) else value
        for row in (first, again):
            np.testing.assert_array_equal(row[name], expected, err_msg=name)
            is_array = isinstance(expected, np.ndarray) and expected.ndim > 0
            assert isinstance(row[name], np.ndarray) == is_array, name
            assert not is_array or row[name].dtype == expected.dtype


# --- what is kept


def test_a_second_call_trains_nothing(log: str) -> None:
    arms = {"a": counting(log, "a"), "b": counting(log, "b", 2.0)}
    first = compare(arms, 3)
    assert trained(log) == [f"{arm} {seed}" for arm in "ab" for seed in range(3)]
    pd.testing.assert_frame_equal(compare(arms, 3), first)
    rebuilt = {"a": counting(log, "a"), "b": counting(log, "b", 2.0)}  # as a new kernel does
    pd.testing.assert_frame_equal(compare(rebuilt, 3), first)
    assert trained(log) == []


def test_a_new_seed_and_a_new_arm_train_only_themselves(log: str) -> None:
    a, b = counting(log, "a"), counting(log, "b", 2.0)
    compare({"a": a}, 2, n_jobs=1)
    trained(log)
    assert len(compare({"a": a}, 3, n_jobs=1)) == 3
    assert trained(log) == ["a 2"]
    table = compare({"b": b, "a": a}, 3, n_jobs=1)
    assert trained(log) == ["b 0", "b 1", "b 2"]
    assert list(table.accuracy) == [0.0, 2.0, 4.0, 0.0, 1.0, 2.0]
    assert len(compare({"a": a}, [1], n_jobs=1)) == 1  # a part of what is kept


def test_a_new_name_for_an_arm_trains_nothing_and_a_new_value_trains_it(log: str) -> None:
    compare({"a": counting(log, "a", 1.0)}, 2, n_jobs=1)
    trained(log)
    table = compare({"renamed": counting(log, "a", 1.0)}, 2, n_jobs=1)
    assert trained(log) == [] and list(table.arm) == ["renamed"] * 2
    assert list(compare({"a": counting(log, "a", 5.0)}, 2, n_jobs=1).accuracy) == [0.0, 5.0]
    assert trained(log) == ["a 0", "a 1"]


@pytest.mark.parametrize("damage", ["cut", "empty", "flip", "foreign", "bare array"])
def test_a_damaged_row_is_run_again_with_a_warning(log: str, damage: str) -> None:
    arm = counting(log, "a")
    expected = compare({"a": arm}, 2, n_jobs=1)
    trained(log)
    path = sorted((cache_dir() / "runs").glob("*.npz"))[0]
    content = path.read_bytes()
    place = content.index("accuracy".encode("utf-32-le"))
    if damage == "foreign":
        np.savez(path, other=np.zeros(3))
    elif damage == "bare array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    else:
        flipped = content[:place] + b"A" + content[place + 1 :]
        path.write_bytes({"cut": content[:place], "empty": b"", "flip": flipped}[damage])
    with pytest.warns(UserWarning, match="is damaged .* run again"):
        again = compare({"a": arm}, 2, n_jobs=1)
    pd.testing.assert_frame_equal(again, expected)
    assert len(trained(log)) == 1
    assert path.read_bytes() == content


def test_nothing_half_written_is_left_in_the_store(log: str) -> None:
    compare({"a": counting(log, "a")}, 2, n_jobs=2)
    assert all(path.suffix == ".npz" for path in (cache_dir() / "runs").iterdir())
    assert len(list((cache_dir() / "runs").iterdir())) == 2


# --- errors


def test_a_failing_arm_is_named_and_the_others_are_kept(log: str) -> None:
    good = counting(log, "good")

    def bad(seed: int) -> dict[str, Any]:
        with open(log, "a") as file:
            file.write(f"bad {seed}\n")
        if seed == 1:
            raise FloatingPointError("the loss became nan")
        return {"accuracy": 50.0}

    arms = {"bad": bad, "good": good}
    for tried in (["bad 0", "bad 1", "good 0", "good 1"], ["bad 1"]):
        with pytest.raises(ArmError) as caught:
            compare(arms, 2)
        assert "1 of 4 runs failed" in str(caught.value)
        assert "arm 'bad', seed 1: FloatingPointError: the loss became nan" in str(caught.value)
        assert "in bad" in str(caught.value)  # the line of the reader's own code
        kept = caught.value.table
        assert list(zip(kept.arm, kept.seed, strict=True)) == [("bad", 0), ("good", 0), ("good", 1)]
        assert trained(log) == tried


def test_all_failures_are_told() -> None:
    with pytest.raises(ArmError, match="2 of 2") as caught:
        compare({("KD", 4): lambda seed: {"x": 1 / 0}}, 2, by=("method", "T"), n_jobs=1)
    assert str(caught.value).count("ZeroDivisionError") == 2
    assert "arm ('KD', 4), seed 0" in str(caught.value) and caught.value.table.empty


def test_a_worker_that_has_grown_is_replaced_without_a_word() -> None:
    def growing(seed: int) -> dict[str, Any]:
        vars(joblib).setdefault("kept", []).append(np.ones(50_000_000))  # 400 MB
        time.sleep(1.2)  # the pool looks at its workers once a second
        return {"worker": os.getpid()}

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        made = compare({"growing": growing}, 6, n_jobs=2)
    assert made["worker"].nunique() > 2  # else nothing was replaced
    assert not [w for w in seen if "worker" in str(w.message)]


@fault(
    "A worker process is killed in the middle",
    "One sentence; finished runs are kept, and the same call makes the rest.",
)
@pytest.mark.parametrize("seeds", [2, 3])
def test_a_worker_that_is_killed_is_told_and_finished_runs_are_kept(log: str, seeds: int) -> None:
    good, parent = counting(log, "good"), os.getpid()
    compare({"good": good}, seeds)

    def deadly(seed: int) -> dict[str, Any]:
        if os.getpid() != parent:
            time.sleep(1)  # until all tasks are given out
            os.kill(os.getpid(), signal.SIGKILL)
        return {"accuracy": 1.0}

    with pytest.raises(ArmError, match="a worker process was killed, most often for want of") as e:
        compare({"good": good, "deadly": deadly}, seeds)
    assert list(e.value.table[e.value.table.arm == "good"].seed) == list(range(seeds))
    made = len(e.value.table) - seeds  # by this process, where one run was left over
    assert made == seeds % 2 and f"{seeds - made} of {2 * seeds} runs failed" in str(e.value)
    assert len(compare({"good": good}, seeds)) == seeds


def test_a_run_of_another_torch_is_made_again(log: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arm = counting(log, "a")
    for version, runs in [(torch.__version__, ["a 0"]), (torch.__version__, []), ("0.0", ["a 0"])]:
        monkeypatch.setattr(torch, "__version__", version)
        compare({"a": arm}, 1, n_jobs=1)
        assert trained(log) == runs


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        (3.0, "an arm returned float; return a dict"),
        (None, "an arm returned NoneType; return a dict"),
        ({"x": np.array([{}])}, "arrays of Python objects, ['x']"),
        ({"x": {1, 2}}, "set is not JSON serializable"),
    ],
)
def test_an_arm_that_returns_what_cannot_be_kept(result: Any, sentence: str) -> None:
    with pytest.raises(ArmError) as caught:
        compare({"odd": lambda seed: result}, 1, n_jobs=1)
    assert sentence in str(caught.value) and "arm 'odd', seed 0" in str(caught.value)
    assert not (cache_dir() / "runs").exists() or not list((cache_dir() / "runs").iterdir())


@pytest.mark.parametrize("name", ["seed", "arm"])
def test_a_result_must_not_hide_the_name_of_its_run(name: str) -> None:
    with pytest.raises(ValueError, match=f"returned \\['{name}'\\], which name the run"):
        compare({"a": lambda seed: {name: 1}}, 1, n_jobs=1)


def test_an_arm_that_holds_an_open_file_is_refused_by_name(tmp_path: Path) -> None:
    with open(tmp_path / "notes.txt", "w") as file:

        def arm(seed: int) -> dict[str, Any]:
            file.write("x")
            return {"x": 1}

        with pytest.raises(TypeError, match=r"arm 'leaky': .*file"):
            compare({"good": lambda seed: {"x": 1}, "leaky": arm}, 1, n_jobs=1)
    assert not (cache_dir() / "runs").exists()


@pytest.mark.parametrize(
    ("arms", "seeds", "by", "sentence"),
    [
        ({}, 5, ("arm",), "got 0 arms and 5 seeds"),
        ({"a": lambda seed: {}}, 0, ("arm",), "got 1 arms and 0 seeds"),
        ({"a": lambda seed: {}}, [], ("arm",), "got 1 arms and 0 seeds"),
        ({"a": lambda seed: {}}, 1, ("arm", "T"), "has 1 names for the columns"),
        ({("a", 1): lambda seed: {}}, 1, ("arm",), "has 2 names for the columns"),
    ],
)
def test_bad_arguments_get_a_sentence(arms: Any, seeds: Any, by: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        compare(arms, seeds, by=by)


# --- a kill


SLOW = """
import os, sys, time
from kdlab.runs.compare import compare

def slow(scale):
    def arm(seed):
        time.sleep(0.4 if seed < 3 else float(sys.argv[3]))
        with open(sys.argv[1], "a") as file:
            file.write(f"{scale} {seed}\\n")
        return {"x": scale * seed}
    return arm

if __name__ == "__main__":
    table = compare({"a": slow(2), "b": slow(3)}, 4, n_jobs=int(sys.argv[2]))
    print(table.to_json(orient="records"))
"""


def start(script: Path, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
    """Start a Python script in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, str(script), *arguments],
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options},
        start_new_session=True,
    )


def finished(process: "subprocess.Popen[str]") -> str:
    """Wait for a script and return what it printed."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


@fault(
    "The kernel is killed while `compare` trains",
    "The same call goes on with the runs that are missing.",
)
def test_a_killed_comparison_goes_on_where_it_stopped(tmp_path: Path, log: str) -> None:
    script = tmp_path / "slow.py"
    script.write_text(SLOW)
    runs = tmp_path / "cache" / "runs"
    process = start(script, log, "2", "600", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while time.monotonic() < until and len(list(runs.glob("*.npz"))) < 3:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL
    stored = len(list(runs.glob("*.npz")))
    assert 3 <= stored < 8, "the kill came too early or too late to say anything"
    trained(log)
    table = json.loads(finished(start(script, log, "1", "0.4")))
    assert len(trained(log)) == 8 - stored
    assert [(row["arm"], row["seed"], row["x"]) for row in table] == [
        (arm, seed, scale * seed) for arm, scale in (("a", 2), ("b", 3)) for seed in range(4)
    ]


# --- a changed loss never meets a stale result


def test_a_changed_loss_in_a_module_of_the_reader(
    tmp_path: Path, log: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "my_losses.py"
    text = "def square(x):\n    return x * x\n\n\ndef loss(x):\n    return square(x) + 1\n"
    path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("my_losses")

    def arm(seed: int) -> dict[str, Any]:
        with open(log, "a") as file:
            file.write("ran\n")
        return {"x": module.loss(seed + 2.0)}

    def result() -> float:
        importlib.reload(module)
        return compare({"a": arm}, 1, n_jobs=1).x[0]

    try:
        assert result() == 5.0 and trained(log) == ["ran"]
        path.write_text(text.replace("x * x", "x * x * x"))  # two calls below the arm
        assert result() == 9.0 and trained(log) == ["ran"]
        path.write_text(text)
        assert result() == 5.0 and trained(log) == []
    finally:
        del sys.modules["my_losses"]


def test_a_changed_loss_in_the_package(
    tmp_path: Path, log: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, script = tmp_path / "site" / "kdlab", tmp_path / "script.py"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setenv("PYTHONPATH", str(copy.parent))
    script.write_text(
        textwrap.dedent(
            """
            import sys
            import torch
            from kdlab.runs.compare import compare
            from kdlab.papers.kd.method import KD, __file__ as home

            def arm(seed):
                open(sys.argv[1], "a").write("ran\\n")
                batch = torch.ones(1, 2), torch.zeros(1).long(), torch.zeros(1).long()
                method = KD(torch.nn.Linear(2, 2), lambda batch: torch.tensor([[1.0, 3.0]]), T=2.0)
                torch.nn.init.zeros_(method.student.weight)
                torch.nn.init.zeros_(method.student.bias)
                from kdlab.data import Batch
                return {"x": method(Batch(*batch))["soft"].item()}

            print(home, compare({"a": arm}, 1, n_jobs=1).x[0])
            """
        )
    )

    def result() -> float:
        home, value = finished(start(script, log)).split()
        assert home == str(copy / "papers" / "kd" / "method.py")
        return float(value)

    first = result()
    assert trained(log) == ["ran"]
    with (copy / "show" / "plots.py").open("a") as file:
        file.write("\nDRAWN_OTHERWISE = True\n")
    assert result() == first
    assert trained(log) == []  # how a result is drawn does not change it
    loss = copy / "papers" / "kd" / "method.py"
    assert loss.read_text().count("return T**2 *") == 1
    loss.write_text(loss.read_text().replace("return T**2 *", "return"))
    assert result() == pytest.approx(first / 4, rel=1e-5)
    assert trained(log) == ["ran"]


CELLS = [
    """
    import json
    from kdlab.runs.compare import compare

    def show(**options):
        table = compare({"a": arm, "b": lambda seed: {"x": 0.0}}, 2, **options)
        print(json.dumps(list(table.x)))
    """,
    "def loss(x):\n    return 2 * x",
    """
    def arm(seed):
        with open(LOG, "a") as file:
            file.write(f"ran {seed}\\n")
        return {"x": loss(seed + 1.0)}
    """,
    "show(n_jobs=2)",
    "def loss(x):\n    return 2 * x  # run again, explained",
    "show(n_jobs=2)\nprint(len(open(LOG).readlines()))",
    "def loss(x):\n    return 3 * x",
    "show(n_jobs=2)\nprint(len(open(LOG).readlines()))",
]


def printed(notebook: Any, cell: int) -> list[str]:
    """Return the lines that a cell printed."""
    outputs = notebook.cells[cell].outputs
    return "".join(
        o.text for o in outputs if o.output_type == "stream" and o.name == "stdout"
    ).split("\n")[:-1]


def test_a_changed_loss_in_a_notebook(tmp_path: Path, log: str) -> None:
    sources = [f"LOG = {log!r}", *(textwrap.dedent(cell).strip() for cell in CELLS)]

    def executed() -> Any:
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        nb = nbformat.v4.new_notebook(cells=cells)
        where = {"metadata": {"path": str(tmp_path)}}
        return nbclient.NotebookClient(nb, timeout=180, resources=where).execute()

    nb = executed()
    assert printed(nb, 4) == ["[2.0, 4.0, 0.0, 0.0]"]
    assert printed(nb, 6) == ["[2.0, 4.0, 0.0, 0.0]", "2"]  # the same code: from store
    assert printed(nb, 8) == ["[3.0, 6.0, 0.0, 0.0]", "4"]  # another loss: the arm ran again
    texts = [o.data["text/plain"] for o in nb.cells[8].outputs if "data" in o]
    assert texts == ["runs: 4 of 4 done, 2 of them from store"]
    assert len(trained(log)) == 4
    Path(log).touch()
    again = executed()  # a new kernel finds all of it
    assert printed(again, 8) == ["[3.0, 6.0, 0.0, 0.0]", "0"]
    assert trained(log) == []


# --- where the runs are made


@pytest.fixture
def real_arms(data: Data) -> dict[str, Arm]:
    """Two arms that train on real images."""
    recipe = Recipe(epochs=2)

    def arm(net: str) -> Arm:
        def ce(seed: int) -> dict[str, Any]:
            return run(CE(build(net, data.n_classes, data.in_shape, seed=seed)), data, recipe, seed)

        return ce

    return {"narrow": arm("cnn2"), "wide": arm("cnn4")}


def test_parallel_runs_equal_runs_one_after_the_other_bit_for_bit(
    real_arms: dict[str, Arm], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    side_by_side = compare(real_arms, 2, n_jobs=2)
    monkeypatch.setenv("KDLAB_CACHE", str(tmp_path / "other"))
    one_by_one = compare(real_arms, 2, n_jobs=1)
    assert len(list((tmp_path / "other" / "runs").iterdir())) == 4
    assert {"accuracy", "nll", "ece", "entropy", "correct", "val_accuracy"} <= set(one_by_one)
    for name in one_by_one.columns.drop("correct"):
        assert list(side_by_side[name]) == list(one_by_one[name]), name
    for left, right in zip(side_by_side.correct, one_by_one.correct, strict=True):
        np.testing.assert_array_equal(left, right)
    assert side_by_side.nll.nunique() == 4


@pytest.mark.parametrize(
    ("seeds", "here"), [(1, [True]), (2, [False] * 2), (3, [True, False, False])]
)
def test_a_run_that_would_be_left_over_is_made_here(seeds: int, here: list[bool]) -> None:
    home = os.getpid()
    table = compare({"a": lambda seed: {"here": os.getpid() == home}}, seeds, n_jobs=2)
    assert table.here.tolist() == here


def test_a_run_made_here_equals_those_made_elsewhere_and_changes_nothing(
    real_arms: dict[str, Arm], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[int] = []

    def arm(seed: int) -> dict[str, Any]:
        used.append(seed)
        return real_arms["narrow"](seed) | {"uses": len(used)}

    table = compare({"a": arm}, 3, n_jobs=2)
    assert table.uses[0] == 1 and used == []
    monkeypatch.setenv("KDLAB_CACHE", str(tmp_path / "other"))
    again = compare({"a": real_arms["narrow"]}, 3, n_jobs=1)
    assert table.nll.tolist() == again.nll.tolist()


def test_a_run_that_fails_here_is_told_and_the_others_are_kept() -> None:
    def arm(seed: int) -> dict[str, Any]:
        return {"x": 1 / seed}

    with pytest.raises(ArmError, match="seed 0: ZeroDivisionError") as caught:
        compare({"a": arm}, 3, n_jobs=2)
    assert caught.value.table.x.tolist() == [1.0, 0.5]


def test_runs_use_one_thread_and_leave_the_setting_as_it_was() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        table = compare({"a": lambda seed: {"threads": torch.get_num_threads()}}, 1, n_jobs=1)
        assert table.threads[0] == 1 and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_workers_started_early_are_those_that_compare_uses() -> None:
    get_reusable_executor().shutdown(wait=True)
    start_workers(2)
    table = compare({"a": lambda seed: {"pid": os.getpid()}}, 2, n_jobs=2)
    assert STARTING == []
    assert set(table.pid) <= {child.pid for child in psutil.Process().children()}


def test_workers_started_early_have_imported_what_a_run_needs() -> None:
    get_reusable_executor().shutdown(wait=True)
    start_workers(2)
    STARTING.pop().join()
    early = {child.pid for child in psutil.Process().children()}
    needed = ("torch", "kdlab.train.fit", "kdlab.measure")
    ask = joblib.delayed(lambda: (os.getpid(), all(name in sys.modules for name in needed)))
    for pid, ready in joblib.Parallel(2, initializer=prepare)(ask() for _ in range(4)):
        assert pid in early and ready


@pytest.mark.parametrize(("n_jobs", "threads"), [(1, 2), (2, 1)])
def test_beside_workers_this_process_computes_with_one_thread(n_jobs: int, threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        start_workers(n_jobs)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
        while STARTING:
            STARTING.pop().join()


def test_where_runs_are_made_here_no_worker_is_started() -> None:
    start_workers(1)
    assert STARTING == []


def test_the_same_call_runs_on_a_dask_cluster(
    real_arms: dict[str, Arm], cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = os.getpid()

    def where(seed: int) -> dict[str, Any]:
        return {"elsewhere": os.getpid() != here}

    with joblib.parallel_config(backend="dask"):
        on_cluster = compare(real_arms, 2)
        assert compare({"where": where}, 2).elsewhere.all()
    monkeypatch.setenv("KDLAB_CACHE", str(tmp_path / "other"))
    pd.testing.assert_frame_equal(on_cluster, compare(real_arms, 2, n_jobs=1))


@fault(
    "A worker of a Dask cluster is killed in the middle",
    "Its runs are made by the others; the table equals the local one.",
)
def test_a_cluster_that_loses_a_worker_makes_every_run_once(
    log: str, cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(seed: int) -> dict[str, Any]:
        time.sleep(0.3)
        if seed == 2 and not Path(held).exists():
            Path(held).write_text(str(os.getpid()))
            time.sleep(600)  # whoever makes it first is killed in the middle of it
        with open(log, "a") as file:
            file.write(f"{seed}\n")
        return {"x": seed}

    killed, held = [], str(Path(log).with_name("held.txt"))

    def kill(table: pd.DataFrame) -> None:
        if len(table) >= 4 and not killed:
            killed.append(int(Path(held).read_text()))
            os.kill(killed[0], signal.SIGKILL)

    with joblib.parallel_config(backend="dask"):
        on_cluster = compare({"a": slow}, 8, on_row=kill)
    made = [int(line) for line in Path(log).read_text().splitlines()]
    assert killed and sorted(made) == list(range(8)), "a run was lost, or made twice"
    monkeypatch.setenv("KDLAB_CACHE", str(tmp_path / "other"))
    pd.testing.assert_frame_equal(on_cluster, compare({"a": slow}, 8, n_jobs=1))


@fault(
    "An arm holds what cannot go to a worker process",
    "It is refused by name before anything trains.",
)
def test_an_arm_that_cannot_travel_is_refused_by_name_before_any_run(own_cache: Path):
    ran = own_cache / "ran"

    class Named:
        """A lock that can be told apart, and cannot be pickled."""

        def __init__(self) -> None:
            self.lock = threading.Lock()

        def __kdlab_fingerprint__(self) -> str:
            return "a lock"

        def __call__(self, seed: int) -> dict[str, int]:
            return {"seed": seed}

    def first(seed: int) -> dict[str, int]:
        ran.mkdir(parents=True)
        return {"seed": seed}

    with pytest.raises(TypeError, match="'locked'.*worker"):
        compare({"first": first, "locked": Named()}, 1)
    assert not ran.exists()
