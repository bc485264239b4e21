"""What every test directory shares: the array libraries that the mathematics must run on."""

import importlib

import pytest
from hypothesis import settings

from touchstone import arrays

# The same examples every time, so that a change is what makes a test fail, not the day. To look for new ones:
# make test PYTEST=--hypothesis-profile=default (the nightly run does)
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")

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
