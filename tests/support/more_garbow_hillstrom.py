"""The 35 test problems of Moré, Garbow & Hillstrom 1981, "Testing Unconstrained Optimization Software", ACM
Transactions on Mathematical Software 7(1), 17-41: residuals, the standard starts, and the minima that are known.

Derivatives are those of `jets`, exact. Problems of any size have ten variables here, but for Watson's (6) and
Chebyquad (8), whose minima are known for these.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from support.jets import Jet, arctan, cos, exp, joined, log, sin, sqrt

from newtron.engine.objective import Evaluation, FirstOrder, Objective, SecondOrder

Array = NDArray[np.floating]
Residuals = Callable[[Jet], Jet]


@dataclass(frozen=True)
class Problem:
    """minima: the known values of the sum of squares at (local) minima, those approached at infinity among them."""

    name: str
    residuals: Residuals
    start: tuple[float, ...]
    minima: tuple[float, ...] = (0.0,)

    def at(self, x: Array, second: bool = False) -> Jet:
        """Residuals (m,), with their derivatives; not finite where they overflow."""
        with np.errstate(all="ignore"):
            return self.residuals(Jet.variables(x, second))

    def objective(self) -> HalfSumOfSquares:
        return HalfSumOfSquares(self)

    def solved(self, value: float) -> bool:
        """Is ½ sum of squares that of one of the minima?"""
        return any(abs(2.0 * value - least) <= 1e-6 * least + 1e-10 for least in self.minima)


class HalfSumOfSquares(Objective):
    """½ sum of squared residuals."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem, self.n_params = problem, len(problem.start)

    def _evaluate(self, params: Array, order: int, gauss_newton: bool) -> Evaluation:
        r = self.problem.at(params, second=order > 1 and not gauss_newton)
        value, gradient = 0.5 * float(r.v @ r.v), r.d.T @ r.v
        if order < 2:
            return FirstOrder(value, gradient)
        hessian = r.d.T @ r.d
        if r.h is not None:
            hessian = hessian + np.tensordot(r.v, r.h, axes=1)
        return SecondOrder(value, gradient, hessian)


def _numbers(words: str) -> Array:
    return np.array(words.split(), dtype=float)


# --- two variables ---


def _rosenbrock(x: Jet) -> Jet:
    return joined(10.0 * (x[1] - x[0] ** 2), 1.0 - x[0])


def _freudenstein_roth(x: Jet) -> Jet:
    a, b = x[0], x[1]
    return joined(-13.0 + a + ((5.0 - b) * b - 2.0) * b, -29.0 + a + ((b + 1.0) * b - 14.0) * b)


def _powell_badly_scaled(x: Jet) -> Jet:
    return joined(1e4 * x[0] * x[1] - 1.0, exp(-x[0]) + exp(-x[1]) - 1.0001)


def _brown_badly_scaled(x: Jet) -> Jet:
    return joined(x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2.0)


def _beale(x: Jet) -> Jet:
    return joined(*(y - x[0] * (1.0 - x[1] ** i) for i, y in ((1, 1.5), (2, 2.25), (3, 2.625))))


def _jennrich_sampson(x: Jet) -> Jet:
    i = np.arange(1.0, 11.0)
    return 2.0 + 2.0 * i - (exp(_rows(x[0], 10) * i) + exp(_rows(x[1], 10) * i))


def _rows(x: Jet, m: int) -> Jet:
    """One value for each of m rows."""
    return x[None][np.zeros(m, dtype=int)]


# --- three ---


def _helical_valley(x: Jet) -> Jet:
    turn = 0.5 if x.v[0] < 0.0 else 0.0
    theta = arctan(x[1] / x[0]) * (0.5 / np.pi) + turn
    return joined(10.0 * (x[2] - 10.0 * theta), 10.0 * (sqrt(x[0] ** 2 + x[1] ** 2) - 1.0), x[2])


_BARD = np.array([14, 18, 22, 25, 29, 32, 35, 39, 37, 58, 73, 96, 134, 210, 439]) / 100.0


def _bard(x: Jet) -> Jet:
    u = np.arange(1.0, 16.0)
    v = 16.0 - u
    w = np.minimum(u, v)
    a, b, c = (_rows(x[j], 15) for j in range(3))
    found: Jet = _BARD - (a + u * (v * b + w * c) ** -1)
    return found


_GAUSSIAN = np.array([9, 44, 175, 540, 1295, 2420, 3521, 3989, 3521, 2420, 1295, 540, 175, 44, 9]) / 1e4


def _gaussian(x: Jet) -> Jet:
    t = (8.0 - np.arange(1.0, 16.0)) / 2.0
    a, b, c = (_rows(x[j], 15) for j in range(3))
    return a * exp(-0.5 * b * (t - c) ** 2) - _GAUSSIAN


_MEYER = _numbers("34780 28610 23650 19630 16370 13720 11540 9744 8261 7030 6005 5147 4427 3820 3307 2872")


def _meyer(x: Jet) -> Jet:
    t = 45.0 + 5.0 * np.arange(1.0, 17.0)
    a, b, c = (_rows(x[j], 16) for j in range(3))
    return a * exp(b / (t + c)) - _MEYER


def _gulf(x: Jet) -> Jet:
    t = np.arange(1.0, 100.0) / 100.0
    y = 25.0 + (-50.0 * np.log(t)) ** (2.0 / 3.0)
    a, b, c = (_rows(x[j], 99) for j in range(3))
    apart = y - b
    distance = apart * np.sign(apart.v)
    return exp(-exp(c * log(distance)) / a) - t


def _box(x: Jet) -> Jet:
    t = np.arange(1.0, 11.0) / 10.0
    a, b, c = (_rows(x[j], 10) for j in range(3))
    return exp(-t * a) - exp(-t * b) - c * (np.exp(-t) - np.exp(-10.0 * t))


# --- four and more ---


def _powell_singular(x: Jet) -> Jet:
    a, b, c, d = (x[j] for j in range(4))
    return joined(a + 10.0 * b, 5.0**0.5 * (c - d), (b - 2.0 * c) ** 2, 10.0**0.5 * (a - d) ** 2)


def _wood(x: Jet) -> Jet:
    a, b, c, d = (x[j] for j in range(4))
    return joined(
        10.0 * (b - a**2),
        1.0 - a,
        90.0**0.5 * (d - c**2),
        1.0 - c,
        10.0**0.5 * (b + d - 2.0),
        10.0**-0.5 * (b - d),
    )


_KOWALIK = np.array([0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246])


def _kowalik_osborne(x: Jet) -> Jet:
    u = np.array([4.0, 2.0, 1.0, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])
    a, b, c, d = (_rows(x[j], 11) for j in range(4))
    found: Jet = _KOWALIK - a * (u**2 + u * b) / (u**2 + u * c + d)
    return found


def _brown_dennis(x: Jet) -> Jet:
    t = np.arange(1.0, 21.0) / 5.0
    a, b, c, d = (_rows(x[j], 20) for j in range(4))
    found: Jet = (a + t * b - np.exp(t)) ** 2 + (c + np.sin(t) * d - np.cos(t)) ** 2
    return found


_OSBORNE_1 = (
    _numbers(
        "844 908 932 936 925 908 881 850 818 784 751 718 685 658 628 603 580 558 538 522 506 490 478 467 457 "
        "448 438 431 424 420 414 411 406"
    )
    / 1000.0
)


def _osborne_1(x: Jet) -> Jet:
    t = 10.0 * np.arange(33.0)
    a, b, c, d, e = (_rows(x[j], 33) for j in range(5))
    return _OSBORNE_1 - (a + b * exp(-t * d) + c * exp(-t * e))


def _biggs(x: Jet) -> Jet:
    t = np.arange(1.0, 14.0) / 10.0
    y = np.exp(-t) - 5.0 * np.exp(-10.0 * t) + 3.0 * np.exp(-4.0 * t)
    a, b, c, d, e, f = (_rows(x[j], 13) for j in range(6))
    return c * exp(-t * a) - d * exp(-t * b) + f * exp(-t * e) - y


_OSBORNE_2 = (
    _numbers(
        "1366 1191 1112 1013 991 885 831 847 786 725 746 679 608 655 616 606 602 626 651 724 649 649 694 644 "
        "624 661 612 558 533 495 500 423 395 375 372 391 396 405 428 429 523 562 607 653 672 708 633 668 645 "
        "632 591 559 597 625 739 710 729 720 636 581 428 292 162 98 54"
    )
    / 1000.0
)


def _osborne_2(x: Jet) -> Jet:
    t = np.arange(65.0) / 10.0
    x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11 = (_rows(x[j], 65) for j in range(11))
    bells = x2 * exp(-((t - x9) ** 2) * x6) + x3 * exp(-((t - x10) ** 2) * x7) + x4 * exp(-((t - x11) ** 2) * x8)
    return _OSBORNE_2 - (x1 * exp(-t * x5) + bells)


def _watson(x: Jet) -> Jet:
    n = len(x.v)
    t = np.arange(1.0, 30.0)[:, None] / 29.0
    j = np.arange(1.0, n + 1.0)
    slope = (j - 1.0) * t ** np.maximum(j - 2.0, 0.0)
    rows = x.product_with(slope) - x.product_with(t ** (j - 1.0)) ** 2 - 1.0
    return joined(rows, x[0], x[1] - x[0] ** 2 - 1.0)


# --- any number ---


def _extended_rosenbrock(x: Jet) -> Jet:
    return joined(10.0 * (x[1::2] - x[::2] ** 2), 1.0 - x[::2])


def _extended_powell_singular(x: Jet) -> Jet:
    a, b, c, d = (x[j::4] for j in range(4))
    return joined(a + 10.0 * b, 5.0**0.5 * (c - d), (b - 2.0 * c) ** 2, 10.0**0.5 * (a - d) ** 2)


def _penalty_1(x: Jet) -> Jet:
    return joined(1e-5**0.5 * (x - 1.0), (x**2).sum() - 0.25)


def _penalty_2(x: Jet) -> Jet:
    n = len(x.v)
    i = np.arange(2.0, n + 1.0)
    y = np.exp(i / 10.0) + np.exp((i - 1.0) / 10.0)
    e = exp(0.1 * x)
    weights = n - np.arange(float(n))
    return joined(
        x[0] - 0.2,
        1e-5**0.5 * (e[1:] + e[:-1] - y),
        1e-5**0.5 * (e[1:] - np.exp(-0.1)),
        (weights * x**2).sum() - 1.0,
    )


def _variably_dimensioned(x: Jet) -> Jet:
    j = np.arange(1.0, len(x.v) + 1.0)
    added = (j * (x - 1.0)).sum()
    return joined(x - 1.0, added, added**2)


def _trigonometric(x: Jet) -> Jet:
    n = len(x.v)
    i = np.arange(1.0, n + 1.0)
    c = cos(x)
    return n - _rows(c.sum(), n) + i * (1.0 - c) - sin(x)


def _brown_almost_linear(x: Jet) -> Jet:
    n = len(x.v)
    product = x[0]
    for j in range(1, n):
        product = product * x[j]
    return joined(x[:-1] + _rows(x.sum(), n - 1) - (n + 1.0), product - 1.0)


def _second_differences(n: int) -> Array:
    return 2.0 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)


def _boundary_value(x: Jet) -> Jet:
    n = len(x.v)
    h = 1.0 / (n + 1.0)
    t = h * np.arange(1.0, n + 1.0)
    return x.product_with(_second_differences(n)) + 0.5 * h**2 * (x + (t + 1.0)) ** 3


def _integral_equation(x: Jet) -> Jet:
    n = len(x.v)
    h = 1.0 / (n + 1.0)
    t = h * np.arange(1.0, n + 1.0)
    kernel = np.minimum.outer(t, t) * (1.0 - np.maximum.outer(t, t))
    return x + ((x + (t + 1.0)) ** 3).product_with(0.5 * h * kernel)


def _broyden_tridiagonal(x: Jet) -> Jet:
    n = len(x.v)
    beside = np.eye(n, k=-1) + 2.0 * np.eye(n, k=1)
    return (3.0 - 2.0 * x) * x - x.product_with(beside) + 1.0


def _broyden_banded(x: Jet) -> Jet:
    n = len(x.v)
    i = np.arange(n)
    near = ((i[None, :] - i[:, None] <= 1) & (i[:, None] - i[None, :] <= 5) & (i[:, None] != i[None, :])).astype(float)
    return x * (2.0 + 5.0 * x**2) + 1.0 - (x * (1.0 + x)).product_with(near)


_LINEAR_ROWS = 20


def _linear_full_rank(x: Jet) -> Jet:
    n, m = len(x.v), _LINEAR_ROWS
    return x.product_with(np.eye(m, n) - 2.0 / m) - 1.0


def _linear_rank_1(x: Jet) -> Jet:
    n, m = len(x.v), _LINEAR_ROWS
    return x.product_with(np.outer(np.arange(1.0, m + 1.0), np.arange(1.0, n + 1.0))) - 1.0


def _linear_rank_1_zeros(x: Jet) -> Jet:
    n, m = len(x.v), _LINEAR_ROWS
    j = np.arange(1.0, n + 1.0)
    j[[0, -1]] = 0.0
    i = np.arange(float(m))
    i[-1] = 0.0
    return x.product_with(np.outer(i, j)) - 1.0


def _chebyquad(x: Jet) -> Jet:
    n = len(x.v)
    y = 2.0 * x - 1.0
    before, now = 0.0 * x + 1.0, y
    rows = []
    for i in range(1, n + 1):
        integral = 0.0 if i % 2 else -1.0 / (i**2 - 1.0)
        rows.append(now.sum() / float(n) - integral)
        before, now = now, 2.0 * y * now - before
    return joined(*rows)


_M, _N = float(_LINEAR_ROWS), 10
_GRID = tuple(k / (_N + 1.0) * (k / (_N + 1.0) - 1.0) for k in range(1, _N + 1))

PROBLEMS: tuple[Problem, ...] = (
    Problem("Rosenbrock", _rosenbrock, (-1.2, 1.0)),
    Problem("Freudenstein-Roth", _freudenstein_roth, (0.5, -2.0), (0.0, 48.98425367924)),
    Problem("Powell badly scaled", _powell_badly_scaled, (0.0, 1.0)),
    Problem("Brown badly scaled", _brown_badly_scaled, (1.0, 1.0)),
    Problem("Beale", _beale, (1.0, 1.0)),
    Problem("Jennrich-Sampson", _jennrich_sampson, (0.3, 0.4), (124.36218235561,)),
    Problem("helical valley", _helical_valley, (-1.0, 0.0, 0.0)),
    Problem("Bard", _bard, (1.0, 1.0, 1.0), (8.2148773065790e-3, 17.428690)),
    Problem("Gaussian", _gaussian, (0.4, 1.0, 0.0), (1.1279327696189e-8,)),
    Problem("Meyer", _meyer, (0.02, 4000.0, 250.0), (87.945855170395,)),
    Problem("Gulf", _gulf, (5.0, 2.5, 0.15)),
    Problem("Box", _box, (0.0, 10.0, 20.0)),
    Problem("Powell singular", _powell_singular, (3.0, -1.0, 0.0, 1.0)),
    Problem("Wood", _wood, (-3.0, -1.0, -3.0, -1.0)),
    Problem("Kowalik-Osborne", _kowalik_osborne, (0.25, 0.39, 0.415, 0.39), (3.0750560384924e-4, 1.02734e-3)),
    Problem("Brown-Dennis", _brown_dennis, (25.0, 5.0, -5.0, -1.0), (85822.201626356,)),
    Problem("Osborne 1", _osborne_1, (0.5, 1.5, -1.0, 0.01, 0.02), (5.4648946974918e-5,)),
    Problem("Biggs", _biggs, (1.0, 2.0, 1.0, 1.0, 1.0, 1.0), (0.0, 5.6556499255e-3)),
    Problem(
        "Osborne 2",
        _osborne_2,
        (1.3, 0.65, 0.65, 0.7, 0.6, 3.0, 5.0, 7.0, 2.0, 4.5, 5.5),
        (4.0137736293548e-2, 1.78981),
    ),
    Problem("Watson", _watson, (0.0,) * 6, (2.2876700535524e-3,)),
    Problem("extended Rosenbrock", _extended_rosenbrock, (-1.2, 1.0) * (_N // 2)),
    Problem("extended Powell singular", _extended_powell_singular, (3.0, -1.0, 0.0, 1.0) * 3),
    Problem("penalty I", _penalty_1, tuple(map(float, range(1, _N + 1))), (7.0876514670884e-5,)),
    Problem("penalty II", _penalty_2, (0.5,) * _N, (2.9366054574e-4,)),
    Problem("variably dimensioned", _variably_dimensioned, tuple(1.0 - j / _N for j in range(1, _N + 1))),
    Problem("trigonometric", _trigonometric, (1.0 / _N,) * _N, (0.0, 2.7950612e-5)),
    Problem("Brown almost linear", _brown_almost_linear, (0.5,) * _N, (0.0, 1.0)),
    Problem("discrete boundary value", _boundary_value, _GRID),
    Problem("discrete integral equation", _integral_equation, _GRID),
    Problem("Broyden tridiagonal", _broyden_tridiagonal, (-1.0,) * _N),
    Problem("Broyden banded", _broyden_banded, (-1.0,) * _N),
    Problem("linear, full rank", _linear_full_rank, (1.0,) * _N, (_M - _N,)),
    Problem("linear, rank 1", _linear_rank_1, (1.0,) * _N, (_M * (_M - 1.0) / (2.0 * (2.0 * _M + 1.0)),)),
    Problem(
        "linear, rank 1, zeros",
        _linear_rank_1_zeros,
        (1.0,) * _N,
        ((_M**2 + 3.0 * _M - 6.0) / (2.0 * (2.0 * _M - 3.0)),),
    ),
    Problem("Chebyquad", _chebyquad, tuple(j / 9.0 for j in range(1, 9)), (3.5168737256779e-3,)),
)
