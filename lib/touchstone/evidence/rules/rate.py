"""Frequencies that a formula predicts, by exact binomial intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.numbers import shown
from touchstone.evidence.proportions import clopper_pearson
from touchstone.evidence.rules.base import Judgement, Outcome, Rule, require_confidence, require_number
from touchstone.evidence.rules.cells import at, cells, combined, shared_confidence
from touchstone.evidence.rules.limits import inside


@dataclass(frozen=True)
class Frequency:
    """``events`` among independent ``trials``, and the probability that was ``predicted`` for one event."""

    events: int
    trials: int
    predicted: float


@dataclass(frozen=True)
class RateMatches(Rule):
    """Every frequency agrees with its predicted probability, up to ``tolerance``.

    The measurement is a ``Frequency`` or a mapping of labels to them. The two-sided Clopper–Pearson interval
    (``conf``, shared between the cells) decides: inside predicted ± ``tolerance`` accepts, disjoint from it
    rejects, anything else straddles. It is an equivalence test: too few trials never accept.

    A true prediction is rejected in at most 1 % of the runs. With N trials a cell and ``tolerance`` =
    2.6 / √N, one cell with the predicted probability is accepted, and one that is off by twice the tolerance
    rejected, with a probability above 99 %.
    """

    tolerance: float
    conf: float = 0.99

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("tolerance", self.tolerance, above=0)
        require_confidence(self.conf)

    @property
    def says(self) -> str:
        return (
            f"the {100 * self.conf:g} % interval of every frequency lies within {shown(self.tolerance)} of "
            "its prediction"
        )

    def judge(self, measurement: Any) -> Judgement:
        parts = cells(measurement, _frequency)
        conf = shared_confidence(self.conf, len(parts))
        intervals: dict[str, tuple[float, float]] = {}
        outcomes: dict[str, Outcome] = {}
        for label, part in parts.items():
            low, high = clopper_pearson(part.events, part.trials, conf)
            intervals[label] = low - part.predicted, high - part.predicted
            outcomes[label] = inside(intervals[label], -self.tolerance, self.tolerance)
        worst = max(parts, key=lambda label: max(-intervals[label][0], intervals[label][1]))
        part = parts[worst]
        rate = part.events / part.trials
        numbers: dict[str, Any] = {
            "events": part.events,
            "trials": part.trials,
            "rate": rate,
            "predicted": part.predicted,
            "deviation": rate - part.predicted,
        }
        if len(parts) > 1:
            numbers |= {"cells": len(parts), "worst_at": worst}
        low, high = intervals[worst]
        return Judgement(
            combined(outcomes.values()),
            numbers,
            self.tolerance,
            f"the frequency{at(worst)} is {shown(rate)} against {shown(part.predicted)} predicted, the "
            f"deviation lies between {shown(low)} and {shown(high)} (limit ± {shown(self.tolerance)})",
            intervals[worst],
        )

    def triviality(self, measurement: Any) -> str | None:  # noqa: ARG002
        return None  # a control may well always or never show the event


def _frequency(measurement: Any) -> Frequency:
    if not isinstance(measurement, Frequency):
        raise MeasurementError(f"measurement: expected a Frequency, got {type(measurement).__name__}")
    events, trials, predicted = measurement.events, measurement.trials, measurement.predicted
    for name, value in (("events", events), ("trials", trials)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise MeasurementError(f"{name}={value!r}: expected an integer")
    if trials < 1 or not 0 <= events <= trials:
        raise MeasurementError(f"{events} events in {trials} trials: expected 0 to trials, at least one")
    real = isinstance(predicted, int | float | np.integer | np.floating) and not isinstance(predicted, bool)
    if not real or not 0 <= predicted <= 1:
        raise MeasurementError(f"predicted={predicted!r}: expected a probability")
    return Frequency(int(events), int(trials), float(predicted))
