"""A mistake planted in the mathematics turns a verdict of the notebook."""

from pathlib import Path

import numpy as np
import pytest

from touchstone.arrays import holds_data, namespace
from touchstone.attention import derivatives, layer
from touchstone.functions import exponential
from touchstone.linalg import low_rank, row_normalised

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "transformers" / "multilayer-gradient.ipynb"


def test_sound_mathematics_gives_the_verdicts(run_notebook):
    found = run_notebook(NOTEBOOK, profile="quick", device="cpu")
    others = {
        "printed-input-gradient": "refuted",
        "printed-value-gradient": "refuted",
        "almost-linear-literally": "out_of_reach",
    }
    assert {check: verdict for check, verdict in found.items() if verdict != "supported"} == others
    assert len(found) == 12


def row_means_dropped(monkeypatch):
    def wrong(F, h, G, M, *, transpose=False):
        if transpose:
            return derivatives.hadamard_product_apply(F.T, h, G, M)
        return derivatives.hadamard_product_apply(F, G, h, M)

    monkeypatch.setattr(derivatives, "score_gradient_apply", wrong)


def transpose_forgotten(monkeypatch):
    right = derivatives.score_gradient_apply
    monkeypatch.setattr(
        derivatives, "score_gradient_apply", lambda F, h, G, M, *, transpose=False: right(F, h, G, M)
    )


def values_by_the_weights_untransposed(monkeypatch):
    right = layer.attention_vjp

    def wrong(Q, K, V, G, *, scale, F=None, mask=None):
        F = derivatives.attention_weights(Q, K, scale=scale, mask=mask) if F is None else F
        dQ, dK, _ = right(Q, K, V, G, scale=scale, F=F)
        return dQ, dK, F @ G

    monkeypatch.setattr(layer, "attention_vjp", wrong)


def scale_left_out(monkeypatch):
    right = layer.attention_vjp

    def wrong(*arrays, scale, **options):
        dQ, dK, dV = right(*arrays, scale=scale, **options)
        return dQ / scale, dK / scale, dV

    monkeypatch.setattr(layer, "attention_vjp", wrong)


def residual_path_forgotten(monkeypatch):
    right = layer.stack_vjp
    monkeypatch.setattr(
        layer, "stack_vjp", lambda *arguments, residual=False, **options: right(*arguments, **options)
    )


def mask_forgotten(monkeypatch):
    right = layer.layer_vjp
    monkeypatch.setattr(
        layer, "layer_vjp", lambda *arguments, mask=None, **options: right(*arguments, **options)
    )


def sums_of_earlier_blocks_lost(monkeypatch):
    right = low_rank._lower_product

    def wrong(U, V, M, block):
        if not holds_data(M):
            return right(U, V, M, block)
        xp = namespace(M)
        parts = [slice(i, i + block) for i in range(0, M.shape[0], block)]
        return xp.concat([xp.tril(U[s] @ V[s].T) @ M[s] for s in parts], axis=0)

    monkeypatch.setattr(low_rank, "_lower_product", wrong)


def triangle_not_transposed(monkeypatch):
    monkeypatch.setattr(low_rank.CausalLowRank, "T", property(lambda self: self))


def one_coefficient_off(monkeypatch):
    right = exponential.exp_coefficients

    def wrong(radius, degree, *kind):
        c = np.array(right(radius, degree, *kind))
        c[1] *= 1.01
        return c

    monkeypatch.setattr(exponential, "exp_coefficients", wrong)


def rows_not_normalised(monkeypatch):
    monkeypatch.setattr(row_normalised.RowNormalised, "__matmul__", lambda self, V: self.A @ V)


def matrix_formed(monkeypatch):
    monkeypatch.setattr(low_rank.LowRank, "__matmul__", lambda self, M: (self.U @ self.V.T) @ M)


def triangle_formed(monkeypatch):
    monkeypatch.setattr(
        low_rank,
        "_lower_product",
        lambda U, V, M, block: namespace(M).tril(U @ V.T) @ M,
    )


def work_that_only_data_shows(monkeypatch):
    right = low_rank.LowRank.__matmul__
    monkeypatch.setattr(
        low_rank.LowRank, "__matmul__", lambda self, M: right(self, M + 0 if holds_data(M) else M)
    )


@pytest.mark.parametrize(
    ("mistake", "turned"),
    [
        (row_means_dropped, "layer-gradients"),
        (transpose_forgotten, "layer-gradients"),
        (values_by_the_weights_untransposed, "layer-gradients"),
        (scale_left_out, "layer-gradients"),
        (residual_path_forgotten, "network-gradients"),
        (mask_forgotten, "network-gradients"),
        (matrix_formed, "constant-dimension"),
        (work_that_only_data_shows, "constant-dimension"),
        (triangle_formed, "causal-mask"),
        (one_coefficient_off, "error-through-depth"),
        (rows_not_normalised, "error-through-depth"),
        (sums_of_earlier_blocks_lost, "losses-and-architectures"),
        (triangle_not_transposed, "losses-and-architectures"),
    ],
)
def test_a_planted_mistake_turns_a_verdict(run_notebook, monkeypatch, mistake, turned):
    mistake(monkeypatch)
    with np.errstate(all="ignore"):
        found = run_notebook(NOTEBOOK, until=turned, profile="quick", device="cpu")
    assert found[turned] != "supported"
