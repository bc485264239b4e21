"""Gradient descent: plain, projected, or with noise in the gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

Array = Any


def gradient_descent(
    grad: Callable[[Array], Array],
    x0: Array,
    step: float | Callable[[int], float],
    steps: int,
    *,
    project: Callable[[Array], Array] | None = None,
    noise: Callable[[int], Array] | None = None,
    record: Callable[[Array], Any] | None = None,
) -> tuple[Array, list[Any]]:
    """``steps`` iterations of ``x <- project(x - step * (grad(x) + noise))`` from ``x0``.

    ``x0`` has any shape and ``grad(x)`` the same (leading axes may be a batch of starts: the iteration does
    not mix entries). ``step`` is a number, or the number for iteration t = 0, 1, ...; ``noise(t)`` is added
    to the gradient of iteration t. ``project`` is applied to the iterates, not to ``x0``.

    Returns the last iterate and the trace: ``record(x)`` of all ``steps + 1`` iterates, ``x0`` first, and an
    empty list without ``record``. Divergence is not stopped: the trace shows it.

    Cost: ``steps`` gradients. Raises ``ValueError`` for a negative number of steps, a ``step`` that is not
    positive and finite, or a gradient of another shape than ``x0``.
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
        raise ValueError(f"steps={steps!r}: expected an integer >= 0")
    if not callable(step):
        _check_step(step, "step")
    x = x0
    trace = [] if record is None else [record(x)]
    for t in range(steps):
        size = step(t) if callable(step) else step
        if callable(step):
            _check_step(size, f"step({t})")
        direction = grad(x)
        if tuple(direction.shape) != tuple(x.shape):
            raise ValueError(
                f"grad(x) of shape {tuple(direction.shape)}: expected {tuple(x.shape)}, that of x0"
            )
        if noise is not None:
            direction = direction + noise(t)
        x = x - size * direction
        if project is not None:
            x = project(x)
        if record is not None:
            trace.append(record(x))
    return x, trace


def _check_step(size: float, name: str) -> None:
    if not (size > 0 and math.isfinite(size)):
        raise ValueError(f"{name}={size!r}: expected a positive finite number")
