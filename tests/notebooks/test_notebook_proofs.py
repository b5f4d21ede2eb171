"""Each notebook writes its loss in a cell and proves it equal to the package's; can that fail?"""

import ast
import re
from typing import Any

import pytest

from kdlab.papers import folders
from kdlab.tools import notebooks
from kdlab.tools.notebooks import code_cells
from tests.notebooks.test_notebooks import PATHS
from tests.papers.exercise_texts import namespace

STEMS = list(folders())
AGREE = re.compile(r"^\s*agree\(", re.MULTILINE)  # kdlab.show.proof: value and gradient
SAME = "notebook and package: same value"  # what a cell prints that compares them itself


def loss_and_proof(stem: str) -> tuple[str, str]:
    """Return the cell that defines the loss, and the next one that compares gradients."""
    cells = [cell.source for cell in code_cells(notebooks.read(PATHS[stem]))]
    proofs = [n for n, text in enumerate(cells) if AGREE.search(text) or SAME in text]
    assert len(proofs) == 1, f"{stem} proves its loss equal in {len(proofs)} cells, not in one"
    text = cells[proofs[0]]
    assert AGREE.search(text) or "autograd.grad" in text, f"{stem} does not compare gradients"
    return next(text for text in cells[proofs[0] :: -1] if "\ndef " in f"\n{text}"), cells[
        proofs[0]
    ]


def functions(text: str) -> list[ast.FunctionDef]:
    return [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]


def ready(stem: str) -> tuple[dict[str, Any], str, str]:
    """Return the notebook's imports and the functions of its loss cell, the loss, the proof."""
    (loss, proof), found = loss_and_proof(stem), namespace(notebooks.read(PATHS[stem]))
    defined = functions(loss)
    for node in defined:
        exec(ast.unparse(node), found)
    return found, defined[-1].name, proof


@pytest.mark.parametrize("stem", STEMS)
def test_the_cell_equals_the_package(stem, capsys):
    found, _, proof = ready(stem)
    exec(proof, found)
    assert "same value" in capsys.readouterr().out


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("slip", ["value", "gradient"])
def test_the_proof_notices_a_slip(stem, slip):
    slips = {
        "value": lambda loss: loss + 0.001 * loss.detach(),
        "gradient": lambda loss: 1.001 * loss - 0.001 * loss.detach(),
    }
    found, name, proof = ready(stem)
    right = found[name]
    found[name] = lambda *args, **kwargs: slips[slip](right(*args, **kwargs))
    with pytest.raises(AssertionError):
        exec(proof, found)
