from __future__ import annotations

import time

import pytest

from touchstone.evidence.clock import wall_clock


def test_counts_runs_and_orders_times():
    calls = []
    clock = wall_clock(lambda: (calls.append(1), time.sleep(0.002)), repeats=3, warm_up=2)
    assert len(calls) == 5
    assert len(clock.runs) == 3
    assert clock.best == min(clock.runs) >= 0.002
    assert clock.best <= clock.median <= max(clock.runs)


def test_refusals():
    with pytest.raises(ValueError, match="repeats=0"):
        wall_clock(lambda: None, repeats=0)
    with pytest.raises(ValueError, match="warm_up=-1"):
        wall_clock(lambda: None, warm_up=-1)
