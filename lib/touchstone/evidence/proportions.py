"""Counts of events in independent trials: exact binomial intervals, and how many trials can decide."""

from __future__ import annotations

import math
from typing import Literal

from scipy import special, stats

Side = Literal["two-sided", "lower", "upper"]


def clopper_pearson(
    events: int, trials: int, conf: float = 0.99, side: Side = "two-sided"
) -> tuple[float, float]:
    """The Clopper–Pearson interval of a probability from ``events`` in ``trials`` independent trials.

    It holds the probability at least with confidence ``conf``, for any probability and any number of trials.
    ``side`` ``"lower"`` gives (lower end, 1) and ``"upper"`` (0, upper end), with all of the error on that
    side. Raises ``ValueError`` for counts that are not 0 <= events <= trials, trials >= 1.
    """
    if side not in ("two-sided", "lower", "upper"):
        raise ValueError(f"side={side!r}: expected 'two-sided', 'lower' or 'upper'")
    if not 0 <= events <= trials or trials < 1:
        raise ValueError(
            f"events={events!r} of trials={trials!r}: expected 0 <= events <= trials, trials >= 1"
        )
    if not 0 < conf < 1:
        raise ValueError(f"conf={conf!r}: expected a number between 0 and 1")
    miss = (1.0 - conf) / (2 if side == "two-sided" else 1)
    # quantiles of beta laws: SciPy's binomtest solves for the same ends, a hundred times slower
    low = 0.0 if events == 0 or side == "upper" else special.betaincinv(events, trials - events + 1, miss)
    high = (
        1.0 if events == trials or side == "lower" else special.betainccinv(events + 1, trials - events, miss)
    )
    return float(low), float(high)


def least_excess(trials: int, probability: float, conf: float = 0.99) -> int:
    """The least number of events whose lower end (one-sided) is above ``probability``; may be trials + 1."""
    return int(stats.binom.isf(1.0 - conf, trials, probability)) + 1


def least_trials_to_certify(probability: float, conf: float = 0.99) -> int:
    """The least number of trials without an event whose upper end (one-sided) is at most ``probability``."""
    return math.ceil(math.log1p(-conf) / math.log1p(-probability) - 1e-9)


def power_of_excess(trials: int, probability: float, alternative: float, conf: float = 0.99) -> float:
    """The probability that events of probability ``alternative`` reach ``least_excess``."""
    return float(stats.binom.sf(least_excess(trials, probability, conf) - 1, trials, alternative))


def least_trials_to_exceed(
    probability: float, alternative: float, conf: float = 0.99, power: float = 0.99
) -> int:
    """The least number of trials, here and beyond, at which ``power_of_excess`` is at least ``power``.

    "Here and beyond" because the power of an exact test is a saw-tooth: more trials may do worse by a little.
    It is searched on a grid of steps of 2 % and may be that much too large.
    """
    trials, run, first = 1, 0, 1
    while run < 8:
        if power_of_excess(trials, probability, alternative, conf) >= power:
            first, run = (trials, 1) if run == 0 else (first, run + 1)
        else:
            run = 0
        trials += max(1, trials // 50)
    return first
