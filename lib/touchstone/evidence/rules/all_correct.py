"""Reductions: every instance decided as its truth says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from touchstone.arrays import to_host
from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.numbers import shown
from touchstone.evidence.rules.base import Judgement, Rule, finite_values, require_number


@dataclass(frozen=True)
class Decisions:
    """Answers (yes or no) beside the truth, one each an instance.

    ``margins``, if given, says by how much each instance keeps the gap that was certified for it (negative:
    it does not).
    """

    answers: Any
    truth: Any
    margins: Any = None


@dataclass(frozen=True)
class AllCorrect(Rule):
    """Every instance is answered right; with ``margin_at_least``, each margin is at least that.

    The measurement is ``Decisions``, with both a yes and a no among the truths: on one class alone an answer
    that never changes would pass. A reduction that always answers right is never rejected. One that errs with
    probability q an instance is rejected over N instances with probability 1 - (1 - q)^N: at least 99 % from
    q = 1 - 0.01^(1/N) on (q = 0.21 for N = 20).
    """

    margin_at_least: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.margin_at_least is not None:
            require_number("margin_at_least", self.margin_at_least)

    @property
    def says(self) -> str:
        margin = self.margin_at_least
        return "every instance is decided correctly" + (
            "" if margin is None else f", each with a margin of at least {shown(margin)}"
        )

    def judge(self, measurement: Any) -> Judgement:
        answers, truth, margins = _decisions(measurement)
        right = int(np.sum(answers == truth))
        numbers: dict[str, Any] = {
            "right": right,
            "instances": truth.size,
            "wrong_on_yes": int(np.sum(truth & ~answers)),
            "wrong_on_no": int(np.sum(~truth & answers)),
        }
        accepted = right == truth.size
        sentence = f"{right} of {truth.size} instances are decided correctly"
        if margins is not None:
            numbers["least_margin"] = float(margins.min())
            sentence += f", the least margin is {shown(numbers['least_margin'])}"
        if self.margin_at_least is not None:
            if margins is None:
                raise MeasurementError(
                    "margins=None: expected one an instance, as the rule has a limit for them"
                )
            accepted = accepted and numbers["least_margin"] >= self.margin_at_least
            sentence += f" (limit {shown(self.margin_at_least)})"
        limit = {"right": truth.size}
        if self.margin_at_least is not None:
            limit["least_margin"] = self.margin_at_least
        return Judgement("accepts" if accepted else "rejects", numbers, limit, sentence)

    def triviality(self, measurement: Any) -> str | None:  # noqa: ARG002
        return None  # below its threshold a reduction rightly gives one answer to everything


def _decisions(measurement: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    if not isinstance(measurement, Decisions):
        raise MeasurementError(f"measurement: expected Decisions, got {type(measurement).__name__}")
    answers, truth = (_booleans(name, getattr(measurement, name)) for name in ("answers", "truth"))
    if answers.shape != truth.shape:
        raise MeasurementError(
            f"answers of shape {answers.shape}: expected {truth.shape}, one for each truth"
        )
    if np.all(truth) or not np.any(truth):
        only = "yes" if np.all(truth) else "no"
        raise MeasurementError(f"truth: expected instances of both kinds, all {truth.size} are {only}")
    margins = measurement.margins
    if margins is not None:
        margins = finite_values(margins, "margins").ravel()
        if margins.shape != truth.shape:
            raise MeasurementError(f"margins of length {margins.size}: expected {truth.size}")
    return answers, truth, margins


def _booleans(name: str, values: Any) -> np.ndarray:
    values = np.asarray(to_host(values))
    if values.dtype.kind != "b":
        raise MeasurementError(f"{name} of dtype {values.dtype}: expected booleans (yes or no)")
    if values.size == 0:
        raise MeasurementError(f"{name}: expected at least one instance, got none")
    return values.ravel()
