"""The engine: what a solver minimises, and the solvers. It needs NumPy and SciPy alone.

`minimize` takes an `Objective` of one's own as it takes those of the estimators; `Evaluation` is what an objective
returns at a point. docs/objectives.md shows how to write one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from newtron.engine.base.errors import InputError
    from newtron.engine.objective import Evaluation, FirstOrder, Objective, SecondOrder, TrainingObjective
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
    "GradientDescent",
    "InputError",
    "LevenbergMarquardt",
    "Newton",
    "NewtonCG",
    "Objective",
    "Progress",
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
_OF_OBJECTIVE = {"Evaluation", "FirstOrder", "Objective", "SecondOrder", "TrainingObjective"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "base.errors" if name == "InputError" else "objective" if name in _OF_OBJECTIVE else "solvers"
    return getattr(import_module(f"newtron.engine.{home}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
