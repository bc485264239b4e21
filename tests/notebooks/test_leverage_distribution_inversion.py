"""A mistake planted in the mathematics turns a verdict of the notebook."""

from pathlib import Path

import numpy as np
import pytest

from touchstone.optimization import gradient_descent, newton
from touchstone.regression import leverage_inversion, slacks

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "privacy" / "leverage-distribution-inversion.ipynb"
REFUTED = {"definite-everywhere", "newton-from-anywhere"}


def test_sound_mathematics(run_notebook):
    found = run_notebook(NOTEBOOK, profile="quick", device="cpu")
    assert {id for id, word in found.items() if word == "refuted"} == REFUTED
    assert set(found.values()) == {"supported", "refuted"}
    assert len(found) == 12


def wrong_coefficient(monkeypatch):
    right = leverage_inversion.cubic_form
    monkeypatch.setattr(leverage_inversion, "cubic_form", lambda *args: 7 / 8 * right(*args))


def dropped_term(monkeypatch):
    right = leverage_inversion.row_form
    monkeypatch.setattr(leverage_inversion, "row_form", lambda *args: 0 * right(*args))


def wrong_scale(monkeypatch):
    right = leverage_inversion._jacobian
    monkeypatch.setattr(leverage_inversion, "_jacobian", lambda *args: right(*args) / 2)


def regulariser_forgotten(monkeypatch):
    right = leverage_inversion.leverage_loss
    monkeypatch.setattr(
        leverage_inversion, "leverage_loss", lambda A, b, x, target, w=None: right(A, b, x, target)
    )


def graph_without_its_edges(monkeypatch):
    # Σ for the Laplacian Σ - P²
    monkeypatch.setattr(
        leverage_inversion, "_jacobian", lambda scaled, _: -2 * scaled.scores[..., None] * scaled.rows
    )


def gram_matrix_for_the_factorisation(monkeypatch):
    # the rows as they are for a basis: the inverse that follows is that of their Gram matrix
    def wrong(rows, _):
        d = rows.shape[-1]
        return rows, np.broadcast_to(np.eye(d), (*rows.shape[:-2], d, d))

    monkeypatch.setattr(slacks, "_graded_qr", wrong)


def half_the_edges(monkeypatch):
    right = leverage_inversion.spread_moments
    monkeypatch.setattr(leverage_inversion, "spread_moments", lambda *args: right(*args) / 2)


def half_steps(monkeypatch):
    right = newton._solve
    monkeypatch.setattr(newton, "_solve", lambda hessian, gradient: right(hessian, gradient) / 2)


def half_step_size(monkeypatch):
    right = gradient_descent.gradient_descent
    monkeypatch.setattr(
        gradient_descent,
        "gradient_descent",
        lambda grad, x0, step, steps, **options: right(grad, x0, step / 2, steps, **options),
    )


def overdamped(monkeypatch):
    right = newton.ArmijoDamping.shifted
    monkeypatch.setattr(
        newton.ArmijoDamping,
        "shifted",
        lambda self, H: right(self, H) + 1e3 * np.max(np.abs(H)) * np.eye(H.shape[-1]),
    )


@pytest.mark.parametrize(
    ("mistake", "turned"),
    [
        (wrong_coefficient, "derivatives"),
        (dropped_term, "derivatives"),
        (wrong_scale, "derivatives"),
        (half_the_edges, "derivatives"),
        (regulariser_forgotten, "definite-with-regulariser"),
        (graph_without_its_edges, "null-direction"),
        (gram_matrix_for_the_factorisation, "smooth-across-a-hyperplane"),
        (half_steps, "newton"),
        (half_step_size, "gradient-descent"),
        (overdamped, "newton-from-its-own-cell"),
    ],
)
def test_a_planted_mistake_turns_a_verdict(run_notebook, monkeypatch, mistake, turned):
    mistake(monkeypatch)
    with np.errstate(all="ignore"):
        found = run_notebook(NOTEBOOK, until=turned, profile="quick", device="cpu")
    assert found[turned] != "supported"
