from pathlib import Path

import pytest

from touchstone.reproduce.scratch import clear, scratch_folders, short_enough


def test_folders_go_at_the_end_whatever_happens():
    with scratch_folders() as scratch:
        (scratch.files / "file").touch()
    assert not scratch.files.exists()
    with pytest.raises(ZeroDivisionError), scratch_folders() as scratch:
        raise ZeroDivisionError
    assert not scratch.files.exists()


@pytest.mark.parametrize("depth", [0, 120])
def test_sockets_have_room(tmp_path, monkeypatch, depth):
    deep = tmp_path / ("d" * depth)
    deep.mkdir(exist_ok=True)
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with scratch_folders() as scratch:
        assert scratch.files.parent == deep
        assert short_enough(scratch.sockets)
        assert depth == 0 or scratch.sockets != scratch.files
    assert not scratch.sockets.exists()
    assert list(deep.iterdir()) == []


def test_what_a_killed_run_left_is_cleared(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with scratch_folders() as scratch:
        clear(scratch.folders)
        assert not scratch.files.exists()
        assert not scratch.sockets.exists()


def test_nothing_else_is_cleared(tmp_path):
    precious = tmp_path / "touchstone-thesis"
    precious.mkdir()
    marked = tmp_path / "elsewhere"
    marked.mkdir()
    (marked / "of-a-run").touch()
    link = tmp_path / "touchstone-link"
    link.symlink_to(marked)
    for folders in ([str(precious), str(marked), str(link), "", "/"], None, str(precious), 3, [None]):
        clear(folders)
    assert precious.exists()
    assert marked.exists()
    assert Path(link).is_symlink()
