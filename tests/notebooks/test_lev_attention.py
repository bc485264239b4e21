"""A mistake planted in the mathematics turns a verdict of the notebook."""

from pathlib import Path

import numpy as np
import pytest

from touchstone.attention import heavy_keys, power
from touchstone.counting import bits
from touchstone.functions import monomials
from touchstone.linalg import gram_leverage, leverage, lewis
from touchstone.sketching import sensitivity_bounds

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "attention" / "lev-attention.ipynb"


def test_sound_mathematics_is_supported(run_notebook):
    found = run_notebook(NOTEBOOK, profile="quick", device="cpu")
    assert {id for id, word in found.items() if word == "out_of_reach"} == {"trained-transformers"}
    assert set(found.values()) == {"supported", "out_of_reach"}
    assert len(found) == 16


def leverage_too_small(monkeypatch):
    """One per cent off: caught where a query attains it."""
    right = leverage.leverage_scores
    monkeypatch.setattr(leverage, "leverage_scores", lambda *a, **k: 0.99 * right(*a, **k))


def threshold_doubled(monkeypatch):
    right = heavy_keys.universal_set
    monkeypatch.setattr(
        heavy_keys, "universal_set", lambda K, eps, p=2, **k: right(K, min(1.0, 2 * eps), p, **k)
    )


def threshold_halved(monkeypatch):
    right = heavy_keys.universal_set
    monkeypatch.setattr(heavy_keys, "universal_set", lambda K, eps, p=2, **k: right(K, eps / 2, p, **k))


def products_of_two_features_forgotten(monkeypatch):
    """Squares of the features alone. (Their weights do not matter here: leverage ignores scales.)"""
    monkeypatch.setattr(sensitivity_bounds, "symmetric_power", lambda X, degree: X**degree)


def power_two_for_four(monkeypatch):
    right = sensitivity_bounds.sensitivity_bounds
    monkeypatch.setattr(heavy_keys, "sensitivity_bounds", lambda A, p, **k: right(A, min(p, 2), **k))


def lewis_not_iterated(monkeypatch):
    """The start is uniform: every key the same weight, and no correction for it."""
    monkeypatch.setattr(
        sensitivity_bounds,
        "sensitivity_bounds",
        lambda A, p, **k: lewis.lewis_weights(A, p, 0) if p == 1 else leverage.leverage_scores(A),
    )


def lewis_exponent_wrong(monkeypatch):
    monkeypatch.setattr(
        sensitivity_bounds,
        "sensitivity_bounds",
        lambda A, p, **k: leverage.leverage_scores(A) ** 2 if p == 1 else leverage.leverage_scores(A),
    )


def guard_forgotten(monkeypatch):
    """Keys that lie on the limit are lost to rounding."""
    monkeypatch.setattr(heavy_keys, "guarded", lambda eps, dtype, xp: eps * (1 + 1e-7))


def every_key_is_compared(monkeypatch):
    """The list is right, but every query looks at every key."""
    right = heavy_keys.heavy_pairs

    def wrong(Q, K, eps, p=2, **options):
        power.power_attention_weights(Q, K, p)
        return right(Q, K, eps, p, **options)

    monkeypatch.setattr(heavy_keys, "heavy_pairs", wrong)


def normaliser_of_the_set_only(monkeypatch):
    """Scores over the sum of a few keys in place of all of them."""
    right = power.power_normalisers
    monkeypatch.setattr(heavy_keys, "power_normalisers", lambda Q, K, p, **k: 0.9 * right(Q, K, p, **k))


def gram_forgets(monkeypatch):
    """The sum of the last block only."""
    right = heavy_keys.OnePassHeavyKeys._keep

    def wrong(self, keys, positions, gram):
        self.gram = self.gram * 0.5
        right(self, keys, positions, gram)

    monkeypatch.setattr(heavy_keys.OnePassHeavyKeys, "_keep", wrong)


def stream_counts_half(monkeypatch):
    right = gram_leverage.gram_leverage
    monkeypatch.setattr(gram_leverage, "gram_leverage", lambda rows, gram: right(rows, gram) / 2)


def never_filtered(monkeypatch):
    monkeypatch.setattr(heavy_keys.OnePassHeavyKeys, "capacity", property(lambda self: 10**9))


def summary_of_everything(monkeypatch):
    """Each shard sends all keys it has stored."""
    monkeypatch.setattr(
        heavy_keys.OnePassHeavyKeys,
        "summary",
        lambda self: (self.gram, np.concatenate([self.keys] * 20), np.concatenate([self.positions] * 20)),
    )


def words_not_counted(monkeypatch):
    """A channel that charges for messages and not for what is in them: nothing is then rejected."""
    right = bits.Channel.send

    def wrong(self, message, **options):
        arrived = right(self, message, **options)
        self.tally["words"] = self.tally["messages"]
        return arrived

    monkeypatch.setattr(bits.Channel, "send", wrong)


def shards_lose_their_gram_matrix(monkeypatch):
    right = heavy_keys.OnePassHeavyKeys.merge
    monkeypatch.setattr(
        heavy_keys.OnePassHeavyKeys,
        "merge",
        lambda self, gram, keys, positions: right(self, keys.T @ keys, keys, positions),
    )


def least_leverage_first(monkeypatch):
    right = leverage.leverage_scores
    monkeypatch.setattr(leverage, "leverage_scores", lambda A, *a, **k: 1 - right(A, *a, **k))


def power_halved(monkeypatch):
    """|x| where |x|² was meant."""
    right = power.power
    monkeypatch.setattr(power, "power", lambda x, p: right(x, p / 2))


def symmetric_power_of_another_degree(monkeypatch):
    right = monomials.symmetric_power
    monkeypatch.setattr(sensitivity_bounds, "symmetric_power", lambda X, degree: right(X, degree + 1))


@pytest.mark.parametrize(
    ("mistake", "turned"),
    [
        (leverage_too_small, "sensitivity-is-leverage"),
        (power_halved, "sensitivity-is-leverage"),
        (threshold_doubled, "universal-set"),
        (threshold_halved, "size-necessary"),
        (products_of_two_features_forgotten, "universal-set-quartic"),
        (power_two_for_four, "universal-set-quartic"),
        (symmetric_power_of_another_degree, "size"),
        (lewis_not_iterated, "universal-set-lewis"),
        (lewis_exponent_wrong, "universal-set-lewis"),
        (guard_forgotten, "size-necessary"),
        (every_key_is_compared, "linear-time"),
        (normaliser_of_the_set_only, "linear-time"),
        (gram_forgets, "one-pass"),
        (stream_counts_half, "one-pass"),
        (never_filtered, "one-pass-memory"),
        (never_filtered, "refiltering"),
        (summary_of_everything, "shards"),
        (words_not_counted, "shards"),
        (shards_lose_their_gram_matrix, "shards"),
        (least_leverage_first, "images"),
    ],
)
def test_a_planted_mistake_turns_a_verdict(run_notebook, monkeypatch, mistake, turned):
    mistake(monkeypatch)
    with np.errstate(all="ignore"):
        found = run_notebook(NOTEBOOK, until=turned, profile="quick", device="cpu")
    assert found[turned] != "supported"
