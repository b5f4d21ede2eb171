"""The progress bar: one line left behind in a notebook, nothing in the way in a terminal."""

import sys
from typing import Any

import IPython.display
import pytest

from kdlab.runs import progress
from kdlab.runs.progress import bar


class Line:
    """Stands for the output of a cell: keeps what is written there."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def show(self, data: dict[str, str], **options: Any) -> "Line":
        assert options == {"raw": True, "display_id": True}
        self.texts.append(data["text/plain"])
        return self

    def update(self, data: dict[str, str], raw: bool) -> None:
        assert raw
        self.texts.append(data["text/plain"])


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Line:
    """Make the process look like a notebook's kernel."""
    line = Line()
    monkeypatch.setattr(progress, "in_kernel", lambda: True)
    monkeypatch.setattr(IPython.display, "display", line.show)
    return line


def test_a_notebook_keeps_one_line_that_says_what_was_done(line: Line) -> None:
    with bar(5, 2, "runs") as runs:
        for _ in range(3):
            runs.update()
            runs.tqdm.refresh()
    assert line.texts[0] == "runs: starting"
    assert any("3/3" in text for text in line.texts)
    assert line.texts[-1] == "runs: 5 of 5 done, 2 of them from store"
    assert all(text and "\r" not in text for text in line.texts)


def test_a_run_without_stored_results_says_nothing_of_a_store(line: Line) -> None:
    with bar(1, 0, "runs") as runs:
        runs.update()
    assert line.texts[-1] == "runs: 1 of 1 done"


def test_where_all_is_stored_no_bar_is_drawn(line: Line) -> None:
    with bar(4, 4, "runs"):
        pass
    assert line.texts == ["runs: starting", "runs: 4 of 4 done, 4 of them from store"]


def test_an_interruption_leaves_the_true_count_and_passes_on(line: Line) -> None:
    with pytest.raises(KeyboardInterrupt), bar(5, 1, "runs") as runs:
        runs.update()
        raise KeyboardInterrupt
    assert line.texts[-1] == "runs: 2 of 5 done, 1 of them from store"


def test_a_terminal_gets_the_bar_on_stderr_and_a_clean_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ipykernel", sys)  # a test runner may have loaded it
    with bar(2, 0, "training") as runs:
        runs.update()
        runs.tqdm.refresh()
    out, err = capsys.readouterr()
    assert out == "" and "training" in err and "1/2" in err
    assert err.rsplit("\r", 2)[-2].strip() == ""  # wiped at the end


def test_a_terminal_sees_nothing_where_all_is_stored(capsys: pytest.CaptureFixture[str]) -> None:
    with bar(3, 3, "training"):
        pass
    assert capsys.readouterr() == ("", "")
