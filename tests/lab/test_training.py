"""What Train and Stop do: paired runs in worker processes, nothing lost, nothing made twice."""

import os
import signal
import threading
import time
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from distributed import Client
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from kdlab.data import load
from kdlab.fingerprint import fingerprint
from kdlab.lab import view
from kdlab.lab.job import frozen, work
from kdlab.lab.rows import row_of
from kdlab.models import build
from kdlab.train.worlds import world
from tests.faults import fault
from tests.lab.conftest import KD, LABELS, PATIENCE, TINY, numbers, press, train, until


def squared(z_s, z_t, y, *, T: float = 4.0):
    return ((z_s - z_t) / T).square().mean()


def steep(z_s, z_t, y, *, T: float = 4.0):
    return 2 * ((z_s - z_t) / T).square().mean()


def diverges(z_s, z_t, y):
    return (z_s.square().sum() * 1e30).exp().log() if z_s.shape[0] > 8 else z_s.square().mean()


def test_train_and_train_again(make, home):
    mine = {"epochs": 2}  # the cache of all tests holds no such teacher yet
    my_lab = make([LABELS | mine, KD | mine])
    plan = my_lab.state["plan"]
    assert plan.startswith("To train: 2 teachers and 4 students, ")
    train(my_lab)
    found = numbers(my_lab)
    assert [len(x) for x in found.values()] == [2, 2] and my_lab.state[
        "plan"
    ] == "Nothing is missing."
    assert press(my_lab, "train") == "Nothing is missing."
    assert my_lab.state["pairs"]["2-1"].startswith("Arm 2 minus arm 1: ")
    assert len(my_lab.bench.book.runs()) == 4  # teachers are no results
    assert set(my_lab.runs().columns) >= {"arm", "seed", "accuracy", "curve", "says", "seconds"}

    press(my_lab, "count", n=3)
    assert my_lab.state["plan"].startswith("To train: 1 teacher and 2 students")
    train(my_lab)
    assert numbers(my_lab)[1][:2] == found[1] and len(numbers(my_lab)[1]) == 3

    again = make([LABELS | mine, KD | mine], replicates=3)  # as after a restart of the kernel
    assert numbers(again) == numbers(my_lab) and again.state["plan"] == "Nothing is missing."
    assert len(again.state["book"]) == 2
    page = again._repr_mimebundle_()
    assert "n = 3" in page["text/html"] and "KD, T 4" in page["text/plain"]


def test_the_lines_of_copy_as_python_give_the_same_numbers(make):
    rows = [LABELS, KD | {"noise": 0.25}, {"method": "RKD", **TINY}, {"method": "own loss", **TINY}]
    my_lab = make(rows, methods={"own loss": squared})
    train(my_lab)
    text, here = my_lab.as_python(), {"squared": squared}
    assert "# squared is yours" in text and "RKD(r.student(), r.teacher_of(taps='pool')" in text
    exec(text.replace("seeds=", "n_jobs=1, seeds="), here)
    runs, mine = here["runs"], my_lab.runs()
    assert len(runs) == len(mine) == 8
    for column in ("accuracy", "nll", "ece", "val_accuracy"):
        assert np.allclose(runs[column], mine[column], atol=1e-3), column


def test_a_second_press_starts_nothing(make):
    my_lab = make([KD | {"labels": 21}])
    said = []
    presses = [
        threading.Thread(target=lambda: said.append(press(my_lab, "train"))) for _ in range(4)
    ]
    for thread in presses:
        thread.start()
    for thread in presses:
        thread.join()
    until(lambda: not any(t.name == "kdlab lab" for t in threading.enumerate()))
    assert my_lab.bench.training.state == "done" and len(my_lab.bench.training.ended) == 4
    assert said.count("The training has started.") == 1 and len(my_lab.bench.book.runs()) == 2


def test_beside_the_training_the_kernel_computes_with_one_thread(make):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        my_lab = make([LABELS | {"labels": 31}])  # which no other test has trained
        assert torch.get_num_threads() == 2  # nothing trains yet
        train(my_lab)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_a_job_on_its_way_to_a_worker_counts(make, monkeypatch):
    my_lab = make([LABELS | {"labels": 32}])
    training, totals = my_lab.bench.training, []
    submit = training._submit

    def slowly(job):  # the reader looks meanwhile
        totals.append(view.state(my_lab.bench)["training"]["total"])
        return submit(job)

    monkeypatch.setattr(training, "_submit", slowly)
    train(my_lab)
    assert totals == [2, 2] and my_lab.state["training"]["done"] == 2


def ended(*result) -> Future:
    future: Future = Future()
    future.set_result(result)
    return future


def test_a_failure_stays_with_its_arm_whatever_number_that_has(make):
    my_lab = make([LABELS | {"labels": 33}])
    job, *waiting = my_lab.bench.jobs()
    my_lab.bench.training._end(job, ended("it broke", "", 1.0))
    assert "it broke" in my_lab.state["rows"][0]["fault"] and waiting
    my_lab.bench.restart([row_of(KD | {"labels": 33}, my_lab.bench.stock)], 2)
    my_lab._push()
    assert not my_lab.state["rows"][0]["fault"]  # arm 1, and another one


def test_a_book_that_cannot_be_written_stops_no_run(make):
    my_lab = make([LABELS | {"labels": 33}])
    training = my_lab.bench.training
    job, *training.jobs = my_lab.bench.jobs()
    training._end(job, ended("", "A run is kept, but not in the lab book.", 1.0))
    assert len(training.jobs) == 1 and not my_lab.state["rows"][0]["fault"]
    assert "lab book" in my_lab.state["training"]["notice"]


def test_what_a_cell_changes_meanwhile_reaches_no_job(make):
    here = {"__name__": "__main__"}
    exec("W = 1.0\ndef mine(z_s, z_t, y):\n    return W * z_s.square().mean()", here)
    my_lab = make([{"method": "mine", **TINY, "labels": 34}], methods={"mine": here["mine"]})
    jobs = frozen(my_lab.bench.jobs())
    here["W"] = 100.0
    keys = {fingerprint(job.arm)[:16] for job in jobs if job.who}
    assert keys == {job.entry["key"] for job in jobs if job.who}


def test_a_cache_that_cannot_be_written_is_told_before_the_training(make, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    my_lab = make([LABELS | {"labels": 33}])
    monkeypatch.setenv("KDLAB_CACHE", str(tmp_path / "file"))
    with pytest.raises(OSError, match="KDLAB_CACHE"):
        press(my_lab, "train")
    assert not my_lab.bench.training.busy and "KDLAB_CACHE" in my_lab.state["said"]["text"]


def test_an_arm_that_fails_says_why_and_the_others_go_on(make):
    rows = [
        LABELS | {"labels": 22},
        {"method": "diverges", **TINY, "labels": 22},
        {"method": "bad", **TINY, "labels": 22},
    ]
    my_lab = make(rows, methods={"diverges": diverges, "bad": lambda z_s, z_t, y: z_s})
    train(my_lab)
    good, late, early = my_lab.state["rows"]
    assert len(good["dots"]) == 2 and not good["fault"], good
    told = late["fault"].removeprefix("In replicate ")
    assert told[:4] in ("1000", "1001")  # whichever worker is the first
    assert told[4:].startswith(" it failed: FloatingPointError: the loss term 'loss'")
    assert "\n" not in late["fault"] and not late["dots"]
    assert "return a scalar tensor" in early["fault"] and not early["dots"]
    assert my_lab.state["training"]["state"] == "done"


def test_a_loss_that_cannot_be_followed_or_sent_says_so(make):
    lock = threading.Lock()

    def locked(z_s, z_t, y):
        with lock:
            return z_s.square().mean()

    my_lab = make([{"method": "locked", **TINY}], methods={"locked": locked})
    assert "cannot tell whether this lock changed" in my_lab.state["rows"][0]["fault"]
    assert press(my_lab, "train") == "Nothing is missing."


def test_a_partial_is_refused_in_one_sentence(make):
    with pytest.raises(ValueError, match="is a partial"):
        make([LABELS]).add(partial(squared, T=2.0), "mine")


def test_an_edited_loss_makes_its_rows_stale_and_only_those(make):
    labels = LABELS | {"labels": 23}
    my_lab = make([labels, {"method": "mine", **TINY, "labels": 23}], methods={"mine": squared})
    train(my_lab)
    before = numbers(my_lab)
    my_lab.add(squared, "mine")  # the cell is run again, and nothing has changed
    assert numbers(my_lab) == before
    my_lab.add(steep, "mine")
    one, two = my_lab.state["rows"]
    assert not one["stale"] and [d[1] for d in one["dots"]] == before[1]
    assert two["stale"] and not two["dots"]
    assert my_lab.state["plan"].startswith("To train: 2 students")
    train(my_lab)
    assert not my_lab.state["rows"][1]["stale"] and len(numbers(my_lab)[2]) == 2
    assert len(my_lab.state["book"]) == 3  # both versions
    my_lab.add(squared, "mine")
    assert numbers(my_lab) == before


def test_stop_ends_within_a_second_and_loses_nothing(make):
    slow = {**TINY, "labels": 24}
    my_lab = make([{"method": "labels", **slow}, {"method": "KD", **slow, "updates": 90_000}])
    my_lab.bench.training.pool = None  # workers of its own: they will be killed
    assert press(my_lab, "stop") and my_lab.bench.training.state == "ready"
    press(my_lab, "train")
    until(lambda: len(numbers(my_lab)[1]) == 2 and len(my_lab.bench.training.running) == 2)
    workers = [*my_lab.bench.training.pool._processes]
    beats, started = 0, time.monotonic()
    press(my_lab, "stop")
    assert my_lab.state["training"]["state"] in ("stopping", "stopped")
    while my_lab.bench.training.busy or any(map(psutil.pid_exists, workers)):
        assert time.monotonic() - started < PATIENCE
        time.sleep(0.01)
        beats += 1
    took = time.monotonic() - started
    assert took < 1 or psutil.getloadavg()[0] > psutil.cpu_count(), f"{took:.1f} s"
    until(lambda: my_lab.state["training"]["state"] == "stopped")
    assert len(numbers(my_lab)[1]) == 2 and numbers(my_lab)[2] == []
    assert len(my_lab.bench.book.runs()) == 2
    assert "2 students" in my_lab.state["plan"]


def test_another_lab_of_the_kernel_stops_where_one_begins(make):
    first, second = make().bench.training, make(replicates=1).bench.training
    first.state = "running"
    assert not second.start([]) and first.state == "running"
    second._work = lambda: None
    assert second.start(make([LABELS | {"labels": 26}]).bench.jobs())
    assert first.state == "stopping" and second.state == "running"


@pytest.mark.filterwarnings("ignore:Suspicion")  # this teacher has learned nothing
def test_own_images_and_own_teacher(make, data, tmp_path):
    rows = [LABELS | {"world": "own"}, {**KD, "world": "own", "teacher": None}]
    net = build("cnn2", 10, seed=5)
    my_lab = make(rows, data=data, teacher=net)
    assert my_lab.state["rows"][1]["words"].startswith("KD, T 4, alpha 0.9, teacher your network")
    train(my_lab)
    assert [len(x) for x in numbers(my_lab).values()] == [2, 2]
    alone, taught = (row["doubt"] for row in my_lab.state["rows"])
    assert "agrees" in taught and not alone
    here = {"my_data": data, "my_teacher": net}
    exec(my_lab.as_python().replace("seeds=", "n_jobs=1, seeds="), here)
    assert np.allclose(here["runs"]["accuracy"], my_lab.runs()["accuracy"], atol=1e-3)
    other = make(rows, data=data, teacher=build("cnn2", 10, seed=6))
    assert [len(x) for x in numbers(other).values()] == [2, 0]  # it is asked by one row alone

    x, y = data.images(data.train.x), data.train.y
    path = tmp_path / "mine.npz"
    np.savez(path, x=x.numpy(), y=y.numpy())
    from_path = make([{"method": "labels", **TINY}], data=path)
    assert "20 labels of your images" in from_path.state["rows"][0]["words"]
    train(from_path)
    assert len(numbers(from_path)[1]) == 2


def test_images_and_costs(make):
    my_lab, sent = make(), []
    train(my_lab) if my_lab.state["plan"].startswith("To") else None
    my_lab.send = lambda content, buffers=None: sent.append(content)
    press(my_lab, "images", first=2, second=1)
    press(my_lab, "costs")
    pictures, costs = sent
    one, two = (my_lab.bench.tracks[who].found[1000]["correct"] for who in (2, 1))
    assert [side["count"] for side in pictures["sides"]] == [(one & ~two).sum(), (two & ~one).sum()]
    classes = load("mnist5k", n_labelled=20, seed=1000).classes
    for side in pictures["sides"]:
        assert all(image["label"] in classes and image["src"] for image in side["images"])
    assert costs["rows"][1]["student"] == "496 weights" and costs["rows"][1]["teacher"] == "none"


def test_what_is_pressed_is_answered_in_a_sentence(make):
    my_lab = make([LABELS])
    assert press(my_lab, "add", row=LABELS) == "arm 1 says the same; change something first."
    assert press(my_lab, "add", row=KD).startswith("Arm 2: KD, T 4")
    assert press(my_lab, "add", row=KD | {"labels": 50}, editing=2).startswith("Arm 2: KD")
    assert press(my_lab, "remove", who=1) == "Arm 1 is removed; its runs are kept."
    assert "from 1 to 40" in press(my_lab, "count", n=0) and my_lab.bench.replicates == 2
    assert my_lab.state["said"]["field"] == "replicates"
    assert "no settings of the lab" in press(my_lab, "paste", text="rm -rf /")
    assert press(my_lab, "paste", text=my_lab.settings()) == "Pasted; arms: 1."
    press(my_lab, "draft", row={"method": "KD", "knobs": {"T": 70}})
    assert my_lab.state["draft"]["wrong"]["field"] == "T" and not my_lab.state["draft"]["words"]
    with pytest.raises(AttributeError):
        press(my_lab, "no such thing")
    assert "This failed: AttributeError" in my_lab.state["said"]["text"]


def test_rows_share_a_teacher_and_a_replicate_is_that_of_the_course(make):
    my_lab = make([KD, KD | {"knobs": {"T": 1.0}}, {"method": "RKD", **TINY}])
    stock = my_lab.bench.stock
    teachers = {str(t.row.teach(stock)) for t in my_lab.bench.tracks.values()}
    assert len(teachers) == 1
    run = row_of({"method": "KD"}, stock).run(stock)
    assert run.setting.world == world("mnist5k")
    assert torch.equal(run.setting.data.train.x, load("mnist5k").train.x)


def test_a_kernel_that_ends_loses_no_finished_run(make, home: Path):
    """The worker writes into the book, not the kernel: nobody listens here."""
    my_lab = make([LABELS | {"labels": 25}], replicates=1)
    (job,) = my_lab.bench.jobs()
    assert work(job, my_lab.bench.book.path)[0] == ""
    assert len(my_lab.bench.book.runs()) == 1
    again = make([LABELS | {"labels": 25}], replicates=1)
    assert len(numbers(again)[1]) == 1 and len(again.state["book"]) == 1


def test_it_survives_a_run_without_eyes(tmp_path: Path):
    """As nbval and papermill run it: the output is a page, no view of a widget."""
    nb = new_notebook(cells=[new_code_cell(f"from kdlab.lab import lab\nlab([{LABELS!r}])")])
    NotebookClient(nb, kernel_name="python3", timeout=PATIENCE).execute()
    (output,) = nb.cells[0].outputs
    assert set(output.data) == {"text/html", "text/plain"}
    assert "labels alone" in output.data["text/html"]
    assert "Run this cell" in output.data["text/plain"]


@fault(
    "A worker of a Dask cluster is killed while the lab trains",
    "Its runs are made by the others; every run stands in the lab book once.",
)
def test_the_lab_trains_on_a_cluster_that_loses_a_worker(make, cluster, monkeypatch, tmp_path):
    rows = [LABELS | {"labels": 27}, KD | {"labels": 27, "updates": 60}]
    my_lab = make(rows, replicates=4, dask=cluster)
    my_lab.bench.training.pool = None  # the cluster's, instead of those of all tests
    with Client(cluster) as client:
        workers = list(client.run(os.getpid).values())
    press(my_lab, "train")
    until(lambda: len(my_lab.bench.training.ended) >= 2)
    assert my_lab.bench.training.processes == 2
    os.kill(workers[0], signal.SIGKILL)
    until(lambda: my_lab.state["training"]["state"] != "running")
    assert not any(row["fault"] for row in my_lab.state["rows"])
    assert len(my_lab.bench.book.runs()) == 8 and my_lab.state["plan"] == "Nothing is missing."

    monkeypatch.setenv("KDLAB_CACHE", str(tmp_path / "other"))
    here = {}
    exec(my_lab.as_python().replace("seeds=", "n_jobs=1, seeds="), here)
    assert np.allclose(here["runs"]["accuracy"], my_lab.runs()["accuracy"], atol=1e-3)


@fault(
    "A worker process of the lab is killed",
    "What ran is tried once more; a run that is killed again says so, and the others go on.",
)
def test_a_worker_that_is_killed_takes_no_other_run_with_it(make, tmp_path):
    flag, kernel = str(tmp_path / "flag"), os.getpid()

    def killed(z_s, z_t, y):
        if os.getpid() != kernel:  # which tries every loss first
            os.kill(os.getpid(), signal.SIGKILL)
        return (z_s - z_t).square().mean()

    def once(z_s, z_t, y):
        if os.getpid() != kernel and not os.path.exists(flag):
            open(flag, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return (z_s - z_t).square().mean()

    tiny = {**TINY, "labels": 28}
    my_lab = make([LABELS | tiny, {"method": "once", **tiny}], methods={"once": once})
    training = my_lab.bench.training
    training.pool = None  # workers of its own
    train(my_lab)
    assert [len(x) for x in numbers(my_lab).values()] == [2, 2]
    assert not any(row["fault"] for row in my_lab.state["rows"])

    (worker, *_) = training.pool._processes.values()  # nobody trains; yet one is killed
    os.kill(worker.pid, signal.SIGKILL)
    until(lambda: training.pool._flags.broken)
    press(my_lab, "count", n=3)
    train(my_lab)
    assert [len(x) for x in numbers(my_lab).values()] == [3, 3]

    rows = [LABELS | tiny, {"method": "killed", **tiny}]
    other = make(rows, methods={"killed": killed}, replicates=4)
    other.bench.training.pool = None
    train(other)
    good, bad = other.state["rows"]
    assert len(good["dots"]) == 4 and not good["fault"]
    assert "killed" in bad["fault"] and not bad["dots"]
    for one in (training, other.bench.training):
        one.shut()


def test_a_cluster_that_does_not_answer_is_told(make):
    my_lab = make([LABELS | {"labels": 29}], dask="tcp://127.0.0.1:9")
    my_lab.bench.training.pool = None
    press(my_lab, "train")
    until(lambda: not my_lab.bench.training.busy)
    assert "127.0.0.1:9" in my_lab.bench.training.notice
