"""What planted mistakes showed the other tests of the exponential's polynomials to miss."""

import math

import numpy as np
import pytest

from touchstone.functions.exponential import exp_degree, exp_tail_log


def test_the_largest_arguments_are_the_stated_ones():
    assert exp_degree(1e7, 0.0) > 1e7
    assert exp_degree(1.0, -1e15) > 1e13
    with pytest.raises(ValueError, match="radius="):
        exp_degree(math.nextafter(1e7, math.inf), 0.0)
    with pytest.raises(ValueError, match="log_eps="):
        exp_degree(1.0, -math.nextafter(1e15, math.inf))
    with pytest.raises(ValueError, match="radius="):
        exp_tail_log(np.nextafter(1e7, np.inf), 3)
