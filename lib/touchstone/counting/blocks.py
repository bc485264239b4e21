"""Row blocks of counting arrays: what ``arrays.map_rows`` does with them.

With data the blocks run one after the other. Without data two full blocks run (the first makes the result,
the second may make the first sum), then one more with every tally multiplied for all the others, and the
rest: the number of blocks may have a thousand digits. Tallies and peak agree exactly between the two, as
long as ``f`` costs the same on every full block after the second and keeps nothing alive between blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from touchstone.arrays import reductions
from touchstone.counting import costs
from touchstone.counting.costs import CountingError
from touchstone.counting.storage import Stored, check_array, fresh


def map_rows(f: Callable[..., Any], arrays: Sequence[Stored], block: int, reduce: str | Sequence[str]) -> Any:
    """See ``arrays.map_rows``, which checks the arguments. Cost: that of ``f``, and the moves of the rows
    into the result, or the additions of the sums."""
    arrays = tuple(check_array(x, "map_rows", "an array") for x in arrays)
    n = arrays[0].shape[0]
    results: list[Stored] = []

    def run(start: int) -> tuple[Stored, ...]:
        result = f(*(x[start : start + block, ...] for x in arrays))
        return result if isinstance(result, tuple) else (result,)

    def first(start: int) -> None:
        part = run(start)
        for r, x in zip(reductions(reduce, len(part)), part, strict=True):
            results.append(x if r == "sum" else _rows_like(check_array(x, "map_rows", "a result of f"), n))
        combine(start, part, "concatenate")

    def step(start: int) -> None:
        part = run(start)
        combine(start, part, "concatenate")
        combine(start, part, "sum")

    def combine(start: int, part: tuple[Stored, ...], which: str) -> None:
        """Write or add those of the results that ``which`` names."""
        for i, (r, x) in enumerate(zip(reductions(reduce, len(part)), part, strict=True)):
            if r == which == "concatenate":
                results[i][start : start + x.shape[0], ...] = x
            elif r == which:
                results[i] = results[i] + x

    first(0)
    full = n // block  # the first block is done; full - 1 more like it, then the rest
    if all(x.has_data for x in arrays):
        for start in range(block, n, block):
            step(start)
    else:
        if full > 1:
            step(block)
        _repeat(lambda: step(block), full - 2)
        if full and n % block:
            step(full * block)
    return tuple(results) if len(results) > 1 else results[0]


def _rows_like(x: Stored, n: int) -> Stored:
    """The output of ``n`` rows that blocks like ``x`` are written into."""
    shape = (n, *x.shape[1:])
    if x.has_data:
        return fresh(np.empty(shape, x.dtype), shape, x.dtype)
    return fresh(None, shape, x.dtype)


def _repeat(step: Callable[[], None], times: int) -> None:
    """``step``, once, for ``times`` runs of it."""
    if times < 1:
        return
    before = costs.live_bytes()
    with costs.repeated(times):
        step()
    if times > 1 and costs.live_bytes() != before:
        raise CountingError(
            "map_rows without data: f keeps arrays alive from block to block, so its bytes differ"
        )
