import contextlib
import errno

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.reproduce import artefacts
from touchstone.reproduce.artefacts import collect, recover, store_file, store_folder

OLD = {"ledger.json": b"old", "gone.svg": b"old"}
NEW = {"ledger.json": b"new", "a.svg": b"new", "machine/run.json": b"new"}


class Crash(BaseException):
    """What a power cut looks like from inside: nothing after it runs."""


@pytest.fixture(params=[True, False], ids=["exchange", "two renames"])
def exchange(request, monkeypatch):
    if not request.param:
        monkeypatch.setattr(artefacts, "_exchange", lambda one, other: False)


@pytest.mark.usefixtures("exchange")
def test_a_folder_is_replaced_as_a_whole(tmp_path):
    target = tmp_path / "figures" / "paper"
    for files in (OLD, NEW, OLD):
        store_folder(target, files)
        assert collect(target) == files
        assert [path.name for path in target.parent.iterdir()] == ["paper"]


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(
        st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=2).map(
            lambda p: "/".join(p) + ".x"
        ),
        st.binary(max_size=20),
    )
)
def test_any_files_come_back(tmp_path_factory, files):
    target = tmp_path_factory.mktemp("any") / "paper"
    store_folder(target, files)
    assert collect(target) == files


@pytest.mark.usefixtures("exchange")
@pytest.mark.parametrize("at", range(len(NEW)))
def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch, at):
    target = tmp_path / "paper"
    store_folder(target, OLD)
    written = []

    def write(path, content):
        if len(written) == at:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        path.write_bytes(content)

    monkeypatch.setattr(artefacts, "write_through", write)
    with pytest.raises(OSError, match="No space left"):
        store_folder(target, NEW)
    assert collect(target) == OLD
    assert [path.name for path in tmp_path.iterdir()] == ["paper"]


@pytest.mark.usefixtures("exchange")
@pytest.mark.parametrize("existing", [True, False])
def test_a_crash_at_any_step_leaves_the_old_or_the_new(tmp_path, monkeypatch, existing):
    """Every call that touches the disk is the last one once; after recovery one version is there, whole."""
    outcomes = set()
    for last in range(1, 100):
        folder = tmp_path / str(last)
        target = folder / "paper"
        folder.mkdir()
        if existing:
            store_folder(target, OLD)
        with monkeypatch.context() as patch:
            steps = _crash_after(patch, last)
            with contextlib.suppress(Crash):
                store_folder(target, NEW)
            finished = steps() < last
        recover(folder)
        state = collect(target) if target.exists() else None
        assert state in ([OLD, NEW] if existing else [None, NEW])
        assert [path.name for path in folder.iterdir()] in (["paper"], [])
        outcomes.add("new" if state == NEW else "old")
        if finished:
            assert state == NEW
            break
    else:
        pytest.fail("the number of steps was underestimated")
    assert outcomes == {"old", "new"}


def _crash_after(patch, last):
    """Let ``last - 1`` disk operations through, crash instead of the next, refuse everything after it."""
    count = 0

    def guarded(function):
        def call(*arguments, **options):
            nonlocal count
            count += 1
            if count >= last:
                raise Crash
            return function(*arguments, **options)

        return call

    for name in ("rename",):
        patch.setattr(artefacts.os, name, guarded(getattr(artefacts.os, name)))
    patch.setattr(artefacts.shutil, "rmtree", guarded(artefacts.shutil.rmtree))
    patch.setattr(artefacts, "write_through", guarded(artefacts.write_through))
    patch.setattr(artefacts, "_exchange", guarded(artefacts._exchange))
    return lambda: count


def test_recovery_leaves_other_things_alone(tmp_path):
    (tmp_path / "paper").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".file.new").touch()
    recover(tmp_path)
    recover(tmp_path / "nowhere")
    assert {path.name for path in tmp_path.iterdir()} == {"paper", ".hidden", ".file.new"}


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out", ""])
def test_artefacts_stay_in_their_folder(tmp_path, name):
    with pytest.raises(ValueError, match="inside the folder"):
        store_folder(tmp_path / "paper", {name: b""})
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_as_a_whole(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "stamp.json"
    store_file(path, b"one")
    store_file(path, b"two")
    assert path.read_bytes() == b"two"

    def fail(path, content):
        path.write_bytes(content[:1])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(artefacts, "write_through", fail)
    with pytest.raises(OSError, match="No space"):
        store_file(path, b"three")
    assert path.read_bytes() == b"two"
    assert [found.name for found in path.parent.iterdir()] == ["stamp.json"]
