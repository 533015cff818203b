"""Who predicts: newtron's estimators and the libraries that people would use instead, each as it comes.

What a library's own documentation asks for is done for it: neural networks, logistic regression and the Gaussian
process get standardised inputs (and targets, where they have a scale). Nothing is tuned, for anybody.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from newtron import NetworkClassifier, NetworkRegressor, PerceptronClassifier, PerceptronRegressor

Array = NDArray[Any]


@dataclass(frozen=True)
class Contender:
    """make: an untrained model for data of so many columns. package: what must be installed. most: of the splits of a
    set, where not all are run, because each takes long."""

    name: str
    make: Callable[[int], Any]
    package: str = "scikit-learn"
    most: dict[str, int] = field(default_factory=dict)

    @property
    def made_by(self) -> str | None:
        """'xgboost 3.2.0', or '' where it is not installed; None for newtron itself."""
        if self.package == "newtron":
            return None
        try:
            return f"{self.package} {version(self.package)}"
        except PackageNotFoundError:
            return ""


class _GaussianProcess:
    """A Gaussian process with a length for each column and noise, learned from the marginal likelihood. (The default
    kernel of GaussianProcessRegressor learns nothing and has no noise.)"""

    def __init__(self, columns: int) -> None:
        kernel = ConstantKernel() * RBF(np.ones(columns)) + WhiteKernel()
        self._model = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)
        self._scaler = StandardScaler()

    def fit(self, X: Array, y: Array) -> None:
        self._model.fit(self._scaler.fit_transform(X), y)

    def predict(self, X: Array) -> Array:
        return np.asarray(self._model.predict(self._scaler.transform(X)))

    def predict_normal(self, X: Array) -> tuple[Array, Array]:
        mean, std = self._model.predict(self._scaler.transform(X), return_std=True)
        return mean, std


def _of(package: str, name: str, **settings: Any) -> Callable[[int], Any]:
    return lambda columns: getattr(importlib.import_module(package), name)(**settings)


def _scaled_network(columns: int) -> Any:
    return TransformedTargetRegressor(
        make_pipeline(StandardScaler(), MLPRegressor(random_state=0)), transformer=StandardScaler()
    )


REGRESSORS = (
    Contender("PerceptronRegressor", lambda columns: PerceptronRegressor(n_jobs=1), "newtron"),
    Contender("NetworkRegressor", lambda columns: NetworkRegressor(n_jobs=1), "newtron"),
)
CLASSIFIERS = (
    Contender("PerceptronClassifier", lambda columns: PerceptronClassifier(n_jobs=1), "newtron"),
    Contender("NetworkClassifier", lambda columns: NetworkClassifier(n_jobs=1), "newtron"),
)
PEER_REGRESSORS = (
    Contender("least squares", lambda columns: LinearRegression()),
    Contender("XGBoost", _of("xgboost", "XGBRegressor", n_jobs=1, random_state=0), "xgboost"),
    Contender("LightGBM", _of("lightgbm", "LGBMRegressor", n_jobs=1, random_state=0, verbose=-1), "lightgbm"),
    Contender("HistGradientBoosting", lambda columns: HistGradientBoostingRegressor(random_state=0)),
    Contender("random forest", lambda columns: RandomForestRegressor(random_state=0)),
    Contender("MLPRegressor", _scaled_network),
    Contender("Gaussian process", _GaussianProcess, most={"yacht": 20, "concrete": 5, "wine": 3, "power": 0}),
)
PEER_CLASSIFIERS = (
    Contender("logistic regression", lambda columns: make_pipeline(StandardScaler(), LogisticRegression())),
    Contender("random forest", lambda columns: RandomForestClassifier(random_state=0)),
    Contender("XGBoost", _of("xgboost", "XGBClassifier", n_jobs=1, random_state=0), "xgboost"),
    Contender("LightGBM", _of("lightgbm", "LGBMClassifier", n_jobs=1, random_state=0, verbose=-1), "lightgbm"),
    Contender("HistGradientBoosting", lambda columns: HistGradientBoostingClassifier(random_state=0)),
    Contender("MLPClassifier", lambda columns: make_pipeline(StandardScaler(), MLPClassifier(random_state=0))),
)
