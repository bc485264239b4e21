r"""Softmax and its relatives, stable for any finite input and analytic for the complex step.

Every function subtracts the largest *real part* along the axis before it exponentiates. That shift does
not move under a small imaginary perturbation, so the functions stay analytic where a shift by a complex
maximum or by an absolute value would not: ``softmax(z + 1j * h * e)`` differentiates to full accuracy.
"""

from __future__ import annotations

from typing import Any

from touchstone.arrays import namespace

Array = Any


def softmax(z: Array, axis: int = -1, *, where: Array | None = None) -> Array:
    r"""The weights :math:`e^{z_j}/\sum_k e^{z_k}` along ``axis``, in the shape and dtype of ``z``.

    ``z`` is real or complex floating. ``where`` (boolean, broadcast against ``z``) restricts the sum to
    its true entries and puts zero elsewhere; an entry ``-inf`` has the same effect. A slice in which
    nothing is left is all zeros (its sum is empty), never NaN. NaN spreads over its slice, and ``+inf``
    has no weight: its entry becomes NaN.

    Cost: one exponential, one division, one subtraction, one addition and one comparison an entry, and a
    second comparison under ``where``. Raises ``TypeError`` for integer or boolean ``z`` and for a ``where``
    that is not boolean, ``ValueError`` for an axis that ``z`` lacks or that is empty.
    """
    exponentials, total = unnormalised_softmax(z, axis, where=where)
    return exponentials / total


def unnormalised_softmax(z: Array, axis: int = -1, *, where: Array | None = None) -> tuple[Array, Array]:
    r"""``exponentials, total`` such that ``softmax(z) == exponentials / total``.

    ``exponentials`` is :math:`e^{z-s}`, where ``s`` is the largest real part of the slice, so nothing
    overflows. ``total`` is its sum with ``axis`` kept at length one, and 1 where nothing is left to sum.
    For products with the weights: dividing afterwards costs one division a result, not one an entry.
    Arguments and errors are those of ``softmax``.
    """
    z, _ = _shifted(z, axis, where)
    xp = namespace(z)
    exponentials = xp.exp(z)
    total = xp.sum(exponentials, axis=axis, keepdims=True)
    return exponentials, xp.where(total == 0, xp.ones_like(total), total)


def log_softmax(z: Array, axis: int = -1) -> Array:
    r"""The logarithms :math:`z_j-\ln\sum_k e^{z_k}` of the softmax weights, exact where those underflow.

    A slice of ``-inf`` alone stays ``-inf``. For complex ``z`` the logarithm of the shifted sum is the
    principal one. Arguments and errors are those of ``softmax``. Cost: one exponential, two subtractions,
    one addition and one comparison an entry.
    """
    z, _ = _shifted(z, axis, None)
    xp = namespace(z)
    total = xp.sum(xp.exp(z), axis=axis, keepdims=True)
    return z - xp.log(xp.where(total == 0, xp.ones_like(total), total))


def logsumexp(z: Array, axis: int = -1) -> Array:
    r""":math:`\ln\sum_k e^{z_k}` along ``axis``, which is removed; ``-inf`` for a slice of ``-inf`` alone.

    For complex ``z`` the logarithm of the shifted sum is the principal one. Arguments and errors are those
    of ``softmax``. Cost: one exponential, one subtraction, one addition and one comparison an entry.
    """
    z, shift = _shifted(z, axis, None)
    xp = namespace(z)
    total = xp.sum(xp.exp(z), axis=axis, keepdims=True)
    empty = total == 0
    logarithm = shift + xp.log(xp.where(empty, xp.ones_like(total), total))  # log(0) would warn
    return xp.squeeze(xp.where(empty, -xp.inf, logarithm), axis=axis)


def _shifted(z: Array, axis: int, where: Array | None) -> tuple[Array, Array]:
    """``z - shift`` with ``-inf`` outside ``where``, and ``shift``: the largest real part, ``axis`` kept."""
    xp = namespace(z) if where is None else namespace(z, where)
    if not xp.isdtype(z.dtype, ("real floating", "complex floating")):
        raise TypeError(f"z of dtype {z.dtype}: expected real or complex floating numbers")
    if not -z.ndim <= axis < z.ndim:
        raise ValueError(f"axis={axis!r}: expected an axis of z, which has {z.ndim} dimensions")
    if z.shape[axis] == 0:
        raise ValueError(f"axis={axis!r}: expected at least one entry, z has shape {z.shape}")
    if where is not None:
        if not xp.isdtype(where.dtype, "bool"):
            raise TypeError(f"where of dtype {where.dtype}: expected booleans")
        z = xp.where(where, z, -xp.inf)
    real = xp.real(z) if xp.isdtype(z.dtype, "complex floating") else z
    shift = xp.max(real, axis=axis, keepdims=True)
    # kept finite: -inf - (-inf) and inf - inf would be NaN
    shift = xp.clip(shift, -xp.finfo(shift.dtype).max, xp.finfo(shift.dtype).max)
    return z - shift, shift
