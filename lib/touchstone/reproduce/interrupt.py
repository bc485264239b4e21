"""What Ctrl-C and a polite kill do to a run."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

from touchstone.reproduce.execute import Job
from touchstone.reproduce.pool import Pool
from touchstone.reproduce.scratch import Scratch

_PATIENCE = 10.0


class Interruptions:
    """Turns Ctrl-C and a polite kill into a quick, orderly end.

    The first signal asks every worker to end its kernel, by a file that they look for or as the pool sees
    fit; the outcomes then come in the usual way. Should that take too long, or a second signal arrive,
    everything is killed on the spot.
    """

    def __init__(self, scratch: Scratch, pool: Pool) -> None:
        self.signal: int | None = None
        self.jobs: list[Job] = []
        self._pool = pool
        self._scratch = scratch
        self._before: dict[int, Any] = {}
        self._over = threading.Event()

    def __enter__(self) -> Interruptions:
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                number = getattr(signal, name, None)
                if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, _frame: object) -> None:
        if self.signal is not None:
            self._end_now()
        self.signal = number
        print(
            f"\nstopping ({signal.Signals(number).name}): ending the running notebooks",
            file=sys.stderr,
            flush=True,
        )
        try:
            (self._scratch.files / "stop").touch()
        except OSError:  # a full disk: no file to see, so no time to wait
            self._end_now()
        threading.Thread(target=self._lose_patience, daemon=True).start()

    def _lose_patience(self) -> None:
        if not self._over.wait(_PATIENCE):
            self._end_now()

    def _end_now(self) -> None:
        self._pool.kill(self.jobs)
        self._scratch.remove()
        os._exit(128 + (self.signal or signal.SIGTERM))
