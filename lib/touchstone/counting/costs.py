"""What is counted: the definitions of every tally, and the `count()` block that collects them.

Costs depend on shapes and dtypes only, never on values, and are exact Python integers. One unit is one
operation on real numbers.

``multiply_adds``
    A matrix product of (m, k) by (k, n) is ``m k n``; so are dot products, matrix-vector products and outer
    products, which are the cases with a side 1. Factorisations follow the table in ``prices``. A product of
    two complex factors is four real products, of a complex and a real factor two.
``arithmetic``
    Every other ``+ - * /``, negation, absolute value, rounding, remainder and bit operation: one for each
    entry of the result. A sum or product over k entries costs k - 1, a mean k, a variance 4 k, a cumulative
    sum k - 1 for each line. ``x**p`` with a whole scalar exponent is the multiplications of binary powering
    (``x**2`` is one), plus a division when p < 0. An FFT costs what ``prices.fft`` says.
    Complex: an addition is 2, a product 6, a quotient 11 (with a real factor 2, with a real divisor 2, with
    a real dividend 7).
``transcendentals``
    Square roots, exponentials, logarithms, powers, trigonometric and hyperbolic functions: one an
    entry. A complex one counts as its textbook formula in real functions (``elementwise``).
``comparisons``
    Comparisons, logical operations, tests such as ``isnan``, ``where``, maximum and minimum: one for each
    entry of the result. A maximum over k entries costs k - 1; a sort of N entries N ceil(log2 N); a binary
    search among N ceil(log2(N + 1)) for each query.
``moves``
    Entries written without being computed: copies, gathers, concatenation, constants, assignment to a slice,
    change of dtype, a reshape that cannot be a view, and data that enters from the host. A reduction over a
    single entry is a move. Views (slices, transposes, broadcasts, other reshapes) cost nothing.
``bytes_live``, ``bytes_peak``
    Bytes of the arrays that were created inside the block and are still referenced, now and at the highest
    point. Views share their buffer. Arrays that existed before are inputs and do not count. What NumPy
    allocates inside one operation does not count either.
``products``, ``ffts``, ``factorisations``
    The shape of each, and how many there were, in the order of first appearance. A batch is that many.

``operations`` is the sum of the first four. Reading one value on the host (``float(x)``) is free.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

OPERATIONS = ("multiply_adds", "arithmetic", "transcendentals", "comparisons", "moves")


class CountingError(NotImplementedError):
    """An operation that the counting array cannot count or cannot do; the message names it."""


class ShapeOnlyError(CountingError, TypeError):
    """A value was asked of an array that has a shape and a dtype but no data."""


class Product(NamedTuple):
    """``count`` real matrix products of (m, k) by (k, n)."""

    m: int
    k: int
    n: int
    count: int


class Transform(NamedTuple):
    """``count`` fast Fourier transforms of ``length`` points; ``kind`` is "complex" or "real"."""

    kind: str
    length: int
    count: int


class Factorisation(NamedTuple):
    """``count`` factorisations ``kind`` (a name in ``prices``) of m by n matrices."""

    kind: str
    m: int
    n: int
    count: int


class Costs:
    """The tallies of one `count()` block, or of one of its phases. All are Python integers."""

    __slots__ = (
        "_factorisations",
        "_ffts",
        "_live",
        "_open",
        "_products",
        "_root",
        "arithmetic",
        "bytes_peak",
        "comparisons",
        "moves",
        "multiply_adds",
        "phases",
        "transcendentals",
    )

    def __init__(self, root: Costs | None = None) -> None:
        self.multiply_adds = 0
        self.arithmetic = 0
        self.transcendentals = 0
        self.comparisons = 0
        self.moves = 0
        self.bytes_peak = 0
        self.phases: dict[str, Costs] = {}
        self._products: dict[tuple[int, int, int], int] = {}
        self._ffts: dict[tuple[str, int], int] = {}
        self._factorisations: dict[tuple[str, int, int], int] = {}
        self._root = self if root is None else root
        self._live = 0
        self._open = True

    @property
    def operations(self) -> int:
        """Multiply-adds, other arithmetic, transcendental calls and comparisons together."""
        return self.multiply_adds + self.arithmetic + self.transcendentals + self.comparisons

    @property
    def bytes_live(self) -> int:
        """Bytes held now by arrays created in the block; after the block, those held when it ended."""
        return self._root._live

    @property
    def products(self) -> list[Product]:
        """The matrix products, one entry for each shape."""
        return [Product(*shape, count) for shape, count in self._products.items()]

    @property
    def ffts(self) -> list[Transform]:
        """The Fourier transforms, one entry for each kind and length."""
        return [Transform(*key, count) for key, count in self._ffts.items()]

    @property
    def factorisations(self) -> list[Factorisation]:
        """The factorisations, one entry for each kind and shape."""
        return [Factorisation(*key, count) for key, count in self._factorisations.items()]

    @contextmanager
    def phase(self, name: str) -> Iterator[Costs]:
        """Tally what happens inside also under ``phases[name]``; opened again, the tally goes on.

        Phases nest: one opened inside another is in the ``phases`` of the outer one. The peak of a phase is
        the highest number of bytes that the whole block held while the phase was open.
        Raises ``CountingError`` when the block is not open.
        """
        scope = _active.get()
        parents = [entry for entry in scope if entry[0]._root is self._root]
        if not parents:
            raise CountingError(f"phase {name!r}: its count() block is not open here")
        parent, times = parents[-1]
        child = parent.phases.get(name)
        if child is None:
            child = parent.phases[name] = Costs(self._root)
        child.bytes_peak = max(child.bytes_peak, self._root._live)
        token = _active.set((*scope, (child, times)))
        try:
            yield child
        finally:
            _active.reset(token)

    def numbers(self) -> dict[str, int]:
        """Every scalar tally by name."""
        names = (*OPERATIONS, "operations", "bytes_live", "bytes_peak")
        return {name: getattr(self, name) for name in names}

    def __repr__(self) -> str:
        return f"Costs({', '.join(f'{name}={value}' for name, value in self.numbers().items())})"


# Every open tally with the number of times that what happens now stands for (see `repeated`).
_active: ContextVar[tuple[tuple[Costs, int], ...]] = ContextVar("active", default=())


@contextmanager
def count() -> Iterator[Costs]:
    """Count what happens to counting arrays inside the block.

    Blocks nest: an inner block has its own tallies, and the outer one counts on. A block belongs to its
    thread. After the block its tallies stay as they were at its end.
    """
    costs = Costs()
    token = _active.set((*_active.get(), (costs, 1)))
    try:
        yield costs
    finally:
        costs._open = False
        _active.reset(token)


@contextmanager
def repeated(times: int) -> Iterator[None]:
    """Let what happens inside stand for ``times`` runs of it: every tally is multiplied, bytes are not."""
    token = _active.set(tuple((tally, old * times) for tally, old in _active.get()))
    try:
        yield
    finally:
        _active.reset(token)


def charge(
    *,
    multiply_adds: int = 0,
    arithmetic: int = 0,
    transcendentals: int = 0,
    comparisons: int = 0,
    moves: int = 0,
) -> None:
    """Add operations to every open tally."""
    for tally, times in _active.get():
        if arithmetic:
            tally.arithmetic += arithmetic * times
        if multiply_adds:
            tally.multiply_adds += multiply_adds * times
        if transcendentals:
            tally.transcendentals += transcendentals * times
        if comparisons:
            tally.comparisons += comparisons * times
        if moves:
            tally.moves += moves * times


def charge_product(m: int, k: int, n: int, number: int) -> None:
    """Add ``number`` real matrix products and their multiply-adds."""
    if number == 0:
        return
    key = (m, k, n)
    for tally, times in _active.get():
        tally.multiply_adds += m * k * n * number * times
        tally._products[key] = tally._products.get(key, 0) + number * times


def charge_fft(kind: str, length: int, number: int, arithmetic: int) -> None:
    """Add ``number`` transforms of ``arithmetic`` operations each."""
    if number == 0:
        return
    key = (kind, length)
    for tally, times in _active.get():
        tally.arithmetic += arithmetic * number * times
        tally._ffts[key] = tally._ffts.get(key, 0) + number * times


def charge_factorisation(kind: str, m: int, n: int, number: int, operations: dict[str, int]) -> None:
    """Add ``number`` factorisations of ``operations`` each."""
    if number == 0:
        return
    key = (kind, m, n)
    charge(**{name: value * number for name, value in operations.items()})
    for tally, times in _active.get():
        tally._factorisations[key] = tally._factorisations.get(key, 0) + number * times


class Buffer:
    """The bytes of one array, from its creation in a `count()` block until its last view is gone."""

    __slots__ = ("nbytes", "roots")

    def __init__(self, nbytes: int, roots: tuple[Costs, ...]) -> None:
        self.nbytes = nbytes
        self.roots = roots

    def __del__(self) -> None:
        for root in self.roots:
            if root._open:
                root._live -= self.nbytes


def allocate(nbytes: int) -> Buffer | None:
    """Enter ``nbytes`` into every open block; ``None`` when no block is open."""
    scope = _active.get()
    if not scope:
        return None
    roots = tuple([tally for tally, _ in scope if tally._root is tally])
    for root in roots:
        root._live += nbytes
    for tally, _ in scope:
        live = tally._root._live
        if live > tally.bytes_peak:
            tally.bytes_peak = live
    return Buffer(nbytes, roots)


def live_bytes() -> list[int]:
    """Bytes held now in every open block."""
    return [tally._live for tally, _ in _active.get() if tally._root is tally]
