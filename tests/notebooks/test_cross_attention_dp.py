"""A mistake planted in the mathematics turns a verdict of the notebook."""

from pathlib import Path

import numpy as np
import pytest

from touchstone import arrays
from touchstone.evidence import privacy_curves
from touchstone.functions import exponential, monomials
from touchstone.privacy import dyadic_tree, kernel_sums, read_noise, record_replacement

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "privacy" / "cross-attention-dp.ipynb"


def test_sound_mathematics_is_supported(run_notebook):
    found = run_notebook(NOTEBOOK, profile="quick", device="cpu")
    assert {id for id, word in found.items() if word == "refuted"} == {"relative-error-of-version-1"}
    assert set(found.values()) == {"supported", "refuted"}


def usual_scale(monkeypatch):
    right = monomials.feature_map
    monkeypatch.setattr(
        monomials,
        "feature_map",
        lambda X, c, *, scale, plan=None: right(X, c, scale=scale * X.shape[1] ** 0.5, plan=plan),
    )


def multinomials_left_out(monkeypatch):
    plan = monomials.MonomialPlan
    monkeypatch.setattr(plan, "multinomials", property(lambda self: np.ones(self.rank)))


def wrong_coefficient(monkeypatch):
    right = exponential.exp_coefficients

    def wrong(radius, degree, kind="chebyshev"):
        coefficients = right(radius, degree, kind)
        coefficients[len(coefficients) // 2] *= 1.2
        return coefficients

    monkeypatch.setattr(exponential, "exp_coefficients", wrong)


def normaliser(factor):
    def plant(monkeypatch):
        right = kernel_sums.kernel_sums

        def wrong(features, V):
            N, Z = right(features, V)
            return N, factor * Z

        monkeypatch.setattr(kernel_sums, "kernel_sums", wrong)

    plant.__name__ = f"normaliser_times_{factor}"
    return plant


def only_the_first_block(monkeypatch):
    right = arrays.map_rows

    def wrong(f, *data, block, **options):
        return right(f, *(x[:block, ...] for x in data), block=block, **options)

    monkeypatch.setattr(arrays, "map_rows", wrong)


def a_node_for_every_leaf(monkeypatch):
    # the noise of leaves, added up one by one
    monkeypatch.setattr(read_noise, "nodes_read", lambda count, depth: count)


def a_level_of_leaves_for_every_pair(monkeypatch):
    right = dyadic_tree.DyadicTree.__init__

    def wrong(self, x, weights, depth, noise=None, *, bounds=1.0):
        right(self, x, weights, depth + max(0, depth - 6), noise, bounds=bounds)

    monkeypatch.setattr(dyadic_tree.DyadicTree, "__init__", wrong)


def bounds_of_half_the_range(monkeypatch):
    right = record_replacement.entry_bounds
    monkeypatch.setattr(record_replacement, "entry_bounds", lambda w, b: right(w, b) / 2)


def moments_bounded_like_masses(monkeypatch):
    right = record_replacement.entry_bounds
    monkeypatch.setattr(record_replacement, "entry_bounds", lambda w, b: right(w, np.asarray(b) ** 2))


def gaussian_noise_times(factor):
    def plant(monkeypatch):
        right = privacy_curves.classical_gaussian_sigma
        monkeypatch.setattr(
            privacy_curves, "classical_gaussian_sigma", lambda *arguments: factor * right(*arguments)
        )

    plant.__name__ = f"gaussian_noise_times_{factor}"
    return plant


def noise_left_out_at_the_leaves(monkeypatch):
    right = dyadic_tree.DyadicTree.__init__

    def wrong(self, x, weights, depth, noise=None, *, bounds=1.0):
        quiet = noise and (lambda shape: noise(shape) * (shape[-1] < 2**depth))
        right(self, x, weights, depth, quiet, bounds=bounds)

    monkeypatch.setattr(dyadic_tree.DyadicTree, "__init__", wrong)


def noise_that_ignores_the_depth(monkeypatch):
    right = read_noise.read_noise
    monkeypatch.setattr(
        read_noise,
        "read_noise",
        lambda y, depth, scales, *rest, **options: right(
            y, depth, scales / (depth + 1) ** 0.5, *rest, **options
        ),
    )


def constant_feature_halved(monkeypatch):
    right = exponential.exp_coefficients

    def wrong(radius, degree, kind="chebyshev"):
        coefficients = right(radius, degree, kind)
        coefficients[0] /= 4
        return coefficients

    monkeypatch.setattr(exponential, "exp_coefficients", wrong)


@pytest.mark.parametrize(
    ("mistake", "turned"),
    [
        (usual_scale, "relative-error"),
        (multinomials_left_out, "relative-error"),
        (wrong_coefficient, "relative-error"),
        (normaliser(1.05), "relative-error"),
        (normaliser(1.05), "error-over-absolute-values"),
        (a_level_of_leaves_for_every_pair, "costs"),
        (bounds_of_half_the_range, "sensitivity"),
        (moments_bounded_like_masses, "sensitivity"),
        (gaussian_noise_times(1 / 2), "sensitivity"),
        (gaussian_noise_times(1 / 2), "audit"),
        (noise_left_out_at_the_leaves, "end-to-end"),
        (gaussian_noise_times(1 / 8), "end-to-end"),
        (a_node_for_every_leaf, "additive-error"),
        (noise_that_ignores_the_depth, "additive-error"),
        (constant_feature_halved, "normaliser"),
        (only_the_first_block, "absolute-error-of-version-1"),
        (gaussian_noise_times(1 / 16), "adaptive-queries"),
    ],
)
def test_a_planted_mistake_turns_a_verdict(run_notebook, monkeypatch, mistake, turned):
    mistake(monkeypatch)
    with np.errstate(all="ignore"):
        found = run_notebook(NOTEBOOK, until=turned, profile="quick", device="cpu")
    assert found[turned] != "supported"
