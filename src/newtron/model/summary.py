"""The summary of a perceptron: what its fit kept, and the rows where a formula wants them, brought together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted, column_or_1d

from newtron.engine.base.checks import check_choice, check_number
from newtron.engine.base.errors import InputError
from newtron.engine.base.threads import thread_count
from newtron.engine.base.words import column_names, target_names
from newtron.engine.objective import TrainingObjective
from newtron.engine.objective.whitened import WhitenedBlock
from newtron.engine.rows import Rows
from newtron.engine.solvers import Status
from newtron.inference.certificate.firth_end import against_last, of_all_classes
from newtron.inference.coefficients.covariance import COVARIANCES, FROM_THE_FIT, FROM_THE_ROWS, Scores, bread, scores
from newtron.inference.coefficients.estimates import FittedCoefficients, summarize
from newtron.inference.coefficients.information import Information, information_at
from newtron.inference.coefficients.profile import Profile
from newtron.inference.coefficients.summary import Summary
from newtron.training.class_weight import class_weights, totals
from newtron.training.from_rows import is_rows, scaled, weighted
from newtron.training.logistic import check_profile, coefficient_profile, firth_objective, is_firth
from newtron.training.members import scaled_rows

if TYPE_CHECKING:
    from newtron.estimators.perceptron import _Perceptron

Array = NDArray[np.floating]

# Rows whose gradient differs from the fit's by more than this share of a typical row's are not those of the fit.
_ANOTHER_GRADIENT = 1e-5
_WEIGHTED_CLASSES = (
    "class_weight changes what is fitted: the likelihood is weighted by class, and this formula takes a weight of 2 "
    "for two rows; covariance='HC0', with the rows, does not."
)

_WEIGHTED_FIRTH = (
    "class_weight changes what is fitted: the likelihood is weighted by class, and this formula takes a weight of 2 "
    "for two rows."
)
_NOT_COUNTS = "The sample weights are not whole numbers, and these standard errors take a weight of 2 for two rows. "
_NO_LIKELIHOOD = "There is no log-likelihood, AIC or BIC: it depends on what such weights mean."


def _weights_that_do_not_count(kind: str) -> str:
    """What a reader of a summary must know of sample weights that are not whole numbers."""
    if kind in FROM_THE_FIT:
        meaning = (
            "They are right for weights that are one over a variance, if the weights add to the number of rows (divide "
            "them by their mean), and wrong for the weights of a survey. "
        )
    elif kind == "cluster":
        meaning = (
            "The sums of the groups are right whatever the weights mean; the factor for small samples takes the total "
            "weight for the number of rows (divide the weights by their mean). "
        )
    else:
        meaning = (
            "For weights that are one over a variance, and those of a survey, every row must be one term, whatever its "
            "weight: take groups=numpy.arange(len(y)) in place of covariance. "
        )
    return _NOT_COUNTS + meaning + _NO_LIKELIHOOD


class _Rows:
    """The rows of a fit, given again: the objective over them, and what the class weights have made of their weights.

    X: (n, p), or the rows of `fit_rows`. y, sample_weight: of an array."""

    def __init__(self, model: _Perceptron, X: Any, y: Any, sample_weight: Any) -> None:
        member = model.members_[0]
        self.class_factor: Callable[[WhitenedBlock], Array] | None = None
        rows = self._of_files(model, X, y, sample_weight) if is_rows(X) else self._given(model, X, y, sample_weight)
        known = member.information
        alpha: Any = model.alpha if known is None else known.penalty.T.ravel()
        self.objective = TrainingObjective(member.network, model.loss_, rows, alpha)
        self._check(model)

    def _given(self, model: _Perceptron, X: Any, y: Any, sample_weight: Any) -> Rows:
        X = model._for_prediction(X)
        if y is None:
            raise InputError("summary got X without y: give both, the rows the model was trained on.")
        weight = model._weights(X, sample_weight)
        Y, factor = _targets(model, y, X, weight)
        if factor is not None:
            self.class_factor = partial(_of_block, factor)
            weight = factor if weight is None else weight * factor
        self.X, self.Y, self.weight = X, Y, weight
        in_units = model.scaling_.targets(Y).astype(X.dtype, copy=False)
        return scaled_rows(X, in_units, weight, model.scaling_, thread_count(model.n_jobs))

    def _of_files(self, model: Any, rows: Any, y: Any, sample_weight: Any) -> Rows:
        target = rows.schema.target
        if y is not None or sample_weight is not None:
            raise InputError("summary got rows with a target of their own: leave out y and sample_weight.")
        classes = model.classes_.tolist() if hasattr(model, "classes_") else []
        alike = (rows.n_features, target.task, list(target.classes))
        if alike != (model.n_features_in_, model._task, classes):
            raise InputError(
                "These are not the rows the model was trained on: they have other columns, or another target."
            )
        if getattr(model, "class_weight", None) is not None:
            self.class_factor = _weight_of_block  # rows of files have no other weights
        return scaled(weighted(model, rows), model.scaling_, target.task == "regression")

    def _check(self, model: _Perceptron) -> None:
        """Are these the rows of the fit? Their number, weight and, where it ended at rest, the gradient say it."""
        member, rows = model.members_[0], self.objective.rows
        known = member.information
        other = "These are not the rows the model was trained on"
        if known is not None and known.n_rows != rows.n_rows:
            raise InputError(f"{other}: {rows.n_rows:,} instead of {known.n_rows:,}.")
        if known is not None and abs(known.weight - rows.total_weight) > 1e-6 * known.weight:
            raise InputError(
                f"{other}: their total weight is {rows.total_weight:g} instead of {known.weight:g}; give summary the "
                "sample_weight that fit had."
            )
        gradient = self._gradient(model)
        apart = np.abs(gradient - member.solution.gradient) / self.objective.gradient_scale
        if member.solution.converged and not float(apart.max(initial=0.0)) <= _ANOTHER_GRADIENT:
            raise InputError(
                f"{other}: the gradient over them is not that of the fit; give summary the X, y and sample_weight that "
                "fit had, in the same order of columns."
            )

    def _gradient(self, model: Any) -> Array:
        member = model.members_[0]
        if not is_firth(model):
            gradient = self.objective.evaluate(member.params, 1).gradient
            return gradient
        network = member.network
        firth = firth_objective(self.X, self.Y, self.weight, model.scaling_, network.intercept)
        gradient = firth.evaluate(against_last(member.params, network.n_outputs), 1).gradient
        return of_all_classes(gradient, network.n_outputs)


def _of_block(factor: Array, block: WhitenedBlock) -> Array:
    return factor[block.rows]


def _weight_of_block(block: WhitenedBlock) -> Array:
    return block.weight


def summary_of(
    model: _Perceptron,
    X: Any = None,
    y: Any = None,
    *,
    covariance: str | None = None,
    groups: Any = None,
    sample_weight: Any = None,
    coverage: float = 0.95,
    baseline: Any = None,
    intervals: str = "wald",
    names: list[str] | None = None,
    classes: list[str] | None = None,
    target: str | None = None,
) -> Summary:
    """`summary` of the perceptrons. names, classes, target: how inputs, classes and the one target are called where not
    as in the model."""
    check_is_fitted(model)
    check_number("coverage", coverage, above=0.0)
    if not coverage < 1.0:
        raise InputError(f"coverage={coverage!r} must be below 1, such as 0.95.")
    if X is None and (y is not None or sample_weight is not None):
        raise InputError("summary got y or sample_weight without X: give X and y, the rows the model was trained on.")
    check_choice("intervals", intervals, ("wald", "profile"))
    if intervals == "profile":
        _check_profiled(model, X, covariance, groups)
    rows = None if X is None else _Rows(model, X, y, sample_weight)
    information = _information(model, rows)
    kind = _kind(covariance, groups, _penalty(model, information), X is None)
    network = model.members_[0].network
    found = bread(information, model.loss_, network.intercept)
    sums: Scores | None = None
    if kind not in FROM_THE_FIT:
        assert rows is not None
        numbers = None if kind != "cluster" else _group_numbers(groups, rows.objective.rows.n_rows)
        params = model.members_[0].params
        sums = scores(rows.objective, params, found, kind, rows.class_factor, numbers)
    fitted = _fitted(model, information, names, classes, target, kind)
    if intervals == "profile":
        assert rows is not None
        fitted = replace(fitted, profile=_profile(model, rows, coverage))
    return summarize(fitted, kind, float(coverage), _baseline(model, baseline), sums, found)


def _targets(model: Any, y: Any, X: Any, weight: Array | None) -> tuple[Array, Array | None]:
    """Targets (n, k) as training had them, and the class weight of each row."""
    n = X.shape[0]
    if model._task == "regression":
        Y = np.asarray(y, dtype=np.float64)
        k = model.members_[0].network.n_outputs
        if Y.shape not in ((n,), (n, k)) or Y.size != n * k or not np.isfinite(Y).all():
            raise InputError(f"y must be finite numbers for the {n:,} rows of X and {k} target(s), as in fit.")
        return Y.reshape(n, k), None
    labels = column_or_1d(y)
    classes = model.classes_
    codes = np.searchsorted(classes, labels).clip(0, len(classes) - 1)
    if len(labels) != n or not np.array_equal(classes[codes], labels):
        raise InputError(f"y must be one of the model's {len(classes)} classes for each of the {n:,} rows of X.")
    factor = None
    if model.class_weight is not None:
        per_class = class_weights(model.class_weight, classes, totals(codes, weight, len(classes)))
        factor = per_class[codes].astype(X.dtype)
    if len(classes) == 2:
        return codes.astype(np.float64)[:, None], factor
    Y = np.zeros((n, len(classes)))
    Y[np.arange(n), codes] = 1.0
    return Y, factor


def _information(model: Any, rows: _Rows | None) -> Information:
    member = model.members_[0]
    if member.information is not None:
        return member.information  # type: ignore[no-any-return]
    if model.loss_.task == "classification" and model.loss_.name != "log_loss":
        raise InputError(
            "loss='squared_error' of a classifier is no likelihood, so its coefficients have no summary: fit with the "
            "log loss (loss=None)."
        )
    if rows is None:
        raise InputError(
            f"This fit of {member.network.n_params:,} parameters kept nothing to make standard errors of: call "
            "summary(X, y), or summary(rows) of files, with the rows it was trained on."
        )
    value = rows.objective.evaluate(member.params, 0).value
    found = information_at(rows.objective, member.params, value, any_size=True)
    if found is None:
        raise InputError("The curvature at these coefficients is not finite: there are no standard errors.")
    return found


def _check_profiled(model: Any, X: Any, covariance: str | None, groups: Any) -> None:
    check_profile(model)
    if X is None:
        raise InputError(
            "intervals='profile' are made from the rows: give summary the X and y that the model was trained on."
        )
    if is_rows(X):
        raise InputError("intervals='profile' need the rows in memory: give summary X and y, or take intervals='wald'.")
    if groups is not None or covariance in FROM_THE_ROWS:
        raise InputError(
            "intervals='profile' are those of the likelihood of independent rows: leave out covariance and groups, or "
            "take intervals='wald'."
        )


def _profile(model: Any, rows: _Rows, coverage: float) -> Profile:
    fitted = (model.coef_[0], model.intercept_ if model.fit_intercept else np.zeros(0))
    return coefficient_profile(rows.X, rows.Y[:, 0], rows.weight, fitted, model.penalty, coverage, tests=True)


def _penalty(model: Any, information: Information) -> str:
    return "firth" if is_firth(model) else "l2" if information.penalty.any() else ""


def _kind(covariance: str | None, groups: Any, penalty: str, without_rows: bool) -> str:
    kind, penalised = covariance, penalty == "l2"
    if kind is None and penalty != "firth":
        kind = "cluster" if groups is not None else "posterior" if penalised else "classical"
    if kind is not None:
        check_choice("covariance", kind, COVARIANCES)
    if penalty == "firth":
        if kind not in (None, "fisher") or groups is not None:
            raise InputError(
                "penalty='firth' has one covariance, 'fisher': leave out covariance and groups, or fit without Firth's "
                "penalty."
            )
        return "fisher"
    assert kind is not None
    if kind == "fisher":
        raise InputError("covariance='fisher' is for penalty='firth': leave it out.")
    if penalised and kind == "classical":
        raise InputError(
            "covariance='classical' is wrong under a penalty: choose 'posterior' (the penalty as a prior) or "
            "'sandwich' (the variance of the penalised estimate)."
        )
    if not penalised and kind in ("posterior", "sandwich"):
        raise InputError(
            f"covariance={kind!r} is for a fit with a penalty (alpha), and this has none: use 'classical'."
        )
    if (kind == "cluster") != (groups is not None):
        raise InputError("covariance='cluster' and groups=(n,) belong together: give both, or neither.")
    if kind not in FROM_THE_FIT and without_rows:
        raise InputError(
            f"covariance={kind!r} is made from the rows: give summary the X and y that the model was trained on, or "
            "the rows of files."
        )
    return kind


def _group_numbers(groups: Any, n: int) -> NDArray[np.integer]:
    labels = np.asarray(groups)
    if labels.shape != (n,):
        raise InputError(f"groups must name a group for each of the {n:,} rows, but its shape is {labels.shape}.")
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        raise InputError("groups has missing values: give every row a group.")
    try:
        found, numbers = np.unique(labels, return_inverse=True)
    except TypeError:
        raise InputError("groups must be labels of one type, numbers or texts, none of them missing.") from None
    if len(found) < 2:
        raise InputError("groups names one group only: the clustered covariance needs two or more.")
    return numbers


def _baseline(model: Any, baseline: Any) -> int:
    if baseline is None:
        return 0
    matching = np.flatnonzero(model.classes_ == baseline)
    if len(matching) != 1:
        known = ", ".join(repr(c) for c in model.classes_.tolist()[:20])
        raise InputError(f"baseline={baseline!r} is no class of the model: choose one of {known}.")
    return int(matching[0])


def feature_names(model: Any) -> list[str]:
    """The names that the columns had in fit, or x1, x2, ..."""
    return list(column_names(model._names(), model.n_features_in_))


def _is_separated(model: Any) -> bool:
    """Was it proved that no coefficients are best, wherever the training was stopped?"""
    found = getattr(model, "separation_", None)
    return found is not None and found.found


def _fitted(
    model: Any,
    information: Information,
    names: list[str] | None,
    classes: list[str] | None,
    target: str | None,
    kind: str,
) -> FittedCoefficients:
    member = model.members_[0]
    solution, scaling = member.solution, model.scaling_
    W, b = model._weights_in_units()
    intercept = member.network.intercept
    regression = model._task == "regression"
    targets = getattr(model, "_targets", ()) if target is None else (target,)
    if regression:
        outputs = list(target_names(targets, W.shape[1]))
    else:
        outputs = [str(c) for c in model.classes_.tolist()] if classes is None else classes
    weighted_classes = getattr(model, "class_weight", None) is not None
    remarks: tuple[str, ...] = ()
    if weighted_classes and kind in FROM_THE_FIT:
        remarks = (_WEIGHTED_FIRTH if is_firth(model) else _WEIGHTED_CLASSES,)
    elif not weighted_classes and not information.whole_weights:
        remarks = (_weights_that_do_not_count(kind),)
    return FittedCoefficients(
        information=information,
        loss=model.loss_,
        intercept=intercept,
        coefficients=np.vstack([W, b[None, :]]) if intercept else W,
        x_center=scaling.x_center,
        x_scale=scaling.x_scale,
        y_scale=scaling.y_scale,
        terms=tuple(feature_names(model) if names is None else names),
        outputs=tuple(outputs),
        targets=tuple(targets),
        trouble="" if solution.converged else solution.sentence,
        has_optimum=solution.status is not Status.UNBOUNDED and not _is_separated(model),
        weights_count_rows=information.whole_weights and not weighted_classes,
        firth=is_firth(model),
        remarks=remarks,
    )
