"""The engine: what a solver minimises, and the solvers. It needs NumPy and SciPy alone.

`minimize` takes an objective of one's own, a `Function` or `Residuals`, as it takes those of the estimators.
docs/objectives.md shows how to write one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from newtron.engine.base.errors import InputError
    from newtron.engine.objective import (
        Evaluation,
        FirstOrder,
        Function,
        Objective,
        Residuals,
        SecondOrder,
        TrainingObjective,
    )
    from newtron.engine.solvers import (
        LBFGS,
        GradientDescent,
        LevenbergMarquardt,
        Newton,
        NewtonCG,
        Progress,
        Solution,
        Solver,
        State,
        Status,
        Stochastic,
        TraceRow,
        minimize,
    )

__all__ = [
    "LBFGS",
    "Evaluation",
    "FirstOrder",
    "Function",
    "GradientDescent",
    "InputError",
    "LevenbergMarquardt",
    "Newton",
    "NewtonCG",
    "Objective",
    "Progress",
    "Residuals",
    "SecondOrder",
    "Solution",
    "Solver",
    "State",
    "Status",
    "Stochastic",
    "TraceRow",
    "TrainingObjective",
    "minimize",
]

# Names are imported when they are first used, so that importing an error does not import NumPy.
_OF_OBJECTIVE = {"Evaluation", "FirstOrder", "Function", "Objective", "Residuals", "SecondOrder", "TrainingObjective"}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "base.errors" if name == "InputError" else "objective" if name in _OF_OBJECTIVE else "solvers"
    return getattr(import_module(f"newtron.engine.{home}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
