"""Kills at random moments, damaged files, places that cannot be written: nothing is lost, one plain rerun
puts everything right.

``TOUCHSTONE_KILLS`` is the number of kills: 6 where it is not set, 50 every night.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import time

import psutil
import pytest

from touchstone.reproduce.artefacts import collect
from touchstone.reproduce.ledgers import stored_counts

KILLS = int(os.environ.get("TOUCHSTONE_KILLS", "6"))
VICTIMS = ("runner", "worker", "kernel")
SLUGS = ("one", "two", "three")


def everything(root):
    """All that a run leaves for people: figures, ledgers, executed notebooks."""
    return {name: collect(root / name) for name in ("figures", "build/executed") if (root / name).is_dir()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Fills a collection that is run once without a disturbance; keeps what it left and how long it took."""
    kept = {}

    def fill(collection):
        for slug in SLUGS:
            files = (
                "import os, time\nfor number in range(5):\n    time.sleep(0.1)\n"
                '    path = os.environ["TOUCHSTONE_OUTPUT"] + f"/f{number}.csv"\n'
                '    open(path, "w").write(str(number) * 50_000)'
            )
            collection.add(slug, "import time\ntime.sleep(0.2)", files)
        if not kept:
            begun = time.monotonic()
            done = collection.run("reproduce")
            assert done.returncode == 0, done.stderr
            kept["seconds"] = time.monotonic() - begun
            kept["root"] = tmp_path_factory.mktemp("undisturbed") / "collection"
            kept["left"] = everything(collection.root)
            kept["each"] = {slug: collect(collection.root / "figures" / slug) for slug in SLUGS}
            for name in ("figures", "build"):
                shutil.copytree(collection.root / name, kept["root"] / name)
                shutil.rmtree(collection.root / name)
        return kept

    return fill


def find(collection, victim, runner):
    """A living process of the kind that is to be killed."""
    if victim == "runner":
        return psutil.Process(runner.pid)
    sign = "kernel_main" if victim == "kernel" else "popen_loky"
    for process in collection.processes():
        try:
            if sign in " ".join(process.cmdline()):
                return process
        except psutil.Error:
            continue
    return None


@pytest.mark.parametrize("number", range(KILLS))
def test_a_kill_at_a_random_moment(collection, undisturbed, number):
    """Afterwards a plain rerun leaves the bytes of an undisturbed run, whoever was killed and when."""
    reference = undisturbed(collection)
    chance = random.Random(number)
    victim = VICTIMS[number % 3]
    again = number % 2 == 1
    if again:  # with results there already, which must stay whole all the time
        for name in ("figures", "build"):
            shutil.copytree(reference["root"] / name, collection.root / name)
    process = collection.start("reproduce", *(["--force"] if again else []))
    moment = chance.uniform(0, reference["seconds"])
    time.sleep(moment)
    killed = False
    while process.poll() is None and not killed:
        found = find(collection, victim, process)
        if found is not None and process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(found.pid, signal.SIGKILL)
                killed = True
        time.sleep(0.002)
    _, errors = process.communicate(timeout=60)
    when = f"after {moment:.2f} s" if killed else "too late"
    print(
        f"kill {number}: {victim} {when}, results {'there' if again else 'not there'}: {process.returncode}"
    )
    assert process.returncode in (0, 1, -signal.SIGKILL), errors
    assert "Traceback" not in errors
    assert collection.orphans() == []
    for slug in SLUGS:
        if again or (collection.root / "figures" / slug).exists():
            assert collect(collection.root / "figures" / slug) == reference["each"][slug]
    done = collection.run("reproduce")
    assert done.returncode == 0, done.stderr
    assert everything(collection.root) == reference["left"]
    assert collection.leftovers() == []
    assert collection.run("reproduce").stdout == "nothing to run: 3 notebooks are fresh.\n"


def test_a_damaged_ledger_is_made_good(collection):
    collection.add("one")
    collection.add("two")
    assert collection.run("reproduce").returncode == 0
    before = everything(collection.root)
    ledger = collection.root / "figures" / "one" / "ledger.json"
    for damage in (b"", ledger.read_bytes()[:-20], b'{"slug": "two", "checks": []}'):
        ledger.write_bytes(damage)
        assert stored_counts(ledger.parent, "one") == {}  # which `list` shows as a damaged ledger
        done = collection.run("reproduce")
        assert done.returncode == 0, done.stderr
        assert "1 run, 1 fresh, 0 failed" in done.stdout
        assert everything(collection.root) == before


@pytest.mark.parametrize("damage", [b"{", b"\xff\xfe\x00", b'{"cells": 3, "nbformat": 4}'])
def test_a_damaged_notebook_is_named_and_its_results_stay(collection, damage):
    collection.add("one")
    collection.add("two")
    assert collection.run("reproduce").returncode == 0
    before = everything(collection.root)
    sound = collection.notebook("one").read_bytes()
    collection.notebook("one").write_bytes(damage)
    done = collection.run("reproduce")
    assert done.returncode == 1
    assert "0 run, 1 fresh, 1 failed" in done.stdout
    told = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(told) == 1
    assert told[0].startswith("one: notebooks/attention/one.ipynb: ")
    assert everything(collection.root) == before
    collection.notebook("one").write_bytes(sound)
    assert collection.run("reproduce").stdout == "nothing to run: 2 notebooks are fresh.\n"


@pytest.mark.parametrize("damage", [b"{", b'{"format": 1}'])
def test_damaged_stamps_and_caches_cost_a_run_and_nothing_else(collection, damage):
    collection.add("one")
    assert collection.run("reproduce").returncode == 0
    before = everything(collection.root)
    for path in [
        *(collection.root / "build" / "stamps").rglob("*.json"),
        *collection.root.glob("build/cache/*.json"),
    ]:
        path.write_bytes(damage)
    (collection.root / "build" / "reproduce.lock").write_bytes(damage)
    done = collection.run("reproduce")
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 run, 0 fresh, 0 failed" in done.stdout
    assert everything(collection.root) == before


@pytest.fixture
def sealed():
    """Makes a folder read-only for everyone, by a mount: permissions do not bind an administrator."""
    folders = []

    def seal(folder):
        if os.getuid() != 0 or shutil.which("mount") is None:
            folder.chmod(0o555)
            if os.access(folder, os.W_OK):
                pytest.skip("no way to make a folder read-only here")
            folders.append((folder, False))
            return
        bound = subprocess.run(
            ["mount", "--bind", str(folder), str(folder)], capture_output=True, check=False
        )
        if bound.returncode:
            pytest.skip("no right to mount")
        folders.append((folder, True))
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)

    def unseal():
        while folders:
            folder, mounted = folders.pop()
            if mounted:
                subprocess.run(["umount", "--lazy", str(folder)], check=True)
            else:
                folder.chmod(0o755)

    seal.undo = unseal
    yield seal
    unseal()


@pytest.mark.parametrize("name", ["figures", "build"])
def test_a_folder_that_is_read_only(collection, sealed, name):
    collection.add("one")
    assert collection.run("reproduce").returncode == 0
    before = everything(collection.root)
    sealed(collection.root / name)
    done = collection.run("reproduce", "--force")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("touchstone: ")
    assert f"{name} cannot be written" in done.stderr
    assert "Read-only file system" in done.stderr or "Permission denied" in done.stderr
    assert everything(collection.root) == before
    sealed.undo()
    assert collection.run("reproduce").stdout == "nothing to run: 1 notebooks are fresh.\n"


def test_a_damaged_register(collection):
    collection.add("one")
    whole = (collection.root / "papers.toml").read_text()
    for damage in ("[[paper]\n", whole + whole, "\x00", json.dumps({"paper": 3})):
        (collection.root / "papers.toml").write_text(damage)
        done = collection.run("reproduce")
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        assert "papers.toml" in done.stderr
