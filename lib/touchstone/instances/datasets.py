"""Bundled and local data sets, on the host: NumPy arrays, nothing is ever downloaded."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np

Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

CIFAR_TRAIN = tuple(f"data_batch_{i}" for i in range(1, 6))
CIFAR_TEST = ("test_batch",)
CIFAR_FOLDERS = (".", "cifar-10-batches-py", "cifar-10-batches-bin")
CIFAR_RECORD = 1 + 3 * 32 * 32  # the binary version: a label, then red, green and blue of 32 x 32 pixels


class DatasetError(FileNotFoundError):
    """A local data set is not where it was said to be, or not whole; the message says what was expected."""


def digits(*, train: int, rng: np.random.Generator, classes: Sequence[int] | None = None) -> Split:
    """A random split of scikit-learn's 1797 handwritten digits of 8 x 8 pixels: X, y, X_test, y_test.

    Pixels are scaled from 0..16 to [0, 1], rows are images (64,), labels are the digits. ``classes`` keeps
    those digits only; ``train`` images are drawn for training and all others are for testing. Raises
    ``ValueError`` unless 1 <= ``train`` < the number of images and the classes are different digits.
    """
    from sklearn.datasets import load_digits  # half a second, only where it is needed

    X, y = load_digits(return_X_y=True)
    if classes is not None:
        if not classes or len(set(classes)) != len(classes) or not set(classes) <= set(range(10)):
            raise ValueError(f"classes={classes!r}: expected different digits 0 to 9")
        kept = np.isin(y, list(classes))
        X, y = X[kept], y[kept]
    if isinstance(train, bool) or not isinstance(train, int | np.integer) or not 1 <= train < len(y):
        raise ValueError(f"train={train!r}: expected an integer from 1 to {len(y) - 1}")
    order = rng.permutation(len(y))
    X, y = X[order] / 16, y[order]
    return X[:train], y[:train], X[train:], y[train:]


def cifar10(path: str | Path) -> Split:
    """CIFAR-10 from the local folder ``path``: X, y and X_test, y_test, 50000 and 10000 images.

    Images are bytes (n, 32, 32, 3), rows of pixels from the top, red, green and blue; labels are 0 to 9.
    Reads the "python version" or the "binary version" as their archive unpacks, from ``path`` itself or from
    the folder of the archive inside it. A batch of the python version is a pickle: only files that hold
    plain data of NumPy are read. Raises ``DatasetError`` when batches are missing or broken. Never downloads.
    """
    folder = _cifar_folder(Path(path))
    X, y = _cifar_batches(folder, CIFAR_TRAIN)
    X_test, y_test = _cifar_batches(folder, CIFAR_TEST)
    return X, y, X_test, y_test


def _cifar_folder(path: Path) -> Path:
    for name in CIFAR_FOLDERS:
        for suffix in ("", ".bin"):
            if all((path / name / f"{batch}{suffix}").is_file() for batch in (*CIFAR_TRAIN, *CIFAR_TEST)):
                return path / name
    raise DatasetError(
        f"path={str(path)!r}: expected the unpacked CIFAR-10 there, files data_batch_1 to data_batch_5 and "
        "test_batch (python version), or the same with .bin (binary version)"
    )


def _cifar_batches(folder: Path, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    pixels, labels = zip(*(_cifar_batch(folder, name) for name in names), strict=True)
    # red, green and blue planes one after the other, in both versions
    images = np.concatenate(pixels).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), np.concatenate(labels).astype(np.int64)


def _cifar_batch(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    file = folder / name
    try:
        if file.is_file():
            with file.open("rb") as stream:
                batch = _PlainUnpickler(stream, encoding="bytes").load()
            pixels, labels = np.asarray(batch[b"data"]), np.asarray(batch[b"labels"])
        else:
            records = np.fromfile(file.with_name(f"{name}.bin"), dtype=np.uint8).reshape(-1, CIFAR_RECORD)
            pixels, labels = records[:, 1:], records[:, 0]
        if pixels.dtype != np.uint8 or pixels.shape != (len(labels), CIFAR_RECORD - 1) or not len(labels):
            raise ValueError(f"pixels of shape {pixels.shape} and type {pixels.dtype}")
        if not np.all((labels >= 0) & (labels <= 9)):
            raise ValueError("labels outside 0 to 9")
    except (ValueError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise DatasetError(f"{file}: expected a batch of CIFAR-10, got {error}") from error
    return pixels, labels


class _PlainUnpickler(pickle.Unpickler):
    """Reads arrays and plain containers, and calls nothing else: a pickle may run any code."""

    ALLOWED = frozenset(
        {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}
        | {
            (f"numpy.{core}.{module}", name)
            for core in ("core", "_core")
            for module, name in (
                ("multiarray", "_reconstruct"),
                ("multiarray", "scalar"),
                ("numeric", "_frombuffer"),
            )
        }
    )

    def find_class(self, module: str, name: str) -> object:
        if (module, name) in self.ALLOWED:
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)
        raise pickle.UnpicklingError(f"{module}.{name}, which is no plain data")
