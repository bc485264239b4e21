"""Estimates that bring their own interval: slopes over seeds, coefficients of a plane, any bootstrap."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.fits import Fit
from touchstone.evidence.means import Estimate
from touchstone.evidence.numbers import shown
from touchstone.evidence.rules.base import Judgement, Rule, require_confidence
from touchstone.evidence.rules.cells import at, cells, combined
from touchstone.evidence.rules.limits import beyond, inside, limits_of, require_limits, within


@dataclass(frozen=True)
class IntervalWithin(Rule):
    """The interval of an estimate lies in [``low``, ``high``]; an end that is ``None`` is open.

    For what a fit has estimated already: the measurement is a ``Fit`` (of ``loglog_fit`` with seeds as
    groups, say), an ``Estimate`` (of ``common_slope``, ``multilinear_fit`` or ``mean_interval``), or a
    mapping of labels to them. Inside accepts, disjoint rejects, anything else straddles. Several cells share
    no error between them: ask for intervals wide enough.

    An estimate whose interval was taken at a confidence below ``conf`` is a ``MeasurementError``. With an
    interval that keeps its word, a value inside is rejected in at most (1 - ``conf``) / 2 of the runs, and
    one outside accepted in as many (0.5 % for 0.99). A normal estimate with standard error s that lies 6 s
    inside both limits is accepted, and one 6 s outside rejected, with probability above 99 %.
    """

    low: float | None = None
    high: float | None = None
    conf: float = 0.99

    def __post_init__(self) -> None:
        super().__post_init__()
        require_limits(self.low, self.high)
        require_confidence(self.conf)

    @property
    def says(self) -> str:
        return f"the {100 * self.conf:g} % interval of the estimate {within(self.low, self.high)}"

    def judge(self, measurement: Any) -> Judgement:
        parts = cells(measurement, self._estimate)
        worst = max(parts, key=lambda label: beyond(parts[label].interval, self.low, self.high))
        estimate = parts[worst]
        numbers: dict[str, Any] = {"estimate": estimate.value, "conf": estimate.conf}
        if len(parts) > 1:
            numbers |= {"cells": len(parts), "worst_at": worst}
        return Judgement(
            combined(inside(each.interval, self.low, self.high) for each in parts.values()),
            numbers,
            limits_of(self.low, self.high),
            f"the estimate{at(worst)} is {shown(estimate.value)}, between {shown(estimate.interval[0])} and "
            f"{shown(estimate.interval[1])} (limit: {within(self.low, self.high)})",
            estimate.interval,
        )

    def triviality(self, measurement: Any) -> str | None:  # noqa: ARG002
        return None  # one estimate: nothing that ought to vary

    def _estimate(self, measurement: Any) -> Estimate:
        if isinstance(measurement, Fit):
            measurement = Estimate(measurement.slope, measurement.interval, measurement.conf)
        if not isinstance(measurement, Estimate):
            raise MeasurementError(
                f"measurement: expected a Fit or an Estimate, got {type(measurement).__name__}"
            )
        low, high = measurement.interval
        if math.isnan(low) or math.isnan(high) or not math.isfinite(measurement.value):
            raise MeasurementError(f"estimate {measurement.value!r} in [{low!r}, {high!r}]: expected numbers")
        if not low <= measurement.value <= high:
            raise MeasurementError(f"estimate {measurement.value:g}: expected it inside [{low:g}, {high:g}]")
        if measurement.conf < self.conf * (1 - 1e-12):
            raise MeasurementError(
                f"interval at confidence {measurement.conf:g}: expected at least {self.conf:g}, as the "
                "rule says"
            )
        return measurement
