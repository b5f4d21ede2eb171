"""The walks of notebook 12: what is yours stands in the lab, and trains there."""

import json
from pathlib import Path
from typing import Any

import pytest
from IPython.display import display

from kdlab.lab import pictures
from kdlab.tools import notebooks
from tests.lab.conftest import numbers, press, train

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "12_lab.ipynb"
TINY = {"updates": 6, "student": "cnn2", "epochs": 1}


@pytest.fixture(scope="module")
def read(cache: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Everything that the notebook defines, at budget ci."""
    told = {"display": display, "__name__": "__main__"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDLAB_HOME", str(tmp_path_factory.mktemp("home")))
        for cell in notebooks.code_cells(notebooks.read(NOTEBOOK)):
            exec(cell.source.replace('"lesson"', '"ci"'), told)
    return told


@pytest.mark.parametrize(
    ("walk", "said"),
    [
        ("my_lab", "labels of digits"),
        ("own_images", "300 labels of your images"),
        ("own_teacher", "teacher your network"),
        ("own_loss", "pulled, T 4"),
    ],
)
def test_a_walk_trains_what_its_rows_say(read, workers, walk, said):
    my_lab = read[walk]
    my_lab.bench.training.pool = workers
    rows = json.loads(my_lab.settings())
    words = [row["words"] for row in my_lab.state["rows"]]
    assert any(said in text for text in words)
    for row in rows["rows"]:
        row |= TINY | ({"teacher": "cnn2"} if row["teacher"].startswith("cnn") else {})
    press(my_lab, "paste", text=json.dumps(rows | {"replicates": 2}))
    train(my_lab)
    assert all(len(found) == 2 for found in numbers(my_lab).values())
    assert len(my_lab.runs()) == 2 * len(rows["rows"])


def test_the_network_of_torchvision_is_the_teacher(read):
    teacher = read["own_teacher"].bench.stock.teacher
    assert "ShuffleNetV2" in str(teacher) and not read["own_images"].bench.stock.teacher


def test_the_pictures_lie_in_a_folder_for_each_class(cache):
    folder = pictures.coloured("mnist5k", classes=3, each=5, seed=1)
    assert sorted(path.name for path in folder.iterdir()) == ["0", "1", "2"]
    assert {len(list(path.iterdir())) for path in folder.iterdir()} == {5}
    with pytest.raises(ValueError, match="classes"):
        pictures.coloured("mnist5k", classes=11)
    with pytest.raises(ValueError, match="images"):
        pictures.coloured("mnist5k", classes=2, each=10_000)
