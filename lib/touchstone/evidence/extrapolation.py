"""Richardson extrapolation of central differences, with an estimate of the error that is left."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

# Beyond four columns the extrapolation amplifies rounding faster than it removes truncation.
COLUMNS = 4
# The error is taken to be no smaller than this part of the last change, however fast changes shrink.
BELIEVED = 1 / 15
# A finer difference contradicts a candidate when it is off by a tenth of the larger of the two and by far
# more than its own truncation and rounding explain.
GROSS = 0.1
UNEXPLAINED = 1e3


class Estimate(NamedTuple):
    """A value known up to an error: ``|value - truth|`` is estimated by ``error``, entry by entry.

    The error is an estimate, not a bound: what the changes along the extrapolation leave, plus the rounding
    error of the differences. Both are arrays of one shape, or numbers.
    """

    value: Any
    error: Any


def richardson(differences: np.ndarray, steps: Sequence[float], rounding: np.ndarray) -> Estimate:
    """The limit for step 0 of ``differences`` (levels, ...) taken at decreasing positive ``steps`` (levels,).

    The differences are central ones, so that their error runs in even powers of the step. ``rounding``
    (levels, ...) estimates what rounding adds to each. Every entry of the triangular table is a candidate,
    judged by the last change in the column that it extrapolates, by whether such changes shrink, and by the
    rounding that it inherits; each output takes its best one. A candidate that the differences at finer
    steps contradict is not believed: all steps of a table may be so long that they miss the feature of the
    function that the derivative belongs to. Levels that are not finite (a step outside the domain) are
    passed over; an output without two finite neighbouring levels comes out as NaN with an infinite error.

    Raises ``ValueError`` for fewer than two levels or steps that do not decrease. Cost: some twenty passes
    over ``differences``. Source: L. F. Richardson, J. A. Gaunt, *The deferred approach to the limit* (1927);
    C. J. F. Ridders, *Accurate computation of F'(x) and F'(x)F''(x)* (1982), for the choice in the table.
    """
    levels = len(steps)
    if levels < 2 or len(differences) != levels:
        raise ValueError(f"steps of length {levels}: expected one for each of at least two differences")
    if not all(a > b > 0 for a, b in pairwise(steps)):
        raise ValueError(f"steps={list(steps)!r}: expected positive numbers that decrease")
    best = np.full(differences.shape[1:], np.nan, dtype=differences.dtype)
    best_error = np.full(differences.shape[1:], np.inf)
    column, noise = list(differences), list(rounding)
    with np.errstate(invalid="ignore", over="ignore"):
        for j in range(1, min(COLUMNS, levels - 1) + 1):
            next_column, next_noise, before = [], [], None
            for i in range(len(column) - 1):
                k = i + j  # the finest step that this entry uses
                ratio = (steps[k - j] / steps[k]) ** 2
                change = column[i + 1] - column[i]
                value = column[i + 1] + change / (ratio - 1)
                inherited = (ratio * noise[i + 1] + noise[i]) / (ratio - 1)
                error = _left_by(np.abs(change), before) + inherited
                error = error + _contradiction(value, k, differences, steps, rounding)
                before = np.abs(change)
                better = error < best_error  # false for NaN
                best, best_error = np.where(better, value, best), np.where(better, error, best_error)
                next_column.append(value)
                next_noise.append(inherited)
            column, noise = next_column, next_noise
    return Estimate(best, best_error)


def _left_by(change: np.ndarray, before: np.ndarray | None) -> np.ndarray:
    """The error that a last ``change`` leaves, by how much smaller it was than the one before.

    A column that has not begun to converge does not shrink, whatever factor its extrapolation divides by.
    """
    if before is None:
        return change
    rate = np.divide(change, before, out=np.ones_like(change), where=before > 0)
    return change * np.clip(rate, BELIEVED, 1.0)


def _contradiction(
    value: np.ndarray, k: int, differences: np.ndarray, steps: Sequence[float], rounding: np.ndarray
) -> np.ndarray:
    """How far the differences finer than level ``k`` are from ``value``, where nothing explains that."""
    worst = np.zeros(value.shape)
    for m in range(k + 1, len(steps)):
        gap = np.abs(differences[m] - value)
        truncation = np.abs(differences[k] - value) * (steps[m] / steps[k]) ** 2
        allowed = GROSS * np.maximum(np.abs(differences[m]), np.abs(value))
        gross = gap > allowed + 4 * truncation + UNEXPLAINED * rounding[m]
        worst = np.where(gross, np.maximum(worst, gap), worst)
    return worst
