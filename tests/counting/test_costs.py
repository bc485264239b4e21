"""Blocks, phases, traces and bytes, against examples worked out by hand."""

import gc

import numpy as np
import pytest

import touchstone.counting.namespace as xp
from touchstone.counting.array import CountingError, Product, count, counted
from touchstone.counting.costs import Factorisation, Transform, repeated
from touchstone.counting.shapes import shape_only

BOTH = pytest.mark.parametrize(
    "make", [lambda *s: counted(np.ones(s)), shape_only], ids=["data", "shape-only"]
)


def test_blocks_nest_and_stay_as_they_ended():
    x = counted(np.ones(10))
    with count() as outer:
        x + 1
        with count() as inner:
            x + 1
        x + 1
    x + 1
    assert inner.arithmetic == 10
    assert outer.arithmetic == 30
    assert outer.operations == 30
    assert "arithmetic=30" in repr(outer)


def test_nothing_is_counted_outside_a_block_and_errors_close_it():
    x = counted(np.ones(10))

    def stops():
        with count() as costs:
            seen.append(costs)
            x + 1
            raise RuntimeError("stop")

    seen = []
    with pytest.raises(RuntimeError, match="stop"):
        stops()
    x + 1
    (costs,) = seen
    assert costs.arithmetic == 10


def test_phases_nest_and_resume():
    x = counted(np.ones((4, 5)))
    with count() as costs:
        with costs.phase("features"):
            x + 1
            with costs.phase("gram"):
                x.T @ x
        x + 1
        with costs.phase("features") as features:
            x + 1
            with costs.phase("gram"):
                x.T @ x
    assert costs.phases["features"] is features
    assert (features.arithmetic, features.multiply_adds) == (40, 200)
    assert features.phases["gram"].arithmetic == 0
    assert features.phases["gram"].products == [Product(5, 4, 5, 2)]
    assert costs.arithmetic == 60
    assert list(costs.phases) == ["features"]


def test_a_phase_of_an_outer_block_inside_an_inner_one():
    x = counted(np.ones(3))
    with count() as outer, count() as inner, outer.phase("a"):
        x + 1
    assert outer.phases["a"].arithmetic == inner.arithmetic == 3
    assert inner.phases == {}


def test_a_phase_needs_an_open_block():
    with count() as costs:
        pass
    with pytest.raises(CountingError, match="not open"), costs.phase("late"):
        pass


def test_phase_peak_is_the_bytes_of_the_block_while_it_was_open():
    x = counted(np.ones(10))
    with count() as costs:
        y = x + 1  # 80 bytes live
        with costs.phase("a"):
            z = y + 1  # 160
            del z
        with costs.phase("b"):
            pass
        w = [y + 1 for _ in range(3)]  # 320
        del w
    assert costs.phases["a"].bytes_peak == 160
    assert costs.phases["b"].bytes_peak == 80
    assert costs.bytes_peak == 320
    assert costs.bytes_live == costs.phases["a"].bytes_live == 80


@BOTH
def test_bytes_of_expressions(make):
    x = make(10)
    gc.disable()  # the counts must not need the collector
    try:
        with count() as costs:
            y = x * x + x  # x * x (80) lives until the sum (80) is there
            assert (costs.bytes_live, costs.bytes_peak) == (80, 160)
            y = y + 1  # the old y lives until the new one is bound
            assert (costs.bytes_live, costs.bytes_peak) == (80, 160)
            z = y[2:5][::-1]  # a view keeps the buffer of y
            del y
            assert costs.bytes_live == 80
            del z
            assert costs.bytes_live == 0
            y = xp.exp(x) + xp.exp(x) * xp.exp(x)  # e, then e e, then their product, then the sum
            assert costs.bytes_peak == 320
            y += x  # in place
            assert costs.bytes_live == 80
    finally:
        gc.enable()
    assert costs.bytes_live == 80
    del y
    assert costs.bytes_live == 80  # after the block the tallies stay


@BOTH
def test_bytes_of_views_and_copies(make):
    x = make(4, 6)
    with count() as costs:
        views = [x.T, x[1:], xp.reshape(x, (24,)), xp.broadcast_to(x, (9, 4, 6)), xp.flip(x), x[None, 0, ::2]]
        views.append(xp.linalg.diagonal(x))
        views.append(xp.reshape(xp.permute_dims(xp.reshape(x, (2, 2, 6)), (2, 0, 1)), (6, 4)))
        views.append(xp.reshape(x[:, ::2], (2, 2, 3)))
        assert costs.bytes_peak == 0
        flat = xp.reshape(x.T, (24,))
        assert costs.bytes_live == 24 * 8
        assert costs.moves == 24
        single = xp.astype(x, xp.float32)
        assert costs.bytes_live == 24 * 12
    del flat, single, views


def test_bytes_in_nested_blocks():
    x = counted(np.ones(10))
    with count() as outer:
        y = x + 1
        with count() as inner:
            z = y + 1
            del y  # not created in the inner block
            assert (inner.bytes_live, outer.bytes_live) == (80, 80)
            del z
            assert (inner.bytes_live, outer.bytes_live) == (0, 0)
    assert (inner.bytes_peak, outer.bytes_peak) == (80, 160)


@BOTH
def test_trace_adds_up_equal_shapes_in_order(make):
    x, b = make(4, 6), make(5, 6, 2)
    square = make(3, 3)
    with count() as costs:
        for _ in range(3):
            x.T @ x
        x @ x.T
        make(4, 6) @ b
        xp.fft.fft(x)
        xp.fft.rfft(x, axis=0)
        xp.linalg.qr(x)
        xp.linalg.solve(square + xp.eye(3), square)
        xp.linalg.cholesky(square + 9 * xp.eye(3))
    assert costs.products == [Product(6, 4, 6, 3), Product(4, 6, 4, 1), Product(4, 6, 2, 5)]
    assert costs.ffts == [Transform("complex", 6, 4), Transform("real", 4, 6)]
    assert costs.factorisations == [
        Factorisation("qr", 4, 6, 1),
        Factorisation("solve", 3, 3, 1),
        Factorisation("cholesky", 3, 3, 1),
    ]


def test_repeated_multiplies_tallies_not_bytes_and_not_inner_blocks():
    x = shape_only(4, 6)
    with count() as costs, costs.phase("a"), repeated(10**40):
        x.T @ x
        with count() as inner:
            x + 1
    assert costs.multiply_adds == 144 * 10**40
    assert costs.products == [Product(6, 4, 6, 10**40)]
    assert costs.phases["a"].arithmetic == 24 * 10**40
    assert inner.arithmetic == 24
    assert costs.bytes_peak == 36 * 8


def test_empty_products_are_not_in_the_trace():
    with count() as costs:
        counted(np.ones((0, 3, 2))) @ counted(np.ones((2, 2)))
    assert costs.products == []
    assert costs.multiply_adds == 0
