"""Triangular Toeplitz matrices, applied by fast Fourier transforms and never formed."""

from __future__ import annotations

from typing import Any

from touchstone.arrays import namespace

Array = Any


def lower_toeplitz_apply(b: Array, size: int, V: Array, *, transpose: bool = False) -> Array:
    r"""``T @ V`` for the lower-triangular Toeplitz ``T`` whose first column is ``b[:size]``.

    ``T[i, j] = b[i - j]`` for ``i >= j`` and 0 above the diagonal, (size, size). ``b`` has at least ``size``
    entries and ``V`` is (size,) or (size, c); the result has the shape of ``V``. With ``transpose`` it is
    ``T.T @ V``. Real floating arrays of one library.

    The error is absolute: about :math:`u\log_2(\text{size})\,\lVert b\rVert_2\lVert V_c\rVert_2` in each
    column, ``u`` the unit roundoff, so entries that are small by cancellation lose their digits.

    Cost: 2 c + 1 real transforms of N points, N the power of two with ``size <= N / 2 < 2 size``, and 3 c
    (N / 2 + 1) complex products at most; memory about 4 c N floats. Raises ``ValueError`` for shapes that
    do not fit, ``TypeError`` for arrays that are not real floating.

    Source: conv-basis-attention, the definition of conv(a); G. Golub, C. Van Loan, *Matrix Computations*
    (4th edition, 2013), section 4.8, embedding into a circulant matrix.
    """
    xp = namespace(b, V)
    for name, x in (("b", b), ("V", V)):
        if not xp.isdtype(x.dtype, "real floating"):
            raise TypeError(f"{name} of dtype {x.dtype}: expected real floating numbers")
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ValueError(f"size={size!r}: expected an integer >= 1")
    if b.ndim != 1 or b.shape[0] < size:
        raise ValueError(f"b of shape {tuple(b.shape)}: expected at least {size} entries in one row")
    if V.ndim not in (1, 2) or V.shape[0] != size:
        raise ValueError(f"V of shape {tuple(V.shape)}: expected ({size},) or ({size}, columns)")
    length = 2 << (size - 1).bit_length()
    # columns become rows: a transform runs over contiguous numbers
    columns = V[None, :] if V.ndim == 1 else V.T
    spectrum = xp.fft.rfft(b[:size], n=length)
    if transpose:
        spectrum = xp.conj(spectrum)
    product = xp.fft.irfft(spectrum[None, :] * xp.fft.rfft(columns, n=length, axis=-1), n=length, axis=-1)
    return product[0, :size] if V.ndim == 1 else product[:, :size].T
