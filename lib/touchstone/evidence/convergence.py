"""What a solver's errors say: its order, its contraction factor, its steps to a given accuracy.

Errors are distances to the solution, e_0 first, positive, in the norm that the theorem speaks of. Rounding
ends every law: errors at or below ``floor`` are left out. Its default is 64 units in the last place of
``scale``, the size of the solution in that norm.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from touchstone.evidence.errors import MeasurementError

FLOOR_ULPS = 64


@dataclass(frozen=True)
class Order:
    """e_{k+1} ≈ C e_k^q: ``order`` is q, ``constant`` is C (the geometric mean over the runs).

    ``interval`` holds q with confidence ``conf``, from Student's t over all pairs of consecutive errors
    (infinite ends when there are too few to tell); ``local`` are the classical estimates from three
    consecutive errors each, run after run; ``robust`` is their median; ``pairs`` counts what was used.
    """

    order: float
    interval: tuple[float, float]
    constant: float
    robust: float
    local: tuple[float, ...]
    conf: float
    pairs: int


@dataclass(frozen=True)
class Contraction:
    """Ratios e_{k+1} / e_k of all runs: the ``worst``, the geometric ``mean``, and all ``factors``."""

    worst: float
    mean: float
    factors: tuple[float, ...]


def order_of_convergence(
    errors: Sequence[Any],
    *,
    conf: float = 0.95,
    below: float = math.inf,
    floor: float | None = None,
    scale: float = 1.0,
) -> Order:
    """The order q in e_{k+1} ≈ C e_k^q, by least squares of log e_{k+1} on log e_k.

    ``errors`` is one run (a sequence of numbers) or several (a sequence of sequences): runs share q, and
    each has its own C. The law is asymptotic: ``below`` leaves out the pairs that start above it. A method
    of order q gives q; a linear one gives 1, as does a sublinear one (whose contraction factor tends to 1).

    Several runs are what makes the interval honest: one quadratic run has three or four pairs before
    rounding ends it. Departures from the law count as residual.

    Raises ``MeasurementError`` when no run has two pairs or when errors are negative or not finite,
    ``ValueError`` for bad parameters.
    """
    if not 0 < conf < 1:
        raise ValueError(f"conf={conf!r}: expected a number between 0 and 1")
    if not below > 0:
        raise ValueError(f"below={below!r}: expected a positive number")
    pairs, local = [], []
    for run in _runs(errors, floor, scale):
        start = int(np.argmax(run <= below)) if np.any(run <= below) else len(run)
        logs = np.log(run[start:])
        if len(logs) >= 3:
            pairs.append((logs[:-1], logs[1:]))
            steps = np.diff(logs)
            moved = steps[:-1] != 0
            local.extend((steps[1:][moved] / steps[:-1][moved]).tolist())
    if not pairs:
        raise MeasurementError("errors: expected three consecutive ones above the floor in at least one run")
    dx = np.concatenate([x - x.mean() for x, _ in pairs])
    dy = np.concatenate([y - y.mean() for _, y in pairs])
    sxx = float(dx @ dx)
    if sxx == 0:
        raise MeasurementError("errors: expected a run that moves")
    order = float(dx @ dy) / sxx
    constant = math.exp(float(np.mean([y.mean() - order * x.mean() for x, y in pairs])))
    freedom = len(dx) - len(pairs) - 1
    half_width = math.inf
    if freedom > 0:
        residual = dy - order * dx
        half_width = float(stats.t.ppf(0.5 + conf / 2, freedom)) * math.sqrt(
            float(residual @ residual) / freedom / sxx
        )
    robust = float(np.median(local)) if local else math.nan
    interval = (order - half_width, order + half_width)
    return Order(order, interval, constant, robust, tuple(local), conf, len(dx))


def contraction_factor(
    errors: Sequence[Any], *, below: float = math.inf, floor: float | None = None, scale: float = 1.0
) -> Contraction:
    """The factors e_{k+1} / e_k by which errors shrink, over one run or several.

    Only factors that start at or below ``below`` and above the floor count; the first error at or below the
    floor ends a run (taken as 1/64 of the floor where it is smaller, such as zero). Raises
    ``MeasurementError`` when there is no factor; other errors as for ``order_of_convergence``.
    """
    if not below > 0:
        raise ValueError(f"below={below!r}: expected a positive number")
    factors: list[float] = []
    for run in _runs(errors, floor, scale, keep_floor=True):
        kept = run[:-1] <= below
        factors.extend((run[1:] / run[:-1])[kept].tolist())
    if not factors:
        raise MeasurementError("errors: expected two consecutive ones above the floor in at least one run")
    mean = math.exp(float(np.mean(np.log(factors))))
    return Contraction(max(factors), mean, tuple(factors))


def iterations_to(errors: Sequence[float], eps: float | Iterable[float]) -> Any:
    """Steps until the error is first at or below ``eps``: an integer, or an array (m,) for m accuracies.

    ``errors[0]`` belongs to the start, so an ``eps`` at or above it takes 0 steps. Raises
    ``MeasurementError`` when the run ends before, naming the smallest error it reached, or for errors that
    are negative or NaN; infinite errors (a run that diverges) are allowed. ``ValueError`` for an ``eps``
    that is not positive.
    """
    run = _numbers("errors", errors)
    if np.any(np.isnan(run)) or np.any(run < 0):
        raise MeasurementError("errors: expected numbers >= 0")
    single = not isinstance(eps, Iterable)
    wanted = np.asarray([eps] if single else list(eps), dtype=np.float64)
    if wanted.ndim != 1 or wanted.size == 0 or not np.all(wanted > 0):
        raise ValueError(f"eps={eps!r}: expected positive numbers")
    best = np.minimum.accumulate(run)  # the first time is the first of the running minimum
    if best[-1] > wanted.min():
        raise MeasurementError(
            f"errors: expected one <= {wanted.min():.3g}, got {best[-1]:.3g} at best in {len(run) - 1} steps"
        )
    steps = np.searchsorted(-best, -wanted, side="left")
    return int(steps[0]) if single else steps


def rate_points(
    runs: Sequence[Any], eps: Iterable[float], *, relative: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """``ln(1/eps)`` and the steps to reach it, for the linear fit of a rate claim: both (runs × eps,).

    One run or several; with ``relative`` the accuracies are multiples of each run's first error. Errors as
    for ``iterations_to``.
    """
    accuracies = np.asarray(list(eps), dtype=np.float64)
    if accuracies.size == 0 or not np.all(accuracies > 0):
        raise ValueError("eps: expected positive numbers")
    x, y = [], []
    for run in _as_runs(runs):
        unit = float(run[0]) if relative else 1.0
        if not (unit > 0 and math.isfinite(unit)):
            raise MeasurementError(f"errors: expected a first error that is positive and finite, got {unit}")
        x.append(np.log(1 / accuracies))
        y.append(iterations_to(run, accuracies * unit))
    return np.concatenate(x), np.concatenate(y).astype(np.float64)


class Iterations:
    """A callback that counts a solver's steps and records the error of each iterate.

    ``distance`` maps an iterate to its error. Called by the solver (SciPy's ``callback=``, or a loop) with
    the iterate first; other arguments are ignored. ``errors`` lists the errors of the iterates in order,
    with that of ``start`` first when one is given; ``tally`` counts ``iterations``.
    """

    def __init__(self, distance: Callable[[Any], Any], start: Any = None) -> None:
        self.distance = distance
        self.errors: list[float] = [] if start is None else [float(distance(start))]
        self.tally: Counter[str] = Counter()

    def __call__(self, x: Any, *_: Any, **__: Any) -> None:
        self.tally["iterations"] += 1
        self.errors.append(float(self.distance(x)))


def _numbers(name: str, values: Any) -> np.ndarray:
    out = np.asarray([float(v) for v in values], dtype=np.float64)
    if out.size == 0:
        raise MeasurementError(f"{name}: expected at least one number")
    return out


def _as_runs(errors: Any) -> list[np.ndarray]:
    runs = list(errors)
    if not runs:
        raise MeasurementError("errors: expected at least one run")
    if np.ndim(runs[0]) == 0:
        runs = [runs]
    return [_numbers("errors", run) for run in runs]


def _runs(errors: Any, floor: float | None, scale: float, *, keep_floor: bool = False) -> list[np.ndarray]:
    """The runs up to their first error at or below the floor, with that one if asked."""
    if not (scale > 0 and math.isfinite(scale)):
        raise ValueError(f"scale={scale!r}: expected a positive number")
    if floor is None:
        floor = FLOOR_ULPS * float(np.finfo(np.float64).eps) * scale
    if not (floor > 0 and math.isfinite(floor)):
        raise ValueError(f"floor={floor!r}: expected a positive number")
    out = []
    for run in _as_runs(errors):
        if np.any(run < 0) or not np.all(np.isfinite(run)):
            raise MeasurementError("errors: expected finite numbers >= 0")
        reached = np.flatnonzero(run <= floor)
        if reached.size:
            run = np.maximum(run[: reached[0] + keep_floor], floor / FLOOR_ULPS)
        out.append(run)
    return out
