"""Comparing the ledgers just computed with the committed ones: a verdict that changed is drift."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from touchstone.reproduce.errors import ReproductionError
from touchstone.reproduce.ledgers import LEDGER, LedgerError, read_ledger, verdicts
from touchstone.reproduce.plan import Planner
from touchstone.reproduce.project import Project, Variant
from touchstone.reproduce.register import Paper

_MOST_NUMBERS = 6


@dataclass(frozen=True)
class Change:
    """A check whose verdict is another one now."""

    check: str
    before: str
    after: str
    """A verdict, or ``missing``."""
    numbers: tuple[tuple[str, str, str], ...] = ()
    """Of each number that differs: its name, its value before and after."""

    def line(self) -> str:
        told = "; ".join(_told(number) for number in self.numbers[:_MOST_NUMBERS])
        return f"{self.check}: {self.before} → {self.after}{f' ({told})' if told else ''}."


@dataclass
class Comparison:
    """One paper: what verify found. ``problems`` and ``changes`` fail, ``remarks`` do not."""

    slug: str
    source: str = ""
    """Which run was compared, such as ``full`` or ``quick``."""
    changes: list[Change] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Why verdicts could not be compared."""
    remarks: list[str] = field(default_factory=list)
    compared: int = 0
    """How many checks both sides have."""

    @property
    def drift(self) -> list[str]:
        """Everything that fails, each as a sentence."""
        return [*self.problems, *(change.line() for change in self.changes)]

    def lines(self) -> list[str]:
        return [f"{self.slug}: {line}" for line in (*self.drift, *self.remarks)]


def verify(
    project: Project, papers: Iterable[Paper], *, against: str = "HEAD", profile: str = "auto"
) -> list[Comparison]:
    """Compare the fresh ledger of each paper with the one that commit ``against`` holds.

    ``profile`` says which run is compared: ``"full"``, ``"quick"``, ``"gpu"``, or ``"auto"`` for the full
    run where it is fresh and the quick one elsewhere. Between two profiles verdicts are compared and
    numbers are not. Papers with neither a notebook nor a committed ledger are left out. Raises
    ``ReproductionError`` when git or the commit cannot be had.
    """
    committed = _committed_ledgers(project, against)
    first, *others = _variants(profile)
    planners = [Planner(project, first)]
    planners += [Planner(project, variant, like=planners[0]) for variant in others]
    found = []
    for paper in papers:
        if paper.slug in committed or paper.notebook(project).exists():
            found.append(_compare(project, paper, planners, committed.get(paper.slug), against))
    planners[0].close()
    return found


def _variants(profile: str) -> list[Variant]:
    """The runs that may be compared, the best first. With ``cpu`` a full run is the evidence as well."""
    full = [Variant("full"), Variant("full", device="cpu")]
    if profile == "auto":
        return [*full, Variant("quick")]
    return full if profile == "full" else [Variant(profile)]


def _compare(
    project: Project, paper: Paper, planners: list[Planner], committed: bytes | None, against: str
) -> Comparison:
    result = Comparison(paper.slug)
    if not paper.notebook(project).exists():
        result.problems.append(f"its ledger is committed in {against}, but its notebook is gone.")
        return result
    reasons = []
    for planner in planners:
        stale = planner.plan(paper).stale
        if stale is None:
            variant = planner.variant
            break
        if planner.variant != Variant("full", device="cpu"):
            reasons.append(f"{planner.variant.label}: {stale}")
    else:
        result.problems.append(
            f"nothing fresh to compare ({'; '.join(reasons)}). Run `touchstone reproduce {paper.slug}` first."
        )
        return result
    result.source = variant.label
    folder = variant.outputs(project) / paper.slug
    try:
        fresh = read_ledger((folder / LEDGER).read_bytes(), paper.slug)
    except (OSError, LedgerError) as error:
        result.problems.append(f"{project.relative(folder / LEDGER)}: {error}")
        return result
    if committed is None:
        result.remarks.append(f"new: {against} has no ledger of it ({len(fresh['checks'])} checks).")
        return result
    try:
        before = read_ledger(committed, paper.slug, validate=False)
    except LedgerError as error:
        result.problems.append(f"the committed ledger ({against}): {error}")
        return result
    _compare_ledgers(result, before, fresh)
    return result


def _compare_ledgers(result: Comparison, before: dict[str, Any], after: dict[str, Any]) -> None:
    old, new = verdicts(before), verdicts(after)
    old_checks = {check["id"]: check for check in before["checks"]}
    new_checks = {check["id"]: check for check in after["checks"]}
    same_run = all(before.get(name) == after.get(name) for name in ("profile", "seed"))
    moved = []
    for name in old:
        if name not in new:
            result.changes.append(Change(name, old[name], "missing"))
            continue
        result.compared += 1
        changes = _number_changes(old_checks[name].get("numbers"), new_checks[name].get("numbers"))
        if old[name] != new[name]:
            result.changes.append(Change(name, old[name], new[name], tuple(changes)))
        elif changes and same_run:
            moved.append(name)
    for name in new:
        if name not in old:
            result.remarks.append(f"{name}: new check, {new[name]}.")
    if moved:
        result.remarks.append(f"same verdicts, other numbers: {', '.join(moved)}.")


def _number_changes(before: Any, after: Any, name: str = "") -> list[tuple[str, str, str]]:
    """The numbers that differ: name, before, after."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [*before, *(key for key in after if key not in before)]
        return [
            change
            for key in keys
            for change in _number_changes(
                before.get(key), after.get(key), f"{name}.{key}" if name else str(key)
            )
        ]
    if before == after:
        return []
    return [(name, _short(before), _short(after))]


def _told(number: tuple[str, str, str]) -> str:
    name, before, after = number
    return f"{name} {before} → {after}".strip()


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def commit_of(project: Project, revision: str) -> str:
    """The full name of the commit that ``revision`` names."""
    return (
        _git(project, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}").decode().strip()
    )


def _committed_ledgers(project: Project, revision: str) -> dict[str, bytes]:
    """The ledgers under ``figures/`` in a commit, by slug."""
    _git(
        project,
        "rev-parse",
        "--git-dir",
        problem="this is no git checkout, so there is nothing to compare with",
    )
    _git(
        project,
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        f"{revision}^{{commit}}",
        problem=f"{revision!r} is no commit of this checkout",
    )
    listing = _git(project, "ls-tree", "-r", "-z", "--name-only", revision, "--", "figures/").decode()
    ledgers = {}
    for name in listing.split("\0"):
        parts = name.split("/")
        if len(parts) == 3 and parts[2] == LEDGER:
            ledgers[parts[1]] = _git(project, "show", f"{revision}:./{name}")
    return ledgers


def _git(project: Project, *arguments: str, problem: str = "git failed") -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(project.root), *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        raise ReproductionError("git is needed to read the committed ledgers and was not found.") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise ReproductionError(f"{problem}{': ' + said[0] if said else ''}.".replace("..", "."))
    return done.stdout
