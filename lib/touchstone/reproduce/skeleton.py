"""A new notebook in the house shape, for its author to fill in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from touchstone.reproduce.errors import ReproductionError
from touchstone.reproduce.project import Project
from touchstone.reproduce.register import Paper


def write_skeleton(project: Project, paper: Paper) -> Path:
    """Write the skeleton of ``paper``'s notebook and return its path.

    Raises ``ReproductionError`` when there is a notebook already, which is never overwritten, or when it
    cannot be written.
    """
    path = paper.notebook(project)
    text = skeleton(paper)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise ReproductionError(f"{project.relative(path)} exists already and is left as it is.") from None
    except OSError as error:
        raise ReproductionError(f"{project.relative(path)} cannot be written: {error.strerror}.") from None
    return path


def skeleton(paper: Paper) -> str:
    """The text of a new notebook: the same for the same entry of the register.

    Its one check raises ``NotImplementedError`` until it is filled in: a skeleton that ran would be a claim
    that nobody tested.
    """
    cells = [
        _prose(
            "title",
            f"# {paper.title}",
            "",
            paper.citation,
            "",
            _sentence(paper.summary),
            "",
            "*The point of the paper in a paragraph that a graduate student understands. Then what is "
            "decided here, and in how many checks.*",
        ),
        _code("parameters", 'profile = "full"', "seed = 0", 'device = "auto"', tags=["parameters"]),
        _code(
            "study",
            "from touchstone.evidence.rules import RatioAtMost",
            "from touchstone.evidence.study import Study",
            "",
            f'study = Study("{paper.slug}", profile=profile, seed=seed, device=device)',
        ),
        _prose(
            "instance",
            "## The instance",
            "",
            "*Symbols, sizes and distributions, with the reason for each number. Sizes by profile through "
            "`study.choose(full=..., quick=...)`, randomness through `study.stream(...)`.*",
        ),
        _code("sizes", "sizes = study.choose(full=[64, 256, 1024], quick=[64, 256])"),
        _prose(
            "c1-statement",
            "## C1. The finding in one sentence",
            "",
            r"The statement in LaTeX: for every $n$, $\lVert \tilde T - T \rVert_\infty \le \varepsilon$.",
            "",
            "*What is measured and why that decides it; which rule judges it, and why its limit is what it "
            "is; what the control breaks, and why the rule must then reject.*",
        ),
        _code(
            "c1-check",
            "def measured_over_bound(n):",
            '    """One instance of size n: what was measured, divided by what the statement allows."""',
            "    raise NotImplementedError",
            "",
            "",
            "def broken_over_bound(n):",
            '    """The same with the assumption broken: the rule must reject it."""',
            "    raise NotImplementedError",
            "",
            "",
            "study.check(",
            '    "c1",',
            '    kind="bound",',
            '    says=r"the sentence on trial, with its $\\LaTeX$",',
            '    source="Theorem 1.1",',
            '    read_in="abstract",',
            '    rule=RatioAtMost(1, why="the statement gives its constant"),',
            "    claim=lambda: [measured_over_bound(n) for n in sizes],",
            '    control=("assumption broken", lambda: [broken_over_bound(n) for n in sizes]),',
            '    sizes={"n": sizes},',
            ")",
        ),
        _prose(
            "c1-figure",
            "*The figure: one finding, its title; axes with symbol and unit; the prediction drawn first, the "
            'control in grey. `with study.figure("name", alt="...") as (fig, ax): ...`*',
        ),
        _prose("explore", "## Explore", "", "*Sliders that answer in under a second.*"),
        _prose("verdicts", "## Verdicts"),
        _code("summary", "study.finish()"),
        _prose(
            "limits",
            "## What this does not show",
            "",
            "*The range that was run; what an asymptotic statement says beyond it; stand-ins, and what they "
            "stand for; assumptions that were added.*",
        ),
    ]
    notebook = {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def _prose(name: str, *lines: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": _source(lines)}


def _code(name: str, *lines: str, tags: list[str] | None = None) -> dict[str, Any]:
    metadata = {"tags": tags} if tags else {}
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": name,
        "metadata": metadata,
        "outputs": [],
        "source": _source(lines),
    }


def _source(lines: tuple[str, ...]) -> list[str]:
    return [f"{line}\n" for line in lines[:-1]] + [lines[-1]]


def _sentence(text: str) -> str:
    text = text.strip()
    text = text[0].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."
