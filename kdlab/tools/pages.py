"""A notebook as one page that asks nothing of the network: formulas and explorers are in it."""

import copy
import html
import json
import re
from collections.abc import Iterator
from typing import Any

from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.exporters.html import contextfilter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from kdlab.show.explorers.base import Explorer
from kdlab.tools.notebooks import WIDGET, Notebook, code_cells

STATE = "application/vnd.jupyter.widget-state+json"
EXPLORER = f"{Explorer.__module__}.{Explorer.__qualname__}"
NORM = "<mo>&#x02016;</mo>"  # stretched beside an exponent, a browser lowers it
# nbconvert's own page without what it would fetch, and dark where the reader's system is dark.
TEMPLATE = """{% extends "lab/index.html.j2" %}
{% block html_head_js_requirejs %}{% endblock %}
{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
{% block extra_css %}<link rel="icon" href="data:,">
<style>
math {
  font-family: "Latin Modern Math", "STIX Two Math", "Cambria Math", "DejaVu Math TeX Gyre", math;
}
math[display="block"] { overflow-x: auto; overflow-y: hidden; padding: 4px 0; }
mtd[columnalign="left"] { text-align: left; }
</style>{% endblock %}
{% block notebook_css %}{{ super() }}
{{ resources.include_css("static/theme-dark.css")
   | replace('type="text/css"', 'media="screen and (prefers-color-scheme: dark)"') }}
{% endblock %}"""
# Enough of a model for an explorer: it keeps what is set, and tells those who listen.
LIVE = "kdlab-alive"
ALIVE = """<div class="@live@" id="@name@"></div><style>@css@</style>
<script type="module">
@module@
const state = @state@, listeners = [];
const model = {
  get: (key) => state[key],
  set(key, value) {
    state[key] = value;
    listeners.filter(([event]) => event === `change:${key}`).forEach(([, told]) => told());
  },
  on: (event, told) => listeners.push([event, told]),
  save_changes() {},
};
explorer.render({ model, el: document.getElementById("@name@") });
</script>"""


def to_page(nb: Notebook, title: str) -> str:
    """Return an executed notebook as a page. Widgets that need a kernel leave their pictures."""
    page, _ = _Exporter(raw_template=TEMPLATE).from_notebook_node(
        without_kernel(nb), {"metadata": {"name": title}}
    )
    return page


def formula(tex: str, display: str = "inline") -> str:
    """Return a formula as MathML, or as code where it cannot be converted.

    >>> formula("T^2")[-47:]
    '<msup><mi>T</mi><mn>2</mn></msup></mrow></math>'
    """
    try:
        found = convert(tex, display=display)
    except Exception:  # what the converter raises has no class in common
        found = tex
    if found == tex or "\\" in found:  # a command that it does not know stays as it was written
        return f"<code>{html.escape(tex)}</code>"
    return found.replace(NORM, NORM.replace("<mo", '<mo stretchy="false"'))


class _Renderer(IPythonRenderer):
    """Markdown as nbconvert writes it, with formulas that are converted here."""

    def inline_math(self, body: str) -> str:
        return formula(body)

    def block_math(self, body: str) -> str:
        return formula(body, "block")

    def latex_environment(self, name: str, body: str) -> str:
        return formula(rf"\begin{{{name}}}{body}\end{{{name}}}", "block")


def to_html(markdown: str) -> str:
    """Return Markdown as HTML with formulas as MathML."""
    return str(MarkdownWithMath(renderer=_Renderer(escape=False)).render(markdown))


class _Exporter(HTMLExporter):
    @contextfilter
    def markdown2html(self, context: Any, source: str) -> str:
        return to_html(source)


def without_kernel(nb: Notebook) -> Notebook:
    """Return a copy whose explorers are alive without a kernel; other widgets give their outputs.

    A notebook that failed has saved no state, so its widgets are a line of text.
    """
    nb = copy.deepcopy(nb)
    saved = nb.metadata.pop("widgets", {}).get(STATE, {}).get("state", {})
    states = {model: found["state"] for model, found in saved.items()}
    for number, cell in enumerate(code_cells(nb)):
        outputs = []
        for place, output in enumerate(cell.outputs):
            outputs.append(output)
            if WIDGET not in (data := output.get("data", {})):
                continue
            model = data[WIDGET]["model_id"]
            if states.get(model, {}).get("_anywidget_id") == EXPLORER:
                output.data = {"text/html": alive(states[model], f"explorer-{number}-{place}")}
            else:
                output.data = {"text/plain": "A widget: in the notebook it can be used."}
                outputs += _drawn(model, states)
        cell.outputs = outputs
    return nb


def alive(state: dict[str, Any], name: str) -> str:
    """Return the HTML of an explorer that lives in a page under the `name` of an element."""
    shown = {key: state[key] for key in ("data", "setting", "fold")}
    parts = {
        "name": name,
        "live": LIVE,
        "css": state["_css"],
        "module": state["_esm"].replace("export default", "const explorer ="),
        "state": json.dumps(shown).replace("<", "\\u003c"),  # or it could end the script
    }
    return re.sub("@([a-z]+)@", lambda found: parts[found[1]], ALIVE)


def _drawn(model: str, states: dict[str, Any]) -> Iterator[Any]:
    """Yield what the outputs inside a widget show."""
    state = states.get(model, {})
    yield from state.get("outputs", [])
    for child in state.get("children", []):
        yield from _drawn(child.removeprefix("IPY_MODEL_"), states)
