"""A mistake planted in the mathematics turns a verdict of the notebook."""

import math
from pathlib import Path

import numpy as np
import pytest

from touchstone.arrays import namespace
from touchstone.attention import hyper, parts, sorted_blocks, sorted_mask
from touchstone.linalg import spectra
from touchstone.sketching import hashing

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "attention" / "hyper-attention.ipynb"


def test_sound_mathematics(run_notebook):
    found = run_notebook(NOTEBOOK, profile="quick", device="cpu")
    assert found.pop("large-stable-rank") == "refuted"
    assert found.pop("speed-ups-on-models") == "out_of_reach"
    assert set(found.values()) == {"supported"}
    assert len(found) == 10


def binary_order(monkeypatch):
    monkeypatch.setattr(sorted_mask, "gray_rank", lambda keys, bits: keys)


def code_forgets_a_bit(monkeypatch):
    """The code of the lower bits alone, half of the buckets in the place of the others."""
    right = sorted_mask.gray_rank
    monkeypatch.setattr(sorted_mask, "gray_rank", lambda keys, bits: right(keys % 2 ** (bits - 1), bits))


def normals_with_a_mean(monkeypatch):
    right = hashing.hyperplane_hash

    def wrong(*args, **options):
        family = right(*args, **options)
        return hashing.HyperplaneHash(family.normals + 0.5, family.bits, family.tables)

    monkeypatch.setattr(hashing, "hyperplane_hash", wrong)


def one_bit(monkeypatch):
    right = hashing.hyperplane_hash
    monkeypatch.setattr(hashing, "hyperplane_hash", lambda d, bits, rng, **o: right(d, 1, rng, **o))


def row_sums(change):
    """A mistake that makes of the right logarithms, and the arguments that led to them, wrong ones."""

    def plant(monkeypatch):
        right = hyper.approximate_log_row_sums

        def wrong(Q, K, mask, m, kappa, rng, *, cap=None):
            return change(right, Q, K, mask, m, kappa, rng)

        monkeypatch.setattr(hyper, "approximate_log_row_sums", wrong)

    plant.__name__ = change.__name__
    return plant


@row_sums
def samples_counted_twice(right, Q, K, mask, m, kappa, rng):
    return right(Q, K, mask, m, kappa, rng) + math.log(2)


@row_sums
def floor_multiplied(right, Q, K, mask, m, kappa, rng):
    """The floor is kappa tau."""
    floor = np.max(np.log(np.sum(np.exp(Q @ K.T), axis=1))) + math.log(kappa)
    return np.maximum(right(Q, K, mask, m, kappa, rng), floor)


@row_sums
def always_sixteen_samples(right, Q, K, mask, m, kappa, rng):
    return right(Q, K, mask, 16, kappa, rng)


@row_sums
def samples_grow_scarce(right, Q, K, mask, m, kappa, rng):
    """Fewer of them the more tokens there are."""
    return right(Q, K, mask, max(1, 1000 // len(Q)), kappa, rng)


@row_sums
def mask_left_out(right, Q, K, mask, m, kappa, rng):
    return right(Q, K, None, m, kappa, rng)


@row_sums
def a_one_too_many(right, Q, K, mask, m, kappa, rng):
    """Something is added to the row sums so that they are never 0."""
    levels = right(Q, K, mask, m, kappa, rng)
    return namespace(levels).logaddexp(levels, namespace(levels).zeros_like(levels))


def weights_not_inverse(monkeypatch):
    right = hyper.row_norm_sample

    def wrong(V, m, rng):
        index, weights = right(V, m, rng)
        return index, np.full_like(weights, 2 * len(V) / m)

    monkeypatch.setattr(hyper, "row_norm_sample", wrong)


def rows_drawn_once(monkeypatch):
    """The same few rows again and again."""
    right = hyper.row_norm_sample

    def wrong(V, m, rng):
        index, weights = right(V, 16, rng)
        return np.resize(index, m), np.resize(weights, m) * 16 / m

    monkeypatch.setattr(hyper, "row_norm_sample", wrong)


def all_pairs_looked_at(monkeypatch):
    right = sorted_mask.SortedMask.log_sums

    def wrong(self, Q, K):
        Q @ K.T
        return right(self, Q, K)

    monkeypatch.setattr(sorted_mask.SortedMask, "log_sums", wrong)


def triangles_without_their_mask(monkeypatch):
    right = parts.exact_part
    monkeypatch.setattr(parts, "exact_part", lambda Q, K, V, causal=False: right(Q, K, V))


def levels_of_one_side(monkeypatch):
    right = parts.causal_by_halves

    def wrong(Q, K, V, leaf, inner, join=parts.join_parts):
        def keep(a, b):
            return join(a, b)._replace(levels=a.levels)

        return right(Q, K, V, leaf, inner, join=keep)

    monkeypatch.setattr(parts, "causal_by_halves", wrong)


def samples_under_the_mask_kept(monkeypatch):
    right = sorted_blocks._Rows.__init__

    def wrong(self, *args):
        right(self, *args)
        self.blocks = np.full_like(self.blocks, -1)

    monkeypatch.setattr(sorted_blocks._Rows, "__init__", wrong)


def stable_rank_without_squares(monkeypatch):
    right = spectra.stable_rank
    monkeypatch.setattr(spectra, "stable_rank", lambda A, *_, **o: right(A) ** 0.5)


def stable_rank_by_the_largest_entry(monkeypatch):
    """The Frobenius norm over the largest entry."""
    monkeypatch.setattr(spectra, "stable_rank", lambda A, *_, **o: np.sum(A * A) / np.max(A) ** 2)


@pytest.mark.parametrize(
    ("mistake", "turned"),
    [
        (binary_order, "hash-probabilities"),
        (code_forgets_a_bit, "hash-probabilities"),
        (normals_with_a_mean, "hash-probabilities"),
        (one_bit, "hash-probabilities"),
        (samples_counted_twice, "row-sums"),
        (floor_multiplied, "row-sums"),
        (samples_grow_scarce, "row-sums"),
        (always_sixteen_samples, "row-sums-samples"),
        (weights_not_inverse, "product"),
        (rows_drawn_once, "product"),
        (all_pairs_looked_at, "near-linear-time"),
        (triangles_without_their_mask, "causal-by-halves"),
        (levels_of_one_side, "causal-by-halves"),
        (samples_under_the_mask_kept, "causal-by-halves"),
        (stable_rank_without_squares, "stable-rank-unnormalised"),
        (stable_rank_by_the_largest_entry, "stable-rank-unnormalised"),
        (a_one_too_many, "unbounded-entries"),
        (mask_left_out, "hash-helps"),
        (one_bit, "hash-helps"),
    ],
)
def test_a_planted_mistake_turns_a_verdict(run_notebook, monkeypatch, mistake, turned):
    mistake(monkeypatch)
    with np.errstate(all="ignore"):
        found = run_notebook(NOTEBOOK, until=turned, profile="quick", device="cpu")
    assert found[turned] != "supported"
