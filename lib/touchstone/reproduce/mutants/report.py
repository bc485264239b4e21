"""The report of a survey: a table for people, JSON for programs."""

from __future__ import annotations

import json
from typing import Any

from touchstone.reproduce.artefacts import store_file
from touchstone.reproduce.mutants.operators import OPERATORS
from touchstone.reproduce.mutants.survey import CAUGHT, Finding, Survey
from touchstone.reproduce.project import PACKAGE, Project

_FORMAT = 1
_COLUMNS = (*CAUGHT, "survived", "equivalent")


def lines_of(survey: Survey) -> list[str]:
    """The whole report as lines of plain text: by module, by kind of mistake, then what nobody noticed."""
    tried = survey.count(*CAUGHT, "survived")
    of = "" if len(survey.findings) == survey.possible else f", a sample of {survey.possible}"
    lines = [
        f"{survey.slug}: {survey.count(*CAUGHT)} of {tried} mistakes noticed ({survey.rate:.1%}{of}); "
        f"{survey.count('equivalent')} more are declared equivalent.",
        "",
        *_table("module", [(m.removeprefix(f"{PACKAGE}."), _of_module(survey, m)) for m in survey.modules]),
        "",
        *_table("mistake", [(name, _of_operator(survey, name)) for name in OPERATORS]),
    ]
    survivors = [f for f in survey.findings if f.outcome == "survived"]
    if survivors:
        lines += ["", "Not noticed:"]
        for finding in survivors:
            lines += [f"  {place(finding)}", *(f"    {line}" for line in finding.mutant.diff.splitlines())]
    for finding in survey.refuted:
        lines.append(
            f"declared equivalent, yet noticed ({finding.outcome}: {finding.detail}): {place(finding)}"
        )
        lines += [f"    {line}" for line in finding.mutant.diff.splitlines()]
    for entry in survey.idle:
        lines.append(f"declared equivalent, but no mistake matches: {entry.module}, {entry.line!r}")
    return lines


def report(survey: Survey) -> dict[str, Any]:
    """Everything found, as plain data."""
    return {
        "format": _FORMAT,
        "slug": survey.slug,
        "possible": survey.possible,
        "tried": survey.count(*CAUGHT, "survived"),
        "rate": round(survey.rate, 4),
        "counts": {outcome: survey.count(outcome) for outcome in _COLUMNS},
        "mistakes": [_plain(finding) for finding in survey.findings],
        "refuted": [finding.mutant.key for finding in survey.refuted],
    }


def store(survey: Survey, project: Project) -> str:
    """Keep the report under ``build/mutants``; returns the path of its JSON form, from the root."""
    folder = project.build / "mutants"
    content = json.dumps(report(survey), indent=1, ensure_ascii=False) + "\n"
    store_file(folder / f"{survey.slug}.json", content.encode())
    store_file(folder / f"{survey.slug}.txt", ("\n".join(lines_of(survey)) + "\n").encode())
    return project.relative(folder / f"{survey.slug}.json")


def place(finding: Finding) -> str:
    """Where a mistake is and of which kind, in one line."""
    mutant = finding.mutant
    file = mutant.module.replace(".", "/") + ".py"
    return f"{file}:{mutant.line} in {mutant.function or 'the module'}: {mutant.operator}"


def _table(title: str, rows: list[tuple[str, list[Finding]]]) -> list[str]:
    rows = [(name, findings) for name, findings in rows if findings]
    rows.append(("all", [finding for _, findings in rows for finding in findings]))
    width = max(len(title), *(len(name) for name, _ in rows))
    head = " ".join([f"{title:{width}}", *(f"{name:>10}" for name in _COLUMNS), f"{'rate':>7}"])
    lines = [head]
    for name, findings in rows:
        counts = [sum(f.outcome == outcome for f in findings) for outcome in _COLUMNS]
        caught, survived = sum(counts[: len(CAUGHT)]), counts[len(CAUGHT)]
        rate = f"{caught / (caught + survived):.1%}" if caught + survived else "-"
        lines.append(" ".join([f"{name:{width}}", *(f"{count:>10}" for count in counts), f"{rate:>7}"]))
    return lines


def _of_module(survey: Survey, module: str) -> list[Finding]:
    return [finding for finding in survey.findings if finding.mutant.module == module]


def _of_operator(survey: Survey, operator: str) -> list[Finding]:
    return [finding for finding in survey.findings if finding.mutant.operator == operator]


def _plain(finding: Finding) -> dict[str, Any]:
    mutant = finding.mutant
    return {
        "key": mutant.key,
        "module": mutant.module,
        "function": mutant.function,
        "line": mutant.line,
        "operator": mutant.operator,
        "statement": mutant.statement,
        "becomes": mutant.becomes,
        "diff": mutant.diff,
        "outcome": finding.outcome,
        "detail": finding.detail,
        "seconds": finding.seconds,
    }
