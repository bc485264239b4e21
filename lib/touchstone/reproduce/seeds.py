"""Verdicts under many seeds: one that changes from seed to seed is a defect of its check."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from touchstone.reproduce.artefacts import store_file
from touchstone.reproduce.ledgers import LEDGER, LedgerError, read_ledger, verdicts
from touchstone.reproduce.project import Project, Variant
from touchstone.reproduce.register import Paper
from touchstone.reproduce.run import Summary, reproduce

_FORMAT = 1


@dataclass
class Stability:
    """One paper under several seeds: the verdict of each check under each seed, and what failed."""

    slug: str
    profile: str
    seeds: tuple[int, ...]
    verdicts: dict[str, dict[int, str]] = field(default_factory=dict)
    """Check, seed, verdict; a check that a seed's ledger lacks has no entry there."""
    numbers: dict[str, dict[int, Any]] = field(default_factory=dict)
    """What the claim of each check measured, by seed."""
    failures: dict[int, str] = field(default_factory=dict)
    """Seeds under which the notebook left no ledger, with the reason."""

    def counts(self, check: str) -> dict[str, int]:
        """How many seeds gave each verdict, most frequent first; ``missing`` where there is none."""
        found = self.verdicts[check]
        ran = [seed for seed in self.seeds if seed not in self.failures]
        return dict(Counter(found.get(seed, "missing") for seed in ran).most_common())

    @property
    def unstable(self) -> list[str]:
        """The checks whose verdict is not the same under every seed that ran."""
        return [check for check in self.verdicts if len(self.counts(check)) > 1]

    @property
    def stable(self) -> bool:
        """Whether every seed ran and gave the same verdicts, and there were any."""
        return bool(self.verdicts) and not self.failures and not self.unstable

    @property
    def agreeing(self) -> int:
        """How many seeds ran and gave the most frequent verdict of every check."""
        usual = {check: next(iter(self.counts(check)), None) for check in self.verdicts}
        return sum(
            seed not in self.failures
            and all(self.verdicts[check].get(seed) == verdict for check, verdict in usual.items())
            for seed in self.seeds
        )

    def exceptions(self, check: str) -> dict[int, str]:
        """The seeds whose verdict is not the most frequent one."""
        usual = next(iter(self.counts(check)), None)
        found = {seed: self.verdicts[check].get(seed, "missing") for seed in self.seeds}
        return {s: v for s, v in found.items() if v != usual and s not in self.failures}

    def report(self) -> dict[str, Any]:
        """For programs: verdicts by seed, and the numbers of the checks that are not stable."""
        checks = {
            check: {
                "counts": self.counts(check),
                "stable": check not in self.unstable,
                "verdicts": {str(seed): verdict for seed, verdict in found.items()},
                "numbers": {
                    str(seed): value
                    for seed, value in self.numbers.get(check, {}).items()
                    if check in self.unstable
                },
            }
            for check, found in self.verdicts.items()
        }
        return {
            "format": _FORMAT,
            "slug": self.slug,
            "profile": self.profile,
            "seeds": list(self.seeds),
            "stable": self.stable,
            "agreeing": self.agreeing,
            "failures": {str(seed): message for seed, message in self.failures.items()},
            "checks": checks,
        }


def verify_seeds(
    project: Project,
    papers: Sequence[Paper],
    seeds: Iterable[int],
    *,
    console: Any,
    profile: str = "quick",
    device: str = "auto",
    run: Callable[..., dict[Variant, Summary]] = reproduce,
    **options: Any,
) -> tuple[list[Stability], int | None]:
    """Run the notebooks of ``papers`` under each of ``seeds`` and compare the verdicts.

    The run is an ordinary one (``reproduce``, which takes ``options``): spread over workers, kept under
    ``build/runs``, and left out where its results are fresh. Returns one ``Stability`` a paper, also written
    to ``build/seeds``, and the signal that ended the run early, if one did: the seeds not reached then count
    as failures. Raises ``ReproductionError`` as ``reproduce`` does, and ``ValueError`` for no seeds.
    """
    seeds = tuple(dict.fromkeys(seeds))
    if not seeds:
        raise ValueError("seeds=(): expected at least one seed")
    results = {paper.slug: Stability(paper.slug, profile, seeds) for paper in papers}
    variants = [Variant(profile, seed, device) for seed in seeds]
    stopped: int | None = None
    for variant, summary in run(project, list(papers), variants, console=console, **options).items():
        stopped = summary.signal
        for slug, result in results.items():
            if slug in summary.failures:
                result.failures[variant.seed] = summary.failures[slug]
            elif slug in summary.stopped:
                result.failures[variant.seed] = "stopped before its end."
            else:
                _take(result, variant.seed, variant.outputs(project) / slug)
    for result in results.values():
        content = json.dumps(result.report(), indent=1, ensure_ascii=False) + "\n"
        store_file(report_file(project, profile, device, result.slug), content.encode())
    return list(results.values()), stopped


def report_file(project: Project, profile: str, device: str, slug: str) -> Path:
    """Where the report on one paper is kept."""
    label = profile if device == "auto" else f"{profile}-{device}"
    return project.build / "seeds" / label / f"{slug}.json"


def lines_of(result: Stability) -> list[str]:
    """The report for people: a line a check, and under it the seeds that stand out, with their numbers."""
    width = max((len(check) for check in result.verdicts), default=0)
    lines = []
    for check in result.verdicts:
        told = ", ".join(f"{count} {verdict}" for verdict, count in result.counts(check).items())
        lines.append(f"  {check:{width}}  {told}{'' if check not in result.unstable else '  UNSTABLE'}")
        for seed, verdict in result.exceptions(check).items():
            numbers = json.dumps(result.numbers.get(check, {}).get(seed), ensure_ascii=False)
            lines.append(f"  {'':{width}}    seed {seed}: {verdict}; {_short(numbers)}")
    failed: dict[str, list[int]] = {}
    for seed, message in result.failures.items():
        failed.setdefault(message.splitlines()[0], []).append(seed)
    for message, seeds in failed.items():
        named = ", ".join(str(seed) for seed in seeds)
        lines.append(f"  seed{'s' * (len(seeds) > 1)} {named} failed: {message}")
    word = "stable" if result.stable else "NOT STABLE"
    head = f"{result.slug} ({result.profile}): {word}, {result.agreeing} of {len(result.seeds)} seeds agree."
    return [head, *lines]


def _take(result: Stability, seed: int, folder: Path) -> None:
    """Read the ledger that one seed left."""
    try:
        ledger = read_ledger((folder / LEDGER).read_bytes(), result.slug, validate=False)
    except (OSError, LedgerError) as error:
        result.failures[seed] = f"its ledger cannot be read: {error}"
        return
    numbers = {check["id"]: check.get("numbers") for check in ledger["checks"]}
    for check, verdict in verdicts(ledger).items():
        result.verdicts.setdefault(check, {})[seed] = verdict
        result.numbers.setdefault(check, {})[seed] = numbers[check]


def _short(text: str, longest: int = 200) -> str:
    return text if len(text) <= longest else text[: longest - 3] + "..."
