"""Every slider of every notebook: it answers in a second, changes the picture, and leaves a still one."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import nbformat
import pytest

from touchstone.evidence import explore as module
from touchstone.evidence.explore import Explorer

from .collection import NOTEBOOKS, sliders_only
from .excerpt import excerpt, tags

LIMIT, PATIENCE = 1.0, 3.0
"""Seconds of a processor, and by the clock of a machine with other work, from a slider to its picture."""


@dataclass
class Explored:
    """What ``explore`` made in a notebook, and the names of that notebook."""

    explorers: list[Explorer]
    names: dict[str, Any]

    def forget(self) -> None:
        """Empty the notebook's caches: a reader meets every value for the first time."""
        for value in self.names.values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()


def explored(notebook: Any, monkeypatch: pytest.MonkeyPatch) -> Explored:
    """Run the cells."""
    made = Explored([], {"__name__": "__main__"})
    right = module.explore

    def spied(*arguments: Any, **settings: Any) -> Explorer:
        made.explorers.append(right(*arguments, **settings))
        return made.explorers[-1]

    monkeypatch.setattr(module, "explore", spied)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            exec(compile(ast.parse(cell.source), "cell", "exec"), made.names)
    return made


def slow(move: Callable[[float], None], back: float, value: float, forget: Callable[[], None]) -> str | None:
    """How long the picture took after ``move(value)``, if too long twice, each time from ``back``."""
    for last in (False, True):
        forget()
        begin, busy = perf_counter(), process_time()
        move(value)
        busy, wall = process_time() - busy, perf_counter() - begin
        if busy < LIMIT and wall < PATIENCE:
            return None
        if last:
            return f"{busy:.2f} s of a processor, {wall:.2f} s by the clock"
        move(back)
    return None


def check(explorer: Explorer, forget: Callable[[], None] = lambda: None) -> None:
    bundle = explorer._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["image/svg+xml"].lstrip().startswith("<")
    assert "<svg" in bundle["image/svg+xml"]
    late = {}
    for name, slider in explorer.sliders.items():
        start, pictures = slider.value, []
        for value in (slider.min, slider.max):
            took = slow(lambda v, slider=slider: setattr(slider, "value", v), start, value, forget)
            late |= {(name, value): took} if took else {}
            pictures.append(explorer._image.value)
        assert pictures[0] != pictures[1], f"{name} changes nothing"
        slider.value = start

    for slider in explorer.sliders.values():
        slider.unobserve(explorer._changed, names="value")
    for share in (0.0, 1.0):
        for slider in explorer.sliders.values():
            slider.value = slider.min if share == 0 else slider.max
        took = slow(lambda _: explorer._changed(None), 0, 0, forget)
        late |= {("all", share): took} if took else {}
    assert not late


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_slider_answers_in_a_second(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TOUCHSTONE_OUTPUT", str(tmp_path))
    found = explored(sliders_only(path), monkeypatch)
    assert found.explorers, "a notebook without a slider"
    for explorer in found.explorers:
        check(explorer, found.forget)


# -- the tests themselves can fail ---------------------------------------------------------------------------

DRAWING = """
import time
from functools import cache
from touchstone.evidence.explore import explore
from touchstone.evidence.figures import blank, finding
@cache
def remembered(x):
    end = time.process_time() + 0.45
    while time.process_time() < end: pass

def drawing(x=1.0):
    {work}
    fig, ax = blank()
    ax.plot([0, {shown}])
    finding(ax, "A line")
    return fig
explore(drawing, alt="A line", x=(0.5, 2.0))
"""


@pytest.mark.parametrize(
    ("work", "shown", "message"),
    [
        ("pass", "x", None),
        ("pass", "1", "changes nothing"),
        ("end = time.process_time() + 0.45\n    while time.process_time() < end: pass", "x", "'x', 0.5"),
        ("remembered(x)", "x", "'x', 0.5"),
        ("time.sleep(1.0)", "x", "'x', 0.5"),
        ("assert x < 2, x", "x", "2.0"),
    ],
)
def test_a_slider_that_does_nothing_or_is_slow_or_breaks_is_noticed(
    work: str, shown: str, message: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [nbformat.v4.new_code_cell(DRAWING.format(work=work, shown=shown))]
    found = explored(nbformat.v4.new_notebook(cells=cells), monkeypatch)
    (explorer,) = found.explorers
    if message is None:
        check(explorer, found.forget)
        return
    monkeypatch.setitem(globals(), "LIMIT", 0.4)
    monkeypatch.setitem(globals(), "PATIENCE", 0.9)
    with pytest.raises(AssertionError, match=message):
        check(explorer, found.forget)


def cell(source: str, *marks: str) -> Any:
    return nbformat.v4.new_code_cell(source, metadata={"tags": list(marks)})


def test_an_excerpt_keeps_what_sliders_stand_on() -> None:
    made = excerpt(
        nbformat.v4.new_notebook(
            cells=[
                cell("seed = 0", "parameters"),
                cell("import math\nimport os"),
                cell("sizes = [1, 2]\ntable = {}\nunused = slow()"),
                cell("table['a'] = seed\nsizes.append(3)\nlost = sizes"),
                cell("def g(x):\n    return h(x)\ndef h(x):\n    return math.sqrt(x) + table['a']"),
                cell("def draw(x=1):\n    return g(x) + sizes[0]\nexplore(draw)", "explore"),
            ]
        )
    )
    kept = "\n".join(each.source for each in made.cells)
    for needed in (
        "seed = 0",
        "import math",
        "sizes = [1, 2]",
        "sizes.append(3)",
        "table['a'] = seed",
        "def h",
    ):
        assert needed in kept
    for left_out in ("import os", "unused", "lost"):
        assert left_out not in kept
    assert tags(made.cells[-1]) == ["explore"]
