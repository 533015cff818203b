"""newtron: perceptrons and small neural networks on tabular data, trained to an optimum with calculus you can see."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from newtron.cluster.rows import ClusterRows
    from newtron.engine.base.errors import InputError, SchemaWarning
    from newtron.engine.base.version import __version__ as __version__
    from newtron.engine.solvers import (
        LBFGS,
        GradientDescent,
        LevenbergMarquardt,
        Newton,
        NewtonCG,
        Stochastic,
        minimize,
    )
    from newtron.estimators import (
        NetworkClassifier,
        NetworkRegressor,
        PerceptronClassifier,
        PerceptronRegressor,
    )
    from newtron.estimators.displays import ConvergenceDisplay, LossSurfaceDisplay
    from newtron.estimators.effect_displays import (
        AccumulatedEffectsDisplay,
        CoefficientDisplay,
        MarginalEffectsDisplay,
        ResidualsDisplay,
    )
    from newtron.estimators.stored import load
    from newtron.study.fit import fit
    from newtron.study.study import Study
    from newtron.table.large.file_rows import FileRows

# Names are imported when they are first used: scikit-learn takes a second that `import newtron` need not.
_HOMES = {
    "AccumulatedEffectsDisplay": "newtron.estimators.effect_displays",
    "CoefficientDisplay": "newtron.estimators.effect_displays",
    "MarginalEffectsDisplay": "newtron.estimators.effect_displays",
    "ResidualsDisplay": "newtron.estimators.effect_displays",
    "ClusterRows": "newtron.cluster.rows",
    "ConvergenceDisplay": "newtron.estimators.displays",
    "LossSurfaceDisplay": "newtron.estimators.displays",
    "FileRows": "newtron.table.large.file_rows",
    "InputError": "newtron.engine.base.errors",
    "SchemaWarning": "newtron.engine.base.errors",
    "NetworkClassifier": "newtron.estimators",
    "NetworkRegressor": "newtron.estimators",
    "PerceptronClassifier": "newtron.estimators",
    "PerceptronRegressor": "newtron.estimators",
    "GradientDescent": "newtron.engine.solvers",
    "LBFGS": "newtron.engine.solvers",
    "LevenbergMarquardt": "newtron.engine.solvers",
    "Newton": "newtron.engine.solvers",
    "NewtonCG": "newtron.engine.solvers",
    "Stochastic": "newtron.engine.solvers",
    "minimize": "newtron.engine.solvers",
    "Study": "newtron.study.study",
    "fit": "newtron.study.fit",
    "load": "newtron.estimators.stored",
    "__version__": "newtron.engine.base.version",
}

__all__ = [
    "LBFGS",
    "AccumulatedEffectsDisplay",
    "ClusterRows",
    "CoefficientDisplay",
    "ConvergenceDisplay",
    "FileRows",
    "GradientDescent",
    "InputError",
    "LevenbergMarquardt",
    "LossSurfaceDisplay",
    "MarginalEffectsDisplay",
    "NetworkClassifier",
    "NetworkRegressor",
    "Newton",
    "NewtonCG",
    "PerceptronClassifier",
    "PerceptronRegressor",
    "ResidualsDisplay",
    "SchemaWarning",
    "Stochastic",
    "Study",
    "fit",
    "load",
    "minimize",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'newtron' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
