"""The process that tries mistakes, as its parent sees it: started when asked, and again should it die."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from touchstone.reproduce.errors import ReproductionError
from touchstone.reproduce.project import Project

_TRIAL = Path(__file__).with_name("trial.py")
_MEMORY = 6 * 2**30


class Bench:
    """One trial process, started when it is first asked and again should it die."""

    def __init__(self, project: Project, folder: Path, preload: Sequence[str] = ()) -> None:
        self.project, self.folder, self.preload = project, folder, list(preload)
        folder.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[str] | None = None
        self._over = False

    def ask(self, **request: Any) -> dict[str, Any]:
        """One trial; raises ``ReproductionError`` when the process cannot be kept alive."""
        for _ in range(2):
            if self._over:
                break
            try:
                if self._process is None:
                    self._start()
                return self._exchange(request)
            except (OSError, ValueError):
                self._end()
        said = (self.folder / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise ReproductionError(f"the process that tries mistakes died: {said[-1] if said else 'no reason'}.")

    def close(self) -> None:
        """End the process, for good: whoever is waiting for an answer gets an error."""
        self._over = True
        self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self) -> None:
        paths = [str(self.project.library), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {
            **os.environ,
            **dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONHASHSEED": "0",
            "MPLBACKEND": "agg",
            "HYPOTHESIS_STORAGE_DIRECTORY": str(self.folder / "hypothesis"),
        }
        with open(self.folder / "log.txt", "a", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(_TRIAL), str(self.folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                cwd=self.folder,
                text=True,
            )
        if self.preload:
            self._exchange({"kind": "preload", "modules": self.preload})

    def _exchange(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"memory": _MEMORY, **request}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())
