"""A mistake planted in the mathematics turns a verdict of the notebook."""

from pathlib import Path

import numpy as np
import pytest

from touchstone.attention import tensor
from touchstone.functions import exponential, monomials
from touchstone.hardness import inner_product

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "attention" / "tensor-attention-forward.ipynb"


def test_sound_mathematics_is_supported(run_notebook):
    found = run_notebook(NOTEBOOK, profile="quick", device="cpu")
    assert {id for id, word in found.items() if word == "out_of_reach"} == {
        "almost-linear-literally",
        "no-faster-algorithm",
        "pairwise-cannot",
    }
    assert set(found.values()) == {"supported", "out_of_reach"}


def multinomials_dropped(monkeypatch):
    right = tensor.monomial_weights

    def wrong(plan, coefficients, scale, like):
        return right(plan, coefficients, scale, like) / plan.multinomials

    monkeypatch.setattr(tensor, "monomial_weights", wrong)


def values_paired_with_other_keys(monkeypatch):
    right = tensor.low_rank_tensor_attention

    def wrong(Q, Ks, Vs, coefficients, **more):
        return right(Q, Ks, Vs[1:] + Vs[:1], coefficients, **more)

    monkeypatch.setattr(tensor, "low_rank_tensor_attention", wrong)


def wrong_coefficient(monkeypatch):
    right = exponential.exp_coefficients

    def wrong(radius, degree, kind="chebyshev"):
        coefficients = right(radius, degree, kind)
        coefficients[degree // 2] *= 1.01
        return coefficients

    monkeypatch.setattr(exponential, "exp_coefficients", wrong)


def degree_one_too_low(monkeypatch):
    right = exponential.exp_degree
    monkeypatch.setattr(exponential, "exp_degree", lambda *args: max(0, right(*args) - 1))


def usual_scale(monkeypatch):
    right = tensor.tensor_factors

    def wrong(Q, Ks, coefficients, *, scale, plan=None):
        return right(Q, Ks, coefficients, scale=scale * Q.shape[1] ** 0.5, plan=plan)

    monkeypatch.setattr(tensor, "tensor_factors", wrong)


def last_key_matrix_forgotten(monkeypatch):
    right = tensor.tensor_attention

    def wrong(Q, Ks, Vs, **more):
        return right(Q, [*Ks[:-1], 0 * Ks[-1] + 1], Vs, **more)

    monkeypatch.setattr(tensor, "tensor_attention", wrong)


def pairs_in_the_other_order(monkeypatch):
    right = tensor.khatri_rao
    monkeypatch.setattr(tensor, "khatri_rao", lambda *As: right(*As[::-1]))


def sizes_without_the_last_degree(monkeypatch):
    right = monomials.monomial_plan

    def wrong(d, degree, *, table=True):
        return right(d, degree if table else degree - 1, table=table)

    monkeypatch.setattr(monomials, "monomial_plan", wrong)


def relative_factor_forgotten(monkeypatch):
    right = exponential.exp_degree
    monkeypatch.setattr(exponential, "exp_degree", lambda R, log_eps, *kind: right(R, log_eps + R))


def pad_at_the_top(monkeypatch):
    right = inner_product.inner_product_to_tensor_attention

    def wrong(sets, high, low, B):
        Q, Ks, Vs, gap = right(sets, high, low, B)
        n, d = sets[0].shape
        Ks[-1][n:, d:] = B
        return Q, Ks, Vs, gap

    monkeypatch.setattr(inner_product, "inner_product_to_tensor_attention", wrong)


def half_the_promised_overlap(monkeypatch):
    right = inner_product.gap_inner_product

    def wrong(n, d, order, high, low, planted, rng, *, like=np):
        return right(n, d, order, max(1, high // 2), 0, True, rng, like=like) if planted else right(
            n, d, order, high, low, False, rng, like=like
        )  # fmt: skip

    monkeypatch.setattr(inner_product, "gap_inner_product", wrong)


def half_the_logits(monkeypatch):
    right = tensor.tensor_attention
    monkeypatch.setattr(
        tensor, "tensor_attention", lambda *args, scale, **more: right(*args, scale=scale / 2, **more)
    )


@pytest.mark.parametrize(
    ("mistake", "turned"),
    [
        (multinomials_dropped, "contraction"),
        (values_paired_with_other_keys, "contraction"),
        (wrong_coefficient, "error"),
        (degree_one_too_low, "error"),
        (usual_scale, "error"),
        (last_key_matrix_forgotten, "error"),
        (pairs_in_the_other_order, "error"),
        (sizes_without_the_last_degree, "constant-dimension"),
        (relative_factor_forgotten, "degree-on-data"),
        (pad_at_the_top, "reduction"),
        (half_the_promised_overlap, "reduction"),
        (last_key_matrix_forgotten, "match3"),
        (half_the_logits, "match3"),
    ],
)
def test_a_planted_mistake_turns_a_verdict(run_notebook, monkeypatch, mistake, turned):
    mistake(monkeypatch)
    with np.errstate(all="ignore"):
        found = run_notebook(NOTEBOOK, until=turned, profile="quick", device="cpu")
    assert found[turned] != "supported"
