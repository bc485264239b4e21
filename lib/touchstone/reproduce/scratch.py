"""The temporary folders of one run, and clearing up after a run that was killed before it could."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PREFIX = "touchstone-"
_MARK = "of-a-run"
# The path of a Unix socket holds about 104 bytes on macOS, 108 on Linux.
_LONGEST_SOCKET_PATH = 100
_INSIDE = len("/k12345678/k-ipc-1")


@dataclass(frozen=True)
class Scratch:
    """Where a run keeps what nobody needs after it."""

    files: Path
    """In the system's (or the user's) temporary folder: it may have to hold a lot."""
    sockets: Path
    """The same folder, or where its path is too long for a socket, a short one."""

    @property
    def folders(self) -> list[str]:
        """What ``clear`` has to be told should this run not come to its end."""
        return [str(self.files), str(self.sockets)]

    def remove(self) -> None:
        for folder in (self.files, self.sockets):
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def scratch_folders() -> Iterator[Scratch]:
    """New temporary folders, removed at the end. Raises ``OSError`` when there is no room for them."""
    files = _new(None)
    scratch = Scratch(files, files)
    try:
        if not short_enough(files):
            scratch = Scratch(files, _new(_short_folder()))
        yield scratch
    finally:
        scratch.remove()


def clear(folders: object) -> None:
    """Remove the folders of a run that was killed, if they are that."""
    for name in folders if isinstance(folders, list) else []:
        folder = Path(str(name))
        if folder.name.startswith(_PREFIX) and (folder / _MARK).is_file() and not folder.is_symlink():
            shutil.rmtree(folder, ignore_errors=True)


def short_enough(folder: Path) -> bool:
    """Whether a kernel's sockets may live in a folder in ``folder``."""
    return os.name == "nt" or len(os.fsencode(folder)) + _INSIDE <= _LONGEST_SOCKET_PATH


def _new(parent: str | None) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    try:
        (folder / _MARK).touch()
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def _short_folder() -> str:
    """The temporary folder that every POSIX system has."""
    return os.path.join(os.sep, "tmp")
