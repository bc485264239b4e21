"""What has to run: a notebook is stale when anything that its results depend on has changed.

A stamp, written after a run, records the inputs of that run and the hash of each file it left. Stamps are
local (under ``build``), so a fresh clone runs everything.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from touchstone.reproduce.artefacts import digest, store_file
from touchstone.reproduce.errors import ReproductionError
from touchstone.reproduce.imports import Import, Library, imports_of
from touchstone.reproduce.notebook import Notebook, NotebookError, parse_cell, read_notebook
from touchstone.reproduce.project import Project, Variant
from touchstone.reproduce.register import Paper

_STAMP_FORMAT = 1


@dataclass(frozen=True)
class Plan:
    """One notebook in one variant: what it depends on and why it has to run, if it has to."""

    paper: Paper
    path: Path
    notebook: Notebook | None
    inputs: dict[str, Any]
    stale: str | None
    """Why it has to run; None when its results are fresh."""
    broken: str | None = None
    """Why it cannot run as it stands."""


class Planner:
    """Judges notebooks of one project in one variant; every file is read once.

    ``like`` is the judge of another variant in the same moment: what it has read is not read again.
    """

    def __init__(self, project: Project, variant: Variant, like: Planner | None = None) -> None:
        self.project = project
        self.variant = variant
        if like is not None:
            self._library, self._notebooks, self._pinned = like._library, like._notebooks, like._pinned
            return
        self._library = Library(project.library, cache=project.cache / "imports.json")
        self._notebooks: dict[Path, Notebook] = {}
        try:
            self._pinned = digest(project.pinned.read_bytes())
        except FileNotFoundError:
            self._pinned = "none"
        except OSError as error:
            raise ReproductionError(f"requirements.lock cannot be read: {error.strerror}.") from None

    def plan(self, paper: Paper) -> Plan:
        """Judge one paper's notebook. One that cannot run is a plan with ``broken``, never an exception."""
        path = paper.notebook(self.project)
        try:
            if path not in self._notebooks:
                self._notebooks[path] = read_notebook(path)
            notebook = self._notebooks[path]
            inputs = self._inputs(notebook)
        except NotebookError as error:
            return Plan(paper, path, None, {}, "it cannot be run", str(error))
        return Plan(paper, path, notebook, inputs, self._why_stale(paper, inputs))

    def close(self) -> None:
        self._library.save()

    def _inputs(self, notebook: Notebook) -> dict[str, Any]:
        code = digest(json.dumps(notebook.code).encode())
        imports = self._library.remember(code, lambda: _imports(notebook))
        return {
            "code": code,
            "parameters": self.variant.parameters,
            "pinned": self._pinned,
            "python": f"{sys.version_info.major}.{sys.version_info.minor}",
            "modules": self._library.sources(imports),
        }

    def _why_stale(self, paper: Paper, inputs: dict[str, Any]) -> str | None:
        stamp = read_stamp(stamp_file(self.project, self.variant, paper.slug))
        if stamp is None:
            return "it has not been run here"
        before = stamp["inputs"]
        if before.get("code") != inputs["code"]:
            return "its code changed"
        for name, word in (
            ("parameters", "its parameters"),
            ("pinned", "the pinned versions"),
            ("python", "Python"),
        ):
            if before.get(name) != inputs[name]:
                return f"{word} changed"
        if before.get("modules") != inputs["modules"]:
            old, new = before.get("modules") or {}, inputs["modules"]
            names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
            return f"{names[0]} changed" + (f", and {len(names) - 1} more" if len(names) > 1 else "")
        folder = self.variant.outputs(self.project) / paper.slug
        for name, expected in stamp["artefacts"].items():
            try:
                same = digest((folder / name).read_bytes()) == expected
            except OSError:
                return f"{self.project.relative(folder / name)} is missing"
            if not same:
                return f"{self.project.relative(folder / name)} was changed by hand"
        return None


def _imports(notebook: Notebook) -> list[Import]:
    """What the code cells import; raises ``NotebookError`` for one that does not parse."""
    cells = zip(notebook.code, notebook.positions, strict=True)
    found = {record for source, position in cells for record in imports_of(parse_cell(source, position))}
    return sorted(found)


def stamp_file(project: Project, variant: Variant, slug: str) -> Path:
    return variant.stamps(project) / f"{slug}.json"


def read_stamp(path: Path) -> dict[str, Any] | None:
    """The stamp at ``path``; None when there is none that can be relied on."""
    try:
        stamp = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(stamp, dict) or stamp.get("format") != _STAMP_FORMAT:
        return None
    sound = isinstance(stamp.get("inputs"), dict) and isinstance(stamp.get("artefacts"), dict)
    return stamp if sound else None


def write_stamp(path: Path, inputs: dict[str, Any], artefacts: dict[str, bytes], seconds: float) -> None:
    """Record that a run with ``inputs`` left ``artefacts``."""
    stamp = {
        "format": _STAMP_FORMAT,
        "inputs": inputs,
        "artefacts": {name: digest(content) for name, content in sorted(artefacts.items())},
        "seconds": round(seconds, 2),
    }
    store_file(path, json.dumps(stamp, indent=1).encode())
