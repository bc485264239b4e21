"""Running jobs on worker processes, and outliving the death of any of them.

A pool runs jobs; this machine's is here, a cluster's in ``cluster``. When workers die, the jobs that may be
the reason are each tried once more, alone, so that a second death is surely their own; the others go on
together.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from touchstone.reproduce import execute
from touchstone.reproduce.execute import Job, Outcome
from touchstone.reproduce.progress import read_events

_LOOK_AT_PARENT = 0.25
_FALSE_STARTS = 3
_NO_WORKERS = (
    "could not be run: the worker processes die before they begin (killed from outside, or out of memory)."
)


class PoolBroken(Exception):
    """A pool lost workers and cannot go on with these jobs; a new call of ``run`` may."""

    def __init__(self, suspects: list[str], detail: str, hopeless: str = "") -> None:
        super().__init__(detail)
        self.suspects = suspects
        """The jobs that ran on what was lost."""
        self.hopeless = hopeless
        """Why a new call would end in the same way, if that is so."""


class Pool(Protocol):
    """What ``run_jobs`` needs of workers, wherever they are."""

    died_again: str
    """What to say of a job whose workers die although nothing else runs."""

    def run(self, jobs: list[Job], *, alone: bool, stopping: Callable[[], bool]) -> Iterator[Outcome]:
        """The outcome of each job as it comes in. Raises ``PoolBroken``; a job whose worker was lost
        without harm to the others has the outcome ``lost``. Once ``stopping`` says so, it may end early."""

    def kill(self, jobs: list[Job]) -> None:
        """End whatever runs, at once and without asking anyone."""

    def close(self) -> None:
        """Free what the pool holds."""


def run_jobs(
    jobs: list[Job], pool: Pool, *, stopping: Callable[[], bool] = lambda: False
) -> Iterator[Outcome]:
    """The outcome of each job as it comes in; exactly one for each. Closes ``pool`` at the end.

    Once ``stopping`` says so, what has not run is reported as stopped.
    """
    waiting = {job.name: job for job in jobs}
    suspects: list[str] = []
    false_starts = 0
    try:
        while waiting:
            alone = next((name for name in suspects if name in waiting), None)
            batch = [waiting[alone]] if alone else list(waiting.values())
            for job in batch:
                if job.progress:
                    Path(job.progress).unlink(missing_ok=True)
            lost: list[str] = []
            detail = hopeless = ""
            try:
                for outcome in pool.run(batch, alone=alone is not None, stopping=stopping):
                    if outcome.status == "lost":
                        lost.append(outcome.name)
                        detail = outcome.detail
                        continue
                    waiting.pop(outcome.name, None)
                    yield outcome
                if not lost and not stopping():
                    continue
            except PoolBroken as broken:
                lost += broken.suspects
                detail, hopeless = str(broken), broken.hopeless
            if stopping():
                for name in list(waiting):
                    waiting.pop(name)
                    yield Outcome(name, "stopped", "stopped before its end.")
            elif alone and not hopeless:
                waiting.pop(alone)
                yield Outcome(alone, message=pool.died_again, detail=detail)
            elif lost and not hopeless:
                suspects.extend(lost)
            elif hopeless or (false_starts := false_starts + 1) >= _FALSE_STARTS:
                for name in list(waiting):
                    waiting.pop(name)
                    yield Outcome(name, message=hopeless or _NO_WORKERS, detail=detail)
    finally:
        pool.close()


class LocalPool:
    """Worker processes on this machine, through joblib; one that dies takes all of them with it.

    Jobs need a progress file each, from which it is known what a dead worker was doing.
    """

    died_again = (
        "its worker process died twice (killed from outside, or out of memory), "
        "the second time with nothing else running."
    )

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def run(self, jobs: list[Job], *, alone: bool, stopping: Callable[[], bool]) -> Iterator[Outcome]:
        del stopping  # the workers see for themselves, by the file that a job names
        try:
            yield from _run_batch(jobs, 1 if alone else min(self.workers, len(jobs)))
        except _pool_errors() as error:
            _end_pool()
            running = [job for job in jobs if _was_running(job)]
            for job in running:
                _sweep(job)
            raise PoolBroken([job.name for job in running], str(error)) from None

    def kill(self, jobs: list[Job]) -> None:
        for job in jobs:
            if _was_running(job):
                _sweep(job)
                for event in read_events(job.progress):
                    if event.get("event") == "started" and event.get("pid") != os.getpid():
                        with contextlib.suppress(OSError):
                            os.kill(int(event["pid"]), getattr(signal, "SIGKILL", signal.SIGTERM))

    def close(self) -> None:
        _end_pool()


def _run_batch(jobs: list[Job], workers: int) -> Iterator[Outcome]:
    import warnings

    from joblib import Parallel, delayed, parallel_config

    # Said when the caller goes away early (a closed pipe): then there is nobody to be told.
    warnings.filterwarnings("ignore", message=".*still being processed by the workers have been cancelled")
    # With one worker joblib would run the jobs in this process, where a dying job is this process dying.
    # So there are two, and only one of them is handed a job at a time.
    with parallel_config(
        backend="loky", initializer=_start_worker, initargs=(os.getpid(),), inner_max_num_threads=1
    ):
        pool = Parallel(
            n_jobs=max(2, workers),
            pre_dispatch=workers,
            batch_size=1,
            return_as="generator_unordered",
            max_nbytes=None,
        )
        yield from pool(delayed(execute.run_job)(job) for job in jobs)


def _start_worker(parent: int) -> None:
    """In each worker: leave Ctrl-C to the parent, and do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch_parent, args=(parent,), daemon=True, name="watch parent").start()


def _watch_parent(parent: int) -> None:
    from touchstone.reproduce.kernel import kill_group

    while os.getppid() == parent:
        time.sleep(_LOOK_AT_PARENT)
    for pid in list(execute.live_kernels):
        kill_group(pid)
    os._exit(1)


def _end_pool() -> None:
    """End joblib's worker processes, which it would keep for a later call."""
    from joblib.externals.loky import reusable_executor

    executor = reusable_executor._executor
    if executor is not None:
        with contextlib.suppress(Exception):
            executor.shutdown(wait=True, kill_workers=True)


def _pool_errors() -> tuple[type[BaseException], ...]:
    from concurrent.futures import BrokenExecutor

    from joblib.externals.loky.process_executor import ShutdownExecutorError, TerminatedWorkerError

    return (TerminatedWorkerError, BrokenExecutor, ShutdownExecutorError)


def _was_running(job: Job) -> bool:
    seen = [event.get("event") for event in read_events(job.progress)]
    return "started" in seen and "finished" not in seen


def _sweep(job: Job) -> None:
    """Kill what a job's kernel may have left; the kernel itself dies with its worker."""
    from touchstone.reproduce.kernel import kill_group

    for event in read_events(job.progress):
        if event.get("event") == "kernel":
            kill_group(int(event["pid"]))
