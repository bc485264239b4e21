"""A mistake planted in the mathematics turns a verdict of the notebook."""

from pathlib import Path

import numpy as np
import pytest

from touchstone.attention import lora, low_rank_weights
from touchstone.functions import exponential, monomials
from touchstone.hardness import gap_hamming
from touchstone.linalg.low_rank import LowRank, hadamard_product_apply

NOTEBOOK = (
    Path(__file__).resolve().parents[2] / "notebooks" / "transformers" / "lora-hardness-threshold.ipynb"
)


def test_sound_mathematics_is_supported(run_notebook):
    found = run_notebook(NOTEBOOK, profile="quick", device="cpu")
    assert {id for id, word in found.items() if word == "out_of_reach"} == {
        "almost-linear-literally",
        "no-faster-algorithm",
    }
    assert set(found.values()) == {"supported", "out_of_reach"}


def factor_left_out(monkeypatch):
    right = lora.adapter_gradients
    monkeypatch.setattr(lora, "adapter_gradients", lambda G, B, A, *, alpha: right(G, B, A, alpha=len(A)))


def adapter_merged_without_its_rank(monkeypatch):
    right = lora.adapted_weight
    monkeypatch.setattr(
        lora, "adapted_weight", lambda W, B, A, *, alpha: right(W, B, A, alpha=alpha * len(A))
    )


def not_transposed(monkeypatch):
    right = lora.score_gradient_apply
    monkeypatch.setattr(lora, "score_gradient_apply", lambda F, h, G, M, transpose=False: right(F, h, G, M))


def row_means_left_out(monkeypatch):
    def wrong(F, h, G, M, *, transpose=False):
        return hadamard_product_apply(F.T, h, G, M) if transpose else hadamard_product_apply(F, G, h, M)

    monkeypatch.setattr(lora, "score_gradient_apply", wrong)


def row_means_squared(monkeypatch):
    def wrong(F, h, G, M, *, transpose=False):
        # right for the queries only
        means = np.sum(G * (F @ h), axis=1, keepdims=True)
        if transpose:
            return hadamard_product_apply(F.T, h, G, M) - F.T @ (means**2 * M)
        return hadamard_product_apply(F, G, h, M) - means * (F @ M)

    monkeypatch.setattr(lora, "score_gradient_apply", wrong)


def cubic_work(monkeypatch):
    right = lora.score_gradient_apply

    def wrong(F, h, G, M, *, transpose=False):
        if not hasattr(F, "row_sums"):
            F @ F.T
        return right(F, h, G, M, transpose=transpose)

    monkeypatch.setattr(lora, "score_gradient_apply", wrong)


def weights_formed(monkeypatch):
    class Formed(LowRank):
        def __matmul__(self, M):
            return (self.U @ self.V.T) @ M

    monkeypatch.setattr(low_rank_weights, "LowRank", Formed)


def rank_squared(monkeypatch):
    right = lora.adapter_gradients

    def wrong(G, B, A, *, alpha):
        B.T @ B @ A  # work that grows like the square of the rank
        return right(G, B, A, alpha=alpha)

    monkeypatch.setattr(lora, "adapter_gradients", wrong)


def sizes_without_the_last_degree(monkeypatch):
    right = monomials.monomial_plan

    def wrong(d, degree, *, table=True):
        return right(d, degree if table else degree - 1, table=table)

    monkeypatch.setattr(monomials, "monomial_plan", wrong)


def wrong_coefficient(monkeypatch):
    right = exponential.exp_coefficients

    def wrong(radius, degree, kind="chebyshev"):
        coefficients = right(radius, degree, kind)
        coefficients[degree // 2] *= 1.2
        return coefficients

    monkeypatch.setattr(exponential, "exp_coefficients", wrong)


def degrees(change):
    def plant(monkeypatch):
        right = exponential.exp_degree
        monkeypatch.setattr(
            exponential, "exp_degree", lambda R, log_eps, *kind: max(0, right(R, log_eps) + change)
        )

    return plant


def usual_scale(monkeypatch):
    right = low_rank_weights.polynomial_factors
    monkeypatch.setattr(
        low_rank_weights,
        "polynomial_factors",
        lambda Q, K, c, *, scale, plan: right(Q, K, c, scale=scale * Q.shape[1] ** 0.5, plan=plan),
    )


def interval_of_one_norm(monkeypatch):
    right = exponential.exp_degree
    monkeypatch.setattr(exponential, "exp_degree", lambda R, log_eps, *kind: right(R**0.5, log_eps))


def pad_at_the_top(monkeypatch):
    right = gap_hamming.hamming_to_attention

    def wrong(a, b, t, B):
        Q, K, V, gap = right(a, b, t, B)
        K[a.shape[0] :, a.shape[1] :] = B
        return Q, K, V, gap

    monkeypatch.setattr(gap_hamming, "hamming_to_attention", wrong)


@pytest.mark.parametrize(
    ("mistake", "turned"),
    [
        (factor_left_out, "gradients"),
        (adapter_merged_without_its_rank, "gradients"),
        (not_transposed, "gradients"),
        (row_means_left_out, "gradients"),
        (row_means_squared, "gradients"),
        (cubic_work, "exact-is-quadratic"),
        (weights_formed, "constant-dimension"),
        (sizes_without_the_last_degree, "constant-dimension"),
        (weights_formed, "logarithmic-dimension"),
        (rank_squared, "rank-of-the-adapters"),
        (wrong_coefficient, "error"),
        (degrees(-3), "error"),
        (usual_scale, "error"),
        (degrees(3), "composed-norms"),
        (interval_of_one_norm, "composed-norms"),
        (interval_of_one_norm, "threshold-power"),
        (pad_at_the_top, "reduction"),
        (row_means_left_out, "reduction"),
    ],
)
def test_a_planted_mistake_turns_a_verdict(run_notebook, monkeypatch, mistake, turned):
    mistake(monkeypatch)
    with np.errstate(all="ignore"):
        found = run_notebook(NOTEBOOK, until=turned, profile="quick", device="cpu")
    assert found[turned] != "supported"
