"""A kernel for one notebook: how it is started, what it sees of the machine, and how it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.utils import run_sync

_ONE_THREAD = (
    "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)  # fmt: skip
# What a user may have set for their own sessions and that would change results or code paths here.
_NOT_PASSED_ON = (
    "PYTHONSTARTUP", "PYTHONOPTIMIZE", "PYTHONINSPECT", "PYTHONWARNINGS", "PYTHONHOME", "PYTHONSAFEPATH",
    "MATPLOTLIBRC", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_CONFIG_PATH", "PYDEVD_USE_CYTHON",
    "TOUCHSTONE_ROOT",
)  # fmt: skip


class Kernel:
    """The running kernel of one notebook, in a session of its own; it talks over Unix sockets where it can.

    ``folder`` is private to it and gets the kernel's log and its empty working directory: empty, because a
    file that a notebook reads beside the library would be an input that no staleness rule knows of.
    ``sockets`` gets a folder with the connection file and the sockets (``scratch.short_enough``).
    """

    def __init__(self, folder: Path, sockets: Path, environment: dict[str, str]) -> None:
        self.log_file = folder / "kernel.log"
        self._sockets = tempfile.TemporaryDirectory(prefix="k", dir=sockets, ignore_cleanup_errors=True)
        work = folder / "work"
        work.mkdir()
        self.manager = _Manager(connection_file=str(Path(self._sockets.name) / "k.json"), **_transport())
        with open(self.log_file, "wb") as log:
            run_sync(self.manager.start_kernel)(env=environment, cwd=str(work), stdout=log, stderr=log)
        self.process: subprocess.Popen[bytes] = self.manager.provisioner.process
        self.pid = self.process.pid

    def interrupt(self) -> None:
        """As Ctrl-C in a terminal."""
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self.pid, signal.SIGINT)

    def kill(self) -> None:
        """End the kernel and everything it started, at once. Harmless when it is gone already."""
        kill_group(self.pid)
        if not hasattr(os, "killpg"):
            with contextlib.suppress(OSError):
                self.process.kill()

    def close(self) -> int | None:
        """Kill what is left, free everything; returns the exit status if the kernel had ended before."""
        status = self.process.poll()
        self.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=10)
        with contextlib.suppress(Exception):
            run_sync(self.manager.cleanup_resources)()
        self._sockets.cleanup()
        return status

    def log(self) -> str:
        """What the kernel wrote outside its cells: crash reports, messages of compiled code."""
        with contextlib.suppress(OSError):
            return self.log_file.read_text(encoding="utf-8", errors="replace").strip()
        return ""


class _Manager(AsyncKernelManager):
    """A kernel manager that starts this interpreter, whatever kernels are installed on the machine."""

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(
            argv=[
                sys.executable,
                "-P",
                str(Path(__file__).with_name("kernel_main.py")),
                "-f",
                "{connection_file}",
                "--HistoryManager.hist_file=:memory:",
            ],
            display_name="Python 3",
            language="python",
        )


def kernel_environment(
    folder: Path, output: Path, library: Path | None, cache: Path | None
) -> dict[str, str]:
    """The environment of a kernel: the caller's, less what changes results, plus what fixes them.

    ``output`` is where the notebook leaves its artefacts; ``library`` goes to the head of the import path;
    ``cache`` keeps Matplotlib's font list between runs.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON}
    environment.update(dict.fromkeys(_ONE_THREAD, "1"))
    temporary = folder / "tmp"
    temporary.mkdir()
    matplotlib = (cache or folder) / "matplotlib"
    matplotlib.mkdir(parents=True, exist_ok=True)
    environment.update(
        TOUCHSTONE_OUTPUT=str(output),
        PYTHONHASHSEED="0",
        PYTHONUTF8="1",
        MPLBACKEND="module://matplotlib_inline.backend_inline",
        MPLCONFIGDIR=str(matplotlib),
        IPYTHONDIR=str(folder / "ipython"),
        JUPYTER_NO_CONFIG="1",
        TMPDIR=str(temporary),
    )
    if library is not None and library.is_dir():
        before = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = os.pathsep.join([str(library), *([before] if before else [])])
    return environment


def kill_group(pid: int) -> None:
    """Kill every process in the session group that ``pid`` leads; nothing happens when there is none."""
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg") and pid > 1:
            os.killpg(pid, signal.SIGKILL)


def _transport() -> dict[str, Any]:
    return {"transport": "tcp"} if os.name == "nt" else {"transport": "ipc"}
