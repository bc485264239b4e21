"""Entries of ledgers for tests of what reads them."""

from __future__ import annotations

from typing import Any


def check_entry(name: str, verdict: str = "supported", **changes: Any) -> dict[str, Any]:
    """One check as the schema of ledgers wants it, with ``changes`` to its fields.

    A check out of reach has no rule and no control; one that was not decided has a reason.
    """
    judged, reachable = verdict in ("supported", "refuted"), verdict != "out_of_reach"
    control = {
        "name": "broken",
        "rejected": judged,
        "outcome": "rejects" if judged else "accepts",
        "numbers": {},
        "interval": None,
        "sentence": "too large",
    }
    rule = {"name": "RatioAtMost", "says": "at most 1", "why": "stated", "parameters": {}}
    return {
        "id": name,
        "kind": "bound",
        "says": "the claim",
        "source": "Theorem 1",
        "read_in": "theorem",
        "rule": rule if reachable else None,
        "sizes": {},
        "numbers": {},
        "interval": None,
        "limit": 1,
        "control": [control] if reachable else [],
        "trivial": None,
        "vacuous": False,
        "verdict": verdict,
        "sentence": "found",
        "reason": None if judged else "a reason",
        "seen": None,
        "caveats": [],
    } | changes


def ledger_entry(
    slug: str, checks: list[dict[str, Any]], *, profile: str = "full", seed: int = 0, **changes: Any
) -> dict[str, Any]:
    """A ledger with these checks and no figure, with ``changes`` to its fields."""
    versions = dict.fromkeys(("python", "numpy", "scipy", "array-api-compat", "touchstone"), "1")
    content = {"schema_version": 1, "slug": slug, "profile": profile, "seed": seed, "device": "cpu"}
    return {**content, "versions": versions, "checks": checks, "figures": []} | changes
