"""Events: chosen as well as an exhaustive search would, certified by exact binomial bounds."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri

from touchstone.evidence.audit_events import (
    CAUTION,
    NEARLY,
    Event,
    certify,
    choose_event,
    log_ratio,
    normal_distance,
)
from touchstone.evidence.proportions import clopper_pearson

SCORES = st.lists(st.sampled_from([-math.inf, -1.0, 0.0, 0.5, 2.0, 3.0, math.inf]), min_size=5, max_size=60)


def wilson(hits, n, z):
    p = hits / n
    centre, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return min(max((centre + spread) / (1 + z * z / n), 0.0), 1.0)


@given(SCORES, SCORES, st.sampled_from([0.0, 0.05]))
def test_the_choice_is_that_of_an_exhaustive_search(data, neighbour, delta):
    data, neighbour = np.asarray(data), np.asarray(neighbour)
    z = CAUTION * float(ndtri(0.995))

    def worth(event):
        first, second = (data, neighbour) if event.likelier_on == "data" else (neighbour, data)
        low = wilson(sum(event.holds(first)), len(first), -z)
        high = wilson(sum(event.holds(second)), len(second), z)
        return math.log((low - delta) / high) if low > delta else -math.inf

    every = [
        Event("s", threshold, above, side)
        for threshold in (*data, *neighbour)
        for above in (True, False)
        for side in ("data", "neighbour")
    ]
    chosen = choose_event({"s": (data, neighbour)}, log_ratio(delta), 0.99)
    best = max(map(worth, every))
    if best > -math.inf:  # near the best, and no rarer event comes as near
        least = best - NEARLY * abs(best)
        assert worth(chosen) >= least - 1e-9

        def share(event):
            return float(np.mean(event.holds(data if event.likelier_on == "data" else neighbour)))

        near = [event for event in every if worth(event) >= least + 1e-9]
        assert share(chosen) <= min(map(share, near))


def test_the_better_score_is_chosen():
    rng = np.random.default_rng(3)
    noise = rng.normal(size=1000), rng.normal(size=1000)
    signal = rng.normal(size=1000), rng.normal(size=1000) + 2
    for objective in (log_ratio(0.0), normal_distance):
        assert choose_event({"noise": noise, "signal": signal}, objective, 0.99).score == "signal"
    with pytest.raises(ValueError, match="at least one"):
        choose_event({}, normal_distance, 0.99)


@pytest.mark.parametrize("likelier_on", ["data", "neighbour"])
def test_a_certificate_counts_its_event_and_orders_the_sides(likelier_on):
    event = Event("s", 1.0, True, likelier_on)
    found = certify(event, np.asarray([0.0, 1.0, 2.0, math.inf]), np.asarray([1.0, -math.inf]), 0.9)
    expected = ((3, 1), (4, 2)) if likelier_on == "data" else ((1, 3), (2, 4))
    assert (found.hits, found.runs) == expected
    assert found.rate_lower == pytest.approx(
        clopper_pearson(found.hits[0], found.runs[0], 0.95, "lower")[0], abs=1e-8
    )
    assert found.rate_upper == pytest.approx(
        clopper_pearson(found.hits[1], found.runs[1], 0.95, "upper")[1], abs=1e-8
    )
    assert str(event) == f"s score >= 1, likelier on the {likelier_on}"


@pytest.mark.parametrize("seed", range(10))
def test_what_only_one_side_reaches_is_set_apart_by_one_threshold(seed):
    """Three runs in a hundred lie where the other input never goes; in between there are too many values for
    all to be thresholds."""
    rng = np.random.default_rng(seed)
    data, neighbour = rng.uniform(0, 1, 4000), rng.uniform(0.03, 1.03, 4000)
    chosen = choose_event({"s": (data, neighbour)}, log_ratio(0.0), 0.99)
    apart, rest = (data, neighbour) if chosen.likelier_on == "data" else (neighbour, data)
    assert not np.any(chosen.holds(rest))
    assert np.mean(chosen.holds(apart)) > 0.02
