"""hidden="auto": which networks for which data, and those that are stopped by rule."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from newtron import LBFGS, InputError, LevenbergMarquardt, NetworkClassifier, NetworkRegressor
from newtron.engine.base.codec import NoNumbers
from newtron.engine.maths.network import Network
from newtron.engine.maths.scaling import Scaling
from newtron.engine.rows import ArrayRows
from newtron.engine.solvers import Solver
from newtron.inference import posterior as laplace
from newtron.model_file import CODEC
from newtron.training import mix
from newtron.training.task import Kind

COLUMNS, OUTPUTS = (1, 3, 10, 30, 100, 300, 1000, 20_000), (1, 2, 3, 7, 26, 100, 1000)


def test_many_rows_get_large_networks_that_are_trained_in_batches() -> None:
    def planned_for(n: int, p: int = 4, task: str = "regression", **settings: Any) -> mix.Plan:
        kind = NetworkRegressor if task == "regression" else NetworkClassifier
        estimator = kind(**{"standardize": False, **settings})
        sizes: Any = SimpleNamespace(
            n_rows=n, n_features=p, n_outputs=1, in_process=True
        )  # all that a plan without asinh features asks
        return mix.planned(estimator._settings(), Scaling.none(p, 1), sizes)

    def shapes(plan: mix.Plan) -> list[tuple[int, ...]]:
        return [kind.shape for kind in plan.kinds]

    assert shapes(planned_for(3000)) == [(), (10,), (8, 8)]
    for task in ("regression", "classification"):
        many = planned_for(3001, task=task)
        assert shapes(many) == [(), *([(10, 10)] if task == "regression" else []), (32, 32)]
        assert (many.n_starts, many.in_batches) == (5, (Kind((32, 32), 4),))
        assert planned_for(3001, task=task, effort="fast").n_starts == 3
        assert planned_for(3001, task=task, n_starts=1).n_starts == 1
        assert shapes(planned_for(10**6, task=task)) == [(), (256, 256)]
    assert (planned_for(3000).n_starts, planned_for(3000).in_batches) == (2, ())
    for own in ({"solver": "levenberg-marquardt"}, {"max_iter": 500}, {"alpha": 0.1}, {"alpha": "evidence"}):
        assert not planned_for(3001, **own).in_batches


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_networks_shrink_as_a_problem_grows(task: str) -> None:
    """More columns, more outputs or fewer rows never lead to more units, in all and in a layer."""

    def planned(n: int, p: int, k: int) -> mix.Plan:
        kind = NetworkRegressor if task == "regression" else NetworkClassifier
        sizes: Any = SimpleNamespace(n_rows=n, n_features=p, n_outputs=k)  # all that a plan without features asks
        return mix.planned(kind(standardize=False)._settings(), Scaling.none(p, k), sizes)

    def units(n: int, p: int, k: int) -> list[int]:
        shapes = [kind.shape for kind in planned(n, p, k).kinds]
        assert shapes[0] == ()
        return [len(shapes), max(map(sum, shapes)), max(max(shape, default=0) for shape in shapes)]

    found = {shape: units(*shape) for shape in product((20, 200, 3000), COLUMNS, OUTPUTS)}
    assert found[200, 10, 3][2] == 10
    assert found[3000, 20_000, 1] == [1, 0, 0]
    for (n, p, k), here in found.items():
        harder = [(n, more, k) for more in COLUMNS if more > p] + [(n, p, more) for more in OUTPUTS if more > k]
        harder += [(fewer, p, k) for fewer in (20, 200) if fewer < n]
        for other in harder:
            assert all(a <= b for a, b in zip(found[other], here, strict=True)), (n, p, k, other)
        for kind in planned(n, p, k).kinds[1:]:
            network = Network((kind.n_inputs, *kind.shape, k))
            assert network.n_params <= 2000
            assert laplace.posterior_span(network) is not None


def test_asinh_features_cost_no_units() -> None:
    inputs = np.random.default_rng(0).normal(size=(20, 150))
    for p, fed in ((90, 180), (150, 150)):
        rows = ArrayRows(inputs[:, :p], np.ones((20, 1)))
        plan = mix.planned(NetworkClassifier()._settings(), Scaling.none(p, 1), rows)
        # And no pieces: they would leave less than five units. The 20 rows are the landmarks.
        assert plan.kinds == (Kind((), fed), Kind((), 20, fed), Kind((10,), fed))


def test_solvers_are_stored_with_their_settings() -> None:
    for solver in (LevenbergMarquardt(exact_after=3, stop_after=5), LBFGS()):
        kept = CODEC.write(solver, Solver, NoNumbers(), "solver")
        assert CODEC.read(kept, Solver, NoNumbers(), "solver") == solver  # type: ignore[type-abstract]
    kept = {"levenberg-marquardt": {"exact_after": 3, "stop_after": None}}
    with pytest.raises(InputError, match="damping is missing"):
        CODEC.read(kept, Solver, NoNumbers(), "solver")  # type: ignore[type-abstract]
