"""Data sets: the split of the digits, and CIFAR-10 from folders that the test writes."""

import pickle
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from touchstone.instances.datasets import DatasetError, cifar10, digits

IMAGES, LABELS = load_digits(return_X_y=True)


def rows(X):
    return {tuple(row) for row in X}


@pytest.mark.parametrize("train", [1, 1000, 1796])
def test_digits_are_split_and_scaled(train):
    X, y, X_test, y_test = digits(train=train, rng=np.random.default_rng(0))
    assert X.shape == (train, 64)
    assert X_test.shape == (1797 - train, 64)
    everything = np.concatenate([X, X_test])
    assert everything.min() == 0
    assert everything.max() == 1
    known = {tuple(image / 16): label for image, label in zip(IMAGES, LABELS, strict=True)}
    assert rows(everything) == set(known)
    assert all(
        known[tuple(image)] == label
        for image, label in zip(everything, np.concatenate([y, y_test]), strict=True)
    )


def test_digits_of_two_classes():
    X, y, X_test, y_test = digits(train=200, rng=np.random.default_rng(0), classes=(3, 8))
    assert len(X) == 200
    assert len(X) + len(X_test) == np.sum((LABELS == 3) | (LABELS == 8)) == 357
    assert set(y) == set(y_test) == {3, 8}
    assert not rows(X) & rows(X_test)


def test_the_generator_makes_the_split():
    first, again, other = (digits(train=50, rng=np.random.default_rng(s))[0] for s in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    # drawn, and not the first rows as they lie
    assert not np.array_equal(first, IMAGES[:50] / 16)


@pytest.mark.parametrize("train", [0, 1797, 2.0, True, -3])
def test_sizes_of_a_split(train):
    with pytest.raises(ValueError, match="train="):
        digits(train=train, rng=np.random.default_rng(0))


@pytest.mark.parametrize("classes", [(), (3, 3), (3, 10), (-1,)])
def test_classes(classes):
    with pytest.raises(ValueError, match="classes="):
        digits(train=2, rng=np.random.default_rng(0), classes=classes)


# -- CIFAR-10 ----------------------------------------------------------------------------------------------

BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


def batch(seed, size=4):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (size, 3072)).astype(np.uint8), rng.integers(0, 10, size)


def write(folder, binary, *, protocol=2):
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(BATCHES):
        pixels, labels = batch(seed)
        if binary:
            np.column_stack([labels.astype(np.uint8), pixels]).tofile(folder / f"{name}.bin")
        else:
            content = {b"data": pixels, b"labels": labels.tolist(), b"batch_label": b"some batch"}
            (folder / name).write_bytes(pickle.dumps(content, protocol=protocol))


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("inside", [True, False])
def test_cifar_from_both_versions(tmp_path, binary, inside):
    name = "cifar-10-batches-bin" if binary else "cifar-10-batches-py"
    write(tmp_path / name if inside else tmp_path, binary)
    X, y, X_test, y_test = cifar10(str(tmp_path))
    assert X.shape == (20, 32, 32, 3)
    assert X_test.shape == (4, 32, 32, 3)
    assert X.dtype == X_test.dtype == np.uint8
    for images, labels, seeds in ((X, y, range(5)), (X_test, y_test, [5])):
        for at, seed in enumerate(seeds):
            pixels, expected = batch(seed)
            assert np.array_equal(labels[4 * at : 4 * at + 4], expected)
            for i in range(4):
                # channel, then row, then column
                for c, r, s in [(0, 0, 0), (0, 0, 5), (1, 7, 3), (2, 31, 31)]:
                    assert images[4 * at + i, r, s, c] == pixels[i, 1024 * c + 32 * r + s]


@pytest.mark.parametrize("protocol", [2, 4, pickle.HIGHEST_PROTOCOL])
def test_cifar_pickles_of_any_age(tmp_path, protocol):
    write(tmp_path, False, protocol=protocol)
    assert len(cifar10(tmp_path)[0]) == 20


def test_cifar_pickle_written_by_an_old_numpy(tmp_path):
    write(tmp_path, False)
    for name in BATCHES:
        file = tmp_path / name
        file.write_bytes(file.read_bytes().replace(b"cnumpy._core.multiarray", b"cnumpy.core.multiarray"))
    assert len(cifar10(tmp_path)[0]) == 20


def test_cifar_that_is_not_there(tmp_path):
    with pytest.raises(DatasetError, match=r"path=.*nowhere.*expected the unpacked CIFAR-10"):
        cifar10(tmp_path / "nowhere")
    write(tmp_path, False)
    (tmp_path / "data_batch_3").unlink()
    with pytest.raises(DatasetError, match="expected the unpacked"):
        cifar10(tmp_path)
    assert issubclass(DatasetError, FileNotFoundError)


@pytest.mark.parametrize(
    "content",
    [
        {b"labels": [1]},
        {b"data": np.zeros((1, 3072), np.uint8)},
        {b"data": np.zeros((1, 3072), np.int64), b"labels": [1]},
        {b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]},
        {b"data": np.zeros((1, 3071), np.uint8), b"labels": [1]},
        {b"data": np.zeros((0, 3072), np.uint8), b"labels": []},
        {b"data": np.zeros((1, 3072), np.uint8), b"labels": [10]},
        {b"data": np.zeros((1, 3072), np.uint8), b"labels": [-1]},
        [1, 2],
    ],
)
def test_cifar_batches_that_are_broken(tmp_path, content):
    write(tmp_path, False)
    (tmp_path / "data_batch_2").write_bytes(pickle.dumps(content))
    with pytest.raises(DatasetError, match=r"data_batch_2: expected a batch of CIFAR-10"):
        cifar10(tmp_path)


def test_cifar_files_cut_short(tmp_path):
    write(tmp_path / "a", False)
    file = tmp_path / "a" / "test_batch"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DatasetError, match="test_batch"):
        cifar10(tmp_path / "a")
    write(tmp_path / "b", True)
    file = tmp_path / "b" / "data_batch_1.bin"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DatasetError, match="data_batch_1"):
        cifar10(tmp_path / "b")


class Calls:
    def __reduce__(self):
        return (sys.exit, (1,))


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    write(tmp_path, False)
    (tmp_path / "test_batch").write_bytes(pickle.dumps(Calls()))
    with pytest.raises(DatasetError, match=r"sys\.exit, which is no plain data"):
        cifar10(tmp_path)
