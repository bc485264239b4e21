"""The families of sketches, each as a function of (m, n, rng, like=)."""

import functools

import pytest

from touchstone.sketching.gaussian import gaussian_sketch
from touchstone.sketching.operator import compose
from touchstone.sketching.sparse_embedding import count_sketch, osnap
from touchstone.sketching.srht import srht


def sparse_embedding(m, n, rng, *, layout, like, workers=1):
    return osnap(m, n, min(3, m), rng, layout=layout, like=like, workers=workers)


def composition(m, n, rng, *, like):
    k = 2 * m + 1
    return compose(gaussian_sketch(m, k, rng, like=like), count_sketch(k, n, rng, like=like))


FAMILIES = {
    "gaussian": gaussian_sketch,
    "count": count_sketch,
    "uniform": functools.partial(sparse_embedding, layout="uniform"),
    "blocks": functools.partial(sparse_embedding, layout="blocks"),
    "srht": srht,
    "unsigned": functools.partial(srht, signs=False),
    "composition": composition,
}


@pytest.fixture(params=FAMILIES)
def family(request):
    """Each family in turn; ``family.name`` tells which."""

    def make(m, n, rng, *, like, **more):
        return FAMILIES[request.param](m, n, rng, like=like, **more)

    make.name = request.param
    return make
