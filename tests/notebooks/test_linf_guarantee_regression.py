"""A mistake planted in the mathematics turns a verdict of the notebook."""

from pathlib import Path

import numpy as np
import pytest

from touchstone.linalg import walsh_hadamard
from touchstone.sketching import (
    distortion,
    sketch_and_solve,
    sparse_embedding,
    srht,
    tensor_srht,
)

NOTEBOOK = (
    Path(__file__).resolve().parents[2] / "notebooks" / "linear-algebra" / "linf-guarantee-regression.ipynb"
)


def test_sound_mathematics(run_notebook):
    found = run_notebook(NOTEBOOK, profile="quick", device="cpu")
    assert {id for id, word in found.items() if word == "out_of_reach"} == {
        "all-sparse-sketches",
        "theorem-at-its-rows",
    }
    assert {id for id, word in found.items() if word == "refuted"} == {"framework"}
    assert set(found.values()) == {"supported", "out_of_reach", "refuted"}


def right_hand_side_twice(monkeypatch):
    right = sketch_and_solve.sketch_and_solve
    monkeypatch.setattr(sketch_and_solve, "sketch_and_solve", lambda A, b, S: right(A, 2 * b, S))


def inverse_left_out(monkeypatch):
    monkeypatch.setattr(sketch_and_solve, "solve_gram", lambda G, h: h)


def signs_forgotten(monkeypatch):
    right = srht.srht
    monkeypatch.setattr(
        srht, "srht", lambda m, n, rng, *, signs=True, like: right(m, n, rng, signs=False, like=like)
    )


def an_eighth_of_the_rows(monkeypatch):
    """The other rows repeat the ones that were sampled."""
    right = srht.srht

    class Repeated:
        def __init__(self, S):
            self.S = S

        def __matmul__(self, A):
            return np.concatenate([self.S @ A] * 8)

        def columns(self, index):
            return np.concatenate([self.S.columns(index)] * 8)

    monkeypatch.setattr(srht, "srht", lambda m, n, rng, **more: Repeated(right(-(-m // 8), n, rng, **more)))


def rows_that_grow_too_slowly(monkeypatch):
    right = srht.srht
    monkeypatch.setattr(srht, "srht", lambda m, n, rng, **more: right(int(8 * m**0.6), n, rng, **more))


def twelve_times_as_dense(monkeypatch):
    right = sparse_embedding.osnap
    monkeypatch.setattr(
        sparse_embedding,
        "osnap",
        lambda m, n, s, rng, *, like: right(m, n, max(s, min(12 * s, 100)), rng, like=like),
    )


def an_eighth_as_dense(monkeypatch):
    right = sparse_embedding.osnap
    monkeypatch.setattr(
        sparse_embedding, "osnap", lambda m, n, s, rng, *, like: right(m, n, max(1, s // 8), rng, like=like)
    )


def transform_normalised(monkeypatch):
    right = walsh_hadamard.walsh_hadamard
    monkeypatch.setattr(walsh_hadamard, "walsh_hadamard", lambda X, axis=0: right(X, axis) / np.sqrt(len(X)))


def inner_products_off_by_a_tenth(monkeypatch):
    right = distortion.inner_product_error
    monkeypatch.setattr(
        distortion, "inner_product_error", lambda S, G, H, *, rows=None: right(S, G, H, rows=rows) + 0.1
    )


def distortion_doubled(monkeypatch):
    right = distortion.embedding_distortion
    monkeypatch.setattr(distortion, "embedding_distortion", lambda S, A: 2 * right(S, A))


def answers_times_dimension(monkeypatch):
    """The rule then rejects a Gaussian coordinate, too, so that its rejection of the framework is void."""
    right = sketch_and_solve.solve_gram
    monkeypatch.setattr(sketch_and_solve, "solve_gram", lambda G, h: len(h) * right(G, h))


def scale_of_the_tensor_forgotten(monkeypatch):
    right = tensor_srht.tensor_srht

    def wrong(m, shape, rng, **more):
        S = right(m, shape, rng, **more)
        S._diagonals[0] = S._diagonals[0] * np.sqrt(m)
        return S

    monkeypatch.setattr(tensor_srht, "tensor_srht", wrong)


def signs_of_the_tensor_forgotten(monkeypatch):
    right = tensor_srht.tensor_srht

    def wrong(m, shape, rng, *, signs=True, like):
        return right(m, shape, rng, signs=False, like=like)

    monkeypatch.setattr(tensor_srht, "tensor_srht", wrong)


def rows_of_the_tensor_repeated(monkeypatch):
    """Only about m^0.6 of them are different."""
    right = tensor_srht.tensor_srht

    def wrong(m, shape, rng, **more):
        S = right(m, shape, rng, **more)
        S._rows = [np.resize(rows[: int(4 * m**0.6)], m) for rows in S._rows]
        return S

    monkeypatch.setattr(tensor_srht, "tensor_srht", wrong)


@pytest.mark.parametrize(
    ("mistake", "turned"),
    [
        (right_hand_side_twice, "exact-error"),
        (inverse_left_out, "exact-error"),
        (signs_forgotten, "coordinatewise"),
        (an_eighth_of_the_rows, "coordinatewise"),
        (rows_that_grow_too_slowly, "rows-linear"),
        (twelve_times_as_dense, "sparse-fails"),
        (an_eighth_as_dense, "how-dense"),
        (transform_normalised, "transform-cost"),
        (inner_products_off_by_a_tenth, "oce"),
        (signs_forgotten, "oce"),
        (right_hand_side_twice, "counterexample"),
        (distortion_doubled, "premises"),
        (answers_times_dimension, "rule-can-accept"),
        (answers_times_dimension, "framework"),
        (scale_of_the_tensor_forgotten, "tensor-rows"),
        (signs_of_the_tensor_forgotten, "tensor-oce"),
        (rows_of_the_tensor_repeated, "tensor-regression"),
    ],
)
def test_a_planted_mistake_turns_a_verdict(run_notebook, monkeypatch, mistake, turned):
    mistake(monkeypatch)
    with np.errstate(all="ignore"):
        found = run_notebook(NOTEBOOK, until=turned, profile="quick", device="cpu")
    assert found[turned] != ("refuted" if turned == "framework" else "supported")
