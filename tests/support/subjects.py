"""Models and rows that explanations are tested on."""

from __future__ import annotations

import numpy as np
from support.problems import targets

from newtron.engine.maths.losses import Loss
from newtron.engine.maths.network import Network
from newtron.engine.maths.scaling import Scaling
from newtron.engine.solvers import Newton, Solver
from newtron.explain import Subject


def subject(
    loss: Loss,
    hidden: tuple[int, ...] = (),
    *,
    m: int = 1,
    k: int | None = None,
    activation: str = "tanh",
    p: int = 3,
    solver: Solver | None = None,
    alpha: float = 0.0,
    seed: int = 0,
    intercept: bool = True,
) -> Subject:
    rng = np.random.default_rng([seed, *hidden])
    k = k or loss.min_outputs + (loss.min_outputs > 1)
    network = Network((p, *hidden, k), activation, intercept)
    X, Y = rng.normal(size=(m, p)), targets(loss, m, k, rng)
    scaling = Scaling(rng.normal(size=p), rng.uniform(0.5, 2.0, p), np.zeros(k), np.ones(k))
    if loss.quadratic:
        scaling = Scaling(scaling.x_center, scaling.x_scale, rng.normal(size=k), rng.uniform(0.5, 2.0, k))
    return Subject(
        network,
        loss,
        rng.normal(size=network.n_params),
        X,
        Y,
        X * scaling.x_scale + scaling.x_center,
        Y * scaling.y_scale + scaling.y_center,
        scaling,
        tuple(f"column {j}" for j in range(p)),
        tuple(f"column {j}" for j in range(p)),
        ("no", "yes") if k == 1 and loss.task != "regression" else tuple(f"output {c}" for c in range(k)),
        Newton() if solver is None else solver,
        alpha,
    )
