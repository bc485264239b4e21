"""What planted mistakes showed the other tests of Gap-Hamming instances to miss."""

import numpy as np
import pytest

from touchstone.arrays import stream
from touchstone.hardness import gap_hamming as module
from touchstone.hardness.gap_hamming import gap_hamming


def test_an_instance_that_one_draw_in_twelve_gives_is_still_drawn():
    a, b = gap_hamming(6, 16, 2, False, stream(0, "rare"))  # a share of 0.086: above one in twenty
    assert min(int(np.sum(x != y)) for x in a for y in b) > 4


def test_draws_end_where_they_should(monkeypatch):
    draws = []
    monkeypatch.setattr(module, "_MOST_DRAWS", 3)
    monkeypatch.setattr(module, "_least_distance", lambda a, b: draws.append(1) or 0)
    with pytest.raises(ValueError, match="in 3 draws"):
        gap_hamming(6, 32, 2, False, stream(0, "never"))
    assert len(draws) == 3
