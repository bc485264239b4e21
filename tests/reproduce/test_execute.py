import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pytest
from jupyter_core.utils import ensure_event_loop

from touchstone.reproduce.execute import Job, run_job
from touchstone.reproduce.kernel import kernel_environment
from touchstone.reproduce.progress import read_events


@pytest.fixture
def short_folder():
    with tempfile.TemporaryDirectory(prefix="t") as folder:
        yield Path(folder)


@pytest.fixture
def execute(tmp_path, make, short_folder):
    """Runs a notebook made of the given cells, plus one that leaves a ledger, in this process."""

    def run_it(*sources, finished=True, limit=60.0, parameters=None, text=None, run=None, **options):
        cells = [*sources, make.finish("paper")] if finished else sources
        scratch = tmp_path / "s"
        scratch.mkdir(exist_ok=True)
        job = Job(
            slug="paper",
            text=text or json.dumps(make.notebook(*cells)),
            parameters=parameters or {"profile": "quick", "seed": 3, "device": "cpu"},
            limit=limit,
            scratch=str(scratch),
            sockets=str(short_folder),
            progress=str(tmp_path / "progress.jsonl"),
            **options,
        )
        outcome = run_job(job, **(run or {}))
        assert [*scratch.iterdir(), *short_folder.iterdir()] == [], "temporary files were left"
        assert [
            child for child in psutil.Process().children() if "kernel_main" in " ".join(child.cmdline())
        ] == []
        return outcome

    return run_it


def outputs(outcome):
    """The text that the cells printed."""
    cells = json.loads(outcome.executed)["cells"]
    found = [output for cell in cells for output in cell.get("outputs", [])]
    return "".join(output.get("text", "") for output in found)


def test_a_notebook_that_runs(execute, tmp_path):
    outcome = execute("print(profile, seed, device)", "'[✓] SUPPORTED  c1 (bound)'", "class V:\n    pass")
    assert (outcome.status, outcome.message) == ("done", "")
    assert set(outcome.artefacts) == {"ledger.json", "error.svg", "machine/run.json"}
    assert outcome.artefacts["error.svg"] == b"<svg>3</svg>"
    assert outputs(outcome) == "quick 3 cpu\n"
    events = read_events(str(tmp_path / "progress.jsonl"))
    assert [event["event"] for event in events][:2] == ["started", "kernel"]
    assert [event["index"] for event in events if event["event"] == "cell"][-1] == 6
    assert events[-1]["status"] == "done"


def test_the_executed_notebook_names_no_machine_and_no_time(execute, tmp_path):
    one, two = (execute("x = 1\nx").executed for _ in range(2))
    assert one == two
    assert str(tmp_path) not in one


def test_verdicts_shown_by_cells_reach_the_progress_file(execute, tmp_path):
    badge = (
        "class Badge:\n    def __repr__(self):\n        return '[✗] REFUTED  c1 (bound; Theorem 1)'\nBadge()"
    )
    execute(badge)
    verdicts = [
        event["verdict"] for event in read_events(str(tmp_path / "progress.jsonl")) if "verdict" in event
    ]
    assert verdicts == ["refuted"]


def test_an_exception_names_cell_line_and_error(execute):
    deep = "def deep(n):\n    if n == 0:\n        raise ValueError('too deep\\nmore')\n    deep(n - 1)"
    outcome = execute("x = 1", deep + "\n\n\ndeep(40)", "y = 1")
    assert outcome.status == "failed"
    first, *rest = outcome.message.splitlines()
    assert first == "cell 4 of 6 (`def deep(n):`) failed: ValueError: too deep"
    assert len(rest) == 15
    assert "\x1b" not in outcome.message
    assert "ValueError: too deep" in outcome.message
    assert "ValueError: too deep" in outcome.detail
    assert outcome.artefacts == {}
    assert "ValueError" in outcome.executed


def test_a_failure_in_the_parameters_cell_and_in_the_first(execute, make):
    content = make.notebook("1 / 0", parameters=make.parameters + "\n1 / 0")
    outcome = execute(text=json.dumps(content))
    assert outcome.message.startswith(
        'cell 2 of 3 (`profile = "full"`) failed: ZeroDivisionError: division by zero'
    )


def test_a_kernel_killed_by_a_signal_is_noticed_at_once(execute):
    begun = time.monotonic()
    outcome = execute("x = 1", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    assert time.monotonic() - begun < 10
    assert outcome.status == "failed"
    assert outcome.message == (
        "its kernel was killed (signal 9, SIGKILL, which often means that the machine ran out of memory) "
        "in cell 4 of 5 (`import os, signal`)."
    )


def test_a_crash_in_compiled_code_shows_its_report(execute):
    outcome = execute("import ctypes\nctypes.string_at(0)")
    assert "its kernel was killed (signal 11, SIGSEGV) in cell 3 of 4" in outcome.message
    assert "ctypes" in outcome.message
    assert "Segmentation fault" in outcome.detail


def test_a_kernel_that_ends_itself(execute):
    assert "ended by itself with exit status 3 in cell 3" in execute("import os\nos._exit(3)").message


def test_out_of_memory_is_an_error_of_its_cell(execute):
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))"
    outcome = execute(limit, "x = bytearray(2**34)")
    assert outcome.message.startswith("cell 4 of 5 (`x = bytearray(2**34)`) failed: MemoryError")


def test_a_full_disk_inside_a_cell(execute):
    outcome = execute("with open('/dev/full', 'w') as stream:\n    stream.write('x' * 10**6)")
    assert "failed: OSError: [Errno 28] No space left on device" in outcome.message


def test_a_cell_that_never_ends_is_interrupted(execute):
    begun = time.monotonic()
    outcome = execute("import time\nwhile True:\n    time.sleep(0.1)", limit=5)
    assert 5 <= time.monotonic() - begun < 15
    assert outcome.message.startswith(
        "did not end within 5 s and was interrupted in cell 3 of 4 (`import time`).\n"
    )
    assert "KeyboardInterrupt" in outcome.message


def test_a_cell_that_ignores_interrupts_is_killed(execute):
    stubborn = (
        "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True:\n    time.sleep(0.1)"
    )
    begun = time.monotonic()
    outcome = execute(stubborn, limit=4)
    assert time.monotonic() - begun < 20
    assert outcome.message.startswith("did not end within 4 s and was interrupted in cell 3 of 4")


def test_many_short_cells_share_one_limit(execute):
    outcome = execute(*["import time\ntime.sleep(0.5)"] * 12, limit=3)
    assert outcome.message.startswith("did not end within 3 s")


def test_a_run_that_is_called_off(execute, tmp_path):
    stop = tmp_path / "stop"
    threading.Timer(1.5, stop.touch).start()
    begun = time.monotonic()
    outcome = execute("import time\ntime.sleep(100)", stop=str(stop))
    assert time.monotonic() - begun < 8
    assert outcome.status == "stopped"
    assert execute(stop=str(stop)).status == "stopped"


def test_a_caller_may_listen_and_call_off(execute, tmp_path):
    heard, started = [], time.monotonic()

    def report(event, **values):
        heard.append((event, values))

    outcome = execute(
        "import time\ntime.sleep(100)",
        run={"report": report, "called_off": lambda: time.monotonic() > started + 3},
    )
    assert outcome.status == "stopped"
    assert [event for event, _ in heard if event != "cell"] == ["started", "kernel", "finished"]
    assert read_events(str(tmp_path / "progress.jsonl")) == []


def test_notebooks_in_two_threads_do_not_meet(make):
    """As in a worker of a cluster that has several threads."""
    outcomes = {}

    def run(slug):
        notebook = make.notebook("import time\ntime.sleep(0.5)", f"print({slug!r})", make.finish(slug))
        outcomes[slug] = run_job(Job(slug, json.dumps(notebook), PARAMETERS, 60, name=f"{slug} seed 0"))
        ensure_event_loop().close()  # of this thread; a worker's threads keep theirs for the next notebook

    threads = [threading.Thread(target=run, args=(slug,)) for slug in ("one", "two", "three")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for slug, outcome in outcomes.items():
        assert (outcome.name, outcome.status) == (f"{slug} seed 0", "done"), outcome.message
        assert outputs(outcome) == f"{slug}\n"


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        (["x = 1"], "left no ledger.json: its last code cell has to call study.finish()"),
        (
            ["import os\nopen(os.environ['TOUCHSTONE_OUTPUT'] + '/ledger.json', 'w').write('{')"],
            "not valid JSON",
        ),
        (["import sys\nsys.exit(0)"], "left no ledger.json"),
    ],
)
def test_a_notebook_without_a_sound_ledger(execute, sources, words):
    outcome = execute(*sources, finished=False)
    assert outcome.status == "failed"
    assert words in outcome.message


def test_a_ledger_of_another_run(execute):
    outcome = execute("seed = 5")
    assert "says seed=5 where the run has 3" in outcome.message


def test_a_notebook_that_breaks_its_format(execute, make):
    content = make.notebook("x = 1")
    content["cells"][2]["outputs"] = 3
    assert execute(text=json.dumps(content)).message.startswith("could not be run: ")


def test_no_scratch_folder(make, tmp_path):
    job = Job(
        "paper",
        json.dumps(make.notebook()),
        {"profile": "quick"},
        10,
        scratch=str(tmp_path / "none"),
        sockets=".",
    )
    assert run_job(job).message.startswith("could not be run: No such file or directory")


@pytest.mark.skipif(sys.platform == "win32", reason="no Unix sockets")
def test_the_kernel_opens_no_port(execute):
    cell = (
        "import os, psutil\n"
        "sockets = psutil.Process().net_connections('inet')\n"
        "print(len(sockets), len(psutil.Process().net_connections('unix')) > 3)"
    )
    assert outputs(execute(cell)) == "0 True\n"


def test_a_job_finds_its_own_folders(make, tmp_path, monkeypatch):
    """As on a machine that shares no disk with the one that asked; and with a path too long for sockets."""
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    assert (
        run_job(Job("paper", json.dumps(make.notebook(make.finish("paper"))), PARAMETERS, 60)).status
        == "done"
    )
    assert list(deep.iterdir()) == []


PARAMETERS = {"profile": "quick", "seed": 0, "device": "cpu"}


def test_the_users_own_settings_do_not_reach_the_kernel(execute, tmp_path, monkeypatch):
    profile = tmp_path / "ipython" / "profile_default" / "startup"
    profile.mkdir(parents=True)
    (profile / "00-own.py").write_text("intruder = 1\n")
    (tmp_path / "startup.py").write_text("intruder = 2\n")
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 77\n")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "startup.py"))
    monkeypatch.setenv("MATPLOTLIBRC", str(tmp_path / "matplotlibrc"))
    monkeypatch.setenv("PYTHONOPTIMIZE", "1")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    monkeypatch.setenv("MPLBACKEND", "TkAgg")
    cell = (
        "import os, sys\n"
        "print('intruder' in globals(), sys.flags.optimize, sys.flags.hash_randomization)\n"
        "print(os.environ['OPENBLAS_NUM_THREADS'], os.environ['MPLBACKEND'], 'MATPLOTLIBRC' in os.environ)\n"
        "print(os.listdir('.'), sys.executable)"
    )
    assert outputs(execute(cell)).splitlines() == [
        "False 0 0",
        "1 module://matplotlib_inline.backend_inline False",
        f"[] {sys.executable}",
    ]


def test_the_library_of_the_project_comes_first(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    (tmp_path / "lib").mkdir()
    environment = kernel_environment(tmp_path, tmp_path / "out", tmp_path / "lib", None)
    assert environment["PYTHONPATH"] == f"{tmp_path / 'lib'}{os.pathsep}elsewhere"
    assert environment["TOUCHSTONE_OUTPUT"] == str(tmp_path / "out")


def test_what_a_cell_starts_ends_with_its_kernel(execute, tmp_path):
    cell = (
        "import pathlib, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(100)'])\n"
        f"pathlib.Path({str(tmp_path / 'child')!r}).write_text(str(child.pid))"
    )
    assert execute(cell).status == "done"
    pid = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 3
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "a process outlived its kernel"
        time.sleep(0.05)


def test_what_forked_children_print_arrives(execute):
    cell = (
        "import os\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    print('from the child', flush=True)\n"
        "    os._exit(0)\n"
        "os.waitpid(child, 0)\n"
        "import time\n"
        "time.sleep(0.5)"
    )
    assert "from the child" in outputs(execute(cell))
