"""Tests of a fitted perceptron against models with fewer or more columns: terms left out, analyses of variance and of
deviance, two fitted models, and the score test of columns that are not in the model.

For a squared error all smaller models follow from the triangle that the fit kept. For other losses they are fitted to
the rows again. Sources: Chambers & Hastie 1992, *Statistical Models in S*, ch. 6; Fox 2016, *Applied Regression
Analysis and Generalized Linear Models*, 8.2 (sums of squares of type II); Rao 1948 (score test).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from newtron.engine.base.checks import check_choice
from newtron.engine.base.errors import InputError
from newtron.engine.base.linalg import is_sparse
from newtron.engine.base.types import Array, Matrix
from newtron.engine.base.words import joined, listed, setting
from newtron.engine.maths.network import Network
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import ArrayRows
from newtron.inference.coefficients.covariance import bread, independent, scores
from newtron.inference.coefficients.goodness import is_rounding, likelihood_of
from newtron.inference.coefficients.hypotheses import CoefficientTest, chi_square_test, f_test
from newtron.inference.coefficients.information import Information, information_at
from newtron.inference.coefficients.term_table import TermRow, TermTable
from newtron.inference.coefficients.terms import Term, terms_named
from newtron.model.groups import column_called
from newtron.model.rows_again import GivenRows, Refound, information_of
from newtron.model.terms import coefficient_names, terms_of
from newtron.training.fitted import DataDescription, FittedModel
from newtron.training.scaling import learn_scaling
from newtron.training.train import train

# A smaller model may describe the rows better than a larger one by so much of the log-likelihood, which is rounding.
_ROUNDING = 1e-7


@dataclass(frozen=True)
class _Fit:
    """What a test needs of a fit: its rank, residual sum of squares or deviance, log-likelihood and AIC."""

    rank: float
    residual: float
    log_likelihood: float
    aic: float


def _fit_of(model: FittedModel, kept: Information, rank: float | None = None) -> _Fit:
    """What a model keeps of its rows, as a test needs it. rank: of the columns, where it is known."""
    loss, scale = model.loss, model.scaling.y_scale
    if rank is None:
        rank = bread(kept, loss, model.members[0].network.intercept).effective
    found = likelihood_of(kept, loss, scale, rank, True)
    if loss.quadratic:
        residual = float(kept.residual_products[0, 0]) * float(scale[0]) ** 2
        square = (
            float(np.sum(np.square(_fitted_part(model, kept)))) / kept.weight + float(model.scaling.y_center[0]) ** 2
        )
        if kept.counted > rank and is_rounding(np.array(residual / (kept.counted - rank)), np.array(square)):
            residual = 0.0
    else:
        residual = 2.0 * (kept.saturated - kept.log_likelihood)
    return _Fit(rank, residual, found.value, found.aic)


def _fitted_part(model: FittedModel, kept: Information) -> Array:
    """(q,) Rb in the units of the target: the predictions of a squared error, turned by an orthogonal matrix."""
    member = model.members[0]
    layer = member.network.split(member.params)[0]
    whole = layer.W if layer.b is None else np.vstack([layer.W, layer.b[None]])
    return np.asarray((kept.root @ whole)[:, 0] * model.scaling.y_scale[0])


def _test(
    hypothesis: str, smaller: _Fit, larger: _Fit, whole: _Fit, counted: float, quadratic: bool
) -> CoefficientTest:
    """The test of a smaller model in a larger one: F with the variance of the whole model for a squared error, else the
    likelihood ratio."""
    freedom = larger.rank - smaller.rank
    if not quadratic:
        ratio = max(0.0, 2.0 * (larger.log_likelihood - smaller.log_likelihood))
        return chi_square_test(hypothesis, "likelihood ratio", ratio, freedom)
    left = counted - whole.rank
    with np.errstate(all="ignore"):
        change = max(0.0, smaller.residual - larger.residual) / np.float64(freedom)
        statistic = float(change / (whole.residual / np.float64(left))) if whole.residual else float("nan")
    return f_test(hypothesis, "F", statistic, freedom, left)


class _Models(ABC):
    """A fitted model and the smaller ones, each by the positions of its inputs."""

    def __init__(self, model: FittedModel, information: Information) -> None:
        self.model, self.information = model, information
        self.n_inputs = model.coefficients[0].shape[0]
        self.intercept = model.members[0].network.intercept
        self.whole = _fit_of(model, information)
        self._known = {tuple(range(self.n_inputs)): self.whole}

    @property
    def left(self) -> float:
        """The residual degrees of freedom of the whole model."""
        return self.information.counted - self.whole.rank

    def fit(self, columns: Sequence[int]) -> _Fit:
        """The model with these inputs alone."""
        key = tuple(columns)
        if key not in self._known:
            self._known[key] = self._fit(list(key))
        return self._known[key]

    def without(self, *terms: Term) -> _Fit:
        """The model without these terms."""
        gone = {column for term in terms for column in term.columns}
        return self.fit([j for j in range(self.n_inputs) if j not in gone])

    @abstractmethod
    def _fit(self, columns: list[int]) -> _Fit: ...

    def row(self, name: str, smaller: _Fit, larger: _Fit, about: _Fit) -> TermRow:
        """The row of a term that the larger model has and the smaller one not; about: whose residual is shown."""
        counted, quadratic = self.information.counted, self.model.loss.quadratic
        test = _test(f"{name} = 0", smaller, larger, self.whole, counted, quadratic)
        change = smaller.residual - larger.residual
        return TermRow(name, larger.rank - smaller.rank, change, about.residual, about.aic, test)


class _LeastSquares(_Models):
    """Models of a squared error, from the triangle R of the whole one: R'R = [X, 1]'W[X, 1]."""

    def _fit(self, columns: list[int]) -> _Fit:
        kept = self.information
        R = kept.root
        chosen = R[:, [*columns, *([R.shape[1] - 1] if self.intercept else [])]]
        rank, Q = _basis(chosen)
        fitted = _fitted_part(self.model, kept) / self.model.scaling.y_scale[0]
        lost = fitted - Q @ (Q.T @ fitted)
        return _fit_of(self.model, replace(kept, residual_products=kept.residual_products + lost @ lost), float(rank))


def _basis(columns: Array) -> tuple[int, Array]:
    """The rank of columns, and an orthonormal basis of what they span."""
    if not columns.shape[1]:
        return 0, np.zeros((len(columns), 0))
    norm = np.linalg.norm(columns, axis=0)
    norm[norm == 0.0] = 1.0
    kept, _ = independent(columns / norm, columns.shape[1], False)
    return len(kept), np.linalg.qr(columns[:, kept] / norm[kept])[0]


class _Likelihoods(_Models):
    """Models of other losses, fitted to the rows again."""

    def __init__(self, model: FittedModel, information: Information, rows: ArrayRows) -> None:
        super().__init__(model, information)
        self._rows = rows

    def _fit(self, columns: list[int]) -> _Fit:
        if not columns:
            k, kept = self.model.n_outputs, self.information
            rank = float(self.intercept * (1 if k == 1 else k - 1))
            return _fit_of(self.model, replace(kept, log_likelihood=kept.null_log_likelihood), rank)
        fitted = refitted(self.model, self._rows, columns)
        if not fitted.solution.converged or fitted.is_separated:
            raise InputError(f"A model with fewer columns did not converge: {fitted.solution.sentence}")
        information = fitted.members[0].information
        if information is None:
            raise InputError("A model with fewer columns has too many parameters to be tested.")
        return _fit_of(fitted, information)


def refitted(model: FittedModel, rows: ArrayRows, columns: Sequence[int]) -> FittedModel:
    """The same model with these of its inputs alone, fitted to the rows of its fit, given again."""
    offset, data = model.scaling.offset, model.data
    inputs = [j for j in range(data.n_features) if j != offset]
    kept = [*(inputs[j] for j in columns), *([] if offset is None else [offset])]
    X, Y, weight, _ = rows.whole()
    names = None if data.names is None else tuple(data.names[j] for j in kept)
    fewer = DataDescription(len(kept), names, targets=data.targets, one_column=data.one_column, classes=data.classes)
    settings = replace(
        model.settings, solver="auto", max_iter=None, verbose=0, offset=None if offset is None else len(kept) - 1
    )
    return train(ArrayRows(X[:, kept], Y, weight), fewer, settings, seed=0)


def _checked(model: FittedModel) -> None:
    """Raise InputError where smaller models cannot be compared by their likelihoods."""
    settings = model.settings
    if settings.is_firth or settings.alpha != 0.0:
        raise InputError("There are no tests of terms under a penalty: fit with alpha=0, and without penalty='firth'.")
    if model.is_separated or not model.solution.converged:
        raise InputError(f"Terms are tested at an optimum, and this fit is at none: {model.solution.sentence}")
    if not model.loss.likelihood:
        raise InputError("loss='squared_error' of a classifier is no likelihood: fit with the log loss (loss=None).")
    if settings.class_weight is not None or settings.weights == "sampling":
        what = "class_weight" if settings.class_weight is not None else "weights='sampling'"
        raise InputError(f"With {what} there is no likelihood to compare models by: take wald_test, with X and y.")
    if model.is_regression and model.n_outputs > 1:
        raise InputError("Terms of several targets are tested for each target alone: fit a model for each.")


def _refuse_intercepts(model: FittedModel) -> None:
    if model.settings.intercepts is not None:
        raise InputError(
            "This test is not made for models with random intercepts: compare two fits by nested_test, or take "
            "wald_test."
        )


def _counts_rows(model: FittedModel, information: Information) -> None:
    if model.settings.weights == "frequency" and not information.whole_weights:
        raise InputError(
            "The sample weights are not whole numbers, so that they are no numbers of rows: fit with "
            "weights='precision' where they are one over a variance."
        )


def _models(model: FittedModel, given: GivenRows | None) -> _Models:
    _refuse_intercepts(model)
    _checked(model)
    refound = None if given is None else Refound(model, given)
    if not model.loss.quadratic and given is None:
        raise InputError(
            "Models with fewer columns are fitted to the rows: give the X and y that the model was trained on."
        )
    information = information_of(model, refound)
    _counts_rows(model, information)
    if model.loss.quadratic:
        return _LeastSquares(model, information)
    assert given is not None
    if not isinstance(given.rows, ArrayRows):
        raise InputError("Models with fewer columns are fitted to rows in memory: give X and y.")
    return _Likelihoods(model, information, given.rows)


def _method(model: FittedModel) -> str:
    of = f" of {joined(model.data.targets)}" if model.data.targets else ""
    return f"{model.loss.method}{of}"


def dropped_terms(model: FittedModel, given: GivenRows | None) -> TermTable:
    """Each term left out alone, but those that an interaction contains."""
    models, terms = _models(model, given), terms_of(model)
    whole = models.whole
    rows = [TermRow("(whole model)", 0.0, float("nan"), whole.residual, whole.aic)]
    held = [term.name for term in terms if any(other.contains(term) for other in terms)]
    for term in terms:
        if term.name not in held:
            smaller = models.without(term)
            rows.append(models.row(term.name, smaller, whole, smaller))
    notes = _notes(models) + (
        (f"{joined(held)}: not left out, because an interaction contains {'it' if len(held) == 1 else 'them'}.",)
        if held
        else ()
    )
    title = f"Each term left out: {_method(model)}"
    return TermTable(tuple(rows), title, model.loss.quadratic, models.left, notes)


def analysis(model: FittedModel, given: GivenRows | None, kind: object) -> TermTable:
    """The analysis of variance or deviance: of type "I" or "II"."""
    check_choice("type", kind, ("I", "II"))
    models, terms = _models(model, given), terms_of(model)
    rows = _sequential(models, terms) if kind == "I" else _marginal(models, terms)
    what = "variance" if model.loss.quadratic else "deviance"
    how = "terms added in their order (type I)" if kind == "I" else "each term after all others (type II)"
    title = f"Analysis of {what}, {how}: {_method(model)}"
    return TermTable(tuple(rows), title, model.loss.quadratic, models.left, _notes(models))


def _notes(models: _Models) -> tuple[str, ...]:
    if models.model.loss.quadratic and not models.whole.residual:
        return ("The fit is perfect but for rounding: the rows show no noise, so there are no tests.",)
    return ()


def _sequential(models: _Models, terms: Sequence[Term]) -> list[TermRow]:
    smaller = models.fit([])
    name = "(intercept alone)" if models.intercept else "(no column)"
    rows = [TermRow(name, 0.0, float("nan"), smaller.residual, smaller.aic)]
    columns: set[int] = set()
    for term in terms:
        columns |= set(term.columns)
        larger = models.fit(sorted(columns))
        rows.append(models.row(term.name, smaller, larger, larger))
        smaller = larger
    return rows


def _marginal(models: _Models, terms: Sequence[Term]) -> list[TermRow]:
    rows = []
    for term in terms:
        containing = [other for other in terms if other.contains(term)]
        larger = models.without(*containing)
        smaller = models.without(term, *containing)
        rows.append(models.row(term.name, smaller, larger, smaller))
    whole = models.whole
    return [*rows, TermRow("(whole model)", 0.0, float("nan"), whole.residual, whole.aic)]


def compared(larger: FittedModel, smaller: FittedModel) -> CoefficientTest:
    """The test of a fitted model in another that has its columns and more: F for a squared error, else the likelihood
    ratio. Raises InputError where they are not nested, as far as can be told."""
    more, fewer = _kept(larger), _kept(smaller)
    _check_nested(larger, more, smaller, fewer)
    if larger.settings.intercepts is not None or smaller.settings.intercepts is not None:
        return _compared_mixed(larger, smaller)
    whole, part = _fit_of(larger, more), _fit_of(smaller, fewer)
    if not whole.rank > part.rank:
        raise InputError(
            f"The other model determines {part.rank:.0f} parameters and this one {whole.rank:.0f}: call nested_test of "
            "the larger model with the smaller one."
        )
    if part.log_likelihood > whole.log_likelihood + _ROUNDING * abs(whole.log_likelihood):
        raise InputError("The smaller model fits the rows better than this one: it is not nested in it.")
    names = _only_in(larger, smaller)
    known = larger.data.names is not None and smaller.data.names is not None
    hypothesis = " = ".join([*names, "0"]) if known and names else "the smaller model"
    return _test(hypothesis, part, whole, whole, more.counted, larger.loss.quadratic)


def _compared_mixed(larger: FittedModel, smaller: FittedModel) -> CoefficientTest:
    """The likelihood-ratio test of a model with random intercepts in another that has more columns."""
    more, fewer = larger.mixed, smaller.mixed
    if more is None or fewer is None or _grouped(larger) != _grouped(smaller):
        raise InputError(
            "One model has random intercepts that the other has not: that their variance is 0 is tested in the summary "
            "of the model that has them."
        )
    if "reml" in (more.method, fewer.method):
        raise InputError(
            "Restricted likelihoods of models with other columns cannot be compared: fit both with "
            f"{setting('method', repr('ml'))}."
        )
    freedom = more.parameters - fewer.parameters
    if not freedom > 0:
        raise InputError("The other model has as many coefficients: call nested_test of the larger model.")
    names = _only_in(larger, smaller)
    ratio = max(0.0, 2.0 * (more.log_likelihood - fewer.log_likelihood))
    hypothesis = " = ".join([*names, "0"]) if names else "the smaller model"
    return chi_square_test(hypothesis, "likelihood ratio", ratio, freedom)


def _grouped(model: FittedModel) -> list[str]:
    own = model.random_intercepts
    return [] if own is None else [column_called(model, group) for group in own.groups]


def _only_in(larger: FittedModel, smaller: FittedModel) -> list[str]:
    """What the larger model has and the smaller one not: names of terms, and of single columns of others."""
    columns, shared = coefficient_names(larger), set(coefficient_names(smaller))
    names = []
    for term in terms_of(larger):
        own = [columns[j] for j in term.columns if columns[j] not in shared]
        names += [term.name] if len(own) == len(term.columns) else own
    return names


def _kept(model: FittedModel) -> Information:
    _checked(model)
    information = model.members[0].information
    if information is None:
        raise InputError("A model of so many parameters keeps nothing to be compared by.")
    _counts_rows(model, information)
    return information


def _check_nested(larger: FittedModel, more: Information, smaller: FittedModel, fewer: Information) -> None:
    def targets(model: FittedModel, kept: Information) -> Array:
        scaling = model.scaling
        return np.asarray(kept.target_means * scaling.y_scale + scaling.y_center)

    alike = (
        larger.loss.name == smaller.loss.name
        and larger.settings.task == smaller.settings.task
        and larger.settings.weights == smaller.settings.weights
        and more.n_rows == fewer.n_rows
        and np.isclose(more.weight, fewer.weight, rtol=1e-9)
        and larger.n_outputs == smaller.n_outputs
        and np.allclose(targets(larger, more), targets(smaller, fewer), rtol=1e-9)
        and _class_list(larger) == _class_list(smaller)
    )
    if not alike:
        raise InputError(
            "The two models were not fitted to the same rows and targets with the same loss: they cannot be compared."
        )
    if larger.data.names is not None and smaller.data.names is not None:
        strange = [name for name in coefficient_names(smaller) if name not in coefficient_names(larger)]
        if strange:
            raise InputError(f"The other model has {listed(strange)}, which this one has not: they are not nested.")


def _class_list(model: FittedModel) -> list[object]:
    return [] if model.data.classes is None else list(model.data.classes.tolist())


def scored(model: FittedModel, given: GivenRows, terms: object, extra: Matrix) -> CoefficientTest:
    """Rao's score test: of terms of the model, at the fit without them, or of further columns (n, r), at the fit."""
    _refuse_intercepts(model)
    _checked(model)
    refound = Refound(model, given)
    _counts_rows(model, information_of(model, refound))
    if not isinstance(given.rows, ArrayRows):
        raise InputError("The score test needs the rows in memory: give X and y.")
    rows, n_inputs = given.rows, model.coefficients[0].shape[0]
    if (terms is None) == (extra is None):
        raise InputError("score_test asks about terms of the model or about extra columns: give one of the two.")
    if extra is not None:
        added, names = _columns(extra, rows.n_rows)
        X, Y, weight, _ = rows.whole()
        if is_sparse(X):
            raise InputError("The score test of extra columns needs X as a dense array.")
        rows = ArrayRows(np.hstack([X, added.astype(X.dtype)]), Y, weight)
        W, b = model.coefficients
        gone, n_inputs = list(range(n_inputs, n_inputs + added.shape[1])), n_inputs + added.shape[1]
    else:
        named = terms_named(terms, terms_of(model), coefficient_names(model))
        gone, names = sorted({column for term in named for column in term.columns}), [term.name for term in named]
        if len(gone) == n_inputs:
            raise InputError("The score test needs a model with a column left: name fewer terms.")
        W, b = refitted(model, given.rows, [j for j in range(n_inputs) if j not in gone]).coefficients
    whole = np.zeros((n_inputs, W.shape[1]))
    whole[[j for j in range(n_inputs) if j not in gone]] = W
    return _score_test(model, rows, whole, b, gone, " = ".join([*names, "0"]))


def _columns(extra: Matrix, n: int) -> tuple[Array, list[str]]:
    """Extra columns (n, r) with their names. Raises InputError where they are no finite numbers for each row."""
    try:
        added = np.asarray(extra, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("extra must hold numbers: encode categories as columns of 0 and 1.") from None
    added = added.reshape(-1, 1) if added.ndim == 1 else added
    if added.ndim != 2 or len(added) != n or not added.shape[1]:
        raise InputError(f"extra must have a value for each of the {n:,} rows, but its shape is {np.shape(extra)}.")
    if not np.isfinite(added).all():
        raise InputError("extra has a number that is missing or infinite.")
    return added, ["the extra column" if added.shape[1] == 1 else f"the {added.shape[1]} extra columns"]


def _score_test(
    model: FittedModel, rows: ArrayRows, W: Array, b: Array, gone: Sequence[int], hypothesis: str
) -> CoefficientTest:
    """The score test of the columns `gone`, whose coefficients are 0 at these parameters of a larger model, an optimum
    over the others. For a squared error the variance is RSS/n there (the Lagrange multiplier test)."""
    intercept, offset = model.members[0].network.intercept, model.scaling.offset
    rows = rows if offset is None else rows.with_offset(offset)
    scaling = learn_scaling(rows, targets=False, center=intercept)
    params = W * scaling.x_scale[:, None]
    params = np.vstack([params, b + scaling.x_center @ W]) if intercept else params
    network = Network((W.shape[0], W.shape[1]), "identity", intercept)
    objective = TrainingObjective(network, model.loss, rows.standardized(scaling))
    at = params.ravel()
    found = information_at(objective, at, objective.evaluate(at, 0).value, any_size=True)
    if found is None:
        raise InputError("The curvature at the smaller model is not finite: there is no score test.")
    Z = bread(found, model.loss, intercept)
    statistic = float(np.sum(np.square(Z.Z.T @ scores(objective, at, Z, "HC0").total)))
    if model.loss.quadratic:
        weight = rows.weights()
        counted = rows.total_weight
        if weight is not None and model.settings.weights != "frequency":
            counted = float(np.count_nonzero(weight))
        statistic *= counted / float(found.residual_products[0, 0])
    q = len(params)
    kept = [c * q + j for c in range(found.root.shape[1] // q) for j in range(q) if j not in gone]
    return chi_square_test(hypothesis, "score", statistic, Z.effective - _basis(found.root[:, kept])[0])
