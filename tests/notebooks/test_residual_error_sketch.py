"""A mistake planted in the mathematics turns a verdict of the notebook."""

from pathlib import Path

import numpy as np
import pytest
from scipy import special

from touchstone.linalg import spectra
from touchstone.sketching import gaussian, heavy_hitters, sparse_embedding

NOTEBOOK = (
    Path(__file__).resolve().parents[2] / "notebooks" / "linear-algebra" / "residual-error-sketch.ipynb"
)


def test_sound_mathematics_is_supported(run_notebook):
    found = run_notebook(NOTEBOOK, profile="quick", device="cpu")
    assert {id for id, word in found.items() if word == "out_of_reach"} == {
        "all-sketches",
        "recovery-lower-bound",
    }
    assert set(found.values()) == {"supported", "out_of_reach"}


def one_value_too_few_is_dropped(monkeypatch):
    right = spectra.tail_norm
    monkeypatch.setattr(spectra, "tail_norm", lambda B, k: right(B, k - 1))


def root_forgotten(monkeypatch):
    right = spectra.tail_norm
    monkeypatch.setattr(spectra, "tail_norm", lambda B, k: right(B, k) ** 2)


class Scaled:
    """A sketch times a number."""

    def __init__(self, sketch, factor):
        self._sketch, self._factor = sketch, factor

    def __matmul__(self, A):
        return self._factor * (self._sketch @ A)

    def columns(self, index):
        return self._factor * self._sketch.columns(index)


def sketch_too_long(monkeypatch):
    """Lengths come out a tenth too large on either side."""
    right = gaussian.gaussian_sketch
    monkeypatch.setattr(
        gaussian, "gaussian_sketch", lambda m, n, rng, *, like: Scaled(right(m, n, rng, like=like), 1.1)
    )


def fewer_rows_than_it_says(monkeypatch):
    """The number of rows grows like a smaller power of the number that was asked for."""
    right = gaussian.gaussian_sketch
    monkeypatch.setattr(
        gaussian,
        "gaussian_sketch",
        lambda m, n, rng, *, like: right(max(1, round(m**0.6)), n, rng, like=like),
    )


def density_not_normalised(monkeypatch):
    monkeypatch.setattr(special, "gammaln", np.zeros_like)


def one_entry_in_place_of_several(monkeypatch):
    right = sparse_embedding.osnap

    def wrong(m, n, s, rng, *, layout="uniform", like, workers=1):
        return right(m, n, 1, rng, layout=layout, like=like, workers=workers)

    monkeypatch.setattr(sparse_embedding, "osnap", wrong)


def dense_columns(monkeypatch):
    right = sparse_embedding.osnap

    def wrong(m, n, s, rng, *, layout="uniform", like, workers=1):
        return right(m, n, 1 if s == 1 else m, rng, layout=layout, like=like, workers=workers)

    monkeypatch.setattr(sparse_embedding, "osnap", wrong)


def heads_added_again(monkeypatch):
    """The sketch of the heads is added where it ought to be subtracted."""
    right = heavy_hitters.lp_norm_estimate

    def wrong(x, p, tables, rng, *, subtract=None):
        if subtract is not None:
            subtract = subtract[0], -subtract[1]
        return right(x, p, tables, rng, subtract=subtract)

    monkeypatch.setattr(heavy_hitters, "lp_norm_estimate", wrong)


def root_of_the_exponentials_forgotten(monkeypatch):
    right = heavy_hitters.lp_norm_estimate
    monkeypatch.setattr(
        heavy_hitters,
        "lp_norm_estimate",
        lambda x, p, tables, rng, *, subtract=None: right(x, 1, tables, rng, subtract=subtract),
    )


def large_tables_are_not_filled(monkeypatch):
    """The hash reaches fewer and fewer of the cells as tables grow."""
    right = heavy_hitters.polynomial_hash

    def wrong(independence, buckets, rng, functions):
        reached = 2 * round(3.3 * (buckets / 2) ** 0.7)
        return right(independence, min(buckets, reached), rng, functions)

    monkeypatch.setattr(heavy_hitters, "polynomial_hash", wrong)


def sixteen_times_as_wide(monkeypatch):
    right = heavy_hitters.CountSketchTable

    class Wrong(right):
        def __init__(self, rows, width, rng, *, like):
            super().__init__(rows, 16 * width, rng, like=like)

    monkeypatch.setattr(heavy_hitters, "CountSketchTable", Wrong)


@pytest.mark.parametrize(
    ("mistake", "turned"),
    [
        (root_forgotten, "relative-error-flat"),
        (one_value_too_few_is_dropped, "relative-error-spiked"),
        (sketch_too_long, "relative-error-power"),
        (fewer_rows_than_it_says, "exponent-of-epsilon"),
        (density_not_normalised, "rank-one-residual"),
        (sketch_too_long, "estimator-needs-them"),
        (one_entry_in_place_of_several, "sparse-accuracy"),
        (dense_columns, "update-cost"),
        (heads_added_again, "vector-residual"),
        (root_of_the_exponentials_forgotten, "vector-residual"),
        (large_tables_are_not_filled, "vector-residual-size"),
        (large_tables_are_not_filled, "sparse-recovery"),
        (sixteen_times_as_wide, "too-narrow"),
    ],
)
def test_a_planted_mistake_turns_a_verdict(run_notebook, monkeypatch, mistake, turned):
    mistake(monkeypatch)
    with np.errstate(all="ignore"):
        found = run_notebook(NOTEBOOK, until=turned, profile="quick", device="cpu")
    assert found[turned] != "supported"
