"""Running jobs on a Dask cluster through joblib's Dask backend.

Dask runs a task elsewhere when its worker is lost. What is added here: a notebook whose workers die again and
again is one lost job and not the end of all; news come back while notebooks run; and a run that is stopped,
or that lost its scheduler or all its workers, ends with a sentence.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import Any

from touchstone.reproduce.errors import ReproductionError
from touchstone.reproduce.execute import Job, Outcome, Reporter, describe
from touchstone.reproduce.on_worker import Installed, introduce, run_on_worker
from touchstone.reproduce.pool import PoolBroken

_CONNECT = 5.0
_PATIENCE = 60.0
_LOOK = 0.2
_COUNT_WORKERS = 2.0
_GPU = "GPU"
_NO_WORKER_LEFT = "could not be run: no worker is left on the cluster."
_NO_DASK = (
    "--scheduler needs Dask, here and on the workers: pip install 'dask[distributed]', or this project with "
    "the extra `cluster`."
)


def connect(
    address: str, expected: Installed, *, gpu: bool, say: Callable[[str], None], patience: float = _PATIENCE
) -> ClusterPool:
    """The workers of the Dask scheduler at ``address``, each of them checked.

    With ``gpu`` only workers that offer the resource ``GPU`` count. Raises ``ReproductionError`` when Dask is
    not installed, nothing answers, no worker comes within ``patience`` seconds, or one has another version
    of Python, of a package, or of this project than ``expected``.
    """
    try:
        from distributed import Client
        from distributed.comm.addressing import parse_address
        from distributed.comm.registry import get_backend
    except ImportError:
        raise ReproductionError(_NO_DASK) from None
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters of its news comes as an outcome
    try:
        get_backend(parse_address(address)[0])
        client = Client(address, set_as_default=False, timeout=_CONNECT)
    except (OSError, ValueError, TypeError) as error:
        raise ReproductionError(f"no Dask scheduler answers at {address}: {describe(error)}") from None
    pool = ClusterPool(client, expected, gpu)
    try:
        workers = pool.wait_for_workers(patience, say)
        for worker, answer in client.run(introduce, expected, workers=workers, on_error="return").items():
            if isinstance(answer, ModuleNotFoundError):
                raise ReproductionError(f"the worker {worker} lacks the project: {answer}.")
            if answer is not None:
                answer = f"cannot be used: {describe(answer)}" if isinstance(answer, Exception) else answer
                raise ReproductionError(f"the worker {worker} {answer}")
    except BaseException:
        pool.close()
        raise
    say(f"{len(workers)} worker{'s' * (len(workers) > 1)} at {address}")
    return pool


class ClusterPool:
    """The workers of a Dask cluster, as ``run_jobs`` wants them."""

    died_again = (
        "its worker died each time that it ran (killed from outside, or out of memory), "
        "the last times with nothing else running."
    )

    patience = _PATIENCE
    """Seconds without any worker after which there is nothing to wait for."""

    def __init__(self, client: Any, expected: Installed, gpu: bool) -> None:
        self._client = client
        self._expected = expected
        self._gpu = gpu
        self._reporters: dict[str, Reporter] = {}
        self._topic = f"touchstone-{uuid.uuid4().hex}"
        client.subscribe_topic(self._topic, self._take)

    def wait_for_workers(self, patience: float, say: Callable[[str], None]) -> list[str]:
        """The addresses of the workers that can be used, once there is one."""
        deadline = time.monotonic() + patience
        told = False
        while not (found := self._workers()):
            if time.monotonic() > deadline:
                there = len(self._workers(any_kind=True))
                what = (
                    f"none of the {there} workers offers a GPU: start those that have one with "
                    f"--resources {_GPU}=1"
                    if there
                    else f"no worker came within {patience:g} s"
                )
                raise ReproductionError(f"{self._client.scheduler.address}: {what}.")
            if not told:
                told = True
                say("waiting for a worker")
            time.sleep(_LOOK)
        return found

    def run(self, jobs: list[Job], *, alone: bool, stopping: Callable[[], bool]) -> Iterator[Outcome]:
        del alone  # the batch says it: Dask has nothing else to run for us then
        self._reporters = {job.name: Reporter(job.progress) for job in jobs}
        arrived: queue.SimpleQueue[Any] = queue.SimpleQueue()
        backend = _backend(self._client, {_GPU: 1} if self._gpu else None)
        # In a thread, so that this one can look after what joblib waits for without end.
        feeder = threading.Thread(target=self._feed, args=(jobs, backend, arrived), daemon=True)
        feeder.start()
        seen = counted = time.monotonic()
        try:
            while True:
                try:
                    found = arrived.get(timeout=_LOOK)
                except queue.Empty:
                    now = time.monotonic()
                    if now - counted > _COUNT_WORKERS:
                        counted = now
                        seen = now if self._workers() else seen
                    if stopping():
                        raise PoolBroken([], "") from None
                    if now - seen > self.patience:
                        raise PoolBroken([], "", _NO_WORKER_LEFT) from None
                    continue
                if found is None:
                    return
                if isinstance(found, BaseException):
                    raise found
                yield found
                seen = time.monotonic()
        finally:
            backend.call_off()
            feeder.join(timeout=_CONNECT)

    def kill(self, jobs: list[Job]) -> None:
        """Nothing to do: the scheduler notices that this process is gone, and the workers stop by that."""

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._client.close(timeout=2)

    def _feed(self, jobs: list[Job], backend: Any, arrived: queue.SimpleQueue[Any]) -> None:
        from joblib import Parallel, delayed, parallel_config

        try:
            with parallel_config(backend=backend):
                pool = Parallel(return_as="generator_unordered", pre_dispatch="all", batch_size=1)
                for outcome in pool(
                    delayed(run_on_worker)(_bare(job), self._topic, self._expected) for job in jobs
                ):
                    arrived.put(outcome)
            arrived.put(None)
        except CancelledError as error:
            lost = "could not be run to its end: the connection to the scheduler was lost."
            arrived.put(PoolBroken([], describe(error), lost))
        except BaseException as error:
            arrived.put(error)

    def _take(self, event: tuple[Any, Any]) -> None:
        """An event from a worker goes where an event on this machine would have gone."""
        message = dict(event[1])
        reporter = self._reporters.get(message.pop("job", ""))
        message.pop("time", None)
        message.pop("pid", None)  # of another machine
        if reporter is not None:
            reporter(message.pop("event"), **message)

    def _workers(self, any_kind: bool = False) -> list[str]:
        """The addresses of the workers there are, or of those with a GPU where one is wanted."""
        try:
            workers = self._client.scheduler_info(n_workers=-1)["workers"]
        except Exception:  # the scheduler does not answer: the futures are cancelled then, which says it all
            return []
        return [
            address
            for address, about in workers.items()
            if any_kind or not self._gpu or about.get("resources", {}).get(_GPU)
        ]


def _bare(job: Job) -> Job:
    """Without the folders and files of this machine."""
    return replace(job, scratch=None, sockets=None, library=None, cache=None, progress=None, stop=None)


def _backend(client: Any, resources: dict[str, int] | None) -> Any:
    """joblib's Dask backend with its defects mended (as of joblib 1.6)."""
    from distributed.scheduler import KilledWorker
    from joblib._dask import DaskDistributedBackend

    class Backend(DaskDistributedBackend):
        def effective_n_jobs(self, n_jobs: int) -> int:
            """With one worker joblib would run everything in this process."""
            return max(2, super().effective_n_jobs(n_jobs))

        def submit(self, func: Any, callback: Any = None) -> Any:
            [(_, (job, *_), _)] = func.items

            def tell(result: Any) -> None:
                if isinstance(result, KilledWorker):
                    result = [Outcome(job.name, "lost", detail=str(result))]
                elif isinstance(result, Exception) and not isinstance(result, CancelledError):
                    # The worker could not even call our function.
                    result = [Outcome(job.name, message=f"could not be run: {describe(result)}")]
                callback(result)

            return super().submit(func, tell)

        async def _collect(self) -> None:
            """As in joblib, which tells nobody of a task that ended in an error of Dask's own, so that the
            caller waits for ever."""
            import asyncio

            while self._continue:
                async for future, result in self.waiting_futures:
                    self._results.pop(future)
                    callback = self._callbacks.pop(future)
                    if future.status == "cancelled":
                        result = CancelledError(str(result))
                    callback(result[1] if future.status == "error" else result)
                await asyncio.sleep(0.01)

        def call_off(self) -> None:
            """Cancel whatever has not ended; workers notice, and end their kernels."""
            with contextlib.suppress(Exception):
                self.client.cancel(list(self._callbacks))

    return Backend(
        client=client, wait_for_workers_timeout=_PATIENCE, **({"resources": resources} if resources else {})
    )
