"""Runs on a real Dask scheduler with two workers in folders of their own, which see no disk of ours."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from touchstone.reproduce.artefacts import collect
from touchstone.reproduce.cluster import connect
from touchstone.reproduce.errors import ReproductionError
from touchstone.reproduce.imports import Library
from touchstone.reproduce.on_worker import Installed

distributed = pytest.importorskip("distributed")

LIBRARY = Path(__file__).resolve().parents[2] / "lib"


class Cluster:
    """A scheduler and workers as processes; each worker in a folder of its own, temporary files too."""

    def __init__(self, folder, hidden):
        self.folder = folder
        self._hidden = hidden  # what workers must not see
        self._processes = []
        self.address = None

    def start_scheduler(self):
        place = self.folder / "scheduler.json"
        self._start(
            "scheduler", "--port", "0", "--no-dashboard", "--host", "127.0.0.1", "--scheduler-file", place
        )
        self._wait(place.exists)
        self.address = json.loads(place.read_text())["address"]
        return self._processes[-1]

    def start_worker(self, name, *arguments, nanny=False):
        home = self.folder / name
        (home / "tmp").mkdir(parents=True, exist_ok=True)
        return self._start(
            "worker", self.address, "--name", name, "--nthreads", "1", "--no-dashboard",
            "--host", "127.0.0.1",
            "--nanny" if nanny else "--no-nanny", "--death-timeout", "30", *arguments, home=home,
        )  # fmt: skip

    def _start(self, *arguments, home=None):
        command = [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *map(str, arguments[1:])]
        home = home or self.folder
        if arguments[0] == "worker" and self._hidden and shutil.which("unshare") and os.getuid() == 0:
            hide = 'mount -t tmpfs none "$0" && exec "$@"'
            command = ["unshare", "--mount", "sh", "-c", hide, str(self._hidden), *command]
        log = open(home / "log", "ab")  # noqa: SIM115 (closed with the process)
        environment = {**os.environ, "PYTHONPATH": str(LIBRARY), "TMPDIR": str(home / "tmp")}
        process = subprocess.Popen(
            command, cwd=home, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        log.close()
        self._processes.append(process)
        return process

    def log(self, name="."):
        return (self.folder / name / "log").read_text()

    def _wait(self, ready, patience=60):
        deadline = time.monotonic() + patience
        while not ready():
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def stop(self):
        for process in self._processes:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def cluster(tmp_path, collection):
    folder = tmp_path / "cluster"
    folder.mkdir()
    (folder / "tmp").mkdir()
    made = Cluster(folder, collection.root)
    made.start_scheduler()
    yield made
    made.stop()


def artefacts(collection, slug, label=None):
    folder = collection.root / ("figures" if label is None else f"build/runs/{label}") / slug
    return collect(folder)


def kill_at(path, kernel_pid):
    """Kill the worker that runs the kernel whose number is in ``path``."""
    pid = kernel_pid(path)
    worker = psutil.Process(pid).parent()
    worker.kill()
    return pid, worker.pid


def test_a_lost_worker_leads_to_a_rerun_elsewhere_and_a_bad_notebook_does_not(
    collection, cluster, tmp_path, say_pid, kernel_pid
):
    runs = tmp_path / "runs"
    count = f"open({str(runs)!r}, 'a').write('x')"
    collection.add("good")
    collection.add("bad", count, "raise RuntimeError('on purpose')")
    collection.add("endless", count, "import time", "time.sleep(600)")
    wait = f"if not os.path.exists({str(tmp_path / 'flag')!r}):\n    time.sleep(600)"
    collection.add("unlucky", say_pid(tmp_path / "pid"), wait)
    cluster.start_worker("one")
    cluster.start_worker("two")
    process = collection.start("reproduce", "--scheduler", cluster.address, "--timeout", "20")
    kernel, worker = kill_at(tmp_path / "pid", kernel_pid)
    (tmp_path / "flag").touch()
    output, errors = process.communicate(timeout=100)
    assert process.returncode == 1, output + errors
    assert "2 run, 0 fresh, 2 failed" in output
    assert "started unlucky again: the worker that ran it was lost" in output
    assert "bad: cell 4 of 5 (`raise RuntimeError('on purpose')`) failed: RuntimeError: on purpose" in errors
    assert "endless: did not end within 20 s and was interrupted in cell 5 of 6 (`time.sleep(600)`)" in errors
    assert "started bad again" not in output
    assert "started endless again" not in output
    assert int((tmp_path / "pid").read_text()) != kernel
    assert worker != process.pid
    assert artefacts(collection, "unlucky")["error.svg"] == b"<svg>0</svg>"
    assert set(artefacts(collection, "good")) == {"ledger.json", "error.svg", "machine/run.json"}
    # The two bad ones ran on one worker each; one of them may have stood beside the victim.
    assert 2 <= len(runs.read_text()) <= 3
    assert "Traceback" not in output
    again = collection.run("reproduce", "good", "unlucky")
    assert again.stdout == "nothing to run: 2 notebooks are fresh.\n"
    assert collection.leftovers() == []


def test_the_same_bytes_as_on_one_machine(collection, cluster):
    for slug in ("one", "two"):
        collection.add(slug, "print(profile, seed)")
    cluster.start_worker("both", "--nthreads", "2")  # two notebooks at a time in one process
    done = collection.run("reproduce", "--scheduler", cluster.address)
    assert done.returncode == 0, done.stderr
    there = {slug: artefacts(collection, slug) for slug in ("one", "two")}
    executed = {
        path.name: path.read_bytes() for path in (collection.root / "build" / "executed" / "full").iterdir()
    }
    assert collection.run("reproduce", "--force").returncode == 0
    assert {slug: artefacts(collection, slug) for slug in ("one", "two")} == there
    for path in (collection.root / "build" / "executed" / "full").iterdir():
        assert path.read_bytes() == executed[path.name]
    assert not list((cluster.folder / "both" / "tmp").glob("touchstone-*"))


def test_seeds_are_spread_over_the_workers(collection, cluster, make):
    source = make.finish("one")
    collection.add("one", "import os, time\ntime.sleep(1)", source, finished=False)
    cluster.start_worker("one", "--resources", "GPU=1")
    cluster.start_worker("two", "--resources", "GPU=1")
    done = collection.run("reproduce", "--seeds", "3..6", "--profile", "gpu", "--scheduler", cluster.address)
    assert done.returncode == 0, done.stderr
    assert "2 workers at tcp://127.0.0.1" in done.stdout
    assert "4 run, 0 fresh, 0 failed" in done.stdout
    assert "Results: build/runs/gpu-seed3/ to build/runs/gpu-seed6/." in done.stdout
    for seed in (3, 4, 5, 6):
        assert artefacts(collection, "one", f"gpu-seed{seed}")["error.svg"] == b"<svg>%d</svg>" % seed
    for name in ("one", "two"):
        assert "touchstone" not in cluster.log(name)
    report = collection.run("verify", "--seeds", "3..6", "--profile", "gpu", "--scheduler", cluster.address)
    assert "one (gpu): stable, 4 of 4 seeds agree." in report.stdout
    assert "started" not in report.stdout


def test_a_notebook_that_always_kills_its_worker(collection, cluster):
    collection.add("deadly", "import os, signal, time\nos.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(60)")
    collection.add("good", "import time\ntime.sleep(1)")
    collection.add("other")
    cluster.start_worker("one", nanny=True)
    cluster.start_worker("two", nanny=True)
    done = collection.run("reproduce", "--scheduler", cluster.address)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "2 run, 0 fresh, 1 failed" in done.stdout
    assert "deadly: its worker died each time that it ran" in done.stderr
    assert sorted(path.name for path in (collection.root / "figures").iterdir()) == ["good", "other"]
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "SIGKILL"])
def test_a_run_that_ends_early_leaves_nothing_running(
    collection, cluster, tmp_path, say_pid, kernel_pid, number
):
    collection.add("slow", say_pid(tmp_path / "pid"), "time.sleep(600)")
    collection.add("waiting", "import time", "time.sleep(600)")
    cluster.start_worker("one")
    process = collection.start("reproduce", "--scheduler", cluster.address)
    kernel = kernel_pid(tmp_path / "pid")
    os.kill(process.pid, number)
    output, errors = process.communicate(timeout=30)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert "stopped before their end: slow, waiting" in errors
        assert "Traceback" not in output + errors
    deadline = time.monotonic() + 20
    while psutil.pid_exists(kernel):
        assert time.monotonic() < deadline, "a kernel outlived the run that asked for it"
        time.sleep(0.1)
    assert not (collection.root / "figures" / "slow").exists()


def test_a_scheduler_that_is_lost(collection, cluster, tmp_path, say_pid, kernel_pid):
    collection.add("good")
    collection.add("slow", say_pid(tmp_path / "pid"), "time.sleep(600)")
    cluster.start_worker("one")
    process = collection.start("reproduce", "--scheduler", cluster.address)
    kernel_pid(tmp_path / "pid")
    cluster._processes[0].kill()
    output, errors = process.communicate(timeout=90)
    assert process.returncode == 1
    assert "slow: could not be run to its end: the connection to the scheduler was lost" in errors
    assert "1 run, 0 fresh, 1 failed" in output
    assert "Traceback" not in output + errors


def test_no_worker_is_left(cluster, collection, tmp_path, say_pid, kernel_pid):
    collection.add("slow", say_pid(tmp_path / "pid"), "time.sleep(600)")
    worker = cluster.start_worker("one")
    impatient = (
        "from touchstone.reproduce import cli, cluster\n"
        "cluster.ClusterPool.patience = 5.0\n"
        "cli.main(prog_name='touchstone')"
    )
    command = [sys.executable, "-c", impatient, "--root", str(collection.root)]
    process = subprocess.Popen(
        [*command, "reproduce", "--scheduler", cluster.address],
        env=collection.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    kernel_pid(tmp_path / "pid")
    os.killpg(worker.pid, signal.SIGKILL)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "slow: could not be run: no worker is left on the cluster." in errors
    assert "Traceback" not in output + errors


# -- what is refused ---------------------------------------------------------------------------------------


def refused(collection, *arguments, **environment):
    done = collection.run("reproduce", *arguments, **environment)
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (collection.root / "figures" / "one").exists()
    return done.stderr


def test_no_scheduler(collection):
    collection.add("one")
    told = refused(collection, "--scheduler", "tcp://127.0.0.1:1")
    assert told.startswith("touchstone: no Dask scheduler answers at tcp://127.0.0.1:1: ")
    assert "no Dask scheduler answers at nonsense://x" in refused(collection, "--scheduler", "nonsense://x")


def test_without_dask(collection, tmp_path):
    collection.add("one")
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / "distributed.py").write_text("raise ImportError('not here')")
    path = os.pathsep.join([str(tmp_path / "shadow"), str(LIBRARY)])
    told = refused(collection, "--scheduler", "tcp://127.0.0.1:1", PYTHONPATH=path)
    assert told.startswith("touchstone: --scheduler needs Dask, here and on the workers: pip install")


def test_a_worker_with_other_sources(collection, cluster):
    collection.module("touchstone.arrays", "changed = True\n")
    collection.add("one", "import touchstone.arrays")
    cluster.start_worker("other")
    told = refused(collection, "--scheduler", cluster.address)
    assert "touchstone: the worker tcp://127.0.0.1:" in told
    assert (
        "has another version of touchstone, touchstone.arrays: install the project there as it is here."
        in told
    )


def test_no_worker_with_a_gpu(cluster):
    said = []
    expected = Installed.here({})
    with pytest.raises(ReproductionError, match=r"tcp://.*: no worker came within 0.1 s\."):
        connect(cluster.address, expected, gpu=False, say=said.append, patience=0.1)
    assert said == ["waiting for a worker"]
    cluster.start_worker("plain")
    with distributed.Client(cluster.address, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=60)
    with pytest.raises(ReproductionError, match=r"none of the 1 workers offers a GPU: .*--resources GPU=1"):
        connect(cluster.address, expected, gpu=True, say=said.append, patience=0.1)


# -- what a worker compares --------------------------------------------------------------------------------


def test_this_process_has_what_it_expects_of_others():
    sources = Library(LIBRARY).sources([("touchstone.evidence.study", "", 0)])
    assert any("/" in name for name in sources)
    assert Installed.here(sources).missing() is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"python": "2.7"}, "runs Python 3."),
        ({"versions": {"numpy": "1.0"}}, ", expected 1.0."),
        ({"versions": {"nonsense": "1.0"}}, "has nonsense (none), expected 1.0."),
        ({"sources": {"touchstone.gone": "x"}}, "has another version of touchstone.gone: install"),
        (
            {"sources": {"touchstone/evidence/gone.json": "x"}},
            "another version of touchstone/evidence/gone.json:",
        ),
        ({"sources": {f"touchstone.m{n}": "x" for n in range(5)}}, "touchstone.m2 and 2 more: install"),
        ({"sources": {f"touchstone.m{n}": "x" for n in range(3)}}, "touchstone.m1, touchstone.m2: install"),
    ],
)
def test_what_differs_is_named(change, words):
    here = Installed.here({})
    wanted = Installed(**{"python": here.python, "versions": here.versions, "sources": {}, **change})
    assert words in wanted.missing()
