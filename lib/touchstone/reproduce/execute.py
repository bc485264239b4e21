"""Running one notebook, in whatever process this is called: a job in, an outcome out, both plain data.

A job carries the text of its notebook and an outcome its artefacts as bytes, so that the process that runs
it needs no disk in common with the one that asked.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from touchstone.evidence.imports import without_grammars
from touchstone.reproduce.artefacts import collect
from touchstone.reproduce.ledgers import LEDGER, LedgerError, read_ledger
from touchstone.reproduce.scratch import scratch_folders

_LAST_LINES = 15
_GRACE_AFTER_INTERRUPT = 5.0
_LAST_RESORT = 60.0
_TICK = 0.1
_INJECTED = "injected-parameters"  # papermill's tag for the cell that it puts after the parameters cell
# The first words of a verdict's badge in plain text. They serve the display only; the ledger is what counts.
_BADGE = re.compile(r"\[.\] (SUPPORTED|REFUTED|INCONCLUSIVE|OUT OF REACH) ")


@dataclass(frozen=True)
class Job:
    """One notebook to run."""

    slug: str
    text: str
    parameters: dict[str, str | int]
    limit: float
    """Seconds of wall clock for the whole notebook, the start of its kernel included."""
    scratch: str | None = None
    """A folder for temporary files; the system's own when None."""
    sockets: str | None = None
    """A folder with a short path for the sockets of the kernel; one is found when None."""
    library: str | None = None
    """The folder to put at the head of the kernel's import path."""
    cache: str | None = None
    progress: str | None = None
    """A file that events are appended to, one JSON object a line."""
    stop: str | None = None
    """A file whose appearance ends the run."""
    name: str = ""
    """What tells it from the other jobs of its run: the slug where none is given."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.slug)


@dataclass
class Outcome:
    """What became of a job."""

    name: str
    status: str = "failed"
    """``done``, ``failed``, ``stopped``, or ``lost`` when its worker went with it."""
    message: str = ""
    """For people: what went wrong, in a sentence, with the last lines that show it."""
    detail: str = ""
    """Everything known about a failure, for the log file."""
    artefacts: dict[str, bytes] = field(default_factory=dict)
    executed: str | None = None
    """The notebook with its outputs, as JSON."""
    seconds: float = 0.0


class Reporter:
    """Appends events to the progress file. A full disk costs the display, never the run."""

    def __init__(self, path: str | None) -> None:
        self._path = path

    def __call__(self, event: str, **values: Any) -> None:
        if self._path is None:
            return
        line = json.dumps({"event": event, "time": time.time(), **values}) + "\n"
        with contextlib.suppress(OSError), open(self._path, "a", encoding="utf-8") as stream:
            stream.write(line)


def run_job(
    job: Job, report: Callable[..., None] | None = None, called_off: Callable[[], bool] | None = None
) -> Outcome:
    """Run ``job`` to its end. What happens to the notebook is in the outcome; nothing is raised for it.

    ``report(event, **values)`` takes the events and ``called_off()`` says whether to stop; the job's files
    serve where they are not given. Several threads may run jobs at the same time.
    """
    started = time.monotonic()
    report = report or Reporter(job.progress)
    called_off = called_off or (lambda: job.stop is not None and os.path.exists(job.stop))
    report("started", pid=os.getpid())
    if called_off():
        return Outcome(job.name, "stopped", "stopped before it began.")
    try:
        with contextlib.ExitStack() as stack:
            files, sockets = job.scratch, job.sockets
            if files is None or sockets is None:
                own = stack.enter_context(scratch_folders())
                files, sockets = files or str(own.files), sockets or str(own.sockets)
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="k", dir=files, ignore_cleanup_errors=True)
            )
            guard = _Guard(job.name, started + job.limit, called_off)
            outcome = _run(job, Path(folder), Path(sockets), report, guard)
    except Exception as error:  # the harness or the machine, not the notebook: no kernel, no disk, no memory
        outcome = Outcome(job.name, message=f"could not be run: {describe(error)}", detail=_traceback())
    outcome.seconds = time.monotonic() - started
    report("finished", status=outcome.status)
    return outcome


def describe(error: BaseException) -> str:
    """An exception as one line for people."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f" ({error.filename})" if error.filename else "") + "."
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


class _Guard:
    """Watches one kernel from a thread: ends it at its deadline and when the run is called off."""

    def __init__(self, name: str, deadline: float, called_off: Callable[[], bool]) -> None:
        self.reason: str | None = None
        self._called_off = called_off
        self._deadline = deadline
        self._kernel: Any = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name=f"guard {name}")
        self._thread.start()

    def watch(self, kernel: Any) -> None:
        self._kernel = kernel

    def close(self) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        killing_at = float("inf")
        while not self._done.wait(_TICK):
            now = time.monotonic()
            if self.reason != "stopped" and self._called_off():
                self.reason, killing_at = "stopped", now
            elif self.reason is None and now >= self._deadline:
                self.reason, killing_at = "limit", now + _GRACE_AFTER_INTERRUPT
                if self._kernel is not None:
                    self._kernel.interrupt()  # the traceback then shows where the time went
            if now >= killing_at and self._kernel is not None:
                self._kernel.kill()
            if now >= killing_at + _LAST_RESORT:
                os._exit(70)  # this process is stuck itself; whoever asked takes note of its death


def _run(job: Job, folder: Path, sockets: Path, report: Callable[..., None], guard: _Guard) -> Outcome:
    kernel = None
    outcome = Outcome(job.name)
    try:
        from touchstone.reproduce.kernel import Kernel, kernel_environment

        output = folder / "output"
        output.mkdir()
        environment = kernel_environment(
            folder, output, Path(job.library) if job.library else None, Path(job.cache) if job.cache else None
        )
        kernel = Kernel(folder, sockets, environment)
        live_kernels.add(kernel.pid)
        report("kernel", pid=kernel.pid)
        guard.watch(kernel)
        end = _execute(job, kernel, report)
    finally:
        guard.close()
        if kernel is not None:
            status = kernel.close()
            live_kernels.discard(kernel.pid)
    outcome.executed = json.dumps(end.notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    if guard.reason == "stopped":
        outcome.status, outcome.message = "stopped", "stopped before its end."
    elif end.error is not None or guard.reason == "limit":
        _explain(outcome, job, end, status, guard.reason == "limit", kernel.log())
    else:
        _accept(outcome, job, collect(output))
    return outcome


@dataclass
class _End:
    """Where the execution of the cells ended, and by what if not by itself."""

    notebook: dict[str, Any]
    """With the outputs so far."""
    error: BaseException | None
    cell: int | None
    """The last cell that was handed to the kernel."""


def _execute(job: Job, kernel: Any, report: Callable[..., None]) -> _End:
    """Run all cells; imports what that takes while the kernel starts."""
    with without_grammars():
        import nbformat
        from nbclient.exceptions import CellTimeoutError, DeadKernelError
        from papermill.clientwrap import PapermillNotebookClient
        from papermill.engines import NBClientEngine, papermill_engines
        from papermill.exceptions import PapermillExecutionError
        from papermill.execute import execute_notebook

    class Engine(NBClientEngine):
        """Papermill's engine on a kernel that is running already and that others watch over."""

        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, *, run: Any, **_: Any) -> Any:
            return run(nb_man, kernel_name)  # handed in: the register of engines is shared by all threads

    def run(nb_man: Any, kernel_name: str) -> Any:
        client = PapermillNotebookClient(
            nb_man,
            km=kernel.manager,
            kernel_name=kernel_name,
            timeout=None,  # the limit is the notebook's, and the guard keeps it
            iopub_timeout=60,
            startup_timeout=max(60, int(job.limit)),
            record_timing=False,
            on_cell_execute=announce,
            on_cell_executed=tell_verdicts,
        )
        running["notebook"] = nb_man.nb
        try:
            return client.execute()
        finally:
            if client.kc is not None:
                client.kc.stop_channels()

    def announce(cell_index: int, **_: Any) -> None:
        running["cell"] = cell_index
        report("cell", index=min(cell_index + 1, total), of=total)

    def tell_verdicts(cell: Any, **_: Any) -> None:
        shown = [output.get("data", {}).get("text/plain", "") for output in cell.get("outputs", [])]
        for text in shown:
            if badge := _BADGE.match(text):
                report("verdict", verdict=badge[1].lower())

    notebook = nbformat.reads(job.text, as_version=4)
    nbformat.validate(notebook)
    total = len(notebook.cells)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    running: dict[str, Any] = {"notebook": notebook, "cell": None}
    papermill_engines.register("touchstone", Engine)
    problem: BaseException | None = None
    try:
        execute_notebook(
            notebook,
            None,
            parameters=job.parameters,
            engine_name="touchstone",
            kernel_name="python3",
            language="python",
            progress_bar=False,
            run=run,
        )
    except (PapermillExecutionError, DeadKernelError, CellTimeoutError, RuntimeError) as error:
        problem = error
    return _End(_plain_notebook(running["notebook"]), problem, running["cell"])


def _plain_notebook(notebook: Any) -> dict[str, Any]:
    """Without what papermill notes about its own run: times and paths of this machine."""
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if _INJECTED in _tags(cell):
            cell["id"] = _INJECTED  # papermill draws one at random
    notebook.cells = [
        cell for cell in notebook.cells if "papermill-error-cell-tag" not in cell.metadata.get("tags", [])
    ]
    return json.loads(json.dumps(notebook))


def _accept(outcome: Outcome, job: Job, artefacts: dict[str, bytes]) -> None:
    """Take the artefacts of a notebook that ran to its end, if they hold a sound ledger of this very run."""
    if LEDGER not in artefacts:
        outcome.message = (
            f"ran to its end but left no {LEDGER}: its last code cell has to call study.finish(). "
            f"Files it left: {', '.join(artefacts) or 'none'}."
        )
        return
    try:
        ledger = read_ledger(artefacts[LEDGER], job.slug)
        for name in ("profile", "seed"):
            if ledger.get(name) != job.parameters[name]:
                raise LedgerError(
                    f"{LEDGER} says {name}={ledger.get(name)!r} where the run has {job.parameters[name]!r}: "
                    "the notebook does not hand its parameters to Study."
                )
    except LedgerError as error:
        outcome.message = f"ran to its end, but {error}"
        return
    outcome.status, outcome.artefacts = "done", artefacts


def _explain(outcome: Outcome, job: Job, end: _End, status: int | None, over_limit: bool, log: str) -> None:
    """Say what ended a notebook early: which cell, what happened, and the last lines that show it."""
    error = end.error
    trace: list[str] = []
    if hasattr(error, "cell_index"):
        where = _where(end.notebook, error.cell_index, error.source)
        what = f"{error.ename}: {_first_line(error.evalue)}".rstrip(": ")
        trace = _lines("\n".join(error.traceback))
    else:
        where = _where(end.notebook, end.cell)
        what = describe(error) if error is not None else ""
    if over_limit:
        sentence = f"did not end within {job.limit:g} s and was interrupted in {where}."
    elif status is not None:
        sentence = f"its kernel {_died(status)} in {where}."
        trace = _lines(log)
    elif trace:
        sentence = f"{where} failed: {what}"
    else:
        sentence = f"could not be run to its end: {what}"
        trace = _lines(log)
    outcome.message = "\n".join([sentence, *(f"    {line}" for line in trace[-_LAST_LINES:])])
    full = "\n".join(trace)
    outcome.detail = f"{sentence}\n\n{full}\n\nkernel log:\n{log or '(empty)'}\n"


def _where(notebook: dict[str, Any], index: int | None, source: str | None = None) -> str:
    """A cell by its place in the author's notebook, which lacks the parameters that papermill puts in."""
    cells = notebook["cells"]
    if index is None or not 0 <= index < len(cells):
        return "its first cells"
    injected = [place for place, cell in enumerate(cells) if _INJECTED in _tags(cell)]
    before = sum(place <= index for place in injected)
    source = "".join(cells[index]["source"]) if source is None else source
    line = next((line.strip() for line in source.splitlines() if line.strip()), "")
    return f"cell {index + 1 - before} of {len(cells) - len(injected)} (`{line[:80]}`)"


def _tags(cell: dict[str, Any]) -> list[str]:
    return cell.get("metadata", {}).get("tags", [])


def _died(status: int) -> str:
    if status >= 0:
        return f"ended by itself with exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    hint = ", which often means that the machine ran out of memory" if name == "SIGKILL" else ""
    return f"was killed (signal {-status}, {name}{hint})"


def _lines(text: str) -> list[str]:
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    return [line.rstrip() for line in plain.splitlines() if line.strip()]


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else ""


def _traceback() -> str:
    import traceback

    return traceback.format_exc()


# Kernels of this process, for whoever has to end them when the process that asked for them is gone.
live_kernels: set[int] = set()
