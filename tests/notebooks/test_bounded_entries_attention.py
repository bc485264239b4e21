"""A mistake planted in the mathematics turns a verdict of the notebook."""

from pathlib import Path

import numpy as np
import pytest

from touchstone.attention import polynomial
from touchstone.functions import exponential
from touchstone.hardness import gap_hamming

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "attention" / "bounded-entries-attention.ipynb"


def test_sound_mathematics_is_supported(run_notebook):
    found = run_notebook(NOTEBOOK, profile="quick", device="cpu")
    assert {id for id, word in found.items() if word == "out_of_reach"} == {
        "almost-linear-literally",
        "no-faster-algorithm",
    }
    assert set(found.values()) == {"supported", "out_of_reach"}


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
    right = polynomial.polynomial_factors

    def wrong(Q, K, coefficients, *, scale, plan=None):
        return right(Q, K, coefficients, scale=scale * Q.shape[1] ** 0.5, plan=plan)

    monkeypatch.setattr(polynomial, "polynomial_factors", wrong)


def taylor_for_chebyshev(monkeypatch):
    right = exponential.exp_coefficients
    monkeypatch.setattr(
        exponential, "exp_coefficients", lambda radius, degree: right(radius, degree, "taylor")
    )


def relative_factor_forgotten(monkeypatch):
    right = exponential.exp_degree
    monkeypatch.setattr(exponential, "exp_degree", lambda R, log_eps, *kind: right(R, log_eps + R))


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
        (wrong_coefficient, "error"),
        (degree_one_too_low, "error"),
        (usual_scale, "error"),
        (taylor_for_chebyshev, "error"),
        (relative_factor_forgotten, "threshold-constant"),
        (pad_at_the_top, "reduction"),
    ],
)
def test_a_planted_mistake_turns_a_verdict(run_notebook, monkeypatch, mistake, turned):
    mistake(monkeypatch)
    with np.errstate(all="ignore"):
        found = run_notebook(NOTEBOOK, until=turned, profile="quick", device="cpu")
    assert found[turned] != "supported"
