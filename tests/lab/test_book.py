"""The lab book survives restarts, damage and foreign files."""

import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from kdlab.lab.book import TABLE, Book
from kdlab.store import home_dir

ROW = {"accuracy": 91.5, "nll": 0.3, "ece": 2.0, "seconds": 4.0, "curve": [1, 2]}


def entry(key: str = "a", seed: int = 1000, words: str = "KD, T 4") -> dict[str, object]:
    told = {"key": key, "seed": seed, "method": "KD", "words": words, "settings": "{}"}
    return told | {"expected": 2.0}


def filled() -> Book:
    book = Book()
    for seed in (1000, 1001):
        book.keep(entry(seed=seed), ROW)
    book.keep(entry("b", words="labels alone"), ROW | {"accuracy": 80.0})
    return book


def test_it_stands_where_nothing_is_thrown_away(home: Path, monkeypatch: pytest.MonkeyPatch):
    assert Book().path == home / "lab.sqlite" and not home.exists()
    monkeypatch.delenv("KDLAB_HOME")
    assert home_dir() == Path.home() / ".kdlab"


def test_what_was_kept_is_there_after_a_restart():
    filled()
    runs = Book().runs()
    assert sorted(runs["key"]) == ["a", "a", "b"]
    one = runs[runs["key"] == "b"].iloc[0]
    assert (one["accuracy"], one["words"], one["note"]) == (80.0, "labels alone", "")
    assert pd.Timestamp(one["at"]) <= pd.Timestamp.now()


def test_a_run_is_kept_once():
    book = filled()
    book.keep(entry(), ROW | {"accuracy": 1.0})
    runs = book.runs()
    assert len(runs) == 3 and 1.0 not in set(runs["accuracy"])


def test_a_note_belongs_to_all_runs_of_a_row_and_to_those_that_come():
    book = filled()
    book.note("a", " try T = 20 next ")
    book.keep(entry(seed=1002), ROW)
    notes = Book().runs().groupby("key")["note"].agg(set)
    assert notes["a"] == {"try T = 20 next"} and notes["b"] == {""}


def test_deleted_is_deleted():
    book = filled()
    book.delete("a")
    assert list(Book().runs()["key"]) == ["b"]


def test_it_is_exported_as_csv():
    lines = filled().csv().splitlines()
    assert lines[0].startswith("key,seed,at,method,words,settings,note,accuracy")
    assert len(lines) == 4 and '"KD, T 4"' in lines[-1]


def test_an_empty_book_has_no_runs_and_no_file():
    book = Book()
    assert book.runs().empty and book.mend() == "" and not book.path.exists()


def test_a_book_begins_whole_or_not_at_all(home: Path):
    book = Book()
    home.mkdir(parents=True)
    book.path.touch()  # as it is while a worker begins it, or after a disk was full
    assert book.mend() == "" and book.runs().empty and book.path.exists()
    with pytest.raises(sqlite3.OperationalError), book._opened() as db:
        db.execute("PRAGMA max_page_count = 1")
        db.executescript(TABLE)
    assert book.mend() == "" and book.runs().empty
    book.keep(entry(), ROW)
    assert len(book.runs()) == 1 and not book.mend()


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE photos (name TEXT)")


def damaged(path: Path) -> None:
    filled()
    content = bytearray(path.read_bytes())
    content[:2048] = b"x" * 2048
    path.write_bytes(content)


def half(path: Path) -> None:
    filled()
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize("harm", [foreign, damaged, half, lambda path: path.write_text("a diary")])
def test_a_damaged_or_foreign_file_is_set_aside_and_never_lost(home: Path, harm):
    home.mkdir()
    book = Book()
    harm(book.path)
    content = book.path.read_bytes()
    said = book.mend()
    (aside,) = home.glob("lab-*.sqlite")
    assert aside.name in said and "\n" not in said
    assert aside.read_bytes() == content and not book.path.exists()
    book.keep(entry(), ROW)
    assert len(book.runs()) == 1 and book.mend() == ""


def test_a_locked_book_is_not_taken_for_a_damaged_one(monkeypatch: pytest.MonkeyPatch):
    book, connect = filled(), sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path, timeout: connect(path, timeout=0.05))
    with connect(book.path) as db:
        db.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            book.mend()
    assert book.path.exists() and len(book.runs()) == 3
