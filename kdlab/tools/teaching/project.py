"""A notebook as seven or eight screens for a projector: no code, and nothing that is fetched."""

from typing import NamedTuple

import jinja2

from kdlab.tools.notebooks import Notebook
from kdlab.tools.pages import to_html, without_kernel
from kdlab.tools.teaching.parts import (
    Part,
    alive,
    arms,
    calls,
    numbered,
    parts,
    pictures,
    printed,
    question,
)

MOST = 8  # screens: more than a meeting of 45 minutes looks at
TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("kdlab.tools.teaching", "."),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
)


class Screen(NamedTuple):
    """One screen: its title, a text, and below it what is looked at; both as HTML."""

    title: str
    text: str
    shown: str = ""


def to_page(nb: Notebook, title: str) -> str:
    """Return a page of an executed notebook that is turned by keys.

    A notebook that was executed with its widgets gives live explorers; a committed one gives the
    pictures that it keeps.

    Raises:
        ValueError: the notebook lacks a heading that all notebooks share.
    """
    page = TEMPLATES.get_template("projector.html.j2")
    return page.render(title=title, screens=screens(nb)) + "\n"


def screens(nb: Notebook) -> list[Screen]:
    """Return the screens of a meeting: question, toy case, loss, dots, claims, play, later work."""
    found = parts(without_kernel(nb))
    opening = to_html(question(found)) + to_html("\n\n".join(found["Predict"].texts))
    toy = found["Toy case by hand"]
    numbers = "\n".join(filter(None, map(printed, toy.cells)))
    ending = [
        Screen(found[""].title, opening, _list(arms(found), "ul")),
        Screen(toy.title, to_html("\n\n".join(toy.texts)), _plain(numbers)),
        Screen("The loss", to_html(before_code(found["The loss"]))),
        _dots(found["Train"]),
        _claims(found["Claims"]),
    ]
    later = to_html("\n\n".join(found["What came later"].texts))
    asked = _fold("To discuss", _list(numbered(found["Reading group"].texts), "ol"))
    ending += _played(found["Play"], MOST - len(ending) - 1)
    return [*ending, Screen("What came later", later, asked)]


def before_code(part: Part) -> str:
    """Return the texts of a part above its first code cell."""
    first = next((i for i, b in enumerate(part.blocks) if not isinstance(b, str)), None)
    return "\n\n".join(part.blocks[:first])


def _dots(part: Part) -> Screen:
    """Return the screen on which runs fall beside the guesses."""
    cell = next((cell for cell in part.cells if calls(cell, "live")), None)
    if cell is None:
        return Screen(part.title, to_html(before_code(part)))
    return Screen(part.title, to_html(part.above(cell)), "".join(pictures(cell)[:1]))


def _claims(part: Part) -> Screen:
    """Return the claims, and what the notebook draws of them, each in its fold."""
    forest = [cell for cell in part.cells if calls(cell, "show_forest")]
    table = [cell for cell in part.cells if calls(cell, "report")]
    text = part.above(forest[0]) if forest else before_code(part)
    shown = [page for cell in [*forest, *table] for page in pictures(cell)]
    return Screen(part.title, to_html(text), "".join(shown))


def _played(part: Part, most: int) -> list[Screen]:
    """Return a screen for each live explorer; where none is alive, one for the first picture."""
    cells = [cell for cell in part.cells if alive(cell)]
    cells = cells or [cell for cell in part.cells if pictures(cell)][:1]
    found, asked = [], [text for text in part.texts if numbered([text])]
    for cell in cells[:most]:
        text = part.above(cell)
        if not alive(cell) and not numbered([text]) and asked:
            text = asked[0]  # the questions stand above the widget, the picture above them
        shown = "".join(pictures(cell))
        if alive(cell):  # it gets the whole screen; the questions wait in a fold below it
            found.append(Screen(part.title, "", shown + _fold("What to ask", to_html(text))))
        else:
            found.append(Screen(part.title, to_html(text), shown))
    return found


def _list(items: list[str], kind: str) -> str:
    lines = (f"{n}. {item}" if kind == "ol" else f"- {item}" for n, item in enumerate(items, 1))
    return to_html("\n".join(lines)) if items else ""


def _plain(text: str) -> str:
    page = TEMPLATES.from_string("{% if text %}<pre>{{ text }}</pre>{% endif %}")
    return page.render(text=text)


def _fold(title: str, content: str) -> str:
    return f"<details><summary>{title}</summary>{content}</details>" if content else ""
