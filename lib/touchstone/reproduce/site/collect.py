"""What the site is made of: the register, the ledgers, the figures and the notebooks of one run.

Nothing is executed and nothing outside is asked. What is missing or damaged is named, and the site is built
without it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from touchstone.reproduce.ledgers import LEDGER, VERDICTS, LedgerError, read_ledger, verdicts
from touchstone.reproduce.notebook import NotebookError, parse_notebook
from touchstone.reproduce.project import Project, Variant
from touchstone.reproduce.register import Paper, read_register

CALIBRATION = "_calibration"
_SHOWN_VERDICT = re.compile(r'aria-label="Verdict on ([a-z0-9-]+): ([a-z ]+)"')


@dataclass(frozen=True)
class Check:
    """One check of a ledger, with the paper it belongs to."""

    paper: Paper
    entry: dict[str, Any]

    @property
    def id(self) -> str:
        return self.entry["id"]

    @property
    def key(self) -> str:
        """The name of its row, unique on the site."""
        return f"{self.paper.slug}.{self.id}"

    @property
    def verdict(self) -> str:
        """One of ``VERDICTS``."""
        return self.entry["verdict"].replace("_", " ")


@dataclass(frozen=True)
class Entry:
    """One paper of the register and what there is of it."""

    paper: Paper
    notebook: dict[str, Any] | None = None
    """The notebook as it is committed; None when there is none, or none that can be read."""
    source: str | None = None
    """Its text, for the download."""
    executed: dict[str, Any] | None = None
    """The same with its outputs; None when there is no run of this very code."""
    ledger: dict[str, Any] | None = None
    ledger_text: bytes | None = None
    figures: dict[str, bytes] = field(default_factory=dict)
    """The figures that the ledger lists, by file name."""
    remarks: tuple[str, ...] = ()
    """What is missing or damaged, each in one sentence."""

    @property
    def slug(self) -> str:
        return self.paper.slug

    @property
    def has_page(self) -> bool:
        return self.notebook is not None

    @cached_property
    def checks(self) -> tuple[Check, ...]:
        return tuple(Check(self.paper, entry) for entry in (self.ledger or {}).get("checks", ()))

    @cached_property
    def drawings(self) -> tuple[dict[str, Any], ...]:
        """The ledger's entries of the figures that are there, in their order."""
        listed = (self.ledger or {}).get("figures", ())
        return tuple(figure for figure in listed if figure["file"] in self.figures)

    @property
    def counts(self) -> dict[str, int]:
        return count(self.checks)


@dataclass(frozen=True)
class Collection:
    """Everything that the pages show."""

    project: Project
    variant: Variant
    entries: tuple[Entry, ...]

    @cached_property
    def checks(self) -> tuple[Check, ...]:
        return tuple(check for entry in self.entries for check in entry.checks)

    @property
    def with_pages(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.has_page)

    @property
    def topics(self) -> dict[str, list[Entry]]:
        """The entries by topic, topics in the order of the alphabet."""
        topics: dict[str, list[Entry]] = {}
        for entry in sorted(self.entries, key=lambda entry: (entry.paper.topic, entry.paper.title.lower())):
            topics.setdefault(entry.paper.topic, []).append(entry)
        return topics

    @property
    def remarks(self) -> list[str]:
        return [f"{entry.slug}: {remark}" for entry in self.entries for remark in entry.remarks]


def count(checks: tuple[Check, ...]) -> dict[str, int]:
    """How many checks ended in each verdict, in the usual order, zeros included."""
    return {verdict: sum(check.verdict == verdict for check in checks) for verdict in VERDICTS}


def collect(project: Project, variant: Variant) -> Collection:
    """Read the register, and of each paper the notebook and what the run ``variant`` left.

    Raises ``ReproductionError`` for a register that cannot be read. A damaged ledger or notebook is
    remarked upon, and its paper is shown without it.
    """
    papers = read_register(project)
    return Collection(project, variant, tuple(_entry(project, variant, paper) for paper in papers.values()))


def _entry(project: Project, variant: Variant, paper: Paper) -> Entry:
    path = paper.notebook(project)
    if not path.exists():
        return Entry(paper)
    remarks: list[str] = []
    source = notebook = executed = None
    try:
        source, notebook = _read_notebook(path)
    except NotebookError as error:
        remarks.append(f"The notebook cannot be shown: {error}")
    ledger, ledger_text, problem = _ledger(variant.outputs(project) / paper.slug, paper.slug)
    if problem:
        remarks.append(problem)
    if notebook is not None:
        executed, problem = _executed(variant.executed(project) / f"{paper.slug}.ipynb", notebook, ledger)
        if problem:
            remarks.append(problem)
    figures = {}
    for figure in (ledger or {}).get("figures", ()):
        try:
            figures[figure["file"]] = (variant.outputs(project) / paper.slug / figure["file"]).read_bytes()
        except OSError:
            remarks.append(f"The figure {figure['file']} is missing.")
    return Entry(paper, notebook, source, executed, ledger, ledger_text, figures, tuple(remarks))


def _read_notebook(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotebookError(f"{error}.") from None
    parse_notebook(text)
    return text, json.loads(text)


def _ledger(folder: Path, slug: str) -> tuple[dict[str, Any] | None, bytes | None, str | None]:
    try:
        content = (folder / LEDGER).read_bytes()
    except FileNotFoundError:
        return None, None, "It has not been run yet, so there are no verdicts."
    except OSError as error:
        return None, None, f"Its ledger cannot be read: {error.strerror}."
    try:
        return read_ledger(content, slug), content, None
    except LedgerError as error:
        return None, None, f"Its verdicts cannot be shown: {error}"


def _executed(
    path: Path, notebook: dict[str, Any], ledger: dict[str, Any] | None
) -> tuple[dict[str, Any] | None, str | None]:
    """The executed notebook, or why it is not the run of this notebook that the ledger tells of."""
    if not path.exists():
        return None, "The notebook has not been executed here: figures and verdicts come from the ledger."
    try:
        _, executed = _read_notebook(path)
    except NotebookError:
        return None, "The executed notebook is damaged: figures and verdicts come from the ledger."
    if _code(executed) != _code(notebook):
        return (
            None,
            "The notebook was executed before its last change: figures and verdicts come from the ledger.",
        )
    if ledger is not None:
        told = verdicts(ledger)
        shown = dict(_SHOWN_VERDICT.findall("".join(_html(executed))))
        if any(told.get(name) != word for name, word in shown.items()):
            return (
                None,
                "The notebook was executed in another run than the ledger's: figures and verdicts come "
                "from the ledger.",
            )
    return executed, None


def _code(notebook: dict[str, Any]) -> list[str]:
    """The code, without the cell that a run adds to set the parameters."""
    return [
        joined(cell.get("source", ""))
        for cell in notebook["cells"]
        if cell["cell_type"] == "code" and "injected-parameters" not in tags(cell)
    ]


def _html(notebook: dict[str, Any]) -> list[str]:
    return [
        joined(output.get("data", {}).get("text/html", ""))
        for cell in notebook["cells"]
        for output in cell.get("outputs", ())
    ]


def tags(cell: dict[str, Any]) -> list[str]:
    return list((cell.get("metadata") or {}).get("tags") or ())


def joined(source: str | list[str]) -> str:
    """The text of a cell or an output, which may come as a list of lines."""
    return source if isinstance(source, str) else "".join(source)
