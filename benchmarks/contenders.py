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
    set, where not all are run, because each takes long. only: the sets that it is meant for; None: all."""

    name: str
    make: Callable[[int], Any]
    package: str = "scikit-learn"
    most: dict[str, int] = field(default_factory=dict)
    only: tuple[str, ...] | None = None

    def runs(self, name: str, number: int) -> bool:
        """Is it installed, and does it take this split of this set?"""
        meant = self.only is None or name in self.only
        return meant and self.made_by != "" and number < self.most.get(name, number + 1)

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


class _NGBoost:
    """Natural gradient boosting of a normal distribution."""

    def __init__(self) -> None:
        from ngboost import NGBRegressor

        self._model = NGBRegressor(random_state=0, verbose=False)

    def fit(self, X: Array, y: Array) -> None:
        self._model.fit(X, y)

    def predict(self, X: Array) -> Array:
        return np.asarray(self._model.predict(X))

    def predict_normal(self, X: Array) -> tuple[Array, Array]:
        found = self._model.pred_dist(X)
        return np.asarray(found.loc), np.asarray(found.scale)


class _Conformal:
    """90 % intervals by MAPIE's cross-conformal method (CV+) around gradient boosted trees."""

    def __init__(self) -> None:
        from mapie.regression import CrossConformalRegressor

        estimator = HistGradientBoostingRegressor(random_state=0)
        self._model = CrossConformalRegressor(estimator, confidence_level=0.9, random_state=0)

    def fit(self, X: Array, y: Array) -> None:
        self._model.fit_conformalize(X, y)

    def predict(self, X: Array) -> Array:
        return np.asarray(self._model.predict(X))

    def predict_ends(self, X: Array) -> tuple[Array, Array]:
        ends = np.asarray(self._model.predict_interval(X)[1])[:, :, 0]
        return ends[:, 0], ends[:, 1]


# The column of power that repeats: 634 values in 9,568 rows.
_VACUUM = 1


class _MixedModel:
    """A linear mixed model (REML) with a random intercept for each value of one column."""

    def __init__(self, groups: int) -> None:
        self._groups = groups

    def fit(self, X: Array, y: Array) -> None:
        from statsmodels.regression.mixed_linear_model import MixedLM

        self._fitted = MixedLM(y, self._fixed(X), groups=X[:, self._groups]).fit()
        self._intercepts = {value: float(found.iloc[0]) for value, found in self._fitted.random_effects.items()}

    def predict(self, X: Array) -> Array:
        intercepts = np.array([self._intercepts.get(value, 0.0) for value in X[:, self._groups]])
        return np.asarray(self._fixed(X) @ self._fitted.fe_params + intercepts)

    def predict_normal(self, X: Array) -> tuple[Array, Array]:
        between = float(np.asarray(self._fitted.cov_re).item())
        known = np.isin(X[:, self._groups], list(self._intercepts))
        return self.predict(X), np.sqrt(self._fitted.scale + np.where(known, 0.0, between))

    @staticmethod
    def _fixed(X: Array) -> Array:
        return np.column_stack([np.ones(len(X)), X])


class _BoostedMixedModel:
    """GPBoost: boosted trees and a random intercept for each value of one column. rounds: its default is 100."""

    def __init__(self, groups: int, rounds: int = 100) -> None:
        self._groups, self._rounds = groups, rounds

    def fit(self, X: Array, y: Array) -> None:
        import gpboost

        effects = gpboost.GPModel(group_data=X[:, self._groups], likelihood="gaussian")
        settings = {"objective": "regression", "verbose": -1, "num_threads": 1, "seed": 0}
        data = gpboost.Dataset(X, y)
        self._booster = gpboost.train(settings, data, num_boost_round=self._rounds, gp_model=effects)

    def predict(self, X: Array) -> Array:
        return self._predicted(X)[0]

    def predict_normal(self, X: Array) -> tuple[Array, Array]:
        mean, variance = self._predicted(X)
        return mean, np.sqrt(variance)

    def _predicted(self, X: Array) -> tuple[Array, Array]:
        found = self._booster.predict(X, group_data_pred=X[:, self._groups], predict_var=True, pred_latent=False)
        return np.asarray(found["response_mean"]), np.asarray(found["response_var"])


def _of(package: str, name: str, **settings: Any) -> Callable[[int], Any]:
    return lambda columns: getattr(importlib.import_module(package), name)(**settings)


def _of_tabkit(name: str) -> Callable[[int], Any]:
    return _of("pytabkit", name, device="cpu", n_threads=1, random_state=0)


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
_BOOSTED = {"verbose": False, "thread_count": 1, "random_seed": 0, "allow_writing_files": False}
PEER_REGRESSORS = (
    Contender("least squares", lambda columns: LinearRegression()),
    Contender("XGBoost", _of("xgboost", "XGBRegressor", n_jobs=1, random_state=0), "xgboost"),
    Contender("LightGBM", _of("lightgbm", "LGBMRegressor", n_jobs=1, random_state=0, verbose=-1), "lightgbm"),
    Contender("HistGradientBoosting", lambda columns: HistGradientBoostingRegressor(random_state=0)),
    Contender("random forest", lambda columns: RandomForestRegressor(random_state=0), most={"protein": 1}),
    Contender("MLPRegressor", _scaled_network),
    Contender("CatBoost", _of("catboost", "CatBoostRegressor", **_BOOSTED), "catboost"),
    Contender("MixedLM, V as groups", lambda columns: _MixedModel(_VACUUM), "statsmodels", only=("power",)),
    Contender("GPBoost, V as groups", lambda columns: _BoostedMixedModel(_VACUUM), "gpboost", only=("power",)),
    Contender("GPBoost of 1,000 rounds", lambda columns: _BoostedMixedModel(_VACUUM, 1000), "gpboost", only=("power",)),
)
# Those that take long, of which as many splits are run as there is time for.
SLOW_PEER_REGRESSORS = (
    Contender("NGBoost", lambda columns: _NGBoost(), "ngboost"),
    Contender("MAPIE on HistGradientBoosting", lambda columns: _Conformal(), "mapie"),
    Contender("RealMLP", _of_tabkit("RealMLP_TD_Regressor"), "pytabkit"),
    Contender("TabM", _of_tabkit("TabM_D_Regressor"), "pytabkit"),
    Contender("Gaussian process", _GaussianProcess, only=("yacht", "concrete", "wine")),
)
PEER_CLASSIFIERS = (
    Contender("logistic regression", lambda columns: make_pipeline(StandardScaler(), LogisticRegression())),
    Contender("random forest", lambda columns: RandomForestClassifier(random_state=0)),
    Contender("random forest of 500", lambda columns: RandomForestClassifier(500, random_state=0)),
    Contender("XGBoost", _of("xgboost", "XGBClassifier", n_jobs=1, random_state=0), "xgboost"),
    Contender("LightGBM", _of("lightgbm", "LGBMClassifier", n_jobs=1, random_state=0, verbose=-1), "lightgbm"),
    Contender("HistGradientBoosting", lambda columns: HistGradientBoostingClassifier(random_state=0)),
    Contender("MLPClassifier", lambda columns: make_pipeline(StandardScaler(), MLPClassifier(random_state=0))),
)
SLOW_PEER_CLASSIFIERS = (
    Contender("CatBoost", _of("catboost", "CatBoostClassifier", **_BOOSTED), "catboost"),
    Contender("RealMLP", _of_tabkit("RealMLP_TD_Classifier"), "pytabkit"),
    Contender("TabM", _of_tabkit("TabM_D_Classifier"), "pytabkit"),
)
