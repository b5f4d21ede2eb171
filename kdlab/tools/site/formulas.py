"""What Sphinx is told of formulas: they become MathML, so that no script and no font is needed."""

from typing import Any

from kdlab.tools.pages import formula


def setup(app: Any) -> dict[str, bool]:
    """Give Sphinx the renderer "kdlab"."""
    app.add_html_math_renderer(
        "kdlab", inline_renderers=(_inline, None), block_renderers=(_block, None)
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _inline(page: Any, node: Any) -> None:
    _put(page, formula(node.astext()))


def _block(page: Any, node: Any) -> None:
    _put(page, f'<div class="math">{formula(node.astext(), "block")}</div>')


def _put(page: Any, html: str) -> None:
    from docutils.nodes import SkipNode

    page.body.append(html)
    raise SkipNode  # the formula as it was written is not shown beside it
