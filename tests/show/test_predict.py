"""Guesses are kept over restarts, scored, counted once; nothing is spoiled, nothing is lost."""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from kdlab.show import guesses as store
from kdlab.show.folds import as_table, folded, told
from kdlab.show.guesses import Guess, interval_score, read_guesses, record, tally, write_guesses
from kdlab.show.predict import Guesses
from kdlab.store import home_dir
from tests.mutants import assert_caught

ARMS = {"labels": "labels alone", "KD": "with a teacher", "control": "with a permuted teacher"}
ROWS = pd.DataFrame(
    {
        "arm": ["labels", "labels", "KD", "KD", "control", "teacher"],
        "accuracy": [92.0, 92.5, 93.5, 94.0, 91.0, 97.0],
    }
)


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for every test; return where the guesses will lie."""
    monkeypatch.setenv("KDLAB_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "guesses.json"


def new(notebook: str = "00_kd") -> Guesses:
    return Guesses(notebook, ARMS, low=50, high=100)


def guessed(notebook: str = "00_kd", **values: tuple[float, float]) -> Guesses:
    """Move these rows and press the button."""
    box = new(notebook)
    for arm, value in values.items():
        box.sliders[arm].value = value
    box.button.click()
    return box


def row(shown, words: str) -> str:
    """Return the line of a table that begins with `words`."""
    return next(line for line in shown.text.splitlines() if line.startswith(words))


# the widget


def test_each_arm_has_a_row_in_plain_words_that_starts_as_no_guess():
    box = new()
    assert [s.description for s in box.sliders.values()] == list(ARMS.values())
    assert all(s.value == (50, 100) and s.readout for s in box.sliders.values())
    assert box.button.description == "Keep my guesses"
    longest = max(map(len, ARMS.values()))
    for slider in box.sliders.values():
        assert int(slider.style.description_width.removesuffix("ch")) > longest
        assert slider.layout.width == "100%" and slider.layout.max_width.endswith("px")


@pytest.mark.parametrize(("step", "digits"), [(1, ".0f"), (0.5, ".1f"), (0.01, ".2f"), (10, ".0f")])
def test_the_readout_shows_every_step(step, digits):
    box = Guesses("00_kd", ARMS, step=step)
    assert {slider.readout_format for slider in box.sliders.values()} == {digits}


def test_a_move_is_told_in_words():
    box = new()
    box.sliders["KD"].value = (90, 93.5)
    assert "with a teacher: 90 to 93.5 % correct" in box.line.value
    assert 'role="status"' in box.line.value


@pytest.mark.parametrize(
    ("arms", "options"),
    [({}, {}), (ARMS, {"low": 100, "high": 50}), (ARMS, {"step": 0}), (ARMS, {"step": 200})],
)
def test_guesses_that_cannot_be_made_are_refused(arms, options):
    with pytest.raises(ValueError, match="scale"):
        Guesses("00_kd", arms, **options)


def test_words_are_no_html():
    box = Guesses("00_kd", {"a": "<b>bold</b>"})
    box.sliders["a"].value = (10, 20)
    box.keep()
    assert "<b>" not in box.line.value
    assert "<b>" not in box.score(pd.DataFrame({"arm": ["a"], "accuracy": [15]})).html
    assert "<i>" not in folded("", "<i>") and "<i>" not in told("<i>").html
    assert "<i>" not in as_table([{"": "<i>", "x": "<i>"}], "<i>", "<i>").html


# nothing guessed


def test_nothing_guessed_is_one_sentence_and_a_fold(file):
    shown = new().score(ROWS)
    before, _, inside = shown.html.partition("<details>")
    assert "no guess" in before and "93.75" not in before and "93.75" in inside
    assert "93.75" not in shown.text
    assert not file.exists()


def test_a_row_left_alone_is_no_guess(file):
    box = new()
    box.button.click()
    assert "No row" in box.line.value and not file.exists()
    box.sliders["KD"].value = (90, 94)
    box.button.click()
    assert list(box.kept()) == ["KD"]
    assert "1 of 3" in box.line.value


def test_nothing_measured_is_one_sentence():
    box = guessed(KD=(90, 94))
    assert "Nothing has been measured" in box.score(ROWS[:0]).text
    assert box.kept()["KD"].measured is None


# kept


def test_guesses_outlive_a_restart(file):
    guessed(KD=(90, 94.5))
    again = new()
    assert again.sliders["KD"].value == (90, 94.5)
    assert again.sliders["labels"].value == (50, 100)
    assert "kept before" in again.line.value
    assert file == home_dir() / "guesses.json" and file.stat().st_size < 1000


def test_before_the_result_a_guess_may_be_changed():
    box = guessed(KD=(90, 94))
    box.sliders["KD"].value = (91, 95)
    box.button.click()
    assert [(g.low, g.high, g.after) for g in read_guesses()] == [(91, 95, False)]


def test_after_the_result_the_first_guess_counts():
    box = guessed(KD=(95, 96))
    box.score(ROWS)
    box.sliders["KD"].value = (93, 94)
    box.sliders["labels"].value = (92, 93)
    assert "after" in box.keep()
    assert [(arm, guess.low, guess.high) for arm, guess in box.kept().items()] == [("KD", 95, 96)]
    shown = box.score(ROWS)
    assert shown.text.count("made after seeing") == 2
    assert "miss" in row(shown, "with a teacher")
    assert "0 of 1" in shown.text
    assert tally(read_guesses()) == (0, 1)
    assert "nothing new" in Guesses("01", {"KD": "KD"}).keep()


def test_a_second_press_after_the_result_changes_nothing():
    box = guessed(KD=(95, 96))
    box.score(ROWS)
    kept = read_guesses()
    box.button.click()
    assert read_guesses() == kept


def test_notebooks_do_not_disturb_each_other():
    one, two = guessed("00_kd", KD=(90, 94)), guessed("05_rkd", KD=(60, 70))
    one.score(ROWS)
    assert two.kept()["KD"].measured is None
    other = Guesses("00_kd", {"T": "temperature"})
    other.sliders["T"].value = (2, 4)
    other.keep()
    assert len(read_guesses()) == 3


def test_a_file_that_cannot_be_written_is_told(monkeypatch: pytest.MonkeyPatch):
    def full(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(store, "write_atomic", full)
    assert "the disk is full" in guessed(KD=(90, 94)).line.value


GOOD = {"notebook": "00_kd", "arm": "KD", "low": 90.0, "high": 94.0, "unit": "%"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b'{"format": "kdlab guesses, 1", "guesses": [{"notebook"',
        b"[" * 100_000,
        b"[1, 2]",
        b'{"format": "another"}',
        *(
            json.dumps({"format": store.FORMAT, "guesses": [GOOD | wrong]}).encode()
            for wrong in (
                {"low": "__import__('os')"},
                {"low": 95.0},
                {"high": float("nan")},
                {"high": 10**400},
                {"arm": ["KD"]},
                {"after": "no"},
                {"measured": "94"},
                {"more": 1},
            )
        ),
    ],
)
def test_a_damaged_or_foreign_file_is_set_aside(file, content):
    file.parent.mkdir()
    file.write_bytes(content)
    with pytest.warns(UserWarning, match="is kept as guesses-"):
        assert read_guesses() == []
    assert [path.read_bytes() for path in file.parent.iterdir()] == [content]
    assert len(guessed(KD=(90, 94)).kept()) == 1
    assert len(list(file.parent.iterdir())) == 2


# scored


def test_hits_and_misses_beside_what_was_measured():
    shown = guessed("00_kd", KD=(90, 94), labels=(93, 95)).score(ROWS)
    assert row(shown, "with a teacher").split()[-6:] == ["90", "to", "94", "93.75", "hit", "4"]
    missed = row(shown, "labels alone")
    assert "92.25" in missed and "miss, by 0.75" in missed and missed.endswith("9.5")
    assert "no guess" in row(shown, "with a permuted")
    assert "1 of 2" in shown.text
    assert "<th>labels alone</th>" in shown.html and "<caption>" in shown.html
    assert "<details>" not in shown.html


def test_arms_without_a_number_are_not_measured():
    shown = guessed(KD=(90, 94), control=(90, 92)).score(ROWS[ROWS["arm"] == "KD"])
    assert "not measured" in row(shown, "with a permuted")
    assert "1 of 1" in shown.text


def test_the_record_runs_over_all_notebooks():
    for notebook in ("00_kd", "01_efficacy", "05_rkd"):
        shown = guessed(notebook, KD=(90, 94), labels=(93, 95)).score(ROWS)
    assert "3 of 6" in shown.text


def test_rows_that_cannot_be_scored_are_refused():
    box = new()
    with pytest.raises(ValueError, match="accuracy"):
        box.score(ROWS.drop(columns="accuracy"))
    with pytest.raises(ValueError, match="worlds"):
        box.score(ROWS.assign(world=["a", "b"] * 3))
    assert "fold" not in box.score(ROWS.assign(nll=1.0, world="a"), metric="nll").text


@pytest.mark.parametrize(
    ("x", "score"), [(92, 4), (90, 4), (94, 4), (89, 14), (95.5, 19), (-1e3, 4 + 10 * 1090)]
)
def test_the_interval_score(x, score):
    assert interval_score(90, 94, x) == pytest.approx(score)
    assert interval_score(90, 94, x, alpha=0.5) == pytest.approx(4 + (score - 4) * 0.2 / 0.5)


@pytest.mark.parametrize(
    ("target", "old", "new"),
    [
        (interval_score, "2 / alpha", "1 / alpha"),
        (interval_score, "high - low +", "0 +"),
        (store.outside, "x - high", "high - x"),
        (store.outside, "low - x, ", ""),
    ],
)
def test_a_wrong_score_is_noticed(target, old, new):
    def check():
        for x, score in ((92, 4), (89, 14), (95.5, 19)):
            assert interval_score(90, 94, x) == pytest.approx(score)

    assert_caught(target, old, new, by=[check])


@pytest.mark.parametrize(
    ("target", "old", "new"),
    [
        (store.Guess, "not self.after and", ""),
        (Guesses, "and not g.after", ""),
        (Guesses, "and g.after == seen", ""),
    ],
)
def test_guesses_after_seeing_would_be_noticed(file, target, old, new):
    def check():
        file.unlink(missing_ok=True)
        test_after_the_result_the_first_guess_counts()

    assert_caught(target, old, new, by=[check])


# how good they are


def scored(hits: int, misses: int, width: float = 2.0) -> None:
    facts = {"notebook": "00_kd", "low": 90.0, "high": 90.0 + width, "unit": "%"}
    write_guesses(
        Guess(arm=str(i), measured=91.0 if i < hits else 99.0, **facts)
        for i in range(hits + misses)
    )


@pytest.mark.parametrize(
    ("hits", "misses", "said"),
    [(8, 2, "may well be right"), (3, 9, "wider"), (40, 0, "narrower"), (1, 0, "may well")],
)
def test_the_record_says_whether_to_widen(hits, misses, said):
    scored(hits, misses)
    shown = record()
    assert said in shown.text
    assert f"{hits} of {hits + misses}" in row(shown, "00_kd")
    assert row(shown, "00_kd").endswith("2 %")


def test_the_record_has_wilsons_interval():
    scored(8, 2)
    assert "between 49 and 94 %" in record().text  # (p + z^2/2n ± z sqrt(...)) / (1 + z^2/n)


def test_an_empty_record_is_one_sentence():
    guessed(KD=(90, 94))
    assert "None of your guesses" in record().text


# drawn


def test_boxes_lie_in_the_rows_of_their_arms():
    box = guessed(KD=(90, 94), control=(88, 89))
    _, ax = plt.subplots()
    told = box.draw(ax, ["labels", "KD", "control"])
    boxes = [(b.get_y() + b.get_height() / 2, b.get_x(), b.get_width()) for b in ax.patches]
    assert boxes == [pytest.approx((1, 90, 4)), pytest.approx((2, 88, 1))]
    assert "with a teacher, 90 to 94" in told
    assert ax.get_xlim()[0] < 88 and ax.get_xlim()[1] > 94  # no end is hidden
    plt.close("all")


def test_without_guesses_nothing_is_drawn():
    _, ax = plt.subplots()
    assert new().draw(ax, list(ARMS)) == ""
    assert guessed(KD=(90, 94)).draw(ax, ["labels"]) == ""
    assert not ax.patches
    plt.close("all")


def test_a_fold_keeps_its_content_closed():
    found = folded("<b>93.7</b>", "Show what was measured")
    assert found.startswith("<details><summary>Show what was measured</summary><b>93.7</b>")
    assert " open" not in found
