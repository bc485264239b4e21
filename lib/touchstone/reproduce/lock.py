"""One run at a time in one checkout: a lock that the system frees when its holder dies, however it dies."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from touchstone.reproduce.errors import ReproductionError

_LOOK_AGAIN = 0.2


@contextlib.contextmanager
def run_lock(path: Path, *, wait: bool = False) -> Iterator[IO[str]]:
    """Hold the lock at ``path``; yields the open file, whose content is free for ``note`` and ``read_note``.

    Raises ``ReproductionError`` when another process holds it and ``wait`` is false, or when it cannot be
    written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = open(path, "a+", encoding="utf-8")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise ReproductionError(f"{path.parent} cannot be written: {error.strerror}.") from None
    with stream:
        while not _try_lock(stream):
            if not wait:
                holder = read_note(stream).get("pid")
                who = f" (process {holder})" if holder else ""
                raise ReproductionError(
                    f"another run is at work in this checkout{who}: wait for its end, or add --wait."
                )
            time.sleep(_LOOK_AGAIN)
        yield stream
        stream.seek(0)
        stream.truncate()


def note(stream: IO[str], **values: Any) -> None:
    """Write what a later run has to know should this one not come to its end."""
    with contextlib.suppress(OSError):
        stream.seek(0)
        stream.truncate()
        json.dump({"pid": os.getpid(), **values}, stream)
        stream.flush()


def read_note(stream: IO[str]) -> dict[str, Any]:
    """What the last holder noted; empty when it came to its end."""
    try:
        stream.seek(0)
        content = json.load(stream)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _try_lock(stream: IO[str]) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            stream.seek(0)
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
