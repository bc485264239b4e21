"""What benchmarks share: clocks in turns, peak memory in a process of its own, the load of the machine."""

from __future__ import annotations

import math
import multiprocessing
import os
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any


def interleaved(calls: list[Callable[[], object]], repeats: int, seconds: float) -> list[float]:
    """Median wall clock of each call, in ``repeats`` turns; fewer, but at least 3, past ``seconds``."""
    times: list[list[float]] = [[] for _ in calls]
    for call in calls:
        call()
    begin = perf_counter()
    for turn in range(repeats):
        if turn >= 3 and perf_counter() - begin > seconds:
            break
        for call, taken in zip(calls, times, strict=True):
            if taken and taken[-1] < 0.5:
                call()  # wakes this library's own threads, which slept while others worked
            start = perf_counter()
            call()
            taken.append(perf_counter() - start)
    return [median(t) for t in times]


def extra_memory(make: Callable[..., Callable[[], Any]], *arguments: Any) -> float:
    """Mebibytes by which a fresh process grows at its peak while ``make(*arguments)()`` runs.

    Beyond input and output, which is an array. ``make`` is a function of a module; it prepares the input and
    makes sure that everything lazily loaded is loaded. NaN where the system does not tell (not Linux).
    """
    if not sys.platform.startswith("linux"):
        return math.nan
    context = multiprocessing.get_context("spawn")
    answer = context.SimpleQueue()
    process = context.Process(target=_growth, args=(make, arguments, answer))
    process.start()
    process.join()
    return max(0, answer.get()) / 2**20 if process.exitcode == 0 else math.nan


def _growth(
    make: Callable[..., Callable[[], Any]], arguments: tuple[Any, ...], answer: multiprocessing.SimpleQueue
) -> None:
    call = make(*arguments)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _status("VmRSS")
    output = call()
    answer.put(_status("VmHWM") - before - output.nbytes)


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def load_average() -> str:
    """What else the machine was doing; our own threads count too."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
