"""The survey: plant every mistake that a notebook reaches, one at a time, and see who notices.

A mistake is tried first by the notebook (quick profile, up to the first verdict that moves), then, if no
verdict moved, by the unit tests of its module. What has been found is kept, a line each, so that a survey
that was stopped goes on where it was, and one whose tests have grown tries the survivors again.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from touchstone.reproduce.errors import ReproductionError
from touchstone.reproduce.imports import Library
from touchstone.reproduce.lock import run_lock
from touchstone.reproduce.mutants.bench import Bench
from touchstone.reproduce.mutants.equivalents import Equivalent, read_equivalents
from touchstone.reproduce.mutants.operators import Mutant, mutants_of
from touchstone.reproduce.mutants.reach import (
    cells_of,
    digest_of,
    is_mirror,
    target_modules,
    tests_digest,
    tests_of,
)
from touchstone.reproduce.plan import Planner
from touchstone.reproduce.project import Project, Variant
from touchstone.reproduce.register import Paper

EQUIVALENTS = Path("tests") / "mutants" / "equivalent.toml"
CAUGHT = ("verdict", "error", "timeout", "tests")
# Neither sources nor tests, or large.
_NOT_COPIED = (".git", ".venv", ".hypothesis", "build", "__pycache__", "*_cache")
# Trial by a sound library takes seconds; a mistake that makes it take this much longer hangs.
_SLOWER, _AT_LEAST = 6.0, 30.0
_FIRST_LIMIT = 600.0


@dataclass
class Finding:
    """One mistake and who noticed it."""

    mutant: Mutant
    outcome: str
    """``verdict``, ``error``, ``timeout``, ``tests``, ``survived`` or ``equivalent``."""
    detail: str = ""
    seconds: float = 0.0


@dataclass
class Survey:
    """What was found. ``findings`` are in the order of the sources."""

    slug: str
    findings: list[Finding]
    possible: int
    """How many mistakes there are in the lines that ran, sampled or not."""
    refuted: list[Finding] = field(default_factory=list)
    """Declared equivalent, yet noticed: the declaration is wrong."""
    idle: list[Equivalent] = field(default_factory=list)
    """Declarations that no mistake matches any more."""
    modules: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def count(self, *outcomes: str, module: str | None = None) -> int:
        return sum(f.outcome in outcomes and module in (None, f.mutant.module) for f in self.findings)

    @property
    def rate(self) -> float:
        """The share of the mistakes tried, declared equivalents apart, that somebody noticed."""
        tried = self.count(*CAUGHT, "survived")
        return self.count(*CAUGHT) / tried if tried else 1.0


def survey(
    project: Project,
    paper: Paper,
    *,
    modules: Sequence[str] = (),
    limit: int | None = None,
    sample_seed: int = 0,
    workers: int = 2,
    recheck: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Survey:
    """Plant the mistakes that ``paper``'s notebook reaches and report who notices each.

    ``modules`` narrows or widens where mistakes are planted (see ``target_modules``); ``limit`` tries a
    random sample of that many, drawn by ``sample_seed``; ``recheck`` tries the declared equivalents too.
    Everything runs from a copy made at the start: edits during the survey have no part in it.
    Raises ``ReproductionError`` when the notebook or the tests fail without any mistake, or when the system
    cannot fork.
    """
    if not hasattr(os, "fork"):
        raise ReproductionError("mistakes are tried in forked processes, which this system does not have.")
    begun = time.monotonic()
    folder = project.build / "mutants"
    with (
        run_lock(folder / f"{paper.slug}.lock"),
        tempfile.TemporaryDirectory(prefix="touchstone-", ignore_cleanup_errors=True) as scratch,
    ):
        copy = _copied(project, Path(scratch) / "copy")
        work = _Work(copy, paper, Path(scratch), folder / f"{paper.slug}.jsonl", say)
        try:
            work.prepare(modules)
            result = work.run(limit, sample_seed, workers, recheck)
        finally:
            work.close()
    result.seconds = time.monotonic() - begun
    return result


def _copied(project: Project, folder: Path) -> Project:
    """A copy of the collection, for whoever reads it for an hour while its owner goes on editing."""
    try:
        shutil.copytree(project.root, folder, ignore=shutil.ignore_patterns(*_NOT_COPIED))
    except (OSError, shutil.Error) as error:
        raise ReproductionError(f"the collection could not be copied to {folder.parent}: {error}.") from None
    return Project(folder)


class _Work:
    def __init__(
        self, project: Project, paper: Paper, scratch: Path, records: Path, say: Callable[[str], None]
    ) -> None:
        self.project, self.paper, self.scratch, self.say = project, paper, scratch, say
        self.records_file = records
        self.records = _read_records(records)
        self.library = Library(project.library)
        self.benches: list[Bench] = []
        self.preload: list[str] = []
        self._lock = threading.Lock()
        self._tests: dict[str, tuple[list[str], str]] = {}
        self._files: dict[str, dict[str, Any]] = {}
        self._tests_lock = threading.Lock()

    def close(self) -> None:
        for bench in self.benches:
            bench.close()

    # -- the sound library -----------------------------------------------------------------------------------

    def prepare(self, prefixes: Sequence[str]) -> None:
        """Run the sound notebook, twice: for its verdicts and its time, and for the lines that it runs."""
        variant = Variant("quick", seed=0, device="cpu")
        planner = Planner(self.project, variant)
        plan = planner.plan(self.paper)
        if plan.broken:
            raise ReproductionError(f"{self.paper.slug}: {plan.broken}")
        notebook = plan.notebook
        assert notebook is not None
        self.targets = target_modules(plan.inputs["modules"], self.project.library, prefixes)
        if not self.targets:
            raise ReproductionError(f"{self.paper.slug} reaches no module in which to plant mistakes.")
        self.parameters = variant.parameters
        self.inputs = digest_of(plan.inputs)
        self.say(f"running {self.paper.slug} on the sound library")
        first = self._bench("first")
        self.cells = cells_of(notebook)
        sound = first.ask(**self._by_notebook(limit=_FIRST_LIMIT))
        if sound["outcome"] == "error":  # a later cell may use what a picture's block computed
            self.cells = cells_of(notebook, pictures=True)
            sound = first.ask(**self._by_notebook(limit=_FIRST_LIMIT))
        if sound["outcome"] != "passed":
            raise ReproductionError(
                f"{self.paper.slug} fails without any mistake: cell {sound.get('cell')}: {sound['detail']}."
            )
        self.expected = sound["verdicts"]
        first.close()
        self.preload = [*sound["modules"], *_FOR_TESTS]
        bench = self._bench("sound")
        again = bench.ask(**self._by_notebook(limit=_FIRST_LIMIT, expected=self.expected))
        if again["outcome"] != "passed":
            raise ReproductionError(
                f"{self.paper.slug} does not repeat itself, so no mistake shows: {again['detail']}."
            )
        self.limit = max(_AT_LEAST, _SLOWER * again["seconds"])
        traced = bench.ask(**self._by_notebook(limit=_FIRST_LIMIT, trace=str(self.project.library)))
        if traced["outcome"] != "passed":
            raise ReproductionError(f"{self.paper.slug} fails while it is traced: {traced['detail']}.")
        bench.close()
        self.mutants = []
        for module, path in self.targets.items():
            lines = traced["lines"].get(str(path), [])
            self.mutants += mutants_of(module, path.read_text(encoding="utf-8"), lines)
        self.say(
            f"{len(self.mutants)} mistakes in the lines of {len(self.targets)} modules that it runs "
            f"({again['seconds']:.1f} s a run)"
        )

    def _by_notebook(self, **more: Any) -> dict[str, Any]:
        return {"kind": "notebook", "cells": self.cells, "parameters": self.parameters, **more}

    def _bench(self, name: str) -> Bench:
        bench = Bench(self.project, self.scratch / name, self.preload)
        with self._lock:
            self.benches.append(bench)
        return bench

    def _by_tests(self, tests: list[str], limit: float, **more: Any) -> dict[str, Any]:
        return {"kind": "tests", "root": str(self.project.root), "tests": tests, "limit": limit, **more}

    def _tests_for(self, module: str) -> tuple[list[str], str]:
        """The test files of a module and a hash of what they depend on."""
        with self._tests_lock:
            if module not in self._tests:
                files = tests_of(module, self.project)
                self._tests[module] = files, tests_digest(files, self.project, self.library)
            return self._tests[module]

    def _sound_runs(self, files: list[str], bench: Bench) -> list[dict[str, Any]]:
        """What each test of ``files`` runs of the sound library, and for how long; each file is run once."""
        with self._tests_lock:
            for file in files:
                if file not in self._files:
                    self._files[file] = self._run_sound(file, bench)
            return [self._files[file] for file in files]

    def _run_sound(self, file: str, bench: Bench) -> dict[str, Any]:
        answer = bench.ask(**self._by_tests([file], _FIRST_LIMIT, trace=str(self.project.library)))
        if answer["outcome"] != "passed":
            raise ReproductionError(
                f"{file} fails without any mistake: {answer.get('test') or ''} {answer['detail']}"
            )
        self.say(f"{file} passes on the sound library ({answer['seconds']:.1f} s)")
        return answer

    # -- the mistakes ----------------------------------------------------------------------------------------

    def run(self, limit: int | None, sample_seed: int, workers: int, recheck: bool) -> Survey:
        declared = read_equivalents(self.project.root / EQUIVALENTS)
        chosen = self.mutants
        if limit is not None and limit < len(chosen):
            chosen = _sample(chosen, limit, sample_seed)
        equivalent = {m.key for m in chosen if any(e.covers(m) for e in declared)}
        to_try = [m for m in chosen if recheck or m.key not in equivalent]
        found = self._try_all(to_try, workers)
        findings, refuted = [], []
        for mutant in chosen:
            finding = found.get(mutant.key)
            if mutant.key in equivalent:
                if finding is not None and finding.outcome in CAUGHT:
                    refuted.append(finding)
                reason = next(e.reason for e in declared if e.covers(mutant))
                finding = Finding(mutant, "equivalent", reason)
            assert finding is not None
            findings.append(finding)
        modules = list(self.targets)
        here = [e for e in declared if e.module in modules]
        idle = [e for e in here if not any(e.covers(m) for m in self.mutants)]
        return Survey(self.paper.slug, findings, len(self.mutants), refuted, idle, modules)

    def _try_all(self, mutants: list[Mutant], workers: int) -> dict[str, Finding]:
        found: dict[str, Finding] = {}
        free: queue.SimpleQueue[Bench] = queue.SimpleQueue()
        for number in range(workers):
            free.put(self._bench(f"bench-{number}"))
        counts: dict[str, int] = {}

        def one(mutant: Mutant) -> Finding:
            bench = free.get()
            try:
                return self._try(mutant, bench)
            finally:
                free.put(bench)

        with ThreadPoolExecutor(workers) as pool:
            try:
                for number, finding in enumerate(pool.map(one, mutants), start=1):
                    found[finding.mutant.key] = finding
                    counts[finding.outcome] = counts.get(finding.outcome, 0) + 1
                    if finding.outcome == "survived":
                        self.say(f"survived: {_place(finding.mutant)}\n{finding.mutant.diff}")
                    if number % 25 == 0:
                        told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
                        self.say(f"{number} of {len(mutants)}: {told}")
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self.close()
                raise
        return found

    def _try(self, mutant: Mutant, bench: Bench) -> Finding:
        record = self.records.get(mutant.key, {})
        planted = {
            "module": mutant.module, "path": str(self.targets[mutant.module]), "source": mutant.source,
        }  # fmt: skip
        answer = record.get("notebook")
        if answer is None or record.get("inputs") != self.inputs:
            record = {"key": mutant.key, "inputs": self.inputs}
            answer = bench.ask(**self._by_notebook(limit=self.limit, expected=self.expected, **planted))
            record["notebook"] = {name: answer.get(name) for name in ("outcome", "detail", "seconds")}
            self._keep(record)
        if answer["outcome"] != "passed":
            return Finding(mutant, answer["outcome"], answer.get("detail") or "", answer["seconds"])
        files, digest = self._tests_for(mutant.module)
        tested = record.get("tests")
        if tested is None or record.get("tests_inputs") != digest:
            tested = self._try_tests(mutant, files, bench, planted)
            record["tests_inputs"] = digest
            record["tests"] = {name: tested.get(name) for name in ("outcome", "test", "detail", "seconds")}
            self._keep(record)
        seconds = answer["seconds"] + tested["seconds"]
        if tested["outcome"] == "passed":
            return Finding(mutant, "survived", "", seconds)
        detail = tested.get("test") or tested.get("detail") or ""
        outcome = "timeout" if tested["outcome"] == "timeout" else "tests"
        return Finding(mutant, outcome, detail, seconds)

    def _try_tests(
        self, mutant: Mutant, files: list[str], bench: Bench, planted: dict[str, str]
    ) -> dict[str, Any]:
        """The tests that run the lines with the mistake, quickest first, then the module's own files whole.

        A test that does not run them can notice only through what an earlier one left in a cache. Lines that
        run on import belong to no test, and all files are run.
        """
        tested: dict[str, Any] = {"outcome": "passed", "seconds": 0.0}
        runs = self._sound_runs(files, bench)
        lines = set(range(mutant.lines[0], mutant.lines[1] + 1))
        took = {
            test: run["took"][test]
            for run in runs
            for test, covered in run["covered"].items()
            if lines & set(covered.get(planted["path"], []))
        }
        chosen = sorted(took, key=lambda test: (took[test], test))
        whole = [file for file in files if not chosen or is_mirror(file, mutant.module)]
        total = sum(run["seconds"] for run in runs)
        for some, seconds in ((chosen, sum(took.values())), (whole, total)):
            if some and tested["outcome"] == "passed":
                limit = max(_AT_LEAST, _SLOWER * seconds)
                before = tested["seconds"]
                tested = bench.ask(**self._by_tests(some, limit), **planted)
                tested["seconds"] += before
        return tested

    def _keep(self, record: dict[str, Any]) -> None:
        with self._lock:
            self.records[record["key"]] = record
            with open(self.records_file, "a", encoding="utf-8") as stream:
                stream.write(json.dumps(record) + "\n")


# Loaded beforehand too, where they are installed: most tests use them.
_FOR_TESTS = ["hypothesis", "array_api_strict", "numpy.testing"]


def _read_records(path: Path) -> dict[str, dict[str, Any]]:
    """What was found before, by key; a later line replaces an earlier one, a broken line is no line."""
    records = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    for line in lines:
        try:
            record = json.loads(line)
            records[record["key"]] = record
        except (ValueError, KeyError, TypeError):
            continue
    return records


def _sample(mutants: list[Mutant], size: int, seed: int) -> list[Mutant]:
    """``size`` of them at random. Who is drawn hangs on each key alone, so that a sample hardly changes when
    the library does, and a larger one contains the smaller."""
    ranks = {m.key: hashlib.sha256(f"{seed}:{m.key}".encode()).digest() for m in mutants}
    last = sorted(ranks.values())[size - 1]
    return [mutant for mutant in mutants if ranks[mutant.key] <= last]


def _place(mutant: Mutant) -> str:
    return f"{mutant.module}:{mutant.line} in {mutant.function or 'the module'}, {mutant.operator}"
