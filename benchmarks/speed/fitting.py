"""Small networks fitted to a loss: who comes how far down, and how soon, from the same starting parameters."""

from __future__ import annotations

import numpy as np
from tables import ROOT

from speed.family import FLOOR, NEWTRON, Contender, Family, Measurement, Problem, Record, Round, Size
from speed.levels import JUDGED, Array, Layers, Watch
from speed.timing import mean_seconds

OURS, SHORTEST, LONGEST, TIMES_OURS = 30.0, 10.0, 30.0, 20.0  # seconds a start may take
PEERS = {
    "torch-levenberg-marquardt": ("torch", "torch_levenberg_marquardt"),
    "PyTorch LBFGS": ("torch",),
    "PyTorch Adam": ("torch",),
    "MLPRegressor lbfgs": (),
    "MLPRegressor adam": (),
    "optimistix LM": ("jax", "optimistix"),
    "R nnet": ("Rscript",),
}

WORDS = f"""\
One hidden layer of tanh units, linear output, ½ mean squared error without a penalty, float64; X and y standardised.
All start from the same random parameters, another start each round. A cell is the expected time to that share of the
start's loss: all time spent, over the starts that got there. newtron may take {OURS:.0f} s a start, a peer
{TIMES_OURS:.0f} times newtron's time, at least {SHORTEST:.0f} s and at most {LONGEST:.0f} s. Losses are seen as each
trainer computes them, which costs nothing. PyTorch LBFGS searches by strong Wolfe and keeps 100 pairs; Adam has rate
0.01, in PyTorch on all rows at once, in MLPRegressor on its batches of 200; optimistix steps are compiled; R's nnet has
logistic units, with the weights that make them the same function, and its own start is not counted. The **floor** is
J'J by BLAS as often as newtron stepped to 1e-6 (median).
"""


class Benchmarks(Family):
    name, title = "fitting", "Small networks to a loss"
    stops_itself = True

    def problems(self, size: Size) -> list[Problem]:
        return [
            self._problem("sinc", "sinc, 200 rows", 20),
            self._problem("peaks", "peaks, 900 rows", 30),
            self._problem("parity", "parity of 7 bits, 128 rows", 20),
            self._problem("spirals", "two spirals, 194 rows", 40),
            self._problem("concrete", "concrete, 1,030 rows", 60),
        ]

    def small(self) -> list[Problem]:
        return [self._problem("sinc", "sinc, 200 rows", 20), self._problem("parity", "parity of 7 bits", 20)]

    def _problem(self, data: str, words: str, hidden: int) -> Problem:
        p = {"sinc": 1, "parity": 7, "concrete": 8}.get(data, 2)
        return Problem(f"{data}-{hidden}", f"{words}, {p}-{hidden}-1", {"data": data, "hidden": hidden})

    def contenders(self, problem: Problem) -> list[Contender]:
        return [Contender(NEWTRON), *(Contender(name, needs) for name, needs in PEERS.items()), Contender(FLOOR)]

    def limit(self, size: Size, ours: list[Measurement] | None) -> float:
        if ours is None:
            return min(OURS, size.patience)
        slowest = max((found["levels"][JUDGED] or 0.0 for found in ours), default=0.0)
        return min(size.patience, LONGEST, max(SHORTEST, TIMES_OURS * slowest))

    def prepare(self, problem: Problem, contender: str, size: Size) -> Round:
        from speed import trainers

        X, y = DATA[problem.settings["data"]]()
        hidden = problem.settings["hidden"]
        if contender == FLOOR:
            return jacobian_products(len(X), (X.shape[1] + 2) * hidden + 1)
        train = trainers.TRAINERS[contender](X, y, hidden)
        train(start(X.shape[1], hidden, 10**6), Watch(float("inf"), 0.2))  # late imports and compiling
        setting_up = getattr(train, "compiling", 0.0)

        def round(number: int, limit: float) -> Measurement:
            layers = start(X.shape[1], hidden, number)
            watch = Watch(loss(X, y, layers), limit)
            train(layers, watch)
            return watch.measurement() | {"compiling": setting_up}

        return round

    def section(self, records: dict[str, Record]) -> str:
        from speed.fitting_report import tables

        return "\n\n".join([WORDS, *tables(list(records.values()))])


def start(p: int, hidden: int, seed: int) -> Layers:
    rng = np.random.default_rng([100 + seed, hidden])
    return [
        (rng.standard_normal((p, hidden)) / np.sqrt(p), rng.uniform(-1.0, 1.0, hidden)),
        (rng.standard_normal((hidden, 1)) / np.sqrt(hidden), np.zeros(1)),
    ]


def loss(X: Array, y: Array, layers: Layers) -> float:
    (W1, b1), (W2, b2) = layers
    return float(0.5 * np.mean(np.square((np.tanh(X @ W1 + b1) @ W2 + b2)[:, 0] - y)))


def jacobian_products(n: int, parameters: int) -> Round:
    from scipy.linalg.blas import dsyrk

    J = np.random.default_rng(0).standard_normal((n, parameters))
    return lambda number, limit: {"seconds": mean_seconds(lambda: dsyrk(1.0, J.T))}


# --- the data ---


def _standardised(X: Array, y: Array) -> tuple[Array, Array]:
    return (X - X.mean(axis=0)) / X.std(axis=0), (y - y.mean()) / y.std()


def sinc() -> tuple[Array, Array]:
    x = np.linspace(-10.0, 10.0, 200)
    return _standardised(x[:, None], np.sinc(x / np.pi))


def peaks() -> tuple[Array, Array]:
    """MATLAB's function of that name on a grid."""
    u, v = (axis.ravel() for axis in np.meshgrid(np.linspace(-3, 3, 30), np.linspace(-3, 3, 30)))
    y = 3 * (1 - u) ** 2 * np.exp(-(u**2) - (v + 1) ** 2) - np.exp(-((u + 1) ** 2) - v**2) / 3
    y -= 10 * (u / 5 - u**3 - v**5) * np.exp(-(u**2) - v**2)
    return _standardised(np.column_stack([u, v]), y)


def parity() -> tuple[Array, Array]:
    bits = (np.arange(128)[:, None] >> np.arange(7)) & 1
    return 2.0 * bits - 1.0, 2.0 * (bits.sum(axis=1) % 2) - 1.0


def spirals() -> tuple[Array, Array]:
    """Lang & Witbrock 1988: two spirals of 97 points each, one for each class."""
    i = np.arange(97)
    angle, radius = i * np.pi / 16.0, 6.5 * (104 - i) / 104.0
    arm = np.column_stack([radius * np.sin(angle), radius * np.cos(angle)])
    return _standardised(np.vstack([arm, -arm]), np.repeat([1.0, -1.0], 97))


def concrete() -> tuple[Array, Array]:
    table = np.loadtxt(ROOT / "examples" / "concrete.csv", delimiter=",", skiprows=1)
    return _standardised(table[:, :-1], table[:, -1])


DATA = {"sinc": sinc, "peaks": peaks, "parity": parity, "spirals": spirals, "concrete": concrete}
