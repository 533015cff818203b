"""The two networks: averages of small networks, each trained to an optimum from its own start."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from newtron.engine.base.types import Array
from newtron.engine.solvers import Solver
from newtron.estimators.base import Callback, NewtronEstimator
from newtron.estimators.tasks import Classification, Regression
from newtron.inference.predictive.predictive import RegressionPredictive
from newtron.model.predicting import predictive_of
from newtron.training.settings import ClassWeight, ColumnKinds, Family, Hidden, Intercepts


class _Network(NewtronEstimator):
    """The part that only networks have: the relevance of columns."""

    _family: ClassVar[Family] = "network"

    @property
    def relevance_(self) -> Array:
        """(n_features,) how much each column moves the prediction."""
        found = self._fitted_model().relevance
        return np.zeros(self.model_.data.n_features) if found is None else found


class NetworkRegressor(Regression, _Network):
    """Regression with small neural networks, in the units of the data.

    Each member is a network a^[l] = f(a^[l-1] W^[l] + b^[l]) with a linear output, trained on standardised
    inputs and targets to an optimum of mean(½(y - ŷ)²) + alpha/(2n) ‖W‖²; the prediction is the members' mean.

    Parameters
    ----------
    hidden : "auto", tuple of int, or list of such tuples, default "auto"
        Widths of the hidden layers; a list makes one member of each shape (times n_starts). () is a perceptron. "auto"
        is the mix that predicted best: a perceptron; in regression the shapes (10,) and (8, 8), whose inputs are each
        column and its asinh feature around the median, which shortens long tails; and a network of up to ten units
        that also takes pieces of each column's range, to follow steps and bends, for classes beside a perceptron that
        is told how near a row is to at most 150 landmarks, rows of the training, whose columns the model then keeps
        (docs/landmarks.md). With many columns or outputs the shapes are smaller and have no features. Above 3,000 rows
        there are two layers whose width follows the rows, trained in batches and stopped by a tenth of the rows that
        all members hold out (docs/many-rows.md), which `certificate_` says; another solver goes to the optimum of
        smaller networks.
        The shares of the members are those under which the average predicts rows left out best.
    activation : {"tanh", "sigmoid", "relu", "softplus", "identity"}, default "tanh"
    alpha : float, "cv", "evidence" or "loo", default "cv"
        L2 penalty on the weights, in units of one row's squared error in standardised targets; a number leaves
        intercepts alone. The rules choose it from the data, once for all starts of a shape, on a path from strong to
        weak penalties (there hidden intercepts have it too). "cv": by the loss of rows that are left out in five folds
        (of one fold above 5,000 rows); with hidden="auto" the starts of a shape take the best penalty, one a tenth
        as strong and one 3.16 times as strong; in a regression the weights from a column that says little get up to 21
        times the penalty, where rows left out gain by that (MacKay 1994). "evidence": by the Laplace evidence. "loo":
        by the approximate leave-one-out loss, which is too hopeful where a network nearly passes through its rows.
        Where a network is too large for the last two, "cv" takes their place.
    n_starts : int or None, default None
        Starts per shape, each random; a shape () has one. None: as `effort` says; where networks are trained in batches
        it is the number of members of each kind.
    effort : {"fast", "default", "best"}, default "default"
        How much time is spent: 1, 2 or 5 starts of each shape, and above 3,000 rows 3, 5 or 10 members of each kind and
        up to 12, 30 or 60 passes over the rows, in regression four times as many. `verbose=1` tells beforehand about
        how long it will take.
    combine : {"average", "best"}, default "average"
        Average all members, or predict with one alone: that of the greatest evidence, or of the lowest objective where
        alpha is a number.
    solver : str or Solver, default "auto"
        "auto" is Levenberg-Marquardt with an exact-Hessian end for small problems, L-BFGS for larger ones, and for
        the largest the stochastic solver, which stops by rule; or a name or object as in `PerceptronRegressor`.
    loss : None, "squared_error" or "poisson"
        None is the squared error. "poisson" is for counts: their mean is exp of the output, and there are no intervals.
    offset : str, int or None, default None
        The name or position of a column of X that is the logarithm of the exposure, for loss="poisson": ŷ is exp of it
        times the mean for an exposure of 1. It stays in X for `predict`, and has no parameter.
    intercepts : "auto", list of names or positions, or None, default "auto"
        Columns whose values group rows: each value gets a random intercept, which is added to the output. It is drawn
        from a normal distribution whose variance the rows determine, so that it is the smaller the fewer rows have the
        value (docs/random-intercepts.md). "auto" takes columns of numbers that repeat and text with more than 20
        levels, which is then no input of the networks, and keeps those that predict rows left out better. It does the
        same with rows that are equal in every column: where copies predict each other, a row seen in training is
        predicted from that one as well. A list forces its columns. Values not seen in training get no intercept and a
        wider interval.
    columns, missing
        As in `PerceptronRegressor`.
    standardize : bool, default True
        Scale inputs inside, and targets but counts.
    fit_intercept : bool, default True
        False leaves out the intercepts of every layer.
    tol : float, default 1e-8
        Converged when the gradient, relative to its size for a model that predicts the mean, is at most tol.
    max_iter, n_jobs, verbose, callback
        As in `PerceptronRegressor`.
    random_state : int, RandomState or None, default 0
        Of the starts. The default is a number, so that the same data give the same model.

    Attributes
    ----------
    members_ : list of Member
        Network, solution, share, penalties, noise, effective parameters and log evidence of each;
        `member.solution.sentence` says how it ended.
    solution_ : Solution
        Of the members that take the columns themselves and have the greatest share the one of the greatest evidence
        (the lowest objective where alpha is a number), in standardised units.
    effective_parameters_ : float
        Parameters that the data determine, averaged over the members by their shares; nan where alpha was given.
    relevance_ : (n_features,)
        How much each column moves the prediction: the mean square of its derivative by the column over the rows of
        training, times the column's variance, as a share of all columns' (Dimopoulos et al. 1995, Gevrey et al. 2003).
        Columns that say the same share what they are worth, and what a column does far from the rows is not seen.
    scaling_ : Scaling
    predictive_ : RegressionPredictive or str
        What `predict(return_std=True)`, `predict_interval`, `log_density` and `predict_uncertainty` are made from; or
        the sentence why there is nothing (more than 1,200 parameters in the output layer, say).
    schema_ : Schema
        What each column of a frame is, and the columns of numbers that it becomes; prints as a table.
    n_features_in_, feature_names_in_, n_iter_ : as in scikit-learn

    Notes
    -----
    Methods: Rumelhart, Hinton & Williams 1986 (backpropagation); Levenberg 1944, Marquardt 1963, Nielsen 1999;
    MacKay 1992 (evidence).

    Examples
    --------
    >>> import pandas as pd
    >>> from newtron import NetworkRegressor
    >>> penguins = pd.read_csv("examples/penguins.csv").dropna()
    >>> X, y = penguins[["bill_depth_mm"]], penguins["body_mass_g"]
    >>> model = NetworkRegressor(hidden=(3,), n_starts=1).fit(X, y)
    >>> round(model.score(X, y), 2)
    0.48
    >>> model.predict_interval(X[:2], coverage=0.9).shape  # lower and upper ends, in grams
    (2, 2)
    """

    @property
    def predictive_(self) -> RegressionPredictive | str:
        """What intervals are made from, or the sentence why there is nothing."""
        return predictive_of(self._fitted_model())

    def __init__(
        self,
        *,
        hidden: Hidden = "auto",
        activation: str = "tanh",
        alpha: float | str = "cv",
        n_starts: int | None = None,
        effort: str = "default",
        combine: str = "average",
        solver: str | Solver = "auto",
        loss: str | None = None,
        offset: str | int | None = None,
        intercepts: Intercepts = "auto",
        columns: ColumnKinds = None,
        missing: str = "indicator",
        standardize: bool = True,
        fit_intercept: bool = True,
        tol: float = 1e-8,
        max_iter: int | None = None,
        random_state: object = 0,
        n_jobs: int | None = None,
        verbose: int = 0,
        callback: Callback | None = None,
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.alpha = alpha
        self.n_starts = n_starts
        self.effort = effort
        self.combine = combine
        self.solver = solver
        self.loss = loss
        self.offset = offset
        self.intercepts = intercepts
        self.columns = columns
        self.missing = missing
        self.standardize = standardize
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.callback = callback


class NetworkClassifier(Classification, _Network):
    """Classification with small neural networks: σ at the output for two classes, softmax for more; log loss.

    Each member is trained on standardised inputs to an optimum of mean(log loss) + alpha/(2n) ‖W‖²; the
    predicted probabilities are the members' mean. The two-layer network of the textbooks is
    ``NetworkClassifier(hidden=(2,), activation="sigmoid", alpha=0, n_starts=1)``.

    Parameters
    ----------
    hidden, activation, n_starts, effort, combine, solver, intercepts, columns, missing, standardize, fit_intercept,
    tol, max_iter, random_state, n_jobs, verbose, callback
        As in `NetworkRegressor`.
    alpha : float, "cv", "evidence" or "loo", default "cv"
        As in `NetworkRegressor`, in units of one row's log loss.
    loss : None, "log_loss" or "squared_error"
        None is the log loss; "squared_error" is that of the probabilities.
    class_weight : dict, "balanced" or None
        As in scikit-learn.

    Attributes
    ----------
    classes_ : (K,)
    temperature_ : float
        The members' mean probabilities are taken to the power 1/temperature_: above 1 they were too sure.
    members_, solution_, scaling_, schema_, n_features_in_, feature_names_in_, n_iter_
        As in `NetworkRegressor`; effective_parameters_ too, and relevance_, of the probabilities.

    Examples
    --------
    >>> import pandas as pd
    >>> from newtron import NetworkClassifier
    >>> penguins = pd.read_csv("examples/penguins.csv").dropna()
    >>> X, y = penguins[["bill_length_mm", "bill_depth_mm"]], penguins["species"]
    >>> model = NetworkClassifier(hidden=(3,), n_starts=1, alpha=1.0).fit(X, y)
    >>> model.predict(X[:2])
    array(['Adelie', 'Adelie'], dtype=object)
    >>> round(model.score(X, y), 2)
    0.96
    """

    def __init__(
        self,
        *,
        hidden: Hidden = "auto",
        activation: str = "tanh",
        alpha: float | str = "cv",
        n_starts: int | None = None,
        effort: str = "default",
        combine: str = "average",
        solver: str | Solver = "auto",
        loss: str | None = None,
        class_weight: ClassWeight = None,
        intercepts: Intercepts = "auto",
        columns: ColumnKinds = None,
        missing: str = "indicator",
        standardize: bool = True,
        fit_intercept: bool = True,
        tol: float = 1e-8,
        max_iter: int | None = None,
        random_state: object = 0,
        n_jobs: int | None = None,
        verbose: int = 0,
        callback: Callback | None = None,
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.alpha = alpha
        self.n_starts = n_starts
        self.effort = effort
        self.combine = combine
        self.solver = solver
        self.loss = loss
        self.class_weight = class_weight
        self.intercepts = intercepts
        self.columns = columns
        self.missing = missing
        self.standardize = standardize
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.callback = callback
