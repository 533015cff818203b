"""newtron: perceptrons and small neural networks on tabular data, trained to an optimum with calculus you can see."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from newtron.displays import ConvergenceDisplay, LossSurfaceDisplay
    from newtron.errors import InputError
    from newtron.estimators import (
        NetworkClassifier,
        NetworkRegressor,
        PerceptronClassifier,
        PerceptronRegressor,
    )
    from newtron.model_file import load
    from newtron.solvers import (
        LBFGS,
        GradientDescent,
        LevenbergMarquardt,
        Newton,
        NewtonCG,
        Stochastic,
        minimize,
    )
    from newtron.table.cluster_rows import ClusterRows
    from newtron.table.file_rows import FileRows

__version__ = "0.1.0"

# Names are imported when they are first used: scikit-learn takes a second that `import newtron` need not.
_HOMES = {
    "ClusterRows": "newtron.table.cluster_rows",
    "ConvergenceDisplay": "newtron.displays",
    "LossSurfaceDisplay": "newtron.displays",
    "FileRows": "newtron.table.file_rows",
    "InputError": "newtron.errors",
    "NetworkClassifier": "newtron.estimators",
    "NetworkRegressor": "newtron.estimators",
    "PerceptronClassifier": "newtron.estimators",
    "PerceptronRegressor": "newtron.estimators",
    "GradientDescent": "newtron.solvers",
    "LBFGS": "newtron.solvers",
    "LevenbergMarquardt": "newtron.solvers",
    "Newton": "newtron.solvers",
    "NewtonCG": "newtron.solvers",
    "Stochastic": "newtron.solvers",
    "minimize": "newtron.solvers",
    "load": "newtron.model_file",
}

__all__ = [
    "LBFGS",
    "ClusterRows",
    "ConvergenceDisplay",
    "FileRows",
    "GradientDescent",
    "InputError",
    "LevenbergMarquardt",
    "LossSurfaceDisplay",
    "NetworkClassifier",
    "NetworkRegressor",
    "Newton",
    "NewtonCG",
    "PerceptronClassifier",
    "PerceptronRegressor",
    "Stochastic",
    "load",
    "minimize",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'newtron' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
