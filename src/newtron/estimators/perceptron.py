"""The two perceptrons: linear regression and logistic (softmax) regression, trained to the last digits."""

from __future__ import annotations

import numpy as np

from newtron.engine.base.checks import check_number
from newtron.engine.base.types import Array, Matrix
from newtron.engine.solvers import Solver
from newtron.estimators.base import Callback
from newtron.estimators.coefficients import Perceptron
from newtron.estimators.tasks import Classification, Regression
from newtron.inference.coefficients.summary import Summary
from newtron.inference.separation.separation import Separation
from newtron.model.mean_intervals import mean_intervals
from newtron.model.predicting import averaged
from newtron.model.profiles import check_profile, profile_of
from newtron.training.settings import ClassWeight, ColumnKinds, Intercepts
from newtron.training.targets import known_codes


class PerceptronRegressor(Regression, Perceptron):
    """Regression with a perceptron: ŷ = xw + b, loss ½(y - ŷ)².

    The objective is mean(½(y - ŷ)²) + alpha/(2n) ‖w‖²: least squares for alpha=0, ridge regression (with
    scikit-learn's Ridge alpha) above. The default solver takes one Newton step, by the equilibrated normal
    equations where they are accurate and by QR with extended-precision refinement where they are not; columns
    that depend on each other get the solution that is shortest in columns of equal norm, and `solution_.note` says so.

    Parameters
    ----------
    alpha : float, "evidence", "loo" or "cv", default 0.0
        L2 penalty on the weights; the intercept is not penalised. "evidence" is where MacKay's evidence is stationary,
        "loo" where the leave-one-out loss is least (exact for the squared error, one Newton step a row for the log
        loss), "cv" the power of √10 with the least loss of rows left out in five folds. One number for all
        weights: set standardize=True where columns have different units.
    solver : str or Solver, default "auto"
        "auto", "newton", "newton-cg", "lbfgs", "levenberg-marquardt", "gradient-descent", "stochastic", or a
        solver object such as ``GradientDescent(learning_rate=0.1)``.
    loss : None, "squared_error" or "poisson"
        None is the squared error. "poisson" is for counts, with ŷ = exp(xw + b): half of Poisson's deviance.
    offset : str, int or None, default None
        The name or position of a column of X that is the logarithm of the exposure, for loss="poisson": ŷ is exp of it
        times the mean for an exposure of 1. It stays in X for `predict`, and has no parameter.
    weights : {"frequency", "precision", "sampling"}, default "frequency"
        What a sample weight means, for all that comes after the estimates: "frequency": so many equal rows;
        "precision": one over the variance of the row's target, up to a constant (weighted least squares);
        "sampling": how many individuals of a population the row stands for. Estimates are the same for all three;
        standard errors, the log-likelihood and the degrees of freedom are not (docs/coefficients.md, Weights).
    intercepts : list of str or int, or None, default None
        Columns of X, by name or position, whose values group the rows: each value has an intercept of its own, drawn
        from a normal distribution whose variance the rows determine. The model is then a mixed model
        (docs/mixed-models.md), these columns are no inputs, and `random_intercepts_` holds the intercepts.
    method : {"reml", "ml"}, default "reml"
        With `intercepts` and the squared error: variances by restricted or by full maximum likelihood.
    columns : dict or None, default None
        What columns of a frame are, by name, where their cells should not decide: "number", "category", "date" or
        "text", or a list of the levels of a category in order, of which the first is the reference.
    missing : {"indicator", "error"}, default "indicator"
        "indicator" fills in a missing number with the mean and marks it in a column of its own, and makes a missing
        category a level; "error" refuses missing cells.
    standardize : bool, default False
        Scale inputs and target inside; coefficients and predictions stay in the user's units. alpha then
        penalises the scaled weights.
    fit_intercept : bool, default True
    tol : float, default 1e-12
        Converged when the gradient, relative to its size for a model that predicts the mean, is at most tol.
    max_iter : int or None
        Limit on iterations; None is the solver's own.
    random_state : int, RandomState or None, default 0
        Only the stochastic solver draws.
    n_jobs : int or None
        Threads; None is the environment variable NEWTRON_NUM_THREADS or all cores. Results do not depend on it.
    verbose : int, default 0
        1 prints a line per iteration.
    callback : callable or None
        Called with a `Progress` after each iteration; a true answer stops.

    Attributes
    ----------
    coef_ : (p,) or (k, p)
    intercept_ : float or (k,)
    solution_ : Solution
        Status, sentence, trace and counts of the training.
    members_ : list of one Member
        With the penalty that was chosen, the noise, log evidence and effective parameters.
    effective_parameters_ : float
        How many parameters the data determine; nan where alpha was given.
    random_intercepts_ : DataFrame
        With `intercepts`, the intercept of each group (conditional mode, BLUP) and its standard deviation.
    schema_ : Schema
        What each column of a frame is, and the columns of numbers that it becomes; prints as a table.
    n_features_in_, feature_names_in_, n_iter_ : as in scikit-learn

    Notes
    -----
    Method: Björck 1996, *Numerical Methods for Least Squares Problems*.

    Examples
    --------
    >>> import pandas as pd
    >>> from newtron import PerceptronRegressor
    >>> concrete = pd.read_csv("examples/concrete.csv")
    >>> model = PerceptronRegressor().fit(concrete[["cement", "water"]], concrete["strength_mpa"])
    >>> model.coef_.round(4)
    array([ 0.0763, -0.1961])
    >>> model.summary().intervals[1].round(3)
    array([0.068, 0.084])
    """

    def __init__(
        self,
        *,
        alpha: float | str = 0.0,
        solver: str | Solver = "auto",
        loss: str | None = None,
        offset: str | int | None = None,
        weights: str = "frequency",
        intercepts: Intercepts = None,
        method: str = "reml",
        columns: ColumnKinds = None,
        missing: str = "indicator",
        standardize: bool = False,
        fit_intercept: bool = True,
        tol: float = 1e-12,
        max_iter: int | None = None,
        random_state: object = 0,
        n_jobs: int | None = None,
        verbose: int = 0,
        callback: Callback | None = None,
    ) -> None:
        self.alpha = alpha
        self.solver = solver
        self.loss = loss
        self.offset = offset
        self.weights = weights
        self.intercepts = intercepts
        self.method = method
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

    @property
    def coef_(self) -> Array:
        """Coefficients in the user's units: (p,), or (k, p) for several targets. That of an offset is 1."""
        W, _ = self._fitted_model().coefficients
        offset = self.model_.scaling.offset
        W = W if offset is None else np.insert(W, offset, 1.0, axis=0)
        return W[:, 0] if self.model_.data.one_column else W.T

    @property
    def intercept_(self) -> float | Array:
        """The prediction where all inputs are 0: a number, or (k,) for several targets."""
        _, b = self._fitted_model().coefficients
        return float(b[0]) if self.model_.data.one_column else b

    def summary(
        self,
        X: Matrix = None,
        y: object = None,
        *,
        covariance: str | None = None,
        groups: object = None,
        sample_weight: object = None,
        coverage: float = 0.95,
        exponentiate: bool = False,
        standardized: bool = False,
    ) -> Summary:
        """Coefficients with standard errors, t, p and intervals, and how well the model fits. Prints as a table.

        For counts (loss="poisson"): z in place of t, the inverse of the information for "classical", and the deviance.

        Without X and y it reads what fit kept of them. What a sample weight means is the setting `weights`.

        Parameters
        ----------
        X, y : the rows that fit had, which the HC and cluster formulas need; also for a fit of more than 500
            parameters, which keeps nothing.
        covariance : str or None
            "classical": s²(X'X)⁻¹ with s² = RSS/(n - p). "HC0", "HC1", "HC2", "HC3": right also where the variance
            depends on x (White 1980; MacKinnon & White 1985). "cluster": right also where rows of one group depend on
            each other (Liang & Zeger 1986), times G/(G - 1) (n - 1)/(n - p), t with G - 1 degrees of freedom, as
            Stata's regress and statsmodels do. Under a penalty "posterior": s²(X'X + S)⁻¹, or "sandwich":
            s²(X'X + S)⁻¹ X'X (X'X + S)⁻¹; the others then have the penalised bread, and there are no tests. None is
            "cluster" with groups, "HC1" with sampling weights, "posterior" under a penalty, and
            "classical" else.
        groups : (n,)
            The group of each row, for "cluster".
        sample_weight : (n,)
            The weights that fit had, with X and y.
        coverage : float
            Of the intervals.
        exponentiate : bool
            For counts: exp of each coefficient and of the ends of its interval, the rate ratios.
        standardized : bool
            Also the coefficients for one standard deviation of each input, in standard deviations of the target. X and
            y are needed for counts, and without an intercept.

        Raises
        ------
        InputError
            A formula lacks its rows, groups or penalty; the rows are not those of the fit.
        """
        return self._summary(
            X,
            y,
            sample_weight,
            covariance=covariance,
            groups=groups,
            coverage=coverage,
            exponentiate=exponentiate,
            standardized=standardized,
        )

    def predict_mean_interval(self, X: Matrix, coverage: float = 0.9, *, summary: Summary | None = None) -> Array:
        """Lower and upper end of an interval of the mean of the target at each row: how well the rows determine it.

        Targets lie around their mean, and `predict_interval` is about them.

        Parameters
        ----------
        X : (n, p)
        coverage : float
        summary : Summary or None
            Of this model, for its covariance, such as `model.summary(X, y, covariance="HC3")`. None is the classical
            one, or the posterior under a penalty.

        Returns
        -------
        (n, 2), or (n, k, 2) for several targets
            By t for a squared error; for counts exp of the ends for xw + b.

        Raises
        ------
        InputError
            The fit kept too little; the summary is of another model.

        Examples
        --------
        >>> import pandas as pd
        >>> from newtron import PerceptronRegressor
        >>> X = pd.DataFrame({"a": [0.0, 1, 2, 3, 4, 5], "b": [1.0, 0, 2, 1, 0, 2]})
        >>> y = [1.0, 2, 2, 5, 3, 6]
        >>> model = PerceptronRegressor().fit(X, y)
        >>> model.predict_mean_interval(X.head(1), 0.95).round(2).tolist()
        [[-1.9, 3.99]]
        """
        coverage = check_number("coverage", coverage, above=0.0, below=1.0)
        X = self._for_prediction(X)
        return self._shaped(mean_intervals(self.model_, X, coverage, summary))


class PerceptronClassifier(Classification, Perceptron):
    """Classification with a perceptron: ŷ = σ(xw + b), log loss; softmax for more than two classes.

    The objective is mean(log loss) + alpha/(2n) ‖w‖²: logistic regression, with alpha = 1/C of scikit-learn's
    LogisticRegression. Separated classes have no finite optimum without a penalty; the fit then says so, names the
    columns that separate, and is not called converged.

    Parameters
    ----------
    alpha : float, "evidence", "loo" or "cv", default 0.0
        L2 penalty on the weights; the intercept is not penalised. "evidence" is where MacKay's evidence is stationary,
        "loo" where the leave-one-out loss is least (exact for the squared error, one Newton step a row for the log
        loss), "cv" the power of √10 with the least loss of rows left out in five folds. One number for all
        weights: set standardize=True where columns have different units.
    penalty : {"l2", "firth"}, default "l2"
        "l2" is alpha's. "firth" adds half the log determinant of the Fisher information to the log-likelihood, which
        takes the first order of the bias out of the coefficients and keeps them finite under separation. It goes
        with alpha=0 and the log loss, and needs columns that do not depend on each other.
    solver : str or Solver, default "auto"
        "auto", "newton", "newton-cg", "lbfgs", "levenberg-marquardt", "gradient-descent", "stochastic", or a
        solver object such as ``GradientDescent(learning_rate=0.1)``.
    loss : None, "log_loss" or "squared_error"
        None is the log loss. "squared_error" is ½(y - σ(z))², which is not convex: a row that is wrong and
        sure of it has almost no slope, and where the training ends depends on where it starts.
    class_weight : dict, "balanced" or None
        As in scikit-learn.
    weights : {"frequency", "precision", "sampling"}, default "frequency"
        What a sample weight means, as in `PerceptronRegressor`.
    intercepts : list of str or int, or None, default None
        Columns of X, by name or position, whose values group the rows, as in `PerceptronRegressor`; for two classes,
        by Laplace's approximation of the likelihood.
    standardize : bool, default False
        Scale inputs inside; coefficients stay in the user's units. alpha then penalises the scaled weights.
    fit_intercept : bool, default True
    tol : float, default 1e-12
        Converged when the mean gradient, relative to a typical row's, is at most tol.
    columns, missing, max_iter, random_state, n_jobs, verbose, callback
        As in `PerceptronRegressor`.

    Attributes
    ----------
    classes_ : (K,)
    coef_ : (1, p) for two classes, else (K, p)
    intercept_ : (1,) or (K,)
    solution_ : Solution
        Status, sentence, trace and counts of the training.
    separation_ : Separation or None
        Whether planes separate the classes, proved by the fit itself or by linear programs: kind ("none",
        "quasi-complete", "complete", "undecided"), the columns and the direction that separate, a sentence. None where
        a penalty keeps the coefficients finite.
    members_ : list of one Member
        With the penalty that was chosen, the noise, log evidence and effective parameters.
    effective_parameters_ : float
        How many parameters the data determine; nan where alpha was given.
    random_intercepts_ : DataFrame
        With `intercepts`, the intercept of each group (conditional mode, BLUP) and its standard deviation.
    schema_ : Schema
        What each column of a frame is, and the columns of numbers that it becomes; prints as a table.
    n_features_in_, feature_names_in_, n_iter_ : as in scikit-learn

    Notes
    -----
    Methods: Nocedal & Wright 2006, *Numerical Optimization*, ch. 3-7; Albert & Anderson 1984, Konis 2007 (separation);
    Firth 1993, Heinze & Schemper 2002, Bull, Mak & Greenwood 2002 (Firth's likelihood).

    Examples
    --------
    >>> import pandas as pd
    >>> from newtron import PerceptronClassifier
    >>> penguins = pd.read_csv("examples/penguins.csv").dropna()
    >>> X, y = penguins[["species", "bill_depth_mm", "body_mass_g"]], penguins["sex"]
    >>> model = PerceptronClassifier().fit(X, y)  # the frame as it is
    >>> model.predict_proba(X[:2]).round(3)
    array([[0.264, 0.736],
           [0.703, 0.297]])
    >>> print(model.certificate_.sentence)
    Converged: the gradient is below the tolerance.
    """

    def __init__(
        self,
        *,
        alpha: float | str = 0.0,
        penalty: str = "l2",
        solver: str | Solver = "auto",
        loss: str | None = None,
        class_weight: ClassWeight = None,
        weights: str = "frequency",
        intercepts: Intercepts = None,
        columns: ColumnKinds = None,
        missing: str = "indicator",
        standardize: bool = False,
        fit_intercept: bool = True,
        tol: float = 1e-12,
        max_iter: int | None = None,
        random_state: object = 0,
        n_jobs: int | None = None,
        verbose: int = 0,
        callback: Callback | None = None,
    ) -> None:
        self.alpha = alpha
        self.penalty = penalty
        self.solver = solver
        self.loss = loss
        self.class_weight = class_weight
        self.weights = weights
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

    @property
    def coef_(self) -> Array:
        """Coefficients in the user's units: (1, p) for two classes, else (K, p)."""
        return self._fitted_model().coefficients[0].T

    @property
    def intercept_(self) -> Array:
        """Raw predictions where all inputs are 0: (1,) for two classes, else (K,)."""
        return self._fitted_model().coefficients[1]

    @property
    def separation_(self) -> Separation | None:
        """Whether planes separate the classes; None where a penalty keeps the coefficients finite."""
        return self._fitted_model().separation

    def summary(
        self,
        X: Matrix = None,
        y: object = None,
        *,
        covariance: str | None = None,
        groups: object = None,
        sample_weight: object = None,
        coverage: float = 0.95,
        baseline: object = None,
        intervals: str = "wald",
        exponentiate: bool = False,
        standardized: bool = False,
    ) -> Summary:
        """Coefficients with standard errors, z, p and intervals, and how well the model fits. Prints as a table.

        For two classes the coefficients are those of the log odds of one class against the other; for more, of the
        log odds of each class against the baseline (coef_ of the class less coef_ of the baseline), which is all that
        probabilities determine: multinomial logistic regression. Without X and y it reads what fit kept of them.

        Parameters
        ----------
        X, y, groups, sample_weight, coverage
            As in `PerceptronRegressor.summary`.
        covariance : str or None
            "classical": the inverse of the observed information I. "HC0" to "HC3": the sandwich of White (1982) from
            the rows' scores, with the leverages of the weighted least-squares problem at the optimum; HC1 is n/(n - p).
            "cluster": as in `PerceptronRegressor.summary` and statsmodels, with the normal distribution; Stata's logit
            has the factor G/(G - 1) alone. Under a penalty "posterior": (I + S)⁻¹, or "sandwich": (I + S)⁻¹ I
            (I + S)⁻¹; there are no tests then. Under penalty="firth" there is one: "fisher", the inverse of the Fisher
            information at Firth's estimates (Heinze & Schemper 2002). None is "fisher" there, "cluster" with groups,
            "HC1" with sampling weights, "posterior" under alpha, and "classical" else.
        baseline : a class, or None
            None is the first of classes_.
        intervals : {"wald", "profile"}
            "wald": estimate and standard error, by the normal distribution. "profile", with X and y, for two classes
            under penalty="firth" or no penalty: where the (penalised) likelihood, maximised over the other
            coefficients, has fallen too far; the tests are likelihood-ratio tests by χ² then.
        exponentiate, standardized : bool
            exp of each coefficient and of the ends of its interval, the odds ratios; with X and y, also the
            coefficients for one standard deviation of each input.

        Raises
        ------
        InputError
            A formula lacks its rows, groups or penalty; the rows are not those of the fit; the loss is no likelihood.
        """
        return self._summary(
            X,
            y,
            sample_weight,
            covariance=covariance,
            groups=groups,
            coverage=coverage,
            baseline=baseline,
            intervals=intervals,
            exponentiate=exponentiate,
            standardized=standardized,
        )

    def predict_proba_interval(self, X: Matrix, coverage: float = 0.9, *, summary: Summary | None = None) -> Array:
        """Lower and upper end of an interval of the probability of each class at each row: how well the rows determine
        it.

        Parameters
        ----------
        X, coverage, summary
            As in `PerceptronRegressor.predict_mean_interval`.

        Returns
        -------
        (n, classes, 2)
            The ends for the log odds of a class against all others, as probabilities; each interval on its own.

        Raises
        ------
        InputError
            As in `PerceptronRegressor.predict_mean_interval`.

        Examples
        --------
        >>> from newtron import PerceptronClassifier
        >>> hours, passed = [[1.0], [2], [3], [4], [5], [6]], ["no", "no", "yes", "no", "yes", "yes"]
        >>> model = PerceptronClassifier().fit(hours, passed)
        >>> model.predict_proba_interval([[4.0]]).shape
        (1, 2, 2)
        """
        coverage = check_number("coverage", coverage, above=0.0, below=1.0)
        X = self._for_prediction(X)
        return mean_intervals(self.model_, X, coverage, summary)

    def profile_intervals(self, X: Matrix, y: object, sample_weight: object = None, *, coverage: float = 0.95) -> Array:
        """Profile-likelihood intervals of the coefficients of two classes, from the rows of the fit.

        They exist under penalty="firth" (whose penalised likelihood is profiled) and without a penalty.

        Parameters
        ----------
        X, y, sample_weight : the rows of the fit
        coverage : float, default 0.95

        Returns
        -------
        (p, 2), or (p + 1, 2) with the intercept's last
            Lower bounds first. A bound that is not found is nan, and so are both of a coefficient that can be traded
            for those of other columns, because these depend on each other.

        Raises
        ------
        InputError
            The model is another, or X, y and sample_weight are not those of the fit.

        Notes
        -----
        Methods: Venzon & Moolgavkar 1988; Heinze & Schemper 2002.

        Examples
        --------
        >>> from newtron import PerceptronClassifier
        >>> x, y = [[1.0], [2.0], [3.0], [4.0]], ["no", "yes", "no", "yes"]
        >>> model = PerceptronClassifier().fit(x, y)
        >>> model.profile_intervals(x, y).shape
        (2, 2)
        """
        X = self._for_prediction(X)
        weight = self._weights(X, sample_weight)
        check_profile(self.model_)
        codes = known_codes(np.asarray(y), self.classes_, X.shape[0]).astype(np.float64)
        return profile_of(self.model_, X, codes, weight, coverage, tests=False).intervals

    def decision_function(self, X: Matrix) -> Array:
        """The raw prediction z = xw + b.

        Parameters
        ----------
        X : frame, (n, p) array or sparse matrix

        Returns
        -------
        (n,) for two classes, else (n, K)
            Of two classes a positive number means `classes_[1]`.

        Examples
        --------
        >>> from newtron import PerceptronClassifier
        >>> x, y = [[1.0], [2.0], [3.0], [4.0]], ["no", "yes", "no", "yes"]
        >>> model = PerceptronClassifier().fit(x, y)
        >>> model.decision_function([[2.5]]).round(6) + 0.0
        array([0.])
        """
        X = self._for_prediction(X)
        z = averaged(self.model_, X, lambda raw: raw)
        return z[:, 0] if z.shape[1] == 1 else z
