"""The one table of prices: what algorithms cost that the counting array does not carry out step by step.

Integers in, integers out, of any length. Factorisations follow Golub and Van Loan, *Matrix Computations*
(4th edition, 2013), whose flops are halved: one multiply-add is two. A count that is not whole is rounded up.

| routine | price | where |
|---|---|---|
| FFT, N complex points | 5 N ceil(log2 N) arithmetic | Van Loan, *Computational Frameworks for the FFT* |
| the same, real points | half of it | the same book, real transforms |
| butterfly (Walsh-Hadamard) | N ceil(log2 N) arithmetic | one addition for each entry and level |
| sort | N ceil(log2 N) comparisons | merge sort; Knuth, volume 3, 5.2.4 |
| binary search | ceil(log2(N + 1)) comparisons | Knuth, volume 3, 6.2.1 |
| Cholesky | (n^3 - n)/6, n (n - 1)/2 divisions, n roots | Algorithm 4.2.1, to the unit |
| LU, pivoting | n (n-1) (2n-1)/6, n (n-1)/2 divisions and comparisons | Algorithm 3.4.1, to the unit |
| triangular solve | n (n-1)/2, n divisions | Algorithm 3.1.1, to the unit |
| solve | LU; for each right-hand side n (n-1), n divisions | sections 3.1 and 3.2 |
| inverse | n^3 | section 3.4 (2 n^3 flops) |
| QR, reduced | 2 m n^2 - 2 n^3/3, n roots | 5.2.2: half for R, half to form the thin Q |
| QR, complete | m n^2 - n^3/3 + 2 m^2 n - 2 m n^2 + 2 n^3/3, n roots | 5.2.2: R, and the square Q |
| QR, R only | m n^2 - n^3/3, n roots | Algorithm 5.2.1 |
| SVD: values; thin; full | m n^2 + n^3; 3 m n^2 + 10 n^3; 2 m^2 n + 11 n^3 | figure 8.6.1, R-SVD |
| symmetric eigenvalues; with vectors | 2 n^3/3; 9 n^3/2 | section 8.3 |
| eigenvalues; with vectors | 5 n^3; 25 n^3/2 | section 7.5 |

Prices without a unit are multiply-adds. For QR and SVD m >= n; a wide matrix is priced as its transpose.
"""

from __future__ import annotations

Price = dict[str, int]


def ceil_log2(n: int) -> int:
    """ceil(log2 n) for an integer n >= 1, and 0 for n = 0."""
    return (n - 1).bit_length() if n > 0 else 0


def _ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def fft(n: int, kind: str = "complex") -> int:
    """Arithmetic of one fast Fourier transform of ``n`` points; ``kind`` is "complex" or "real"."""
    full = 5 * n * ceil_log2(n)
    return full if kind == "complex" else _ceil_div(full, 2)


def butterfly(n: int) -> int:
    """Arithmetic of one fast Walsh-Hadamard transform of ``n`` points."""
    return n * ceil_log2(n)


def sort(n: int) -> int:
    """Comparisons of one sort of ``n`` entries."""
    return n * ceil_log2(n)


def binary_search(n: int) -> int:
    """Comparisons of one search among ``n`` sorted entries."""
    return n.bit_length()


def cholesky(n: int) -> Price:
    """One Cholesky factorisation."""
    return {
        "multiply_adds": (n**3 - n) // 6,
        "arithmetic": n * (n - 1) // 2,
        "transcendentals": n,
    }


def lu(n: int) -> Price:
    """One LU factorisation with partial pivoting."""
    pairs = n * (n - 1) // 2
    return {"multiply_adds": n * (n - 1) * (2 * n - 1) // 6, "arithmetic": pairs, "comparisons": pairs}


def triangular_solve(n: int, right_sides: int = 1) -> Price:
    """Triangular systems with ``right_sides`` right-hand sides."""
    return {"multiply_adds": n * (n - 1) // 2 * right_sides, "arithmetic": n * right_sides}


def solve(n: int, right_sides: int = 1) -> Price:
    """One LU factorisation and ``right_sides`` pairs of triangular solves, one with a unit diagonal."""
    price = lu(n)
    price["multiply_adds"] += n * (n - 1) * right_sides
    price["arithmetic"] += n * right_sides
    return price


def inverse(n: int) -> Price:
    """One inverse through LU."""
    return {"multiply_adds": n**3}


def determinant(n: int) -> Price:
    """One determinant through LU: its factors and the product of the pivots."""
    price = lu(n)
    price["arithmetic"] += max(n - 1, 0)
    return price


def log_determinant(n: int) -> Price:
    """Sign and logarithm of one determinant through LU: a logarithm for each pivot, and their sum."""
    price = determinant(n)
    price["transcendentals"] = n
    return price


def qr(m: int, n: int, mode: str = "reduced") -> Price:
    """One Householder QR of (m, n); ``mode`` is "reduced", "complete" or "r"."""
    m, n = max(m, n), min(m, n)
    triangle = 3 * m * n**2 - n**3  # thirds
    thirds = {
        "r": triangle,
        "reduced": 2 * triangle,
        "complete": triangle + 2 * (3 * m**2 * n - 3 * m * n**2 + n**3),
    }
    if mode not in thirds:
        raise ValueError(f"mode={mode!r}: expected 'reduced', 'complete' or 'r'")
    return {"multiply_adds": _ceil_div(thirds[mode], 3), "transcendentals": n}


def svd(m: int, n: int, vectors: str = "thin") -> Price:
    """One R-SVD of (m, n); ``vectors`` is "none", "thin" or "full"."""
    m, n = max(m, n), min(m, n)
    table = {"none": m * n**2 + n**3, "thin": 3 * m * n**2 + 10 * n**3, "full": 2 * m**2 * n + 11 * n**3}
    if vectors not in table:
        raise ValueError(f"vectors={vectors!r}: expected 'none', 'thin' or 'full'")
    return {"multiply_adds": table[vectors]}


def symmetric_eigen(n: int, vectors: bool = True) -> Price:
    """All eigenvalues of one symmetric matrix, and its eigenvectors."""
    return {"multiply_adds": _ceil_div(9 * n**3, 2) if vectors else _ceil_div(2 * n**3, 3)}


def eigen(n: int, vectors: bool = True) -> Price:
    """All eigenvalues of one square matrix, and its eigenvectors."""
    return {"multiply_adds": _ceil_div(25 * n**3, 2) if vectors else 5 * n**3}
