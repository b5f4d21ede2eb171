"""One answer, tried in a process of its own: little time, little memory, an empty folder.

This hinders accidents and easy tricks. It is no prison: see docs/teaching.md.
"""

import contextlib
import functools
import json
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from kdlab.papers import EXERCISES, folders
from kdlab.show.exercise import Exercise, Verdict

PASSED, FAILED, EMPTY, UNREAD = "passed", "failed", "not tried", "read it"
OF_STATE = {"right": PASSED, "wrong": FAILED, "to do": EMPTY}
LONGEST = 300  # characters of a hint
MIB = 2**20
PATIENCE = 6  # times the processor's seconds: a busy machine, or a pupil that sleeps
PLAIN = (
    torch.Tensor,
    np.ndarray,
    float,
    int,
    bool,
    str,
    tuple,
    list,
    set,
    dict,
)  # an answer's types
CHANGED = "the check itself no longer refuses wrong answers after this code has run"


def try_out(stem: str, name: str, source: str, seconds: float, mib: int) -> tuple[str, str]:
    """Run one answer and its check; return what came of it, and the hint.

    Args:
        source: makes a function of this `name`; what it prints is thrown away.
        seconds: of the processor, for the answer and its check together.
        mib: memory beyond what the course itself needs. Kept on Linux only.
    """
    context = _processes()
    ours, theirs = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory(prefix="kdlab-answer-") as folder:
        given = (theirs, folder, stem, name, source, seconds, mib)
        process = context.Process(target=_child, args=given, daemon=True)
        process.start()
        theirs.close()
        try:
            ready = ours.poll(PATIENCE * seconds)
            told = ours.recv_bytes(100_000) if ready else b""
        except (EOFError, OSError):  # it ended without a word, or said far too much
            ready, told = True, b""
        _end(process)
    if not ready:
        return FAILED, f"it was stopped after {PATIENCE * seconds:g} seconds: is it waiting?"
    if process.exitcode in (-signal.SIGXCPU, -signal.SIGKILL) and not told:
        return FAILED, f"it was stopped after {seconds:g} seconds of work: does a loop never end?"
    return _understood(told, process.exitcode)


@functools.cache
def _processes() -> Any:
    """Return what starts processes: forks of one that has loaded all checks, and nothing else."""
    if os.name != "posix":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    checks = [f"kdlab.papers.{name}.exercises" for name in folders().values()]
    context.set_forkserver_preload([__name__, *checks])
    first = context.Process(target=int)  # it waits until all is loaded, which counts for nobody
    first.start()
    first.join()
    return context


def _end(process: Any) -> None:
    """End the child and whatever it has started; it leads a group of its own."""
    if os.name == "posix" and process.pid:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


def _understood(told: bytes, status: int | None) -> tuple[str, str]:
    """Return state and hint from a child's line; plain JSON, since unpickling runs code."""
    try:
        state, hint = json.loads(told)
        assert state in (*OF_STATE.values(), UNREAD) and isinstance(hint, str)
    except (ValueError, TypeError, AssertionError):
        return FAILED, f"its process ended without an answer (status {status}): out of memory?"
    return state, plain(hint)


def plain(text: str) -> str:
    """Return one line of printable characters, not too long: a student's code has chosen them."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


def _child(
    pipe: Any, folder: str, stem: str, name: str, source: str, seconds: float, mib: int
) -> None:
    """Confine this process, then judge; runs in the child."""
    exercise = EXERCISES[stem][name]  # loaded before the student's code, and held
    if os.name == "posix":
        os.setsid()
        _limit(int(seconds) + 1, mib)
    os.chdir(folder)
    os.environ.clear()
    os.environ |= {"HOME": folder, "KDLAB_CACHE": folder, "KDLAB_HOME": folder}
    torch.set_num_threads(1)
    with open(os.devnull, "r+") as nowhere:
        for stream in (0, 1, 2):
            os.dup2(nowhere.fileno(), stream)
    pipe.send_bytes(json.dumps(judged(exercise, name, source)).encode())


def _limit(seconds: int, mib: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, MIB))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, ValueError):
        with open("/proc/self/statm", encoding="ascii") as pages:
            now = int(pages.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + mib * MIB, now + mib * MIB))


def judged(exercise: Exercise, name: str, source: str) -> tuple[str, str]:
    """Return state and hint of the function `name` that `source` makes.

    Afterwards the check must still refuse every known wrong answer: a student's code that has
    changed it, or what it is made of, does not pass.
    """
    home: dict[str, Any] = {"__name__": "answer"}
    try:
        exec(compile(source, "answer", "exec"), home)
    except BaseException as error:  # whatever it is, it is the student's
        return FAILED, f"before its function is called it raises {_told(error)}"
    foreign: list[str] = []
    try:
        verdict = exercise.check(_noting(home[name], foreign))
    except BaseException as error:  # SystemExit and its like, which a check lets through
        return FAILED, f"your function raised {_told(error)}"
    if foreign:  # it could say of itself that it equals everything
        return UNREAD, f"it returns a {foreign[0]}, where numbers, tensors or texts are asked for"
    if type(verdict) is not Verdict or OF_STATE.get(verdict.state) is None:
        return UNREAD, CHANGED
    state = OF_STATE[verdict.state]
    if state == PASSED and not refuses(exercise.check, exercise.wrong):
        return UNREAD, CHANGED
    return state, verdict.hint if state != EMPTY else ""


def _noting(answer: Callable[..., Any], foreign: list[str]) -> Callable[..., Any]:
    """Return `answer`, which notes in `foreign` what it returns beside plain values."""

    def asked(*args: Any, **options: Any) -> Any:
        got = answer(*args, **options)
        if got is not None and type(got) not in PLAIN and not isinstance(got, np.generic):
            foreign.append(type(got).__name__)
        return got

    return asked


def refuses(check: Any, wrong: Mapping[str, Any]) -> bool:
    """Tell whether a check still says "wrong" of each known wrong answer."""
    return all(check(answer).state == "wrong" for answer in wrong.values())


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
