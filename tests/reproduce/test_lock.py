import os
import subprocess
import sys
import threading
import time

import pytest

from touchstone.reproduce.errors import ReproductionError
from touchstone.reproduce.lock import note, read_note, run_lock

HOLD = """
import sys, time
from pathlib import Path
from touchstone.reproduce.lock import note, run_lock
with run_lock(Path(sys.argv[1])) as stream:
    note(stream, scratch="somewhere")
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock and has made a note."""
    path = tmp_path / "build" / "reproduce.lock"
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield path, process
    process.kill()
    process.communicate()


def test_the_second_is_refused_and_told_by_whom(holder):
    path, process = holder
    words = rf"another run is at work in this checkout \(process {process.pid}\)"
    with pytest.raises(ReproductionError, match=words), run_lock(path):
        pytest.fail("both hold the lock")


def test_the_second_may_wait(holder):
    path, process = holder
    threading.Timer(0.5, process.kill).start()
    begun = time.monotonic()
    with run_lock(path, wait=True):
        assert time.monotonic() - begun > 0.3


def test_a_killed_holder_leaves_its_note_and_no_lock(holder):
    path, process = holder
    process.kill()
    process.wait()
    with run_lock(path) as stream:
        assert read_note(stream) == {"pid": process.pid, "scratch": "somewhere"}


def test_a_holder_that_ends_leaves_no_note(tmp_path):
    path = tmp_path / "lock"
    with run_lock(path) as stream:
        note(stream, scratch="x" * 1000)
        note(stream, scratch="y")
        assert read_note(stream) == {"pid": os.getpid(), "scratch": "y"}
    with run_lock(path) as stream:
        assert read_note(stream) == {}


def test_a_damaged_note_is_none(tmp_path):
    path = tmp_path / "lock"
    for text in ("{", "[]", "\0"):
        path.write_text(text)
        with run_lock(path) as stream:
            assert read_note(stream) == {}


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "build").touch()
    with pytest.raises(ReproductionError, match="cannot be written"), run_lock(tmp_path / "build" / "lock"):
        pass
