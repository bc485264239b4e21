"""A mistake planted in the mathematics turns a verdict of the notebook."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from touchstone import arrays
from touchstone.linalg import leverage
from touchstone.optimization import newton
from touchstone.regression import volumetric
from touchstone.sketching import gaussian, sampling, sparse_embedding

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "privacy" / "leverage-gradient-inversion.ipynb"


def test_sound_mathematics_is_supported(run_notebook):
    found = run_notebook(NOTEBOOK, profile="quick", device="cpu")
    assert {id for id, word in found.items() if word == "refuted"} == {"whole-step", "recovery"}
    assert set(found.values()) == {"supported", "refuted"}


def gradient_of_the_sum_of_logarithms(monkeypatch):
    monkeypatch.setattr(volumetric, "_gradient", lambda scaled: -scaled.rows.mT @ np.ones(len(scaled.rows)))


def projection_counted_once(monkeypatch):
    right = volumetric.spread_moments
    monkeypatch.setattr(volumetric, "spread_moments", lambda *given: right(*given) / 2)


def projection_counted_three_times(monkeypatch):
    right = volumetric.spread_moments
    monkeypatch.setattr(volumetric, "spread_moments", lambda *given: 1.5 * right(*given))


def cubic_term_dropped(monkeypatch):
    monkeypatch.setattr(volumetric, "cubic_form", lambda scaled, weights, moments: 0.0)


def cubic_term_added(monkeypatch):
    right = volumetric.cubic_form
    monkeypatch.setattr(volumetric, "cubic_form", lambda *given: -right(*given))


def regulariser_forgotten(monkeypatch):
    monkeypatch.setattr(volumetric, "_squared", lambda A, w: np.zeros(len(A)))


def regulariser_a_tenth(monkeypatch):
    right = volumetric._squared
    monkeypatch.setattr(volumetric, "_squared", lambda A, w: right(A, w) / 10)


def weights_not_squared(monkeypatch):
    right = volumetric._squared
    monkeypatch.setattr(volumetric, "_squared", lambda A, w: right(A, w**0.5 if isinstance(w, float) else w))


def rounded_to_eight_bits(monkeypatch):
    right = volumetric.row_form

    def wrong(*given):
        form = right(*given)
        if np.iscomplexobj(form):
            return form
        mantissa, exponent = np.frexp(form)
        return np.ldexp(np.round(256 * mantissa) / 256, exponent)

    monkeypatch.setattr(volumetric, "row_form", wrong)


def rows_not_weighted(monkeypatch):
    right = sampling.importance_sample

    def wrong(p, m, rng):
        index, _ = right(p, m, rng)
        return index, np.full(m, len(p) / m)

    monkeypatch.setattr(sampling, "importance_sample", wrong)


def row_lengths_for_leverage(monkeypatch):
    # roots of the scores: heavy rows are drawn too seldom, and weighted as if they were not
    monkeypatch.setattr(leverage, "leverage_scores", lambda A: 1 / np.sum(A * A, axis=1))


def stops_after_six_steps(monkeypatch):
    right = newton.newton

    def wrong(*given, **options):
        x, trace = right(*given, **options)
        if options.get("tol") == 0:
            trace = dataclasses.replace(
                trace, iterates=trace.iterates[np.minimum(np.arange(len(trace.iterates)), 6)]
            )
        return x, trace

    monkeypatch.setattr(newton, "newton", wrong)


def forty_columns_again_and_again(monkeypatch):
    right = arrays.normal

    def wrong(rng, shape, *, like):
        drawn = right(rng, shape, like=like)
        if np.ndim(shape) == 0 or shape[1] < 40:
            return drawn
        return np.tile(drawn[:, :40], shape[1] // 40 + 1)[:, : shape[1]]

    monkeypatch.setattr(arrays, "normal", wrong)


def dense_sketch(monkeypatch):
    monkeypatch.setattr(
        sparse_embedding,
        "osnap",
        lambda m, n, s, rng, *, like: gaussian.gaussian_sketch(m, n, rng, like=like),
    )


def drawn_from_data(monkeypatch):
    # work that shapes alone do not show
    right = sparse_embedding.osnap

    def wrong(m, n, s, rng, *, like):
        if arrays.holds_data(like):
            like + like
        return right(m, n, s, rng, like=like)

    monkeypatch.setattr(sparse_embedding, "osnap", wrong)


@pytest.mark.parametrize(
    ("mistake", "turned"),
    [
        (gradient_of_the_sum_of_logarithms, "derivatives"),
        (projection_counted_once, "derivatives"),
        (cubic_term_dropped, "derivatives"),
        (cubic_term_added, "derivatives"),
        (projection_counted_three_times, "convex"),
        (regulariser_forgotten, "positive-definite"),
        (rounded_to_eight_bits, "lipschitz"),
        (rows_not_weighted, "contraction"),
        (row_lengths_for_leverage, "contraction"),
        (regulariser_a_tenth, "contraction"),
        (stops_after_six_steps, "exact-scores"),
        (forty_columns_again_and_again, "error-floor"),
        (dense_sketch, "hessian-part"),
        (drawn_from_data, "hessian-part"),
        (weights_not_squared, "recovery-weak-regulariser"),
        (regulariser_a_tenth, "trade-off"),
    ],
)
def test_a_planted_mistake_turns_a_verdict(run_notebook, monkeypatch, mistake, turned):
    mistake(monkeypatch)
    with np.errstate(all="ignore"):
        found = run_notebook(NOTEBOOK, until=turned, profile="quick", device="cpu")
    assert found[turned] != "supported"
