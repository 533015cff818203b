"""hidden="auto": which networks for which data, and those that are stopped by rule."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from newtron import LBFGS, InputError, LevenbergMarquardt, NetworkClassifier, NetworkRegressor, load
from newtron.engine.base.codec import NoNumbers
from newtron.engine.maths.network import Network
from newtron.engine.maths.scaling import Scaling
from newtron.engine.solvers import Solver
from newtron.inference import posterior as laplace
from newtron.model_file import CODEC
from newtron.training import mix


def test_many_rows_of_a_regression_get_networks_that_are_stopped_by_rule() -> None:
    def planned_for(n: int, p: int = 4, task: str = "regression", **settings: Any) -> mix.Plan:
        kind = NetworkRegressor if task == "regression" else NetworkClassifier
        estimator = kind(**{"standardize": False, **settings})
        sizes: Any = SimpleNamespace(n_rows=n, n_features=p, n_outputs=1)  # all that a plan without asinh features asks
        return mix.planned(estimator._settings(), Scaling.none(p, 1), sizes)

    def shapes(plan: mix.Plan) -> list[tuple[int, ...]]:
        return [kind.shape for kind in plan.kinds]

    assert shapes(planned_for(3000)) == [(), (10,), (8, 8)]
    assert shapes(planned_for(3001)) == [(), (20, 20)]
    assert (planned_for(3000).n_starts, planned_for(3001).n_starts) == (2, 2)
    assert planned_for(3001).steps == 20
    for own in ({"solver": "levenberg-marquardt"}, {"max_iter": 500}, {"alpha": 0.1}):
        assert planned_for(3001, **own).steps is None
    many = planned_for(3001, task="classification")
    assert (shapes(many), many.n_starts, many.steps) == ([(), (20,), (10, 10)], 1, None)
    assert planned_for(10**6).steps is None


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_no_default_is_too_large_for_intervals(task: str) -> None:
    for n, p, k in product((50, 3000, 20_000, 10**6), (1, 5, 20, 100, 1000, 20_000), (1, 3, 26, 39)):
        found = mix.measured_mix(task, Scaling.none(p, k), n, p, k, None)
        for shape in found.shapes:
            assert laplace.posterior_span(Network((found.scaling.n_inputs, *shape, k))) is not None


def test_solvers_are_stored_with_their_settings() -> None:
    for solver in (LevenbergMarquardt(exact_after=3, stop_after=5), LBFGS()):
        kept = CODEC.write(solver, Solver, NoNumbers(), "solver")
        assert CODEC.read(kept, Solver, NoNumbers(), "solver") == solver  # type: ignore[type-abstract]
    kept = {"levenberg-marquardt": {"exact_after": 3, "stop_after": None}}
    with pytest.raises(InputError, match="damping is missing"):
        CODEC.read(kept, Solver, NoNumbers(), "solver")  # type: ignore[type-abstract]


@pytest.mark.slow
def test_networks_stopped_by_rule_say_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(mix, "_TIERS", (mix._Tier(np.inf, 1e9, ((4, 4),), 1, False, "regression", 6),))
    rng = np.random.default_rng(3)
    inputs = rng.uniform(-2.0, 2.0, size=(300, 2))
    y = np.sin(2.0 * inputs[:, 0]) + 0.5 * inputs[:, 1] + 0.2 * rng.normal(size=300)
    model = NetworkRegressor().fit(inputs, y)  # a warning would be an error
    stopped = [member for member in model.members_ if member.hidden]
    assert [member.hidden for member in stopped] == [(4, 4)] * 2  # one penalty for each start
    penalties = [float(member.alpha.max()) for member in stopped]
    assert penalties[0] == pytest.approx(10.0 * penalties[1])
    for member in stopped:
        assert (member.solution.status.name, member.solution.n_iter) == ("EARLY_STOPPED", 6)
        assert "the solver 'levenberg-marquardt' goes to the optimum" in member.solution.chosen
    certificate = model.certificate_
    assert not certificate.converged
    assert "Stopped by rule" in certificate.sentence
    assert certificate.verify(inputs, y)
    assert not certificate.verify(inputs, y + 0.01 * y.std() * np.arange(300))
    assert model.score(inputs, y) > 0.5
    assert model.predict_interval(inputs).shape == (300, 2)
    model.save(tmp_path / "m.newtron")
    again = load(tmp_path / "m.newtron")
    np.testing.assert_array_equal(again.predict(inputs), model.predict(inputs))
    assert again.certificate_ == certificate
    whole = NetworkRegressor(solver="levenberg-marquardt").fit(inputs, y)
    assert whole.certificate_.converged
