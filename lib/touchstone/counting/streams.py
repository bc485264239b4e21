"""Streams that can be read once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

import numpy as np

from touchstone.arrays import Array, namespace


class SecondPassError(RuntimeError):
    """A stream that was read again, or read out of order."""


class OnePass:
    """The rows of a stream, in order, once.

    ``rows`` is an array (its first axis is the stream) or any iterable. Iterating, or ``blocks(size)``,
    starts the only pass; a second start, indexing or conversion to an array raises ``SecondPassError``. Each
    row or block of an array is handed out as a copy, so that whoever keeps it keeps that alone and not the
    stream (see ``space.live_words``, which charges nothing for the stream itself). ``tally`` counts ``rows``
    handed out and ``passes`` started. ``len`` is the length, where ``rows`` has one.

    The guard holds for the algorithm that is given this object and nothing else. Raises ``ValueError`` for
    an array without axes, ``TypeError`` for what cannot be iterated.
    """

    def __init__(self, rows: Array | Iterable[Any]) -> None:
        self._is_array = hasattr(rows, "shape") and hasattr(rows, "dtype")
        if self._is_array and not rows.shape:
            raise ValueError("rows of shape (): expected at least one axis")
        if not self._is_array and not isinstance(rows, Iterable):
            raise TypeError(f"rows of type {type(rows).__name__}: expected an array or an iterable")
        self._rows = rows
        self.tally: Counter[str] = Counter(rows=0, passes=0)

    def __len__(self) -> int:
        return int(self._rows.shape[0]) if self._is_array else len(self._rows)

    def __iter__(self) -> Iterator[Any]:
        self._start()
        return self._read()

    def blocks(self, size: int) -> Iterator[Any]:
        """The only pass, in blocks of ``size`` rows (the last may be shorter): arrays, or lists of items.

        Raises ``ValueError`` unless ``size`` is an integer >= 1, ``SecondPassError`` when the stream has been
        started before.
        """
        if isinstance(size, bool) or not hasattr(size, "__index__") or size < 1:
            raise ValueError(f"size={size!r}: expected an integer >= 1")
        self._start()
        return self._read_blocks(int(size))

    def _start(self) -> None:
        if self.tally["passes"]:
            raise SecondPassError(
                f"a second pass over the stream, after {self.tally['rows']} rows of the first"
            )
        self.tally["passes"] += 1

    def _read(self) -> Iterator[Any]:
        for row in self._source():
            self.tally["rows"] += 1
            yield row

    def _source(self) -> Iterator[Any]:
        if self._is_array:
            return (_own(self._rows[i, ...]) for i in range(len(self)))
        return (_own(row) if isinstance(row, np.ndarray) else row for row in self._rows)

    def _read_blocks(self, size: int) -> Iterator[Any]:
        if self._is_array:
            for start in range(0, len(self), size):
                block = _own(self._rows[start : start + size, ...])
                self.tally["rows"] += int(block.shape[0])
                yield block
            return
        block = []
        for row in self._read():
            block.append(row)
            if len(block) == size:
                yield block
                block = []
        if block:
            yield block

    def __live__(self) -> tuple[()]:
        """The stream is not the memory of whoever reads it."""
        return ()

    def __getitem__(self, index: Any) -> NoReturn:
        raise SecondPassError(f"stream[{index!r}]: a stream is read in order, by iterating")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        raise SecondPassError("a stream cannot be turned into an array: it is read by iterating")


def _own(rows: Any) -> Any:
    return (
        rows.copy() if isinstance(rows, np.ndarray | np.generic) else namespace(rows).asarray(rows, copy=True)
    )
