"""Whole runs, as a user starts them, and everything that may end one early."""

import json
import os
import pty
import resource
import shutil
import signal
import subprocess
import time
from contextlib import suppress

import psutil
import pytest

from touchstone.reproduce.artefacts import collect


def snapshot(collection):
    """Every artefact with its content and the identity of its file."""
    found = {}
    for path in sorted((collection.root / "figures").rglob("*")):
        if path.is_file():
            found[str(path)] = (path.read_bytes(), path.stat().st_ino, path.stat().st_mtime_ns)
    return found


def artefacts(collection, slug):
    return collect(collection.root / "figures" / slug)


def test_one_command_then_nothing_to_do(collection):
    collection.add("one")
    collection.add("two")
    first = collection.run("reproduce")
    assert first.returncode == 0, first.stderr
    assert "started one" in first.stdout
    assert "done two" in first.stdout
    assert "2 run, 0 fresh, 0 failed" in first.stdout
    assert "Verdicts: 2 supported. Results: figures/." in first.stdout
    assert first.stderr == ""
    assert set(artefacts(collection, "one")) == {"ledger.json", "error.svg", "machine/run.json"}
    assert (collection.root / "build" / "executed" / "full" / "one.ipynb").exists()
    assert collection.leftovers() == []
    assert collection.orphans() == []

    before = snapshot(collection)
    begun = time.monotonic()
    second = collection.run("reproduce")
    assert time.monotonic() - begun < 2
    assert second.stdout == "nothing to run: 2 notebooks are fresh.\n"
    assert snapshot(collection) == before

    forced = collection.run("reproduce", "two", "--force", "--jobs", "1")
    assert "1 run, 0 fresh, 0 failed" in forced.stdout
    assert {name: content for name, (content, *_) in snapshot(collection).items()} == {
        name: content for name, (content, *_) in before.items()
    }


def test_quick_and_other_seeds_never_touch_the_evidence(collection):
    collection.add("one")
    collection.run("reproduce")
    before = snapshot(collection)
    for arguments, label in ((("--profile", "quick"), "quick"), (("--seed", "4"), "full-seed4")):
        done = collection.run("reproduce", *arguments)
        assert f"Results: build/runs/{label}/." in done.stdout
        assert collect(collection.root / "build" / "runs" / label / "one")["error.svg"]
    assert snapshot(collection) == before
    assert b"<svg>4</svg>" in collect(collection.root / "build" / "runs" / "full-seed4" / "one").values()


def test_a_sweep_over_seeds(collection, make):
    """All seeds in one run; the seed 0 of the full profile is the evidence as ever."""
    collection.add("one")
    fails = "if seed == 2:\n    raise RuntimeError('on purpose')"
    collection.add("two", fails)
    done = collection.run("reproduce", "--seeds", "0..2")
    assert done.returncode == 1
    assert "5 run, 0 fresh, 1 failed" in done.stdout
    assert "Verdicts: 5 supported. Results: figures/ to build/runs/full-seed2/." in done.stdout
    assert "two seed 2: cell 3 of 4 (`if seed == 2:`) failed: RuntimeError: on purpose" in done.stderr
    assert "done one seed 1 (" in done.stdout
    assert artefacts(collection, "two")["error.svg"] == b"<svg>0</svg>"
    runs = collection.root / "build" / "runs"
    assert collect(runs / "full-seed1" / "two")["error.svg"] == b"<svg>1</svg>"
    assert not (runs / "full-seed2" / "two").exists()
    assert "RuntimeError" in (collection.root / "build" / "logs" / "full-seed2" / "two.log").read_text()
    again = collection.run("reproduce", "--seeds", "0..2")
    assert "0 run, 5 fresh, 1 failed" in again.stdout
    assert collection.run("reproduce", "--seed", "1").stdout == "nothing to run: 2 notebooks are fresh.\n"


def test_failures_stay_with_their_notebook(collection):
    collection.add("good")
    collection.add("raises", "x = 1", "raise RuntimeError('on purpose')")
    collection.add("unfinished", "x = 1", finished=False)
    collection.add("broken", "x = = 1")
    collection.add("outputs")
    content = json.loads(collection.notebook("outputs").read_text())
    content["cells"][1]["execution_count"] = 1
    collection.write("outputs", content)
    (collection.root / "notebooks" / "attention" / "stray.ipynb").write_text("{}")
    done = collection.run("reproduce")
    assert done.returncode == 1
    assert "2 run, 0 fresh, 3 failed" in done.stdout
    assert (
        "raises: cell 4 of 5 (`raise RuntimeError('on purpose')`) failed: RuntimeError: on purpose"
        in done.stderr
    )
    assert "unfinished: ran to its end but left no ledger.json" in done.stderr
    assert "broken: notebooks/attention/broken.ipynb: cell 3, line 1" in done.stderr
    assert "stray.ipynb belongs to no entry of papers.toml" in done.stderr
    assert "outputs.ipynb holds outputs" in done.stdout
    assert sorted(path.name for path in (collection.root / "figures").iterdir()) == ["good", "outputs"]
    log = collection.root / "build" / "logs" / "full" / "raises.log"
    assert "RuntimeError: on purpose" in log.read_text()
    again = collection.run("reproduce")
    assert "0 run, 2 fresh, 3 failed" in again.stdout
    collection.write("raises", json.loads(collection.notebook("good").read_text()))


def test_a_failed_rerun_leaves_the_earlier_results(collection):
    collection.add("one")
    collection.run("reproduce")
    before = snapshot(collection)
    content = json.loads(collection.notebook("one").read_text())
    content["cells"].append({**content["cells"][-1], "id": "late", "source": "1 / 0"})
    collection.write("one", content)
    assert collection.run("reproduce").returncode == 1
    assert snapshot(collection) == before


def test_a_kernel_killed_from_outside(collection, tmp_path, say_pid, kernel_pid):
    collection.add("good")
    collection.add("victim", say_pid(tmp_path / "pid") + "\ntime.sleep(60)")
    process = collection.start("reproduce")
    os.kill(kernel_pid(tmp_path / "pid"), signal.SIGKILL)
    killed = time.monotonic()
    output, errors = process.communicate(timeout=60)
    assert time.monotonic() - killed < 10
    assert process.returncode == 1
    assert "done good" in output
    assert "victim: its kernel was killed (signal 9, SIGKILL" in errors
    assert "in cell 3 of 4 (`import os, pathlib, time`)" in errors
    assert collection.orphans() == []
    assert not (collection.root / "figures" / "victim").exists()


def test_a_notebook_over_its_limit(collection):
    collection.add("good")
    collection.add("endless", "import time", "time.sleep(60)")
    done = collection.run("reproduce", "--timeout", "7")
    assert done.returncode == 1
    assert "done good" in done.stdout
    assert (
        "endless: did not end within 7 s and was interrupted in cell 4 of 5 (`time.sleep(60)`)" in done.stderr
    )
    assert collection.orphans() == []


@pytest.mark.parametrize(
    ("number", "status", "group"),
    [
        (signal.SIGINT, 130, True),
        (signal.SIGTERM, 143, False),
        (signal.SIGTERM, 143, True),
    ],
    ids=["Ctrl-C", "SIGTERM", "SIGTERM to all"],
)
def test_a_run_that_is_stopped(collection, tmp_path, say_pid, kernel_pid, number, status, group):
    collection.add("good")
    collection.add("slow", say_pid(tmp_path / "pid"), "time.sleep(60)")
    collection.add("waiting", "import time", "time.sleep(60)")
    process = collection.start("reproduce", "--jobs", "1")
    kernel_pid(tmp_path / "pid")
    (os.killpg if group else os.kill)(process.pid, number)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == status
    assert collection.orphans() == []
    assert "stopped before their end: slow, waiting" in errors
    assert "Traceback" not in output + errors
    assert "1 run, 0 fresh, 0 failed" in output
    assert set(artefacts(collection, "good")) == {"ledger.json", "error.svg", "machine/run.json"}
    assert not (collection.root / "figures" / "slow").exists()
    assert collection.leftovers() == []


def test_a_second_ctrl_c_waits_for_nothing(collection, tmp_path, say_pid, kernel_pid):
    collection.add("slow", say_pid(tmp_path / "pid"), "time.sleep(60)")
    process = collection.start("reproduce")
    kernel_pid(tmp_path / "pid")
    os.killpg(process.pid, signal.SIGINT)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 130
    assert collection.orphans() == []


def test_the_runner_itself_is_killed(collection, tmp_path, say_pid, kernel_pid):
    """Nothing survives it, and the next run clears up and comes to the same results as an undisturbed one."""
    temporary = tmp_path / "t"
    temporary.mkdir()
    flag = tmp_path / "flag"
    child = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"
    wait = f"import pathlib\nif not pathlib.Path({str(flag)!r}).exists():\n    time.sleep(60)"
    collection.add("slow", child, say_pid(tmp_path / "pid"), wait)
    process = collection.start("reproduce", TMPDIR=str(temporary))
    kernel_pid(tmp_path / "pid")
    process.kill()
    process.communicate()
    assert collection.orphans() == []
    assert len(list(temporary.iterdir())) > 0, "a killed run cannot clear up"
    half = collection.root / "figures" / ".slow.new"
    half.mkdir(parents=True)
    (half / "ledger.json").write_text("{")
    flag.touch()
    done = collection.run("reproduce", TMPDIR=str(temporary))
    assert done.returncode == 0, done.stderr
    assert [path.name for path in temporary.iterdir() if path.name.startswith("touchstone-")] == []
    assert collection.leftovers() == []
    assert artefacts(collection, "slow")["error.svg"] == b"<svg>0</svg>"


def test_a_worker_that_dies_once_is_made_good(collection, tmp_path):
    """The cell kills the worker that runs its kernel, the first time that it runs."""
    flag = tmp_path / "flag"
    kill = (
        f"import os, pathlib, signal, time\nflag = pathlib.Path({str(flag)!r})\nif not flag.exists():\n"
        "    flag.touch()\n    os.kill(os.getppid(), signal.SIGKILL)\n    time.sleep(60)"
    )
    collection.add("unlucky", kill)
    collection.add("good", "import time\ntime.sleep(2)")
    done = collection.run("reproduce")
    assert done.returncode == 0, done.stderr
    assert "2 run, 0 fresh, 0 failed" in done.stdout
    assert collection.orphans() == []
    assert "Traceback" not in done.stdout + done.stderr


def test_a_notebook_that_always_kills_its_worker(collection):
    child = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"
    collection.add(
        "deadly", child, "import os, signal, time\nos.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(60)"
    )
    collection.add("good", "import time\ntime.sleep(2)")
    collection.add("other")
    done = collection.run("reproduce")
    assert done.returncode == 1
    assert "2 run, 0 fresh, 1 failed" in done.stdout
    assert "deadly: its worker process died twice" in done.stderr
    assert sorted(path.name for path in (collection.root / "figures").iterdir()) == ["good", "other"]
    assert collection.orphans() == []


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte; only an administrator may make one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=False
    )
    if not made or made.returncode:
        pytest.skip("no right to mount a small file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk(collection, small_disk):
    """The results of one notebook do not fit: it fails by name, its earlier results and the others stay."""
    size = small_disk / "size"
    size.write_text("10")
    big = f"import pathlib\nsize = int(pathlib.Path({str(size)!r}).read_text())"
    collection.add("big", big, 'open(os.environ["TOUCHSTONE_OUTPUT"] + "/z.bin", "wb").write(b"x" * size)')
    content = json.loads(collection.notebook("big").read_text())
    content["cells"][2]["source"] = "import os\n" + content["cells"][2]["source"]
    collection.write("big", content)
    collection.add("good")
    (collection.root / "figures").symlink_to(small_disk)
    assert collection.run("reproduce").returncode == 0
    before = artefacts(collection, "big")
    size.write_text("2000000")
    done = collection.run("reproduce", "--force")
    assert done.returncode == 1
    assert "big: its results could not be stored under figures/big: No space left on device" in done.stderr
    assert "done good" in done.stdout
    assert artefacts(collection, "big") == before
    assert [path.name for path in small_disk.iterdir() if path.name.startswith(".")] == []
    size.write_text("10")
    again = collection.run("reproduce")
    assert "1 run, 1 fresh, 0 failed" in again.stdout


def test_a_full_temporary_disk(collection, small_disk):
    write = 'import os\nopen(os.environ["TOUCHSTONE_OUTPUT"] + "/z.bin", "wb").write(b"x" * 2_000_000)'
    collection.add("big", write)
    collection.add("good")
    done = collection.run("reproduce", "--jobs", "1", TMPDIR=str(small_disk))
    assert done.returncode == 1
    assert "big: cell 3 of 4 (`import os`) failed: OSError: [Errno 28] No space left on device" in done.stderr
    assert "done good" in done.stdout
    assert list(small_disk.iterdir()) == []
    assert collection.orphans() == []
    assert not (collection.root / "figures" / "big").exists()


def test_two_runs_at_once(collection, tmp_path, say_pid, kernel_pid):
    collection.add("slow", say_pid(tmp_path / "pid"), "time.sleep(3)")
    first = collection.start("reproduce")
    kernel_pid(tmp_path / "pid")
    second = collection.run("reproduce")
    assert second.returncode == 2
    assert second.stderr.startswith(
        f"touchstone: another run is at work in this checkout (process {first.pid})"
    )
    assert collection.run("clean").returncode == 2
    third = collection.run("reproduce", "--wait")
    assert third.stdout == "nothing to run: 1 notebooks are fresh.\n"
    assert first.wait(timeout=30) == 0
    first.communicate()


def test_figures_that_cannot_be_written(collection):
    collection.add("one")
    (collection.root / "figures").touch()
    done = collection.run("reproduce")
    assert done.returncode == 2
    assert done.stderr.startswith("touchstone: figures cannot be written, so no result could be kept: ")
    assert len(done.stderr.splitlines()) == 1


def test_in_a_terminal(collection):
    collection.add("one", "import time\ntime.sleep(1)")
    collection.add("bad", "1 / 0")
    ours, theirs = pty.openpty()
    environment = collection.environment(TERM="xterm-256color")
    process = subprocess.Popen(
        collection.command("reproduce"),
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        close_fds=True,
    )
    os.close(theirs)
    shown = b""
    with suppress(OSError):
        while chunk := os.read(ours, 65536):
            shown += chunk
    os.close(ours)
    assert process.wait(timeout=30) == 1
    text = shown.decode()
    assert "elapsed" in text
    assert "FAILED" in text
    assert "ZeroDivisionError: division by zero" in text
    assert "1 run, 0 fresh, 1 failed" in text
    assert "Traceback (most recent call last)\r\n  File" not in text


def test_start_up_costs_little(collection):
    """What a run of one empty notebook costs, from the command to the stored result, all imports included.

    Processor time, which other work on the machine inflates less than the clock: 1.4 s where this was
    written, where the goal is 2.5 s by the clock.
    """

    def spent():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    collection.add("one")
    collection.run("reproduce")
    before = spent()
    collection.run("reproduce", "--force")
    assert spent() - before < 4


def test_no_process_is_left_idle(collection):
    """joblib keeps its workers for a later call, which here never comes."""
    collection.add("one")
    process = collection.start("reproduce")
    process.communicate(timeout=60)
    alive = [p for p in collection.processes() if p.status() != psutil.STATUS_ZOMBIE]
    assert alive == [] or collection.orphans(1.0) == []
