"""Storing a folder of results as a whole: whoever looks meets the old one or the new one, never a mixture."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import shutil
import sys
from pathlib import Path, PurePosixPath

_NEW, _OLD = ".new", ".old"


def store_folder(target: Path, files: dict[str, bytes]) -> None:
    """Make ``target`` hold exactly ``files`` (relative path to content).

    The new folder is written beside the old one and takes its place in one step where the system can
    exchange two names (Linux, macOS), in two renames elsewhere; ``recover`` puts right what a crash between
    the two leaves. Raises ``OSError`` when it cannot be written: ``target`` is then as it was.
    """
    for name in files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise ValueError(f"artefact {name!r}: expected a path inside the folder of results")
    target.parent.mkdir(parents=True, exist_ok=True)
    new = _beside(target, _NEW)
    shutil.rmtree(new, ignore_errors=True)
    try:
        new.mkdir()
        for name, content in files.items():
            path = new / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_through(path, content)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    put_in_place(new, target)


def put_in_place(new: Path, target: Path) -> None:
    """Let the folder ``new`` take the place of ``target``, which may exist, as ``store_folder`` does.

    Raises ``OSError`` when it cannot: ``target`` is then as it was, and ``new`` is gone.
    """
    old = _beside(target, _OLD)
    try:
        if not target.exists():
            os.rename(new, target)
        elif not _exchange(new, target):
            shutil.rmtree(old, ignore_errors=True)
            os.rename(target, old)
            try:
                os.rename(new, target)
            except BaseException:
                os.rename(old, target)
                raise
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    shutil.rmtree(new, ignore_errors=True)  # after an exchange this is the old folder
    shutil.rmtree(old, ignore_errors=True)


def recover(folder: Path) -> None:
    """Clear away what a crash left in ``folder``: half-written folders go, one moved aside comes back."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if not (path.name.startswith(".") and path.name.endswith((_NEW, _OLD)) and path.is_dir()):
            continue
        target = folder / path.name[1:].rsplit(".", 1)[0]
        with contextlib.suppress(OSError):
            if path.name.endswith(_OLD) and not target.exists():
                os.rename(path, target)
            else:
                shutil.rmtree(path)


def store_file(target: Path, content: bytes) -> None:
    """Write ``content`` to ``target`` whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        write_through(scratch, content)
        os.replace(scratch, target)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def write_through(path: Path, content: bytes) -> None:
    """Write a file and wait until the disk has it: a full disk shows here and not later."""
    with open(path, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def collect(folder: Path) -> dict[str, bytes]:
    """Every file under ``folder`` by its relative path; hidden files are left out."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _beside(target: Path, ending: str) -> Path:
    return target.with_name(f".{target.name}{ending}")


def _exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two folders in one step; False where the system has no such call."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "linux":
            at_current, exchange = -100, 2
            return libc.renameat2(at_current, os.fsencode(one), at_current, os.fsencode(other), exchange) == 0
        if sys.platform == "darwin":
            return libc.renamex_np(os.fsencode(one), os.fsencode(other), 2) == 0
    except (OSError, AttributeError, TypeError):
        pass
    return False
