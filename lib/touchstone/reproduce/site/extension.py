"""What the generator has to learn: mathematics as MathML, and nothing from outside."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

from touchstone.reproduce.site.text import Typesetter

NAME = "mathml"
logger = logging.getLogger(__name__)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer(NAME, (_inline, None), (_block, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def _formula(node: nodes.Element, *, display: bool) -> str:
    typeset = Typesetter()
    html = typeset.formula(node.astext(), display=display)
    for problem in typeset.problems:
        logger.warning(problem, location=node)
    return html


def _inline(translator: Any, node: nodes.math) -> None:
    translator.body.append(_formula(node, display=False))
    raise nodes.SkipNode


def _block(translator: Any, node: nodes.math_block) -> None:
    identity = f' id="{node["ids"][0]}"' if node.get("ids") else ""
    translator.body.append(f'<div class="ts-math ts-scroll"{identity}>{_formula(node, display=True)}</div>\n')
    raise nodes.SkipNode
