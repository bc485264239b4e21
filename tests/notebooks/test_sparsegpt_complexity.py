"""A mistake planted in the mathematics turns a verdict of the notebook."""

from pathlib import Path

import numpy as np
import pytest

from touchstone.arrays import namespace
from touchstone.counting import products
from touchstone.learning import sparsegpt

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "transformers" / "sparsegpt-complexity.ipynb"


def test_sound_mathematics_is_supported(run_notebook):
    found = run_notebook(NOTEBOOK, profile="quick", device="cpu")
    assert len(found) == 7
    assert set(found.values()) == {"supported"}


def lazy_product(change):
    # what a block owes to later columns, altered; a single column is right
    def plant(monkeypatch):
        right = sparsegpt._subtract_product

        def wrong(target, start, stop, A, B):
            right(target, start, stop, *(change(A, B) if B.shape[0] > 1 else (A, B)))

        monkeypatch.setattr(sparsegpt, "_subtract_product", wrong)

    return plant


def lazy_product_without_the_last_column(monkeypatch):
    right = sparsegpt._subtract_product

    def wrong(target, start, stop, A, B):
        if B.shape[0] > 1:
            stop, A = stop - 1, A[:-1]
        right(target, start, stop, A, B)

    monkeypatch.setattr(sparsegpt, "_subtract_product", wrong)


def factor_of_the_matrix_itself(monkeypatch):
    monkeypatch.setattr(sparsegpt, "inverse_factor", lambda X, damping: np.linalg.cholesky(X @ X.T).T)


def damping_halved(monkeypatch):
    right = sparsegpt.inverse_factor
    monkeypatch.setattr(sparsegpt, "inverse_factor", lambda X, damping: right(X, damping / 2))


def factor_of_a_permuted_matrix(monkeypatch):
    # lower triangular in disguise: the columns are taken in the wrong order
    right = sparsegpt.inverse_factor
    monkeypatch.setattr(sparsegpt, "inverse_factor", lambda X, damping: right(X[::-1], damping))


def largest_dropped(monkeypatch):
    right = sparsegpt._drop_smallest
    monkeypatch.setattr(sparsegpt, "_drop_smallest", lambda values, dropped: right(-values, dropped))


def one_value_too_many_dropped(monkeypatch):
    right = sparsegpt._dropped
    monkeypatch.setattr(sparsegpt, "_dropped", lambda fraction, size: right(fraction, size) + 1)


def scores_without_the_diagonal(monkeypatch):
    def wrong(self, first):
        after = min(first + self.mask_block, self.columns.shape[0])
        scores = np.abs(self.columns[first:after, :])
        kept = sparsegpt._drop_smallest(scores.ravel(), scores.size // 2)
        self.kept[first:after, :] = kept.reshape(scores.shape)

    monkeypatch.setattr(sparsegpt._Sweep, "choose", wrong)


def a_product_too_many(monkeypatch):
    right = sparsegpt._Sweep.column

    def wrong(self, j, stop, base):
        right(self, j, stop, base)
        self.xp.linalg.outer(self.U[j, j:stop], self.errors[j - base, :])

    monkeypatch.setattr(sparsegpt._Sweep, "column", wrong)


def sorted_twice(monkeypatch):
    right = sparsegpt._drop_smallest

    def wrong(values, dropped):
        if values.shape[0] > 2**13:  # at sizes that nobody runs
            for _ in range(values.shape[0] // 2**13):
                right(values, dropped)
        return right(values, dropped)

    monkeypatch.setattr(sparsegpt, "_drop_smallest", wrong)


def shapes(change):
    def plant(monkeypatch):
        right = sparsegpt.update_shapes
        monkeypatch.setattr(sparsegpt, "update_shapes", lambda *arguments: change(*right(*arguments)))

    return plant


def every_product_counted_by_its_rest(lazy, innermost):
    return [(r, b, rows, times * max(1, r // b)) for r, b, rows, times in lazy], innermost


def innermost_blocks_doubled(lazy, innermost):
    return lazy, [(2 * length, times) for length, times in innermost]


def lazy_products_forgotten(lazy, innermost):
    return lazy[:1], innermost


def recursion_stops_at_the_root(monkeypatch):
    # at blocks of about √d columns
    right = sparsegpt.halvings

    def wrong(columns, leaf=1):
        return right(columns, max(leaf, 2 ** (columns.bit_length() // 2)) if columns > 2**9 else leaf)

    monkeypatch.setattr(sparsegpt, "halvings", wrong)


def table_entry(at, change):
    def plant(monkeypatch):
        monkeypatch.setattr(
            products,
            "TABLE",
            tuple((a, w + change if a == at else w) for a, w in products.TABLE),
        )

    return plant


@pytest.mark.parametrize(
    ("mistake", "turned"),
    [
        (lazy_product(lambda A, B: (-A, B)), "same-result"),
        (lazy_product(lambda A, B: (1.000001 * A, B)), "same-result"),
        (lazy_product(lambda A, B: (A, np.flip(B, axis=0))), "same-result"),
        (lazy_product_without_the_last_column, "same-result"),
        (factor_of_the_matrix_itself, "same-result"),
        (factor_of_a_permuted_matrix, "same-result"),
        (damping_halved, "same-result"),
        (largest_dropped, "same-result"),
        (one_value_too_many_dropped, "same-result"),
        (scores_without_the_diagonal, "same-result"),
        (a_product_too_many, "classical-count"),
        (lazy_product(lambda A, B: (A @ namespace(B).eye(B.shape[0]), B)), "list-of-products"),
        (shapes(lazy_products_forgotten), "list-of-products"),
        (shapes(innermost_blocks_doubled), "list-of-products"),
        (shapes(every_product_counted_by_its_rest), "exponent"),
        (sorted_twice, "mask-selection"),
        (table_entry(0.5275, 0.02), "optimum"),
        (recursion_stops_at_the_root, "recursion"),
    ],
)
def test_a_planted_mistake_turns_a_verdict(run_notebook, monkeypatch, mistake, turned):
    mistake(monkeypatch)
    with np.errstate(all="ignore"):
        found = run_notebook(NOTEBOOK, until=turned, profile="quick", device="cpu")
    assert found[turned] != "supported"
