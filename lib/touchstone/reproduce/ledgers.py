"""Reading the ledgers that notebooks leave: their verdicts, and whether they are sound."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

LEDGER = "ledger.json"
VERDICTS = ("supported", "refuted", "inconclusive", "out of reach")


class LedgerError(Exception):
    """A ledger that cannot be trusted; the message says what is wrong with it."""


def read_ledger(content: bytes | str, slug: str, *, validate: bool = True) -> dict[str, Any]:
    """The ledger in ``content``.

    Raises ``LedgerError`` when it is not JSON, is another paper's, lists no checks, gives one identifier
    twice, or has an unknown verdict; with ``validate`` also when it does not follow the ledger's schema.
    """
    try:
        ledger = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise LedgerError(f"{LEDGER} is not valid JSON: {error}.") from None
    if not isinstance(ledger, dict) or not isinstance(ledger.get("checks"), list):
        raise LedgerError(f"{LEDGER} has no list of checks.")
    if ledger.get("slug") != slug:
        raise LedgerError(f"{LEDGER} is of {ledger.get('slug')!r}, expected {slug!r}.")
    seen: set[str] = set()
    for check in ledger["checks"]:
        name = check.get("id") if isinstance(check, dict) else None
        if not isinstance(name, str):
            raise LedgerError(f"{LEDGER} has a check without an id.")
        if name in seen:
            raise LedgerError(f"{LEDGER} lists the check {name!r} twice.")
        if _plain(check.get("verdict")) not in VERDICTS:
            raise LedgerError(
                f"{LEDGER}: the check {name!r} has the unknown verdict {check.get('verdict')!r}."
            )
        seen.add(name)
    if not seen:
        raise LedgerError(f"{LEDGER} lists no check.")
    if validate:
        _validate(ledger)
    return ledger


def verdicts(ledger: dict[str, Any]) -> dict[str, str]:
    """The verdict of each check, by its identifier."""
    return {check["id"]: _plain(check["verdict"]) for check in ledger["checks"]}


def count_verdicts(ledger: dict[str, Any]) -> dict[str, int]:
    """How many checks ended in each verdict; those that occur, in the usual order."""
    counts = Counter(verdicts(ledger).values())
    return {verdict: counts[verdict] for verdict in VERDICTS if counts[verdict]}


def stored_counts(folder: Path, slug: str) -> dict[str, int] | None:
    """The counts of the ledger in ``folder``, None when there is none, empty when it is damaged."""
    try:
        content = (folder / LEDGER).read_bytes()
    except OSError:
        return None
    try:
        return count_verdicts(read_ledger(content, slug, validate=False))
    except LedgerError:
        return {}


def describe_counts(counts: dict[str, int] | None) -> str:
    """The counts in words, such as ``4 supported, 1 out of reach``."""
    if counts is None:
        return "-"
    return ", ".join(f"{number} {verdict}" for verdict, number in counts.items()) or "damaged ledger"


def _plain(verdict: object) -> str:
    return verdict.replace("_", " ") if isinstance(verdict, str) else ""


def _validate(ledger: dict[str, Any]) -> None:
    from touchstone.evidence import errors
    from touchstone.evidence.ledger import validate

    try:
        validate(ledger)
    except errors.LedgerError as error:
        raise LedgerError(f"{str(error).splitlines()[0]} (the schema of ledgers)") from None
