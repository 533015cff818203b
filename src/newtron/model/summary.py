"""The summary of a perceptron: what its fit kept, and the rows where a formula wants them, brought together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.checks import check_choice, check_flag, check_number
from newtron.engine.base.errors import InputError
from newtron.engine.base.linalg import qr_triangle
from newtron.engine.base.types import Array
from newtron.engine.base.words import column_names, setting, target_names
from newtron.engine.rows import ArrayRows
from newtron.engine.solvers import Status
from newtron.inference.coefficients.covariance import (
    COVARIANCES,
    FROM_THE_FIT,
    FROM_THE_ROWS,
    bread,
    kept_scores,
    scores,
)
from newtron.inference.coefficients.estimates import FittedCoefficients, summarize
from newtron.inference.coefficients.information import Information, WeightsKind
from newtron.inference.coefficients.summary import Summary
from newtron.inference.mixed.components import MixedFacts, VarianceComponent
from newtron.model.groups import column_called
from newtron.model.profiles import check_profile, profile_of
from newtron.model.rows_again import GivenRows, Refound, information_of
from newtron.model.terms import coefficient_names, terms_of
from newtron.training.fitted import FittedModel
from newtron.training.scaling import learn_scaling

_WEIGHTED_CLASSES = (
    "class_weight changes what is fitted: the likelihood is weighted by class, and this formula takes a weight of 2 "
    "for two rows; covariance='HC0', with the rows, does not."
)

_WEIGHTED_FIRTH = (
    "class_weight changes what is fitted: the likelihood is weighted by class, and this formula takes a weight of 2 "
    "for two rows."
)
_NOT_COUNTS = (
    "The sample weights are not whole numbers, and this summary takes a weight of 2 for two rows: fit with "
    "weights='precision' where they are one over a variance, and with weights='sampling' where they are those of a "
    "survey. There is no log-likelihood, AIC or BIC before that is said."
)
# What exp of a coefficient is, by the name of the loss.
_RATIOS = {"log_loss": "odds ratio", "poisson": "rate ratio"}


def summary_of(
    model: FittedModel,
    given: GivenRows | None = None,
    *,
    covariance: str | None = None,
    groups: object = None,
    coverage: float = 0.95,
    baseline: object = None,
    intervals: str = "wald",
    exponentiate: bool = False,
    standardized: bool = False,
    names: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    target: str | None = None,
) -> Summary:
    """The summary of a perceptron. given: the rows of its fit, for what they alone can say. names, classes, target:
    what inputs, classes and the one target are called where not as in the model."""
    check_number("coverage", coverage, above=0.0)
    if not coverage < 1.0:
        raise InputError(f"coverage={coverage!r} must be below 1, such as 0.95.")
    check_choice("intervals", intervals, ("wald", "profile"))
    check_flag("exponentiate", exponentiate)
    check_flag("standardized", standardized)
    if intervals == "profile":
        _check_profiled(model, given, covariance, groups)
    rows = None if given is None else Refound(model, given)
    information = information_of(model, rows)
    if model.settings.intercepts is not None:
        _check_mixed(model, given, covariance, groups, intervals, standardized)
    kind = _kind(covariance, groups, _penalty(model, information), model.settings.weights)
    network = model.members[0].network
    found = bread(information, model.loss, network.intercept)
    sums = kept_scores(information, found) if rows is None and kind in ("HC0", "HC1") else None
    if rows is None and sums is None and kind not in FROM_THE_FIT:
        raise InputError(
            f"covariance={kind!r} is made from the rows: give summary the X and y that the model was trained on, or "
            "the rows of files."
        )
    if rows is not None and kind not in FROM_THE_FIT:
        numbers = None if kind != "cluster" else _group_numbers(groups, rows.objective.rows.n_rows)
        params = model.members[0].params
        sums = scores(rows.objective, params, found, kind, rows.class_factor, numbers)
    fitted = _fitted(model, information, names, classes, target, kind)
    if exponentiate:
        fitted = replace(fitted, ratio=_ratio(model))
    if standardized:
        fitted = replace(fitted, spread=_spread(model, information, given))
    if rows is not None and intervals == "profile":
        X, Y, weight, _ = rows.given.whole()
        fitted = replace(fitted, profile=profile_of(model, X, Y[:, 0], weight, coverage, tests=True))
    return summarize(fitted, kind, float(coverage), _baseline(model, baseline), sums, found)


def _check_mixed(
    model: FittedModel,
    given: GivenRows | None,
    covariance: str | None,
    groups: object,
    intervals: str,
    standardized: bool,
) -> None:
    """Raises InputError for what the summary of a model with random intercepts does not have."""
    if model.mixed is None:
        raise InputError(
            f"The training was ended before the variances of {setting('intercepts')} were found: fit again to the end."
        )
    for asked, name in (
        (given is not None, "X and y"),
        (covariance not in (None, "classical"), f"covariance={covariance!r}"),
        (groups is not None, "groups"),
        (intervals != "wald", f"intervals={intervals!r}"),
        (standardized, "standardized=True"),
    ):
        if asked:
            raise InputError(
                f"The summary of a model with random intercepts is made of what its fit kept, by the covariance of its "
                f"own likelihood, and takes no {name}: leave it out."
            )


def _mixed_facts(model: FittedModel) -> MixedFacts | None:
    """The likelihood and the variances of a model with random intercepts, in the user's units."""
    own, found = model.random_intercepts, model.mixed
    if own is None or found is None:
        return None
    unit = float(model.scaling.y_scale[0]) if model.loss.quadratic else 1.0
    components = []
    for group, ratio, p_value in zip(own.groups, found.ratios, found.p_values, strict=True):
        variance = float(group.variance[0]) * unit**2
        components.append(
            VarianceComponent(
                column_called(model, group),
                len(group.keys),
                variance,
                variance**0.5,
                group.share,
                float(ratio),
                float(p_value),
            )
        )
    return MixedFacts(
        found.method,
        found.log_likelihood,
        found.aic,
        found.bic,
        found.parameters,
        float(own.residual[0]) ** 0.5 * unit if model.loss.quadratic else None,
        tuple(components),
    )


def _ratio(model: FittedModel) -> str:
    """What exp of a coefficient is. Raises InputError where it is nothing."""
    found = _RATIOS.get(model.loss.name, "")
    if not found:
        raise InputError(
            "exponentiate=True is for coefficients of log odds and of log rates, and those of a squared error are "
            "neither: where the target is a logarithm, take numpy.exp of `estimates` and `intervals`."
        )
    return found


def _spread(model: FittedModel, information: Information, given: GivenRows | None) -> tuple[Array, Array]:
    """The standard deviations, with n - 1, of the inputs (p,) and of the targets of a squared error (k,), in the user's
    units; 1 for other targets. Raises InputError where the fit kept too little, and no rows are given."""
    scaling, quadratic = model.scaling, model.loss.quadratic
    n, k = information.counted, len(scaling.y_scale)
    to_sample = np.sqrt(n / (n - 1.0)) if n > 1.0 else np.nan
    if quadratic and model.members[0].network.intercept:
        # With the intercept first, the rows of the triangle below it hold the columns about their means.
        R = qr_triangle(np.roll(information.root, 1, axis=1))
        x = np.linalg.norm(R[1:, 1:], axis=0) * scaling.x_scale
        y = np.sqrt(information.target_squares) * scaling.y_scale
        share = to_sample / np.sqrt(information.weight)
        return x * share, y * share
    if given is None:
        raise InputError(
            "standardized=True needs the standard deviations of the columns, which this fit did not keep: give summary "
            "the X and y that the model was trained on, or the rows of files."
        )
    spread = learn_scaling(given.rows, targets=quadratic)
    kept = [j for j in range(len(spread.x_scale)) if j != scaling.offset]
    return spread.x_scale[kept] * to_sample, spread.y_scale * to_sample if quadratic else np.ones(k)


def _check_profiled(model: FittedModel, given: GivenRows | None, covariance: str | None, groups: object) -> None:
    check_profile(model)
    if given is None:
        raise InputError(
            "intervals='profile' are made from the rows: give summary the X and y that the model was trained on."
        )
    if not isinstance(given.rows, ArrayRows):
        raise InputError("intervals='profile' need the rows in memory: give summary X and y, or take intervals='wald'.")
    if groups is not None or covariance in FROM_THE_ROWS:
        raise InputError(
            "intervals='profile' are those of the likelihood of independent rows: leave out covariance and groups, or "
            "take intervals='wald'."
        )


def _penalty(model: FittedModel, information: Information) -> str:
    return "firth" if model.settings.is_firth else "l2" if information.penalty.any() else ""


def _kind(covariance: str | None, groups: object, penalty: str, weights: WeightsKind) -> str:
    kind, penalised, sampled = covariance, penalty == "l2", weights == "sampling"
    if kind is None and penalty != "firth":
        of_fit = "HC1" if sampled else "posterior" if penalised else "classical"
        kind = "cluster" if groups is not None else of_fit
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
    if sampled and kind in FROM_THE_FIT:
        raise InputError(
            f"covariance={kind!r} is wrong for sampling weights, with which rows vary by more than the model says: "
            "leave it out (it is 'HC1' then), or give groups."
        )
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
    return kind


def _group_numbers(groups: object, n: int) -> NDArray[np.integer]:
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


def _baseline(model: FittedModel, baseline: object) -> int:
    if baseline is None:
        return 0
    classes = model.data.known_classes.tolist()
    if baseline not in classes:
        known = ", ".join(map(repr, classes[:20]))
        raise InputError(f"baseline={baseline!r} is no class of the model: choose one of {known}.")
    return int(classes.index(baseline))


def _weights_have_likelihood(model: FittedModel, information: Information) -> bool:
    kind = model.settings.weights
    return kind == "precision" or (kind == "frequency" and information.whole_weights)


def _fitted(
    model: FittedModel,
    information: Information,
    names: Sequence[str] | None,
    classes: Sequence[str] | None,
    target: str | None,
    kind: str,
) -> FittedCoefficients:
    solution, scaling, data = model.members[0].solution, model.scaling, model.data
    W, b = model.coefficients
    intercept = model.members[0].network.intercept
    targets = data.targets if target is None else (target,)
    if data.classes is None:
        outputs = target_names(targets, W.shape[1])
    else:
        outputs = tuple(str(c) for c in data.classes.tolist()) if classes is None else tuple(classes)
    weighted_classes = model.settings.class_weight is not None
    remarks: tuple[str, ...] = ()
    if weighted_classes and kind in FROM_THE_FIT:
        remarks = (_WEIGHTED_FIRTH if model.settings.is_firth else _WEIGHTED_CLASSES,)
    elif not weighted_classes and not information.whole_weights and model.settings.weights == "frequency":
        remarks = (_NOT_COUNTS,)
    return FittedCoefficients(
        information=information,
        loss=model.loss,
        intercept=intercept,
        coefficients=np.vstack([W, b[None, :]]) if intercept else W,
        x_center=scaling.x_center,
        x_scale=scaling.x_scale,
        y_scale=scaling.y_scale,
        terms=coefficient_names(model, names),
        outputs=tuple(outputs),
        targets=tuple(targets),
        trouble="" if solution.converged else solution.sentence,
        has_optimum=solution.status is not Status.UNBOUNDED and not model.is_separated,
        has_likelihood=not weighted_classes and _weights_have_likelihood(model, information),
        firth=model.settings.is_firth,
        remarks=remarks,
        groups=terms_of(model, names),
        weights=model.settings.weights,
        mixed=_mixed_facts(model),
        offset="" if scaling.offset is None else column_names(data.names, data.n_features)[scaling.offset],
    )
