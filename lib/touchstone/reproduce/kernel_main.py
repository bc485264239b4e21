"""The program that a notebook's kernel runs: IPython's kernel, unable to outlive the process that started it.

Started as a file (``python -P kernel_main.py -f CONNECTION_FILE``), so that the kernel itself imports nothing
of the library before the notebook does.
"""

import os
import signal
import sys


def die_with_parent() -> None:
    """Ask Linux to kill this process as soon as its parent is gone, however that ended.

    Elsewhere the kernel's own poller notices within a second or so.
    """
    if sys.platform != "linux":
        return
    import ctypes

    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL, 0, 0, 0)
    parent = os.environ.get("JPY_PARENT_PID")
    if parent and os.getppid() != int(parent):  # it went before the request was made
        os._exit(1)


if __name__ == "__main__":
    die_with_parent()
    # jsonschema compiles a grammar for international web addresses whenever it can, a second of every start.
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
    from ipykernel import kernelapp

    kernelapp.launch_new_instance()
