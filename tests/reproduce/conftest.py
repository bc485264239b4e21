"""A small collection of papers in a temporary folder, and ways to run it as a user would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from touchstone.reproduce.plan import Planner, stamp_file, write_stamp
from touchstone.reproduce.project import Project, Variant
from touchstone.reproduce.register import read_register

from ..ledger_entries import check_entry, ledger_entry

MARK = "TOUCHSTONE_TEST_MARK"
PARAMETERS = 'profile = "full"\nseed = 0\ndevice = "auto"'


def check(name: str, verdict: str = "supported", **numbers: float) -> dict[str, Any]:
    return check_entry(name, verdict, numbers=numbers)


def ledger(slug: str, *checks: dict[str, Any], profile: str = "full", seed: int = 0) -> dict[str, Any]:
    return ledger_entry(slug, list(checks or [check("c1")]), profile=profile, seed=seed)


def finish(slug: str, *checks: dict[str, Any]) -> str:
    """A cell that leaves a ledger and a figure, in plain Python."""
    return (
        "import json, os, pathlib\n"
        'output = pathlib.Path(os.environ["TOUCHSTONE_OUTPUT"])\n'
        f"ledger = json.loads({json.dumps(json.dumps(ledger(slug, *checks)))})\n"
        'ledger |= {"profile": profile, "seed": seed}\n'
        '(output / "machine").mkdir()\n'
        '(output / "machine" / "run.json").write_text("{}")\n'
        '(output / "error.svg").write_text(f"<svg>{seed}</svg>")\n'
        '(output / "ledger.json").write_text(json.dumps(ledger))'
    )


def notebook_json(*sources: str, parameters: str | None = PARAMETERS) -> dict[str, Any]:
    """A notebook with one cell of prose, the parameters cell, and the given code."""
    cells: list[dict[str, Any]] = [
        {"cell_type": "markdown", "id": "title", "metadata": {}, "source": "# A title"}
    ]
    for number, source in enumerate(([parameters] if parameters else []) + list(sources)):
        tags = {"tags": ["parameters"]} if parameters and number == 0 else {}
        cell = {"cell_type": "code", "id": f"code-{number}", "metadata": tags, "source": source}
        cells.append({**cell, "outputs": [], "execution_count": None})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


@dataclass
class Collection:
    """A project of its own with its register, notebooks and library."""

    root: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    slugs: list[str] = field(default_factory=list)

    @property
    def project(self) -> Project:
        return Project(self.root)

    def notebook(self, slug: str) -> Path:
        return self.root / "notebooks" / "attention" / f"{slug}.ipynb"

    def add(
        self, slug: str, *sources: str, finished: bool = True, checks: tuple[dict[str, Any], ...] = ()
    ) -> Path:
        """Register a paper and write its notebook: the given cells, then one that leaves a ledger."""
        self.register(slug)
        cells = [*sources, finish(slug, *checks)] if finished else list(sources)
        return self.write(slug, notebook_json(*cells))

    def register(self, slug: str, topic: str = "attention") -> None:
        self.slugs.append(slug)
        entry = f'slug = "{slug}"\ntitle = "Title of {slug}"\nauthors = ["A. One", "B. Two"]\nyear = 2023\n'
        with open(self.root / "papers.toml", "a", encoding="utf-8") as stream:
            stream.write(f'\n[[paper]]\n{entry}topic = "{topic}"\nsummary = "a summary"\n')

    def write(self, slug: str, content: dict[str, Any]) -> Path:
        path = self.notebook(slug)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    def module(self, name: str, source: str) -> Path:
        """Write a module of this project's own library, packages included."""
        parts = name.split(".")
        folder = self.root / "lib"
        for part in parts[:-1]:
            folder = folder / part
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "__init__.py").touch()
        path = folder / f"{parts[-1]}.py"
        path.write_text(source, encoding="utf-8")
        return path

    def leave(self, slug: str, content: dict[str, Any] | bytes, variant: Variant | None = None) -> None:
        """Leave a ledger as a run of ``variant`` would, stamp included, without running anything."""
        variant = variant or Variant()
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        folder = variant.outputs(self.project) / slug
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "ledger.json").write_bytes(content)
        inputs = Planner(self.project, variant).plan(read_register(self.project)[slug]).inputs
        write_stamp(stamp_file(self.project, variant, slug), inputs, {"ledger.json": content}, 1.0)

    def environment(self, **more: str) -> dict[str, str]:
        return {**os.environ, MARK: self.mark, "COLUMNS": "200", **more}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "touchstone.reproduce.cli", "--root", str(self.root), *arguments]

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        return subprocess.run(
            self.command(*arguments),
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Run the command in the background, in a session of its own."""
        return subprocess.Popen(
            self.command(*arguments),
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def processes(self) -> list[psutil.Process]:
        """Every living process that carries this collection's mark."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def orphans(self, patience: float = 6.0) -> list[str]:
        """Processes still alive once ``patience`` seconds have passed; what is left is killed."""
        deadline = time.monotonic() + patience
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.05)
        left = self.processes()
        told = [" ".join(process.cmdline()) for process in left]
        for process in left:
            process.kill()
        return told

    def leftovers(self) -> list[str]:
        """Hidden files and folders that an unfinished write would leave."""
        kept = [path for folder in ("figures", "build") for path in (self.root / folder).rglob(".*")]
        return [str(path.relative_to(self.root)) for path in kept]


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[Collection]:
    root = tmp_path / "collection"
    root.mkdir()
    (root / "pyproject.toml").write_text('[project]\nname = "touchstone"\n', encoding="utf-8")
    (root / "requirements.lock").write_text("numpy==2.4.0\n", encoding="utf-8")
    (root / "papers.toml").touch()
    made = Collection(root)
    yield made
    for process in made.processes():
        process.kill()


@pytest.fixture
def kernel_pid() -> Callable[[Path], int]:
    """Waits until a notebook has written its process number to a file, and returns it."""

    def wait(path: Path) -> int:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            text = path.read_text() if path.exists() else ""
            if text.endswith("\n"):
                return int(text)
            time.sleep(0.02)
        raise AssertionError(f"no process number in {path}")

    return wait


@pytest.fixture
def say_pid() -> Callable[[Path], str]:
    """Code that writes the kernel's process number to a file, whole."""

    def code(path: Path) -> str:
        return (
            "import os, pathlib, time\n"
            f"_path = pathlib.Path({str(path)!r})\n"
            '_path.with_suffix(".part").write_text(f"{os.getpid()}\\n")\n'
            'os.replace(_path.with_suffix(".part"), _path)'
        )

    return code


@pytest.fixture
def make() -> Any:
    """The builders above, for tests that need them bare."""

    class Builders:
        check = staticmethod(check)
        ledger = staticmethod(ledger)
        finish = staticmethod(finish)
        notebook = staticmethod(notebook_json)
        parameters = PARAMETERS

    return Builders
