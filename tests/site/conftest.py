"""A small collection with one paper of every kind that the site has to cope with."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from touchstone.reproduce.project import Project

from ..ledger_entries import check_entry, ledger_entry

WIDE = [f"measurement-{number}" for number in range(8)]  # more than a phone is wide
PARAMETERS = 'profile = "full"\nseed = 0\ndevice = "auto"'
EVIL = "<script>document.title='broken in'</script><img src=x onerror=alert(1)>"


def check(name: str, verdict: str = "supported", **changes: Any) -> dict[str, Any]:
    """A check with something to read in every field."""
    made = check_entry(
        name,
        verdict,
        says=r"The error is at most $\epsilon\lVert V\rVert_\infty$.",
        sizes={"n": [16, 32]},
        numbers={"ratio": 0.5},
        sentence="The ratio is 0.5 (limit 1); the control is rejected.",
    )
    for control in made["control"]:
        control |= {
            "name": "half the noise",
            "numbers": {"ratio": 3.0},
            "sentence": "the ratio is 3 (limit 1)",
        }
    if made["rule"]:
        made["rule"] |= {"says": "every ratio is at most 1", "why": "as printed"}
    return made | changes


def figure(name: str, **changes: Any) -> dict[str, Any]:
    made = {
        "name": name,
        "file": f"{name}.svg",
        "title": f"The finding of {name}",
        "alt": f"What {name} shows",
        "width": "full",
    }
    return made | changes


def ledger(
    slug: str, checks: list[dict[str, Any]], figures: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    return ledger_entry(slug, checks, figures=figures or [])


def svg(slug: str, name: str, title: str = "A title", alt: str = "Words for it") -> str:
    key = f"{slug}-{name}"
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="360pt" height="180pt" viewBox="0 0 360 180" '
        'role="img" '
        f'aria-labelledby="{key}-title {key}-desc"><title id="{key}-title">{title}</title>'
        f'<desc id="{key}-desc">{alt}</desc><rect width="360" height="180" fill="#ffffff"/>'
        '<path d="M20 160 340 20" stroke="#0072b2"/><text x="30" y="40">n</text></svg>'
    )


def code(source: str, *outputs: dict[str, Any], tags: tuple[str, ...] = ()) -> dict[str, Any]:
    metadata = {"tags": list(tags)} if tags else {}
    return {
        "cell_type": "code",
        "metadata": metadata,
        "source": source,
        "outputs": list(outputs),
        "execution_count": None,
    }


def prose(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def output(**data: str) -> dict[str, Any]:
    """An output by kind: ``html``, ``plain``, ``svg``, ``widget``."""
    kinds = {"html": "text/html", "plain": "text/plain", "svg": "image/svg+xml"}
    kinds["widget"] = "application/vnd.jupyter.widget-view+json"
    made = {kinds[kind]: value for kind, value in data.items()}
    return {"output_type": "display_data", "data": made, "metadata": {}}


def notebook(*cells: dict[str, Any]) -> dict[str, Any]:
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": list(cells), "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 4}


@dataclass
class Specimen:
    """A collection in a folder of its own."""

    root: Path
    topics: dict[str, str] = field(default_factory=dict)

    @property
    def project(self) -> Project:
        return Project(self.root)

    def register(self, slug: str, topic: str = "attention", title: str | None = None) -> None:
        self.topics[slug] = topic
        with open(self.root / "papers.toml", "a", encoding="utf-8") as stream:
            stream.write(
                f'\n[[paper]]\nslug = "{slug}"\ntitle = {json.dumps(title or f"On {slug}")}\n'
                f'authors = ["Ada One", "Ben Two"]\nyear = 2023\ntopic = "{topic}"\nsummary = "a summary"\n'
            )

    def write(self, path: str, content: str | dict[str, Any]) -> Path:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return place

    def add(
        self, slug: str, *cells: dict[str, Any], topic: str = "attention", title: str | None = None
    ) -> None:
        """Register a paper and write its notebook: title, parameters, the given cells, no outputs."""
        self.register(slug, topic, title)
        self.write(
            f"notebooks/{topic}/{slug}.ipynb", notebook(*(_bare(cell) for cell in _whole(slug, cells)))
        )

    def execute(self, slug: str, *cells: dict[str, Any], folder: str = "full") -> None:
        """Leave the executed notebook, with the outputs of ``cells``."""
        head, parameters, *rest = _whole(slug, cells)
        injected = code(PARAMETERS, tags=("injected-parameters",))
        self.write(f"build/executed/{folder}/{slug}.ipynb", notebook(head, parameters, injected, *rest))

    def leave(
        self, slug: str, checks: list[dict[str, Any]], *figures: dict[str, Any], folder: str = "figures"
    ) -> None:
        """Leave a ledger and its figures."""
        for each in figures:
            self.write(f"{folder}/{slug}/{each['file']}", svg(slug, each["name"], each["title"], each["alt"]))
        self.write(f"{folder}/{slug}/ledger.json", ledger(slug, checks, list(figures)))


def _whole(slug: str, cells: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    head = prose(
        f"# On {slug}\n\n*Ada One and Ben Two, 2023.*\n\nWhat the paper is about, with $n^{{1+o(1)}}$ in it."
    )
    return [head, code(PARAMETERS, tags=("parameters",)), *cells]


def _bare(cell: dict[str, Any]) -> dict[str, Any]:
    return cell | {"outputs": []} if cell["cell_type"] == "code" else cell


def make_specimen(root: Path) -> Specimen:
    """An empty collection."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "pyproject.toml").write_text('[project]\nname = "touchstone"\n', encoding="utf-8")
    (root / "requirements.lock").write_text("numpy==2.4.0\n", encoding="utf-8")
    (root / "papers.toml").touch()
    return Specimen(root)


def badge(name: str, verdict: str) -> dict[str, Any]:
    """What a notebook shows of a verdict."""
    return output(
        html=f'<div role="group" aria-label="Verdict on {name}: {verdict}">old look of {name}</div>',
        plain="x",
    )


ALPHA = (
    prose(
        "## C1 · The bound\n\nIn print: $$\\sum_{i=1}^n a_i\\le\\frac n2 .$$ See "
        "[another](../privacy/beta-paper.ipynb)."
    ),
    code("import math"),
    code('c1 = study.check("bound", kind="bound")\nc1', badge("bound", "supported")),
    code('with study.figure("error"):\n    draw(c1)', output(svg=svg("alpha-paper", "error"))),
    prose("## C2 · The law"),
    code('study.check("law", kind="rate")', badge("law", "refuted")),
    code('with study.figure("law"):\n    pass', output(svg=svg("alpha-paper", "law"))),
    code("study.summary()", output(html="<table><caption><b>so far</b></caption></table>")),
    code("print(1)", {"output_type": "stream", "name": "stdout", "text": "1 < 2\n"}),
    prose("## Explore"),
    code(
        "explore(f)", output(widget="{}", svg=svg("explore", "f", alt="A still picture")), tags=("explore",)
    ),
    prose("## Verdicts"),
    code("study.finish()", output(html="<table><caption>the old summary</caption></table>")),
    prose("## What this does not show\n\nNothing."),
)


def fill(specimen: Specimen) -> Specimen:
    """One paper of every kind: run, not run since, never run, damaged, without a notebook."""
    specimen.add("alpha-paper", *ALPHA)
    specimen.execute("alpha-paper", *ALPHA)
    law = check(
        "law", "refuted", kind="rate", says=f"It falls like $n^{{-1}}$. {EVIL}", source="abstract",
        seen="It stays; the *absolute* error falls (`bound`).", sentence="The slope is 0.01 (limit −0.8).",
    )  # fmt: skip
    specimen.leave(
        "alpha-paper", [check("bound"), law], figure("error"), figure("law", title=r"Slope $0.01$")
    )
    beta = (
        prose("## C1"),
        code('d = study.check("sharp", kind="bound")\nd'),
        code('with study.figure("sharp", width="half"):\n    use(d)'),
        code('study.out_of_reach("lower", kind="hardness")'),
        code('study.check("close", kind="comparison")'),
    )
    specimen.add("beta-paper", *beta, topic="privacy", title="Privacy & <Noise>")
    specimen.leave(
        "beta-paper",
        [
            check("sharp", source="main lemma, sharpened"),
            check("lower", "out_of_reach", kind="hardness"),
            check("close", "inconclusive", kind="comparison"),
        ],
        figure("sharp", width="half"),
    )
    specimen.add("gamma-paper", code('study.check("one", kind="bound")'), topic="privacy")
    specimen.add("delta-paper", code('study.check("one", kind="bound")'), topic="regression")
    specimen.write("figures/delta-paper/ledger.json", '{"schema_version": 1')
    specimen.register("epsilon-paper", "society")
    specimen.write(
        "docs/evidence.md",
        "# Evidence\n\nText with $x^2$. See [the rules](../CONTRIBUTING.md).\n\n## More\n\nEnd.\n",
    )
    specimen.write("docs/mutants.md", "# Mutants\n\nText.\n")
    specimen.write("docs/cluster.md", "# On a cluster\n\nSee [evidence](evidence.md).\n")
    specimen.write(
        "figures/_calibration/calibration.md",
        "# How often rules err\n\n| rule | "
        + " | ".join(WIDE)
        + " |\n|"
        + "---|" * 9
        + "\n|"
        + " 1 % |" * 9
        + "\n",
    )
    specimen.write("lib/touchstone/__init__.py", '"""The library."""\n')
    specimen.write("lib/touchstone/sums/__init__.py", '"""Sums of numbers."""\n')
    specimen.write(
        "lib/touchstone/sums/plain.py",
        'r"""Plain sums :math:`\\sum_i x_i`."""\n\n\ndef total(x: list[float], *, start: float = 0.0) '
        "-> float:\n"
        '    """The sum of ``x``, at most |x| times its length."""\n    return sum(x, start)\n',
    )
    return specimen


@pytest.fixture
def specimen(tmp_path: Path) -> Specimen:
    """An empty collection, to be filled by the test."""
    return make_specimen(tmp_path / "collection")


@pytest.fixture
def build() -> Any:
    """The builders above, for tests that need them bare."""

    class Builders:
        check: Callable[..., Any] = staticmethod(check)
        figure: Callable[..., Any] = staticmethod(figure)
        ledger: Callable[..., Any] = staticmethod(ledger)
        svg: Callable[..., Any] = staticmethod(svg)
        code: Callable[..., Any] = staticmethod(code)
        prose: Callable[..., Any] = staticmethod(prose)
        output: Callable[..., Any] = staticmethod(output)
        badge: Callable[..., Any] = staticmethod(badge)
        notebook: Callable[..., Any] = staticmethod(notebook)
        fill: Callable[..., Any] = staticmethod(fill)
        evil = EVIL
        alpha = ALPHA

    return Builders
