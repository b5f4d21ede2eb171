"""The reader's notes: answers follow from outcomes, and the file names what exists."""

from dataclasses import replace
from pathlib import Path

import pytest

from kdlab.papers import folders
from kdlab.runs.claims import OUTCOMES
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
    ("claim", "answer"),
    [
        (YES, "It holds here."),
        (NO, "Here it is the other way round."),
        (SMALL, "Here it makes no difference that matters."),
        (OPEN, "It is undecided here."),
        (BOTH, "It holds here, where it is decided."),
        (FULL, "It depends on what is asked, and of which images."),
        (KD, "Not tested here yet."),
    ],
)
def test_an_answer_follows_from_the_outcomes(claim, answer):
    assert notes.answer(NOTE, told(claim)) == answer


def test_a_note_may_be_answered_in_its_own_words():
    note = NOTE | {"yes": "Yes, and more", "no": "Never"}
    assert notes.answer(note, told(YES)) == "Yes, and more."
    assert notes.answer(note, told(NO)) == "Never."
    assert notes.answer(note, told(OPEN)) == "It is undecided here."


def test_there_is_no_verdict_before_all_claims_are_tested():
    note = NOTE | {"claims": ["kd", "more"], "yes": "Both hold"}
    rows = told(YES, replace(KD, id="more", text="More."))
    assert notes.answer(note, rows) == "Not all of it is tested here yet."
    assert notes.grounds(note, rows)[-1] == "“More”: not tested here yet."


SEEN = {"note": "n", "section": "s", "seen": ["kd", "more"]}


@pytest.mark.parametrize(
    ("one", "more", "answer"),
    [
        (YES, YES, "It looks so here."),
        (NO, NO, "Here it looks the other way round."),
        (OPEN, OPEN, "It stays open here."),
        (YES, OPEN, "It looks so here in part."),
        (YES, NO, "It depends on what is asked, and of which images."),
        (YES, KD, "It looks so here."),
        (KD, KD, "Not tested here yet."),
    ],
)
def test_what_is_also_seen_tells_where_it_lies_and_gives_no_verdict(one, more, answer):
    rows = told(replace(one, primary=False), replace(more, id="more", primary=False))
    assert notes.answer(SEEN, rows) == answer
    assert not any(f"{word} on" in line for word in OUTCOMES for line in notes.grounds(SEEN, rows))


def test_an_answer_rests_on_every_claim_of_its_note():
    rows = told(YES, replace(NO, id="no", primary=False))
    first, second = notes.grounds(NOTE | {"seen": ["no"]}, rows)
    assert first.startswith("“KD beats labels”: reproduced on digits")
    assert second.startswith("Also seen, “KD beats labels”: below 0 on digits")


def test_a_derivation_answers_whatever_is_measured():
    note = NOTE | {"answer": "It must be so"}
    assert notes.answer(note, told(KD)) == "It must be so."
    assert notes.grounds(note, told(KD)) == ["“KD beats labels”: not tested here yet."]
    alone = {"note": "n", "section": "s", "answer": "It must be so"}
    assert notes.answer(alone, told(KD)) == "It must be so." and not notes.grounds(alone, told(KD))


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
    head, claim = page.splitlines()[-2:]
    assert page.startswith(
        "### 00 · Hinton\n\nAsked by others.\n\n- *KD is better.* **It holds here.** "
    )
    assert head.endswith("See [00, *The loss*](../notebooks/00_kd.ipynb#the-loss).")
    assert claim.startswith("  - “KD beats labels”: reproduced on digits (")
