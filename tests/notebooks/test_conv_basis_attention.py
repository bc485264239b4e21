"""A mistake planted in the mathematics turns a verdict of the notebook."""

from pathlib import Path

import numpy as np
import pytest

from touchstone.attention import conv_basis, derivatives
from touchstone.linalg import row_normalised

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "attention" / "conv-basis-attention.ipynb"


def test_sound_mathematics_is_supported(run_notebook):
    found = run_notebook(NOTEBOOK, profile="quick", device="cpu")
    assert set(found.values()) == {"supported"}
    assert len(found) == 10


def transform_without_its_subtraction(monkeypatch):
    def wrong(logits, *, shift=0.0):
        columns = logits.first_columns()
        return conv_basis.ConvBasis([np.exp(c - shift) for c in columns], logits.sizes, logits.n)

    monkeypatch.setattr(conv_basis, "conv_exponential", wrong)


def last_break_missed(monkeypatch):
    right = conv_basis.conv_decompose

    def wrong(H, tol=0.0):
        basis = right(H, tol)
        keep = max(1, len(basis.sizes) - 1)
        return conv_basis.ConvBasis(basis.bases[:keep], basis.sizes[:keep], basis.n)

    monkeypatch.setattr(conv_basis, "conv_decompose", wrong)


def nearly_equal_columns_merged(monkeypatch):
    right = conv_basis.conv_decompose
    monkeypatch.setattr(conv_basis, "conv_decompose", lambda H, tol=0.0: right(H, max(tol, 0.01)))


def searched_one_column_late(monkeypatch):
    right = conv_basis.conv_recover

    def wrong(*args):
        basis = right(*args)
        rest = [b[:-1] for b in basis.bases[1:]]
        return conv_basis.ConvBasis([basis.bases[0], *rest], [basis.n, *(m - 1 for m in basis.sizes[1:])])

    monkeypatch.setattr(conv_basis, "conv_recover", wrong)


def threshold_of_the_window_halved(monkeypatch):
    right = conv_basis.conv_recover
    monkeypatch.setattr(
        conv_basis, "conv_recover", lambda column, n, k, T, delta, eps: right(column, n, k, T, delta / 8, 0)
    )


def search_without_a_search(monkeypatch):
    right = conv_basis.conv_recover

    def wrong(column, n, *rest):
        for j in range(n):
            column(j)
        return right(column, n, *rest)

    monkeypatch.setattr(conv_basis, "conv_recover", wrong)


def convolution_that_wraps_around(monkeypatch):
    def wrong(b, size, V, *, transpose=False, workers=1):
        spectrum = np.fft.rfft(b[:size])
        spectrum = (np.conj(spectrum) if transpose else spectrum).reshape(-1, *(1,) * (V.ndim - 1))
        return np.fft.irfft(spectrum * np.fft.rfft(V, axis=0), n=size, axis=0)

    monkeypatch.setattr(conv_basis, "lower_toeplitz_apply", wrong)


def transpose_forgotten(monkeypatch):
    right = conv_basis.lower_toeplitz_apply
    monkeypatch.setattr(
        conv_basis, "lower_toeplitz_apply", lambda b, size, V, *, transpose, workers: right(b, size, V)
    )


def matrix_formed(monkeypatch):
    right = conv_basis.ConvBasis.apply

    def wrong(self, V, **workers):
        if hasattr(V, "has_data") and V.ndim == 2:
            V.T @ (V @ V.T)  # n^2 d multiply-adds that the sum does not need
        return right(self, V, **workers)

    monkeypatch.setattr(conv_basis.ConvBasis, "apply", wrong)


def row_means_dropped(monkeypatch):
    def wrong(F, h, G, M, *, transpose=False):
        if transpose:
            return derivatives.hadamard_product_apply(F.T, h, G, M)
        return derivatives.hadamard_product_apply(F, G, h, M)

    monkeypatch.setattr(derivatives, "score_gradient_apply", wrong)


def rows_not_normalised(monkeypatch):
    monkeypatch.setattr(row_normalised.RowNormalised, "__matmul__", lambda self, V: self.A @ V)


@pytest.mark.parametrize(
    ("mistake", "turned"),
    [
        (transform_without_its_subtraction, "decomposition"),
        (last_break_missed, "decomposition"),
        (searched_one_column_late, "recovery"),
        (threshold_of_the_window_halved, "recovery"),
        (search_without_a_search, "recovery"),
        (convolution_that_wraps_around, "output-error"),
        (searched_one_column_late, "output-error"),
        (matrix_formed, "inference-cost"),
        (row_means_dropped, "gradient-formula"),
        (rows_not_normalised, "gradient-formula"),
        (transpose_forgotten, "gradient-formula"),
        (searched_one_column_late, "gradient-from-recovery"),
        (matrix_formed, "gradient-cost"),
        (nearly_equal_columns_merged, "number-of-terms"),
    ],
)
def test_a_planted_mistake_turns_a_verdict(run_notebook, monkeypatch, mistake, turned):
    mistake(monkeypatch)
    with np.errstate(all="ignore"):
        found = run_notebook(NOTEBOOK, until=turned, profile="quick", device="cpu")
    assert found[turned] != "supported"
