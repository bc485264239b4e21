"""A mistake planted in the mathematics turns a verdict of the notebook."""

from pathlib import Path

import numpy as np
import pytest

from touchstone.geometry import john_ellipsoid, john_sensitivity, john_sketched
from touchstone.linalg import leverage
from touchstone.privacy import multiplicative_noise, noise

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "privacy" / "john-ellipsoid-dp.ipynb"
REFUTED = {"rounds-two-sided", "leak-large-noise"}


def test_sound_mathematics_gives_these_verdicts(run_notebook):
    found = run_notebook(NOTEBOOK, profile="quick", device="cpu")
    assert {id for id, word in found.items() if word == "refuted"} == REFUTED
    assert {word for id, word in found.items() if id not in REFUTED} == {"supported"}


def half_the_noise(monkeypatch):
    right = noise.truncated_normal
    monkeypatch.setattr(
        noise,
        "truncated_normal",
        lambda rng, shape, sigma, bound, *, like: right(rng, shape, sigma / 2, bound, like=like),
    )


def last_iterate_for_the_mean(monkeypatch):
    right = john_ellipsoid.john_weights

    def wrong(A, rounds, *, record=None, **given):
        changed = None if record is None else lambda k, w, u: record(k, w, w)
        return right(A, rounds, record=changed, **given)

    monkeypatch.setattr(john_ellipsoid, "john_weights", wrong)


def widths_two_percent_too_large(monkeypatch):
    right = john_ellipsoid.squared_widths
    monkeypatch.setattr(john_ellipsoid, "squared_widths", lambda A, w: 1.02 * right(A, w))


def scores_to_the_power_that_stops_weights(monkeypatch):
    # a square root in the step: half as fast, and no longer telescoping
    right = leverage.leverage_scores

    def wrong(A, w, **given):
        return (right(A, w, **given) * w) ** 0.5

    monkeypatch.setattr(leverage, "leverage_scores", wrong)
    monkeypatch.setitem(john_ellipsoid.john_weights.__kwdefaults__, "scores", wrong)


def norm_for_squared_norm(monkeypatch):
    # the row that moves adds the change of its norm once, where its squared norm counts
    right = john_sensitivity.score_change_bounds

    def wrong(A, w, rows, distance, *, eigenvalue=None):
        found = right(A, w, rows, distance, eigenvalue=eigenvalue)
        alpha = np.sqrt(john_ellipsoid.squared_widths(A, w)[rows])
        least = np.linalg.eigvalsh(A.T @ (w[:, None] * A))[0] if eigenvalue is None else eigenvalue
        return found + np.log1p(-distance / np.sqrt(least) / alpha)

    monkeypatch.setattr(john_sensitivity, "score_change_bounds", wrong)


def leak_of_a_law_twice_as_wide(monkeypatch):
    right = multiplicative_noise.truncation_leak
    monkeypatch.setattr(
        multiplicative_noise,
        "truncation_leak",
        lambda values, neighbour, sigma, bound: right(values, neighbour, 2 * sigma, bound),
    )


def directions_that_are_too_few(monkeypatch):
    right = john_sketched.sketch_sizes
    monkeypatch.setattr(john_sketched, "sketch_sizes", lambda *given: right(*given)._replace(directions=2))


def directions_that_grow_with_the_dimension(monkeypatch):
    right = john_sketched.sketch_sizes
    monkeypatch.setattr(
        john_sketched,
        "sketch_sizes",
        lambda n, d, *given: right(n, d, *given)._replace(directions=32 * d),
    )


def gauge_not_a_root(monkeypatch):
    right = john_ellipsoid.ellipsoid_gauge
    monkeypatch.setattr(john_ellipsoid, "ellipsoid_gauge", lambda *given: right(*given) ** 2)


@pytest.mark.parametrize(
    ("mistake", "turned"),
    [
        (last_iterate_for_the_mean, "average"),
        (widths_two_percent_too_large, "average"),
        (scores_to_the_power_that_stops_weights, "average"),
        (norm_for_squared_norm, "sensitivity"),
        (half_the_noise, "loss-law"),
        (leak_of_a_law_twice_as_wide, "leak-small-noise"),
        (directions_that_grow_with_the_dimension, "cost"),
        (directions_that_are_too_few, "accuracy"),
        (gauge_not_a_root, "containment"),
    ],
)
def test_a_planted_mistake_turns_a_verdict(run_notebook, monkeypatch, mistake, turned):
    mistake(monkeypatch)
    with np.errstate(all="ignore"):
        found = run_notebook(NOTEBOOK, until=turned, profile="quick", device="cpu")
    assert found[turned] != "supported"
