import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchstone.counting.shapes import shape_only
from touchstone.counting.space import PeakSpace, live_bits, live_words
from touchstone.counting.streams import OnePass
from touchstone.counting.tally import events


@given(st.lists(st.integers()))
def test_bits_of_python_integers(numbers):
    expected = sum(max(1, len(bin(abs(n))) - 2) + (n < 0) for n in numbers)
    assert live_bits(numbers) == expected


@pytest.mark.parametrize(
    ("structure", "bits"),
    [
        (1.0, 64),
        (1j, 128),
        (True, 1),
        (np.bool_(True), 1),
        (np.float32(1), 32),
        (np.zeros((3, 4), dtype=np.float32), 12 * 32),
        (np.zeros(5, dtype=np.int8), 40),
        (np.zeros(5, dtype=bool), 5),
        (np.zeros(2, dtype=complex), 256),
        ("é", 16),
        (b"abc", 24),
        (shape_only(2**300, 1, dtype="float16"), 16 * 2**300),
    ],
)
def test_bits(structure, bits):
    assert live_bits(structure) == bits


@given(st.lists(st.integers(0, 40), min_size=1, max_size=20))
def test_peak_is_the_largest_observation(sizes):
    peak = PeakSpace()
    for n in sizes:
        assert peak.observe(np.zeros(n, dtype=np.float32)) == n
    assert peak.tally == {"words": max(sizes), "bits": 32 * max(sizes), "observations": len(sizes)}


def test_structures_observed_together_share_what_they_share():
    peak = PeakSpace(ignore=(str,))
    row = np.zeros(10)
    assert peak.observe(row, [row, 1.0], {"name": row[:5]}) == 11


def test_reservoir_against_hoarder():
    """One sample in constant space against keeping the stream; the same for slices of it."""
    sizes = [64, 128, 256, 512]
    results = {"reservoir": [], "hoarder": [], "slices": []}
    for n in sizes:
        data = np.arange(4.0 * n).reshape(n, 4)
        for name, peaks in results.items():
            rng, peak = np.random.default_rng(0), PeakSpace()
            kept = []
            stream = OnePass(data)
            for i, row in enumerate(stream):
                if name == "reservoir":
                    kept = [row] if rng.random() < 1 / (i + 1) else kept
                elif name == "hoarder":
                    kept.append(row)
                else:
                    kept = [data[i : i + 1]]  # looks small, keeps everything alive
                peak.observe(kept, stream)
            peaks.append(peak)
    assert events(results["reservoir"], "words") == [4] * 4
    assert events(results["hoarder"], "words") == [4 * n for n in sizes]
    assert events(results["slices"], "words") == [4 * n for n in sizes]


def test_exact_beyond_any_memory():
    assert live_words({"table": shape_only(2**320, 3), "seed": 2**100}) == 3 * 2**320 + 2 + 2
