"""The reader's notes: answers follow from outcomes, and the file names what exists."""

from dataclasses import replace
from pathlib import Path

import pytest

from kdlab.papers import folders
from kdlab.tools import anchors, notes
from tests.tools.test_outcomes import BOTH, FULL, GOOD, KD, of, told

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
NOTE = {"note": "KD is better.", "section": "Claims", "claims": ["kd"]}
YES = replace(KD, x=of(("mnist5k", GOOD)))
NO = replace(KD, x=of(("mnist5k", [-x for x in GOOD])))
SMALL = replace(KD, x=of(("mnist5k", [0.0, 0.1, -0.1, 0.05, -0.05])))
OPEN = replace(KD, x=of(("mnist5k", [3.0, -3.0, 2.0, -2.5, 1.0])))


@pytest.mark.parametrize(
    ("claim", "begins"),
    [
        (YES, "It holds here: “KD"),
        (NO, "Here it is the other way round: “KD"),
        (SMALL, "Here it makes no difference that matters: “KD"),
        (OPEN, "It is undecided here: “KD"),
        (BOTH, "It holds here, where it is decided: “KD"),
        (FULL, "It depends on what is asked, and of which images: “KD"),
        (KD, "Not tested here yet."),
    ],
)
def test_how_an_answer_begins_follows_from_the_outcomes(claim, begins):
    found = notes.answer(NOTE, told(claim))
    assert found.startswith(begins) and found.endswith(".") and found.count(". ") == 0


def test_a_note_may_begin_in_its_own_words():
    note = NOTE | {"yes": "Yes, and more", "no": "Never"}
    assert notes.answer(note, told(YES)).startswith("Yes, and more: “KD beats labels”: reproduced")
    assert notes.answer(note, told(NO)).startswith("Never: ")
    assert notes.answer(note, told(OPEN)).startswith("It is undecided here: ")


def test_there_is_no_verdict_before_all_claims_are_tested():
    note = NOTE | {"claims": ["kd", "more"], "yes": "Both hold"}
    rows = told(YES, replace(KD, id="more", text="More."))
    found = notes.answer(note, rows)
    assert found.startswith("Not all of it is tested here yet: ")
    assert found.endswith("“More”: not tested here yet.")


def test_what_is_also_seen_gives_no_verdict():
    note = {"note": "n", "section": "s", "seen": ["kd"]}
    seen = told(replace(YES, primary=False))
    assert notes.answer(note, seen).startswith("Also seen, “KD beats labels”: above 0 on digits")
    both = notes.answer(NOTE | {"seen": ["no"]}, told(YES, replace(NO, id="no", primary=False)))
    assert both.startswith("It holds here: ") and "; also seen, " in both


def test_a_derivation_answers_whatever_is_measured():
    note = NOTE | {"answer": "It must be so"}
    assert notes.answer(note, told(KD)) == (
        "It must be so; “KD beats labels”: not tested here yet."
    )
    alone = {"note": "n", "section": "s", "answer": "It must be so"}
    assert notes.answer(alone, told(KD)) == "It must be so."


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ('note = "a"\nsection = "b"\nclaim = ["kd"]', "claim"),
        ('note = "a"\nclaims = ["kd"]', "section"),
        ('note = "a"\nsection = "b"', "nothing"),
    ],
)
def test_a_note_that_is_not_whole_is_refused(tmp_path, line, word):
    (tmp_path / notes.FILE).write_text(f'[00_kd]\ntitle = "t"\n[[00_kd.notes]]\n{line}\n')
    with pytest.raises(ValueError, match=word):
        notes.read(tmp_path)


def test_every_paper_has_notes_and_each_names_a_heading_that_exists():
    papers = notes.read(DOCS)
    assert list(papers) == list(folders())
    for stem, paper in papers.items():
        found = set(anchors.headings(ROOT / "notebooks" / f"{stem}.ipynb").values())
        assert paper["notes"] and [n["section"] for n in paper["notes"] if n["section"] in found]
        assert [n["section"] for n in paper["notes"] if n["section"] not in found] == [], stem


def test_the_page_lists_every_note_with_its_answer_and_its_heading(tmp_path):
    (tmp_path / notes.FILE).write_text(
        '[00_kd]\ntitle = "Hinton"\ninvented = "Asked by others."\n[[00_kd.notes]]\n'
        'note = "KD is better."\nsection = "The loss"\nclaims = ["kd"]\n'
    )
    page = notes.page(tmp_path, {"00_kd": told(YES)})
    assert page.startswith("### 00 · Hinton\n\nAsked by others.\n\n- *KD is better.* It holds here")
    assert page.endswith("See [00, *The loss*](../notebooks/00_kd.ipynb#the-loss).")
