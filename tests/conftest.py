"""What every test directory shares: the array libraries that the mathematics must run on."""

import importlib

import pytest

from touchstone import arrays

LIBRARIES = [
    "array_api_compat.numpy",
    "array_api_strict",
    "touchstone.counting.namespace",
    pytest.param("array_api_compat.cupy", marks=pytest.mark.gpu),
]


def pytest_collection_modifyitems(items):
    reason = arrays._why_no_gpu()
    if reason is not None:
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(params=LIBRARIES)
def xp(request):
    """Each array namespace in turn: NumPy, the strict and the counting one, CuPy where there is a GPU."""
    return importlib.import_module(request.param)
