"""A row says what it is, and refuses what cannot be; a text of settings is never executed."""

import json
from typing import Any

import pytest

from kdlab.data import load
from kdlab.lab.hand_out import FORMAT, opened, pasted, presets_of, settings
from kdlab.lab.methods import from_papers
from kdlab.lab.rows import PLACES, Stock, WrongError, own_place, row_of
from kdlab.papers import folders


@pytest.fixture(scope="module")
def stock() -> Stock:
    return Stock(from_papers(), dict(PLACES))


def test_a_row_in_plain_words(stock):
    row = {"method": "KD", "knobs": {"T": 20}, "labels": 100, "epochs": 1, "noise": 0.2}
    assert row_of({"method": "KD"}, stock).words(stock) == (
        "KD, T 4, alpha 0.9, teacher cnn32, 500 labels of digits"
    )
    assert row_of(row | {"student": "cnn8", "updates": 4000}, stock).words(stock) == (
        "KD, T 20, alpha 0.9, teacher cnn32 of 1 epoch, student cnn8, 100 labels of digits, "
        "20 % of them wrong, 4,000 updates"
    )
    assert row_of({"world": "natural"}, stock).words(stock) == (
        "labels alone, 2,000 labels of photographs"
    )
    assert "teacher cnn32 of 5 epochs," in row_of(row | {"epochs": 5}, stock).words(stock)
    assert "epoch" not in row_of(row | {"epochs": 20}, stock).words(stock)


def test_of_many_knobs_a_row_tells_those_that_were_turned(stock):
    assert row_of({"method": "BYOT"}, stock).words(stock) == "BYOT, 500 labels of digits"
    row = {"method": "BYOT", "knobs": {"teacher": "ensemble", "T": 3.0}}
    assert row_of(row, stock).words(stock) == "BYOT, teacher ensemble, 500 labels of digits"


def test_a_teacher_is_asked_for_where_the_method_has_one(stock):
    asks = {name for name in stock.methods if row_of({"method": name}, stock).teacher}
    assert {"KD", "RKD", "SSKD", "SameRows"} <= asks and not {"BYOT", "DML", "TfReg"} & asks


def test_what_has_no_part_in_a_row_does_not_tell_it_apart(stock):
    one = row_of({"method": "labels", "teacher": "cnn8", "epochs": 3}, stock)
    assert one == row_of({"method": "labels"}, stock)


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"method": "KDD"}, "method", "this lab has labels, KD"),
        ({"world": "mnist6k"}, "world", "this lab has mnist5k"),
        ({"labels": 9}, "labels", "a whole number from 10 to 2,500"),
        ({"labels": 2501}, "labels", "labels is 2501"),
        ({"labels": 20.5}, "labels", "a whole number"),
        ({"labels": True}, "labels", "a whole number"),
        ({"labels": "500"}, "labels", "labels is '500'"),
        ({"world": "rot40", "labels": 39}, "labels", "from 40 to 10,000"),
        ({"noise": 0.95}, "noise", "a number from 0 to 0.9"),
        ({"noise": float("nan")}, "noise", "noise is nan"),
        ({"teacher": "cnn999999"}, "teacher", "teacher is 'cnn999999'; this lab has cnn2"),
        ({"student": ["cnn2"]}, "student", "this lab has"),
        ({"epochs": 0}, "epochs", "from 1 to 200"),
        ({"updates": 10**9}, "updates", "from 1 to 100,000"),
        ({"updates": float("inf")}, "updates", "updates is inf"),
        ({"knobs": {"T": 70}}, "T", "a number from 0.5 to 50 (temperature"),
        ({"knobs": {"T": "hot"}}, "T", "T is 'hot'"),
        ({"knobs": {"tau": 1}}, "method", "KD has T, alpha; it cannot take"),
        ({"knobs": 3}, "method", "KD has T, alpha"),
        ({"temperature": 4}, "method", "give names and values, of method, knobs, world"),
    ],
)
def test_a_value_out_of_range_is_refused_at_its_control(stock, change, field, said):
    with pytest.raises(WrongError) as caught:
        row_of({"method": "KD"} | change, stock)
    assert caught.value.field == field and said in str(caught.value)
    assert str(caught.value).count("\n") == 0


def test_a_whole_knob_takes_no_fraction_and_a_choice_no_other(stock):
    knobs = {"unit": "teacher", "beta_d": 3}
    assert row_of({"method": "RKD", "knobs": knobs}, stock).knobs["unit"] == "teacher"
    with pytest.raises(WrongError, match="unit is 'mine'; give one of both"):
        row_of({"method": "RKD", "knobs": {"unit": "mine"}}, stock)


@pytest.mark.parametrize("name", ["mnist5k", "fashion5k", "rot40"])
def test_what_is_known_of_a_world_is_so(name):
    data, place = load(name), PLACES[name]
    assert (data.n_classes, data.pool_size, data.in_shape) == (
        place.classes,
        place.pool,
        place.shape,
    )


def test_settings_come_back_as_they_went(stock):
    rows = [row_of({"method": m, "labels": 50, "world": "rot40"}, stock) for m in ("RKD", "labels")]
    assert pasted(settings(rows, 7), stock) == (rows, 7)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "these are no settings"),
        ("__import__('os').system('touch /tmp/never')", "these are no settings"),
        ("[1, 2]", "these are no settings"),
        ("[" * 100_000, "these are no settings"),
        ('{"format": "other"}', "these are no settings"),
        ({}, "a list of 1 to 12 rows"),
        ({"rows": []}, "a list of 1 to 12 rows"),
        ({"rows": [{}] * 13}, "a list of 1 to 12 rows"),
        ({"rows": ["KD"]}, "a row is 'KD'"),
        ({"rows": [{}], "replicates": 41}, "replicates is 41; give a whole number from 1 to 40"),
        ({"rows": [{"method": "my loss"}]}, "method is 'my loss'; this lab has"),
        ({"rows": [{"world": "/etc/passwd"}]}, "world is '/etc/passwd'; this lab has"),
    ],
)
def test_a_text_that_is_no_settings_is_refused_in_a_sentence(stock, text: Any, said: str):
    text = text if isinstance(text, str) else json.dumps({"format": FORMAT, **text})
    with pytest.raises(ValueError) as caught:
        pasted(text, stock)
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("start", ["kd", *folders()])
def test_the_presets_of_a_paper_can_be_opened(stock, start):
    presets = presets_of(start)
    assert len(presets) >= 2
    for preset in presets.values():
        rows, replicates = opened(preset, stock)
        assert len(rows) >= 2 and replicates == 3 and preset["why"]
        assert len({row.words(stock) for row in rows}) == len(rows)  # one can tell them apart
        assert pasted(settings(rows, replicates), stock) == (rows, replicates)


@pytest.mark.parametrize("start", ["no_paper", "dml_", {}, {"works": 3}, []])
def test_a_start_that_is_none_says_so(stock, start):
    with pytest.raises(ValueError, match="presets|settings hold a list"):
        for preset in presets_of(start).values():
            opened(preset, stock)


def test_own_images_are_a_world(data, stock):
    place = own_place(data)
    assert (place.classes, place.pool, place.content) == (10, 100, data.key)
    own = Stock(stock.methods, {"own": place, **PLACES})
    assert row_of({}, own).words(own) == "labels alone, 100 labels of your images"
    with pytest.raises(WrongError, match="from 10 to 100"):
        row_of({"labels": 200}, own)
