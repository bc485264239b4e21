"""A mistake planted in the mathematics turns a verdict of the notebook."""

from pathlib import Path

import numpy as np
import pytest

from touchstone.attention import tensor_gradient
from touchstone.functions import exponential, monomials
from touchstone.hardness import inner_product

NOTEBOOK = (
    Path(__file__).resolve().parents[2] / "notebooks" / "transformers" / "tensor-attention-training.ipynb"
)


def test_sound_mathematics_is_supported(run_notebook):
    found = run_notebook(NOTEBOOK, profile="quick", device="cpu")
    assert {id for id, word in found.items() if word == "out_of_reach"} == {
        "almost-linear-literally",
        "no-faster-algorithm",
    }
    assert set(found.values()) == {"supported", "out_of_reach"}


def scale_left_out(monkeypatch):
    right = tensor_gradient.tensor_attention_gradient
    monkeypatch.setattr(
        tensor_gradient, "tensor_attention_gradient", lambda *args, scale: right(*args, scale=scale) / scale
    )


def factors_exchanged(monkeypatch):
    right = tensor_gradient.kron
    monkeypatch.setattr(tensor_gradient, "kron", lambda A, B: right(B, A))


def sign_of_the_row_means(monkeypatch):
    right = tensor_gradient.face_splitting

    def wrong(values, A):
        # the last column holds the means of the queries, and the ones of the keys
        return right(np.concatenate([values[:, :-1], abs(values[:, -1:])], axis=1), A)

    monkeypatch.setattr(tensor_gradient, "face_splitting", wrong)


def inputs_of_the_keys_exchanged(monkeypatch):
    right = tensor_gradient.khatri_rao
    monkeypatch.setattr(tensor_gradient, "khatri_rao", lambda A, B: right(B, A))


def wrong_coefficient(monkeypatch):
    right = exponential.exp_coefficients

    def wrong(radius, degree, kind="chebyshev"):
        coefficients = right(radius, degree, kind)
        coefficients[degree // 2] *= 1.01
        return coefficients

    monkeypatch.setattr(exponential, "exp_coefficients", wrong)


def three_degrees_too_few(monkeypatch):
    right = exponential.exp_degree
    monkeypatch.setattr(
        exponential, "exp_degree", lambda R, log_eps, *kind: max(0, right(R, log_eps) - 3 * (log_eps > -29))
    )


def sizes_without_the_last_degree(monkeypatch):
    right = monomials.monomial_plan

    def wrong(d, degree, *, table=True):
        return right(d, degree if table else degree - 1, table=table)

    monkeypatch.setattr(monomials, "monomial_plan", wrong)


def pairs_formed(monkeypatch):
    right = tensor_gradient.monomial_weights

    def wrong(plan, coefficients, scale, like):
        if hasattr(like, "has_data"):
            like @ (like.T @ like)
            (like @ like.T) @ like  # n^2 d operations that nobody needs
        return right(plan, coefficients, scale, like)

    monkeypatch.setattr(tensor_gradient, "monomial_weights", wrong)


def pad_at_the_top(monkeypatch):
    right = inner_product.inner_product_to_tensor_attention

    def wrong(sets, high, low, B):
        Q, Ks, Vs, gap = right(sets, high, low, B)
        n, d = sets[0].shape
        Ks[-1][n:, d:] = B
        return Q, Ks, Vs, gap

    monkeypatch.setattr(inner_product, "inner_product_to_tensor_attention", wrong)


def interval_of_the_entries(monkeypatch):
    right = exponential.exp_degree
    monkeypatch.setattr(
        exponential, "exp_degree", lambda R, log_eps, *kind: right(abs(R) ** (2 / 3), log_eps)
    )


@pytest.mark.parametrize(
    ("mistake", "turned"),
    [
        (scale_left_out, "closed-form"),
        (factors_exchanged, "closed-form"),
        (sign_of_the_row_means, "reference"),
        (inputs_of_the_keys_exchanged, "reference"),
        (wrong_coefficient, "reference"),
        (three_degrees_too_few, "error"),
        (sizes_without_the_last_degree, "constant-dimension"),
        (pairs_formed, "constant-dimension"),
        (pairs_formed, "logarithmic-dimension"),
        (pad_at_the_top, "reduction"),
        (interval_of_the_entries, "threshold-power"),
        (three_degrees_too_few, "sufficient-at-the-threshold"),
    ],
)
def test_a_planted_mistake_turns_a_verdict(run_notebook, monkeypatch, mistake, turned):
    mistake(monkeypatch)
    with np.errstate(all="ignore"):
        found = run_notebook(NOTEBOOK, until=turned, profile="quick", device="cpu")
    assert found[turned] != "supported"
