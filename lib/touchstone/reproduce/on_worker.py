"""What happens on the worker of a cluster: a notebook comes as text, its artefacts go back as bytes.

The worker has the project installed and shares no disk with whoever asked.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import touchstone
from touchstone.reproduce.execute import Job, Outcome, run_job
from touchstone.reproduce.imports import Library

# What computes and draws: another version may change a number or a picture.
_PACKAGES = ("numpy", "scipy", "sympy", "mpmath", "array-api-compat", "scikit-learn", "matplotlib")
_FEW = 3


@dataclass(frozen=True)
class Installed:
    """What results depend on and a worker has to have just so, as the one who asks has it."""

    python: str
    versions: dict[str, str]
    sources: dict[str, str]
    """The hash of each source file that the notebooks reach, by module name."""

    @classmethod
    def here(cls, sources: dict[str, str]) -> Installed:
        """The Python and the packages of this process."""
        return cls(f"{sys.version_info.major}.{sys.version_info.minor}", _versions(), sources)

    def missing(self) -> str | None:
        """What this process has otherwise, as the end of a sentence about it; None when there is nothing."""
        here = self.here({})
        if here.python != self.python:
            return f"runs Python {here.python}, expected {self.python}."
        for name, version in self.versions.items():
            if here.versions.get(name) != version:
                return f"has {name} {here.versions.get(name, '(none)')}, expected {version}."
        changed = Library(_library()).differing(self.sources)
        if changed:
            named = ", ".join(changed[:_FEW]) + (f" and {len(changed) - _FEW} more" * (len(changed) > _FEW))
            return f"has another version of {named}: install the project there as it is here."
        return None


def introduce(expected: Installed) -> str | None:
    """Asked of each worker before anything is run: what it has otherwise, if anything."""
    return expected.missing()


def run_on_worker(job: Job, topic: str, expected: Installed) -> Outcome:
    """Run ``job`` in the thread of a Dask worker; its events go out under ``topic``.

    The run ends when nobody wants its result any more: it was cancelled, or the one who asked is gone.
    """
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def report(event: str, **values: Any) -> None:
        if event != "kernel":  # a process of this machine means nothing elsewhere
            worker.log_event(topic, {**values, "job": job.name, "event": event, "worker": worker.address})

    def called_off() -> bool:
        task = worker.state.tasks.get(key)
        return task is None or task.state == "cancelled"

    problem = expected.missing()  # a worker may have come after the others were asked
    if problem:
        return Outcome(job.name, message=f"could not be run: the worker {worker.address} {problem}")
    folder = Path(worker.local_directory)  # Dask clears it away, after a crash too
    here = replace(job, scratch=str(folder), library=str(_library()), cache=str(folder / "cache"))
    return run_job(here, report, called_off)


def _library() -> Path:
    """The folder that this process has imported the package from."""
    return Path(touchstone.__file__).resolve().parents[1]


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
