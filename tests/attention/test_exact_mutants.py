"""What planted mistakes showed the other tests of exact attention to miss."""

import numpy as np
import pytest

from touchstone.attention import exact
from touchstone.attention.exact import attention


@pytest.mark.parametrize(("n", "m"), [(10**4, 2**10), (10**4, 1000), (7, 2**10), (3, 2**20)])
def test_the_default_block_holds_four_mebibytes_of_logits(n, m, monkeypatch):
    seen = []

    def note(f, *arrays, block, workers):
        seen.append((block, workers))
        return arrays[0]

    monkeypatch.setattr(exact, "map_rows", note)
    attention(np.zeros((n, 1)), np.zeros((m, 1)), np.zeros((m, 1)), scale=1.0)
    [(block, workers)] = seen
    assert workers == 1
    one_row = 8 * m  # bytes of float64
    assert block == 1 or block * one_row <= 4 * 2**20
    assert block == n or (block + 1) * one_row > 4 * 2**20
