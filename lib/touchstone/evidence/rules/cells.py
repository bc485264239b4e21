"""One measurement or several cells of a grid: read alike, judged together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.rules.base import Outcome

T = TypeVar("T")

ONLY = ""


def cells(measurement: Any, read: Callable[[Any], T]) -> dict[str, T]:
    """``measurement`` by label, each part put through ``read``; a single one has the label ``""``.

    Raises ``MeasurementError`` for an empty mapping, and names the cell that ``read`` refuses.
    """
    if not isinstance(measurement, Mapping):
        return {ONLY: read(measurement)}
    if not measurement:
        raise MeasurementError("measurement: expected at least one cell, got an empty mapping")
    parts: dict[str, T] = {}
    for label, part in measurement.items():
        if str(label) in parts:
            raise MeasurementError(f"measurement: two cells are called {str(label)!r}")
        try:
            parts[str(label)] = read(part)
        except MeasurementError as error:
            raise MeasurementError(f"{label}: {error}") from error
    return parts


def shared_confidence(conf: float, count: int) -> float:
    """The confidence of each of ``count`` intervals that hold together at ``conf`` (Bonferroni)."""
    return 1.0 - (1.0 - conf) / count


def combined(outcomes: Iterable[Outcome]) -> Outcome:
    """Accepts when every cell does, rejects when any does, straddles otherwise."""
    outcomes = list(outcomes)
    if "rejects" in outcomes:
        return "rejects"
    return "accepts" if all(outcome == "accepts" for outcome in outcomes) else "straddles"


def at(label: str) -> str:
    """Where a number was measured, for a sentence: nothing for the only cell."""
    return f" at {label}" if label else ""
