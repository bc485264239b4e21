"""Random small programs: executed and shape-only runs count the same, and the results are NumPy's."""

import array_api_compat.numpy as host_namespace
import array_api_strict
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from touchstone import arrays
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only

DTYPES = ("float32", "float64", "complex64", "complex128")

# Each step takes the namespace and the arrays so far (dropped ones are None) and returns a new array.


def unary(draw, pool, hosts):
    i = draw(st.sampled_from(pool))
    x = hosts[i]
    names = ["negative", "square", "abs", "exp"]
    if x.dtype.kind == "f":
        names += ["tanh", "floor", "sign", "expm1", "cos", "round"]
    name = draw(st.sampled_from(names))
    return lambda xp, v: getattr(xp, name)(v[i])


def binary(draw, pool, hosts):
    i = draw(st.sampled_from(pool))
    fits = [
        j for j in pool if _broadcasts(hosts[i].shape, hosts[j].shape) and hosts[i].dtype == hosts[j].dtype
    ]
    j = draw(st.sampled_from(fits))
    name = draw(st.sampled_from(["add", "subtract", "multiply"]))
    return lambda xp, v: getattr(xp, name)(v[i], v[j])


def scalar(draw, pool, hosts):
    i = draw(st.sampled_from(pool))
    kind = draw(st.integers(0, 3))
    c = draw(st.sampled_from([0.5, 2.0, -3.0]))
    power = draw(st.integers(0, 5))
    return [
        lambda xp, v: v[i] * c,
        lambda xp, v: c - v[i],
        lambda xp, v: v[i] / c,
        lambda xp, v: v[i] ** power,
    ][kind]


def gram(draw, pool, hosts):
    i = draw(st.sampled_from([p for p in pool if hosts[p].ndim >= 2] or pool))
    if hosts[i].ndim < 2:
        return lambda xp, v: xp.linalg.outer(xp.reshape(v[i], (-1,)), xp.reshape(v[i], (-1,)))
    left = draw(st.booleans())
    return lambda xp, v: v[i].mT @ v[i] if left else xp.matmul(v[i], v[i].mT)


def reduction(draw, pool, hosts):
    i = draw(st.sampled_from(pool))
    x = hosts[i]
    axis = draw(st.sampled_from([None, *range(x.ndim)]))
    keep = draw(st.booleans())
    names = ["sum", "prod"]
    if x.dtype.kind == "f":
        names += ["mean", "var", "std"] + (["max", "min"] if x.size else [])
    name = draw(st.sampled_from(names))
    return lambda xp, v: getattr(xp, name)(v[i], axis=axis, keepdims=keep)


def shape(draw, pool, hosts):
    i = draw(st.sampled_from(pool))
    x = hosts[i]
    order = draw(st.permutations(range(x.ndim)))
    kind = draw(st.integers(0, 4))
    split = draw(st.sampled_from([k for k in range(1, max(x.size, 1) + 1) if x.size % k == 0]))
    wide = (draw(st.integers(1, 3)), *x.shape)
    return [
        lambda xp, v: xp.permute_dims(v[i], tuple(order)),
        lambda xp, v: xp.reshape(v[i], (split, x.size // split)),
        lambda xp, v: xp.broadcast_to(v[i], wide),
        lambda xp, v: xp.flip(v[i]),
        lambda xp, v: xp.expand_dims(v[i], axis=x.ndim // 2),
    ][kind]


def slices(draw, pool, hosts):
    i = draw(st.sampled_from(pool))
    key = []
    for side in hosts[i].shape:
        start = draw(st.integers(0, side))
        stop = draw(st.integers(start, side))
        key.append(slice(start, stop, draw(st.integers(1, 3))))
        if side and draw(st.integers(0, 3)) == 0:
            key[-1] = draw(st.integers(0, side - 1))
    if draw(st.booleans()):
        key.insert(0, None)
    if hosts[i].ndim and draw(st.booleans()):
        key = [Ellipsis, *key[1:]] if key[0] is None else [Ellipsis, *key]
        key = [k for k in key if k is not None]
    return lambda xp, v: v[i][tuple(key)]


def join(draw, pool, hosts):
    i = draw(st.sampled_from(pool))
    if hosts[i].ndim and draw(st.booleans()):
        axis = draw(st.integers(0, hosts[i].ndim - 1))
        return lambda xp, v: xp.concat([v[i], v[i] * 2], axis=axis)
    return lambda xp, v: xp.stack([v[i], v[i]], axis=-1)


def ordered(draw, pool, hosts):
    fits = [p for p in pool if hosts[p].ndim and hosts[p].dtype.kind == "f" and hosts[p].size]
    if not fits:
        return None
    i = draw(st.sampled_from(fits))
    axis = draw(st.integers(0, hosts[i].ndim - 1))
    kind = draw(st.integers(0, 3))
    return [
        lambda xp, v: xp.sort(v[i], axis=axis),
        lambda xp, v: xp.take_along_axis(v[i], xp.argsort(v[i], axis=axis), axis=axis),
        lambda xp, v: xp.cumulative_sum(v[i], axis=axis),
        lambda xp, v: xp.where(v[i] > 0, v[i], xp.clip(v[i], max=0.0)),
    ][kind]


def writing(draw, pool, hosts):
    i = draw(st.sampled_from(pool))
    kind = draw(st.integers(0, 2))
    half = hosts[i].shape[0] // 2 if hosts[i].ndim else 0

    def step(xp, v):
        y = xp.asarray(v[i], copy=True)
        if kind == 0:
            y += v[i]
        elif kind == 1 and half:
            y[:half, ...] = v[i][half : 2 * half, ...]
        elif half:
            y[:half, ...] *= 2
        return y

    return step


def fresh(draw, pool, hosts):
    i = draw(st.sampled_from(pool))
    kind = draw(st.integers(0, 2))
    return [
        lambda xp, v: xp.zeros_like(v[i]),
        lambda xp, v: xp.full_like(v[i], 3),
        lambda xp, v: xp.ones(v[i].shape, dtype=v[i].dtype),
    ][kind]


def drop(draw, pool, hosts):
    i = draw(st.sampled_from(pool))

    def step(xp, v):
        x = v[i]
        if len([1 for y in v if y is not None]) > 1:
            v[i] = None
        return x[..., None] if len(x.shape) < 3 else x

    return step


STEPS = (unary, binary, scalar, gram, reduction, shape, slices, join, ordered, writing, fresh, drop)


def _broadcasts(a, b):
    return all(x == y or 1 in (x, y) for x, y in zip(a[::-1], b[::-1], strict=False))


@st.composite
def programs(draw):
    """Input shapes, a dtype and steps that NumPy can carry out."""
    dtype = draw(st.sampled_from(DTYPES))
    shapes = draw(st.lists(st.lists(st.integers(0, 5), max_size=3).map(tuple), min_size=1, max_size=2))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    inputs = []
    for s in shapes:
        x = rng.uniform(-1, 1, s)
        x = x + 1j * rng.uniform(-1, 1, s) if dtype.startswith("c") else x
        inputs.append(np.asarray(x, dtype=dtype))
    steps, values = [], list(inputs)
    for _ in range(draw(st.integers(1, 8))):
        pool = [i for i, x in enumerate(values) if x is not None and x.ndim <= 4 and x.size <= 2000]
        if not pool:
            break
        step = draw(st.sampled_from(STEPS))(draw, pool, values)
        if step is None:
            continue
        steps.append(step)
        with np.errstate(all="ignore"):
            values.append(np.asarray(step(host_namespace, values)))
    return inputs, steps


def run(namespace, inputs, steps):
    values = list(inputs)
    with np.errstate(all="ignore"):
        for step in steps:
            values.append(step(namespace, values))
    return values


def everything(costs):
    return (costs.numbers(), costs.products, costs.ffts, costs.factorisations)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(programs())
def test_executed_and_shape_only_programs_count_the_same(program):
    inputs, steps = program
    x = [counted(a.copy()) for a in inputs]
    with count() as executed:
        with_data = run(arrays.namespace(*x), x, steps)
    s = [shape_only(*a.shape, dtype=a.dtype) for a in inputs]
    with count() as without:
        shapes = run(arrays.namespace(*s), s, steps)
    assert everything(executed) == everything(without)
    expected = run(host_namespace, [a.copy() for a in inputs], steps)
    for got, shape_of, host in zip(with_data, shapes, expected, strict=True):
        if got is None:
            assert shape_of is None
            assert host is None
            continue
        host = np.asarray(host)
        assert got.shape == shape_of.shape == host.shape
        assert got.dtype == shape_of.dtype == host.dtype
        assert not shape_of.has_data
        # the same NumPy calls on the same numbers; layouts, and with them the order of sums, may differ
        epsilon = np.finfo(host.dtype).eps if host.dtype.kind in "fc" else 0
        np.testing.assert_allclose(arrays.to_host(got), host, rtol=1e4 * epsilon, atol=1e3 * epsilon)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_same_tallies_do_not_come_from_empty_programs():
    """The generator reaches every tally: the property above is about something."""
    seen = set()

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(programs())
    def collect(program):
        inputs, steps = program
        s = [shape_only(*a.shape, dtype=a.dtype) for a in inputs]
        with count() as costs:
            values = run(arrays.namespace(*s), s, steps)
        seen.update(name for name, number in costs.numbers().items() if number)
        seen.update("products" for _ in costs.products)
        seen.update("view" for v in values if v is not None)

    collect()
    assert {"multiply_adds", "arithmetic", "transcendentals", "comparisons", "moves", "bytes_peak"} <= seen


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(programs())
def test_dtypes_and_shapes_agree_with_the_strict_namespace(program):
    inputs, steps = program
    x = [counted(a.copy()) for a in inputs]
    strict = [array_api_strict.asarray(a) for a in inputs]
    ours = run(arrays.namespace(*x), x, steps)
    theirs = run(array_api_strict, strict, steps)
    for a, b in zip(ours, theirs, strict=True):
        if a is not None:
            assert a.shape == b.shape
            assert str(a.dtype) == str(b.dtype).removeprefix("array_api_strict.")
