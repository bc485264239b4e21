"""Findings: claims that were refuted, claims that hold once they are repaired. Computed from the ledgers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from touchstone.reproduce.site.collect import Check, Collection, Entry
from touchstone.reproduce.site.places import figure_of

# how a check says, in its `source`, that its sentence is not the printed one
_REPAIRED = re.compile(r"\b(sharpened|repaired|correct(?:ed|ion)|restricted|weakened|weaker)\b", re.I)
_OURS = re.compile(r"^ours\b", re.I)


@dataclass(frozen=True)
class Finding:
    """A check worth telling, its paper, and the figure that shows it."""

    entry: Entry
    check: Check
    figure: dict[str, Any] | None
    """The ledger's entry of the figure."""
    beside: tuple[Check, ...] = ()
    """For a refuted claim: the repaired ones of the same paper, and the other way round."""


def refuted(collection: Collection) -> list[Finding]:
    """Every refuted check of every paper, with the repaired claims that its paper has."""
    return [
        Finding(entry, check, figure_of(entry, check.id), tuple(repairs(entry)))
        for entry in collection.entries
        for check in entry.checks
        if check.verdict == "refuted"
    ]


def repaired(collection: Collection) -> list[Finding]:
    """Every supported check whose sentence repairs or sharpens a printed one."""
    return [
        Finding(
            entry, check, figure_of(entry, check.id), tuple(c for c in entry.checks if c.verdict == "refuted")
        )
        for entry in collection.entries
        for check in repairs(entry)
    ]


def undecided(collection: Collection) -> list[Finding]:
    """Every inconclusive check."""
    return [
        Finding(entry, check, figure_of(entry, check.id))
        for entry in collection.entries
        for check in entry.checks
        if check.verdict == "inconclusive"
    ]


def repairs(entry: Entry) -> list[Check]:
    """The supported checks of a paper that say more, or something else, than the paper prints.

    A check is one if its ``source`` says so (sharpened, corrected, restricted, weaker), if it tells what was
    ``seen`` although it is supported, if a refuted check of the same ledger points to it by name, or if it is
    ``ours`` in a paper with a refuted claim.
    """
    broken = [check for check in entry.checks if check.verdict == "refuted"]
    told = " ".join(check.entry.get("seen") or "" for check in broken)
    return [
        check
        for check in entry.checks
        if check.verdict == "supported"
        and (
            _REPAIRED.search(check.entry["source"])
            or check.entry.get("seen")
            or re.search(rf"[(`]{re.escape(check.id)}[)`]", told)
            or (broken and _OURS.search(check.entry["source"]))
        )
    ]
