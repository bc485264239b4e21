"""The program that tries mistakes: a process that has the heavy libraries loaded, and a child for each trial.

Started as a file (``python -P trial.py FOLDER``). It reads requests from its standard input, one JSON object
a line, and answers each with one on its standard output. Every trial runs in a forked child, in a session of
its own, that has loaded nothing of the library yet; the module with the mistake is handed to the import
system, and no file is changed.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

_TICK = 0.01
_LONGEST_DETAIL = 300


# -- the process that waits for requests -------------------------------------------------------------------


def serve(folder: Path) -> None:
    """Answer requests until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # nothing but answers goes to the parent
    parent = os.getppid()
    for line in sys.stdin:
        request = json.loads(line)
        if request["kind"] == "preload":
            answer = _preload(request["modules"])
        else:
            answer = _try(request, folder, parent)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _preload(modules: list[str]) -> dict[str, Any]:
    for name in modules:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    return {"outcome": "done", "threads": threading.active_count()}


def _try(request: dict[str, Any], folder: Path, parent: int) -> dict[str, Any]:
    """Run one trial in a child and wait for it, no longer than its limit."""
    scratch = folder / "trial"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    begun = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _child(request, scratch)
    status = None
    while status is None:
        done, code = os.waitpid(pid, os.WNOHANG)
        if done:
            status = os.waitstatus_to_exitcode(code)
        elif time.monotonic() - begun > request["limit"] or os.getppid() != parent:
            break
        else:
            time.sleep(_TICK)
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)  # what the child may have started goes too
    if status is None:
        os.waitpid(pid, 0)
    try:
        answer = json.loads((scratch / "answer.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        answer = {"outcome": "error", "detail": f"the process ended with status {status}"}
        if status is None:
            answer = {"outcome": "timeout", "detail": f"did not end within {request['limit']:.0f} s"}
    answer["seconds"] = round(time.monotonic() - begun, 2)
    return answer


def _child(request: dict[str, Any], scratch: Path) -> None:
    """Never returns: a child that came back would go on as a second server."""
    try:
        os.setsid()
        _die_with_parent()
        log = os.open(scratch / "log.txt", os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        _limit_memory(request.get("memory"))
        planted = None
        if request.get("module"):
            planted = plant(request["module"], request["path"], request["source"])
        os.environ["TOUCHSTONE_OUTPUT"] = str(scratch / "output")
        os.environ["TMPDIR"] = str(scratch)
        answer = {"notebook": run_cells, "tests": run_tests}[request["kind"]](request)
        answer["planted"] = planted is None or planted.used
        (scratch / "answer.part").write_text(json.dumps(answer), encoding="utf-8")
        os.replace(scratch / "answer.part", scratch / "answer.json")
    except BaseException:
        with contextlib.suppress(BaseException):
            traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _limit_memory(size: int | None) -> None:
    """A mistake in a size asks for absurd amounts of memory; it gets an error instead of the machine."""
    if size:
        import resource

        with contextlib.suppress(OSError, ValueError):  # some systems know no such limit
            resource.setrlimit(resource.RLIMIT_AS, (size, size))


# -- planting ------------------------------------------------------------------------------------------------


class plant(importlib.abc.MetaPathFinder):
    """From now on importing ``module`` runs ``source`` in place of the file at ``path``."""

    def __init__(self, module: str, path: str, source: str) -> None:
        self.module, self.path, self.source = module, path, source
        self.used = False
        sys.meta_path.insert(0, self)

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:  # noqa: ARG002
        if fullname != self.module:
            return None
        self.used = True
        loader = _Loader(fullname, self.path)
        loader.planted = self.source
        return importlib.util.spec_from_file_location(fullname, self.path, loader=loader)


class _Loader(importlib.machinery.SourceFileLoader):
    planted: str

    def get_code(self, fullname: str) -> Any:  # noqa: ARG002
        return compile(self.planted, self.path, "exec", dont_inherit=True)


# -- trial by notebook -----------------------------------------------------------------------------------


def run_cells(request: dict[str, Any]) -> dict[str, Any]:
    """Run the cells up to the first verdict that differs from ``expected``, or to the end.

    The outcome is ``verdict``, ``error`` or ``passed``. With ``trace`` (a folder) the answer lists the lines
    of the files in it that ran, and every module that was loaded.
    """
    expected = request.get("expected")
    names: dict[str, Any] = {"__name__": "__main__"}
    lines: dict[str, set[int]] = {}
    if request.get("trace"):
        _trace(request["trace"], lines)
    found: dict[str, str] = {}
    for cell in request["cells"]:
        try:
            exec(compile(cell["source"], f"<cell {cell['position']}>", "exec"), names)
        except BaseException as error:  # SystemExit too: a cell must not end the trial unseen
            return {"outcome": "error", "cell": cell["position"], "detail": _describe(error)}
        if cell.get("parameters"):
            names.update(request["parameters"])
        found = _verdicts(names)
        for check, verdict in found.items():
            if expected is not None and verdict != expected.get(check):
                detail = f"{check}: {expected.get(check, 'no such check')} → {verdict}"
                return {"outcome": "verdict", "check": check, "detail": detail, "cell": cell["position"]}
    sys.settrace(None)
    for check in expected or {}:
        if check not in found:
            return {"outcome": "verdict", "check": check, "detail": f"{check}: {expected[check]} → missing"}
    modules = sorted(name for name in sys.modules if not name.startswith(("__", "touchstone")))
    traced = {name: sorted(numbers) for name, numbers in lines.items()}
    return {"outcome": "passed", "verdicts": found, "lines": traced, "modules": modules}


def _verdicts(names: dict[str, Any]) -> dict[str, str]:
    """Every verdict so far, by check, of every study among the names of the notebook."""
    study = getattr(sys.modules.get("touchstone.evidence.study"), "Study", None)
    studies = {id(v): v for v in names.values() if study is not None and isinstance(v, study)}
    return {str(v.id): str(v.verdict) for s in studies.values() for v in s.summary().verdicts}


def _trace(folder: str, lines: dict[str, set[int]]) -> None:
    """Add the lines that run to ``lines``, by file, for the files in ``folder``."""

    def look(frame: Any, event: str, argument: Any) -> Any:  # noqa: ARG001
        name = frame.f_code.co_filename
        if not name.startswith(folder):
            return None
        # looked up anew each time: whoever gave the dictionary may empty it in between
        lines.setdefault(name, set()).add(frame.f_lineno)
        return local

    def local(frame: Any, event: str, argument: Any) -> Any:  # noqa: ARG001
        if event == "line":
            lines.setdefault(frame.f_code.co_filename, set()).add(frame.f_lineno)
        return local

    threading.settrace(look)
    sys.settrace(look)


# -- trial by tests --------------------------------------------------------------------------------------


def run_tests(request: dict[str, Any]) -> dict[str, Any]:
    """Run tests with pytest up to the first failure; the outcome is ``tests`` or ``passed``.

    With ``trace`` (a folder) the answer tells, for each test, the lines of the files in it that ran, those of
    the whole session's start and end excluded, and how long it took.
    """
    import pytest

    os.chdir(request["root"])
    _quick_and_repeatable_properties()
    failed: list[tuple[str, str]] = []
    lines: dict[str, set[int]] = {}
    covered: dict[str, dict[str, list[int]]] = {}
    took: dict[str, float] = {}

    class Recorder:
        def pytest_runtest_logstart(self, nodeid: str) -> None:
            lines.clear()
            took[nodeid] = time.monotonic()

        def pytest_runtest_logfinish(self, nodeid: str) -> None:
            covered[nodeid] = {name: sorted(numbers) for name, numbers in lines.items()}
            took[nodeid] = round(time.monotonic() - took[nodeid], 3)

        def pytest_runtest_logreport(self, report: Any) -> None:
            self._note(report)

        def pytest_collectreport(self, report: Any) -> None:
            self._note(report)

        def _note(self, report: Any) -> None:
            if report.failed:
                crash = getattr(report.longrepr, "reprcrash", None)
                text = crash.message if crash is not None else report.longreprtext
                failed.append((report.nodeid, text.strip()[-_LONGEST_DETAIL:]))

    if request.get("trace"):
        _trace(request["trace"], lines)
    status = pytest.main(
        [
            "-x", "-q", "--tb=short", "-p", "no:cacheprovider", "-m", "not slow",
            "--rootdir", request["root"],
            # loaded before pytest could look at their assertions, which is no concern here
            "-W", "ignore::pytest.PytestAssertRewriteWarning",
            *request["tests"],
        ],
        plugins=[Recorder()],
    )  # fmt: skip
    sys.settrace(None)
    if status == 0:
        return {"outcome": "passed", **({"covered": covered, "took": took} if request.get("trace") else {})}
    if status == 5:
        return {"outcome": "passed", "detail": "no test was collected"}
    test, text = failed[0] if failed else ("", f"pytest ended with status {int(status)}")
    return {"outcome": "tests", "test": test, "detail": text}


def _quick_and_repeatable_properties() -> None:
    """The same examples every time, and no search for the smallest failing one."""
    with contextlib.suppress(ImportError):
        from hypothesis import Phase, settings

        settings.register_profile(
            "mutants", derandomize=True, database=None, deadline=None, phases=[Phase.explicit, Phase.generate]
        )
        settings.load_profile("mutants")


def _describe(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return (f"{type(error).__name__}: {text[0]}" if text else type(error).__name__)[:_LONGEST_DETAIL]


def _die_with_parent() -> None:
    """Ask Linux to kill this process as soon as its parent is gone; elsewhere it ends with its trial."""
    if sys.platform == "linux":
        import ctypes

        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL, 0, 0, 0)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends this process
    sys.dont_write_bytecode = True
    serve(Path(sys.argv[1]))
