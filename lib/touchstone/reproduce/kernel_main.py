"""The program that a notebook's kernel runs: IPython's kernel, unable to outlive the process that started it.

Started as a file (``python -P kernel_main.py -f CONNECTION_FILE``), so that the kernel itself imports nothing
of the library before the notebook does.
"""

import faulthandler
import os
import signal
import sys
from typing import Any


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


def open_no_port() -> None:
    """Let what forked children print reach the kernel through a Unix socket, as everything else does.

    IPython's kernel opens a TCP port for it, whatever its transport is.
    """
    import zmq
    from ipykernel import kernelapp
    from ipykernel.iostream import IOPubThread
    from zmq.eventloop.zmqstream import ZMQStream

    address = "ipc://" + os.path.join(os.path.dirname(sys.argv[sys.argv.index("-f") + 1]), "k-forks")

    class UnixIOPubThread(IOPubThread):
        def _setup_pipe_in(self) -> None:
            self._pipe_uuid = os.urandom(16)
            listening = self.socket.context.socket(zmq.PULL)
            listening.linger = 0
            listening.bind(address)
            self._pipe_in = ZMQStream(listening, self.io_loop)
            self._pipe_in.on_recv(self._handle_pipe_msg)

        def _setup_pipe_out(self) -> tuple[Any, Any]:
            context = zmq.Context()  # a new one: this runs in the forked child
            sending = context.socket(zmq.PUSH)
            sending.linger = 3000
            sending.connect(address)
            return context, sending

    kernelapp.IOPubThread = UnixIOPubThread


if __name__ == "__main__":
    die_with_parent()
    # A copy of the standard error: IPython puts the original aside, and a crash report would go with it.
    faulthandler.enable(os.fdopen(os.dup(2), "w"))
    if os.name != "nt":
        open_no_port()
    from ipykernel import kernelapp

    kernelapp.launch_new_instance()
