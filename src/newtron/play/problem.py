"""The engine's objects for a message of the page: checked settings, network, loss, rows, objective and start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from newtron.engine.base.checks import check_choice, check_count, check_flag, check_number, shown
from newtron.engine.base.errors import InputError
from newtron.engine.base.threads import cached_property
from newtron.engine.base.types import Array
from newtron.engine.maths.activations import ACTIVATIONS
from newtron.engine.maths.losses import Loss, loss_for
from newtron.engine.maths.network import Network
from newtron.engine.maths.scaling import Scaling
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import ArrayRows
from newtron.engine.solvers import LBFGS, GradientDescent, LevenbergMarquardt, Newton, NewtonCG, Solver
from newtron.explain import Names, Subject
from newtron.play.datasets import Data
from newtron.training.scaling import learn_scaling

# The largest network that the page can draw, in hidden layers and units of each; and the most steps that it keeps.
MOST_LAYERS, MOST_UNITS, MOST_STEPS = 3, 8, 400
# The losses that the page offers for classes.
LOSSES = ("log_loss", "squared_error")


def mapping(name: str, value: object) -> dict[str, object]:
    """The value as a JSON object; raises an InputError that names the setting where it is anything else."""
    if not isinstance(value, dict):
        raise InputError(f"{name} must be an object with named fields.")
    return value


@dataclass(frozen=True)
class Method:
    """A solver of the page and the number of steps that it may take."""

    solver: Solver
    steps: int


def method_from(value: object) -> Method:
    """{"solver": name, "rate", "momentum", "damped", "damping", "steps"} -> Method."""
    given = mapping("method", value)
    name = check_choice("solver", given.get("solver"), SOLVERS)
    steps = check_count("steps", given.get("steps", 40))
    if steps > MOST_STEPS:
        raise InputError(f"steps={shown(steps)} is more than the page keeps: at most {MOST_STEPS}.")
    return Method(SOLVERS[name](given), steps)


def _descent(given: dict[str, object]) -> Solver:
    rate = given.get("rate", 0.5)
    momentum = check_number("momentum", given.get("momentum", 0.0), least=0.0, below=1.0)
    rate = None if rate is None else check_number("rate", rate, above=0.0)
    return GradientDescent(learning_rate=rate, momentum=momentum)


def _newton(given: dict[str, object]) -> Solver:
    return Newton(damped=check_flag("damped", given.get("damped", True)))


def _marquardt(given: dict[str, object]) -> Solver:
    # As in textbooks: a step is one damped step, which the page derives.
    damping = given.get("damping")
    chosen = None if damping is None else check_number("damping", damping, above=0.0)
    return LevenbergMarquardt(damping=chosen, corrections=0)


SOLVERS: dict[str, Callable[[dict[str, object]], Solver]] = {
    GradientDescent.name: _descent,
    Newton.name: _newton,
    LevenbergMarquardt.name: _marquardt,
    NewtonCG.name: lambda given: NewtonCG(),
    LBFGS.name: lambda given: LBFGS(),
}


@dataclass(frozen=True, eq=False)
class Problem:
    """Data and a model for it. alpha: the penalty, for every weight or for each parameter (P,). scaled: whether inputs
    and regression targets are standardised first."""

    data: Data
    network: Network
    loss: Loss
    alpha: float | Array
    scaled: bool

    @cached_property
    def scaling(self) -> Scaling:
        X, y = self.data.X, self.data.y
        if not self.scaled:
            return Scaling.none(X.shape[1], y.shape[1])
        return self.data.scaling or learn_scaling(ArrayRows(X, y), targets=self.data.task == "regression")

    @cached_property
    def X(self) -> Array:
        return np.asarray(self.scaling.inputs(self.data.X))

    @cached_property
    def Y(self) -> Array:
        return self.scaling.targets(self.data.y)

    def output(self, params: Array, X: Array) -> Array:
        """Raw predictions (n, k) for X (n, p) in the units of the data."""
        return self.network.output(params, self.scaling.inputs(X))

    def predict(self, params: Array, X: Array) -> Array:
        """Mean or probabilities (n, k) in the units of the data, for X (n, p) in the units of the data."""
        with np.errstate(all="ignore"):
            return self.scaling.outputs(self.loss.inverse_link(self.output(params, X)))

    @cached_property
    def objective(self) -> TrainingObjective:
        return TrainingObjective(self.network, self.loss, ArrayRows(self.X, self.Y), self.alpha)

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """The symbols of all parameters, as explanations write them, in the order of the flat vector."""
        return tuple(symbol for symbol, _ in Names(self.network, self.loss, self.data.inputs).parameters)

    def subject(self, params: Array, rows: list[int] | None, solver: Solver) -> Subject:
        """The input of an explanation for some rows, or for all of them (None)."""
        which = slice(None) if rows is None else rows
        return Subject(
            self.network,
            self.loss,
            params,
            self.X[which],
            self.Y[which],
            self.data.X[which],
            self.data.y[which],
            self.scaling,
            self.data.inputs,
            self.data.inputs,
            self.data.classes or (self.data.target,),
            solver,
            self.alpha,
        )

    def params_from(self, name: str, value: object) -> Array:
        """Parameters (P,) from a list of finite numbers."""
        P = self.network.n_params
        if not isinstance(value, list) or len(value) != P or not all(type(v) in (int, float) for v in value):
            raise InputError(f"{name} must be a list of {P} numbers, one for each parameter.")
        try:
            params = np.array(value, dtype=np.float64)
        except OverflowError:
            params = np.array([np.inf])
        if not np.isfinite(params).all():
            raise InputError(f"{name} must hold finite numbers.")
        return params

    def row_from(self, value: object) -> int:
        row = check_count("row", value, least=0)
        if row >= self.data.X.shape[0]:
            raise InputError(f"row={shown(row)} is not there: the rows are 0 to {self.data.X.shape[0] - 1}.")
        return row

    def parameter_from(self, name: str, value: object) -> int:
        index = check_count(name, value, least=0)
        if index >= self.network.n_params:
            raise InputError(
                f"{name}={shown(index)} is not there: the parameters are 0 to {self.network.n_params - 1}."
            )
        return index

    def start(self, given: object) -> Array:
        """Parameters from {"params": list} or {"seed": number}; the same seed always gives the same start."""
        start = mapping("start", given)
        if start.get("params") is not None:
            return self.params_from("start", start["params"])
        seed = check_count("seed", start.get("seed", 0), least=0)
        if seed >= 2**32:
            raise InputError(f"seed={shown(seed)} must be below 4294967296.")
        return self.network.start(np.random.default_rng(seed), np.zeros(self.network.n_outputs))


def problem_from(data: Data, value: object) -> Problem:
    """{"hidden": [..], "activation", "loss", "intercept", "scale", "alpha", "hidden_intercepts"} -> Problem.

    hidden_intercepts: the penalty is on these too, as where a rule chooses it from the data. column_penalties: by how
    many times alpha the weights from each input are penalised; without effect where there are not as many inputs.
    """
    given = mapping("model", value)
    hidden = given.get("hidden", [])
    if not isinstance(hidden, list) or len(hidden) > MOST_LAYERS:
        raise InputError(f"hidden must be a list of at most {MOST_LAYERS} widths.")
    for width in hidden:
        if check_count("hidden", width) > MOST_UNITS:
            raise InputError(
                f"hidden={shown(width)} is more than the page can draw: at most {MOST_UNITS} units a layer."
            )
    k = data.y.shape[1]
    name = given.get("loss")
    regression = data.task == "regression" or name is None
    loss = loss_for(data.task, None if regression else check_choice("loss", name, LOSSES), k)
    network = Network(
        (data.X.shape[1], *hidden, k),
        check_choice("activation", given.get("activation", "tanh"), ACTIVATIONS),
        check_flag("intercept", given.get("intercept", True)),
    )
    return Problem(data, network, loss, _penalty(network, given), check_flag("scale", given.get("scale", False)))


def _penalty(network: Network, given: dict[str, object]) -> float | Array:
    """The penalty of all weights, or of each parameter (P,)."""
    alpha = check_number("alpha", given.get("alpha", 0.0), least=0.0)
    on_intercepts = check_flag("hidden_intercepts", given.get("hidden_intercepts", False))
    factors = given.get("column_penalties", [])
    if not isinstance(factors, list):
        raise InputError("column_penalties must be a list of numbers, one for each input.")
    by_column = np.array([check_number("column_penalties", factor, least=0.0) for factor in factors])
    by_column = by_column if len(by_column) == network.widths[0] else np.ones(network.widths[0])
    if not alpha or (not on_intercepts and (by_column == 1.0).all()):
        return alpha
    outputs = np.arange(network.n_params) >= network.spans[-1].start
    of_each = np.where(network.is_weight | (~outputs & on_intercepts), alpha, 0.0)
    network.split(of_each)[0].W[:] *= by_column[:, None]
    return of_each
