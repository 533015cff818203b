"""The making of a summary from the coefficients of a fitted perceptron and their covariance: standard errors, tests,
intervals, measures of the fit, and the sentences that a reader needs beside the numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.types import Array
from newtron.engine.base.words import count, joined
from newtron.engine.maths.losses import Loss
from newtron.inference.coefficients.covariance import (
    Alias,
    Bread,
    CoefficientCovariance,
    Scores,
    from_fit,
    from_rows,
    residual_covariance,
)
from newtron.inference.coefficients.goodness import (
    Likelihood,
    adjusted,
    deviance_of,
    is_rounding,
    likelihood_of,
    overall_tests,
    overall_wald,
    r_squared_of,
)
from newtron.inference.coefficients.hypotheses import CoefficientTest
from newtron.inference.coefficients.information import Information, WeightsKind
from newtron.inference.coefficients.profile import Profile
from newtron.inference.coefficients.summary import IntervalKind, Summary
from newtron.inference.coefficients.terms import Term
from newtron.inference.mixed.components import MixedFacts

# What each covariance formula is valid for: one line of a summary.
_FORMULAS = {
    "classical": "classical: valid where the model is correctly specified",
    "posterior": "posterior: inverse of the penalised Hessian, the penalty taken as a Gaussian prior",
    "sandwich": "sandwich under the penalty: variance of the penalised estimate where the model is correctly specified",
    "fisher": "fisher: inverse Fisher information at the estimates of Firth's penalised likelihood",
    "HC0": "HC0 (White): valid also where the variance or the likelihood is misspecified",
    "HC1": "HC1: White's with n/(n - p)",
    "HC2": "HC2: White's with each residual over the root of 1 - leverage",
    "HC3": "HC3: White's with each residual over 1 - leverage",
    "cluster": "clustered: rows of one group may depend on each other",
}
# The same for a model with random intercepts.
_OF_MIXED = "of the mixed model: valid where the model is correctly specified"


@dataclass(frozen=True)
class FittedCoefficients:
    """The facts of a fit that its summary is made from.

    coefficients: (q, k) in the user's units, the intercept last. x_center, x_scale: (p,) and y_scale: (k,), the scaling
    of the training. terms: (p,) names of the inputs. outputs: names of the targets or classes. targets: names of the
    targets, where these are known. trouble: a sentence where the fit is no optimum, else "". has_optimum: False where
    the likelihood has no maximum, so that no standard error has a meaning. has_likelihood: whether the weights of the
    rows leave a likelihood defined. firth: whether the estimates are those of Firth's penalised likelihood. profile:
    for two classes, in the order of coefficients, where intervals and tests come from the profile likelihood. remarks:
    further sentences for the reader. groups: the terms that the inputs belong to. weights: what a weight means.
    offset: the name of the column that is one, else "". spread: the standard deviations of the inputs (p,) and of the
    targets (k,), where standardised coefficients are asked for. ratio: what exp of a coefficient is called, where that
    is asked for, else "". mixed: the likelihood of a model with random intercepts.
    """

    information: Information
    loss: Loss
    intercept: bool
    coefficients: Array
    x_center: Array
    x_scale: Array
    y_scale: Array
    terms: tuple[str, ...]
    outputs: tuple[str, ...]
    targets: tuple[str, ...] = ()
    trouble: str = ""
    has_optimum: bool = True
    has_likelihood: bool = True
    firth: bool = False
    profile: Profile | None = None
    remarks: tuple[str, ...] = ()
    groups: tuple[Term, ...] = ()
    weights: WeightsKind = "frequency"
    offset: str = ""
    spread: tuple[Array, Array] | None = None
    ratio: str = ""
    mixed: MixedFacts | None = None


@dataclass(frozen=True)
class _Tested:
    """The rows of a summary in their order: estimates, their covariance, tests and intervals, and the outputs' names.
    residuals: the covariance of a regression's residuals, or None."""

    estimates: Array
    covariance: CoefficientCovariance
    errors: Array
    statistics: Array
    p_values: Array
    intervals: Array
    df: float
    order: NDArray[np.integer]
    outputs: tuple[str, ...]
    residuals: Array | None


def _tested(
    fit: FittedCoefficients, kind: str, coverage: float, baseline: int, sums: Scores | None, found: Bread
) -> _Tested:
    regression = fit.loss.quadratic
    q = fit.coefficients.shape[0]
    estimates, across, outputs = _identified(fit, baseline)
    T = _to_users_units(fit, q)
    residuals = residual_covariance(fit.information, found.effective) if regression else None
    first = [q - 1, *range(q - 1)] if fit.intercept else list(range(q))  # the intercept before the inputs
    order = np.concatenate([c * q + np.array(first) for c in range(len(outputs))])
    covariance = _covariance(fit, kind, found, sums, residuals, T, across, order)
    tested_by_t = regression and fit.mixed is None
    df = _degrees_of_freedom(fit.information, found, sums, tested_by_t, kind)
    estimates = estimates[order]
    errors, statistics, p_values, intervals = _tests(estimates, covariance.matrix, df, coverage)
    if residuals is not None:
        rounding = np.repeat(_perfect_targets(fit, residuals), q)
        statistics[rounding], p_values[rounding] = np.nan, np.nan
    if fit.profile is not None:
        intervals, statistics, p_values = _profiled(fit.profile, first, baseline)
    return _Tested(estimates, covariance, errors, statistics, p_values, intervals, df, order, outputs, residuals)


def summarize(
    fit: FittedCoefficients, kind: str, coverage: float, baseline: int, sums: Scores | None, found: Bread
) -> Summary:
    """The summary by the covariance formula `kind`, one of `COVARIANCES`. sums: the scores of the rows, for the
    formulas that read them. baseline: the number of the class that the others are compared with. found: the bread of
    the covariance."""
    information, regression = fit.information, fit.loss.quadratic
    rows = _tested(fit, kind, coverage, baseline, sums, found)
    penalised, outputs = bool(information.penalty.any()), rows.outputs
    terms = (*(("intercept",) if fit.intercept else ()), *fit.terms)
    aliases = tuple(_alias_text(alias, fit, len(terms)) for alias in found.aliases) if fit.has_optimum else ()
    mixed = fit.mixed
    likelihood = _likelihood(fit, found)
    r_squared = r_squared_of(information) if regression and mixed is None else None
    variances = None if penalised else r_squared
    return Summary(
        names=tuple(f"{output}: {term}" if len(outputs) > 1 else term for output in outputs for term in terms),
        estimates=_shown(fit, rows.estimates),
        standard_errors=rows.errors,
        statistics=rows.statistics,
        p_values=np.full_like(rows.p_values, np.nan) if penalised else rows.p_values,
        intervals=_shown(fit, rows.intervals),
        interval_kind=_interval_kind(kind, penalised),
        covariance=kind,
        covariance_matrix=rows.covariance.matrix,
        combinations=rows.covariance,
        coverage=coverage,
        interval_method="wald" if fit.profile is None else "profile",
        statistic="t" if regression and mixed is None else "z" if fit.profile is None else "χ²",
        degrees_of_freedom=rows.df,
        log_likelihood=likelihood.log_likelihood,
        aic=likelihood.aic,
        bic=likelihood.bic,
        penalised_log_likelihood=_penalised(fit, likelihood.log_likelihood) if fit.firth else None,
        effective_parameters=found.effective * (len(outputs) if regression else 1),
        n_rows=information.n_rows,
        total_weight=information.weight,
        counted=information.counted,
        weights=fit.weights,
        deviance=None if mixed is not None else deviance_of(information, fit.loss),
        residual_sd=_one_or_all(_residual_sd(fit, rows.residuals)),
        r_squared=_one_or_all(r_squared),
        adjusted_r_squared=_one_or_all(adjusted(variances, information.counted, found.effective, fit.intercept)),
        r_squared_centred=fit.intercept,
        pseudo_r_squared=likelihood.pseudo_r_squared if isinstance(likelihood, Likelihood) and not regression else None,
        overall=() if penalised else _overall(fit, found, kind, likelihood, rows),
        class_counts=_class_counts(fit),
        standardized=_standardized(fit, baseline, rows.order),
        ratio=fit.ratio,
        groups=_shown_groups(fit),
        offset=fit.offset,
        aliases=aliases,
        trouble=_trouble(fit),
        notes=tuple(_notes(fit, found, sums, penalised, bool(aliases), rows.residuals)),
        title=_title(fit, baseline),
        formula=_FORMULAS[kind] if mixed is None else _OF_MIXED,
        terms=terms,
        outputs=outputs,
        mixed=mixed,
    )


def _likelihood(fit: FittedCoefficients, found: Bread) -> Likelihood | MixedFacts:
    if fit.mixed is not None:
        return fit.mixed
    return likelihood_of(fit.information, fit.loss, fit.y_scale, found.effective, fit.has_likelihood)


def _shown(fit: FittedCoefficients, values: Array) -> Array:
    """Coefficients, or the ends of their intervals, as the summary shows them."""
    with np.errstate(over="ignore"):
        return np.exp(values) if fit.ratio else values


def _interval_kind(kind: str, penalised: bool) -> IntervalKind:
    if not penalised:
        return "confidence"
    return "credible" if kind == "posterior" else "penalised"


def _identified(fit: FittedCoefficients, baseline: int) -> tuple[Array, Array, tuple[str, ...]]:
    """The estimates (M,) output by output, the map (c, c) from classes against the first to classes against the
    baseline, and the names of the outputs."""
    B = fit.coefficients
    k = B.shape[1]
    if fit.loss.task == "regression":
        return B.T.ravel(), np.eye(k), fit.outputs
    if k == 1:
        sign = 1.0 if baseline == 0 else -1.0
        return sign * B[:, 0], np.array([[sign]]), (fit.outputs[1 - baseline],)
    # The information is about each class against the first. Other baselines need differences of these.
    others = [c for c in range(k) if c != baseline]
    against_first = np.vstack([np.zeros(k - 1), np.eye(k - 1)])
    across = against_first[others] - against_first[baseline]
    return (B[:, others] - B[:, [baseline]]).T.ravel(), across, tuple(fit.outputs[c] for c in others)


def _to_users_units(fit: FittedCoefficients, q: int) -> Array:
    """(q, q): the map from one output's parameters in the units of training to the user's units of the inputs."""
    T = np.zeros((q, q))
    p = fit.x_scale.size
    T[np.arange(p), np.arange(p)] = 1.0 / fit.x_scale
    if fit.intercept:
        T[-1, :p] = -fit.x_center / fit.x_scale
        T[-1, -1] = 1.0
    return T


def _covariance(
    fit: FittedCoefficients,
    kind: str,
    found: Bread,
    sums: Scores | None,
    residuals: Array | None,
    T: Array,
    across: Array,
    order: NDArray[np.integer],
) -> CoefficientCovariance:
    """The covariance in the user's units, with the coefficients in this order; nan where there is no optimum."""
    # Z is transformed before it is squared, so that no variance is the difference of large numbers. All targets of a
    # regression share Z.
    L = T if residuals is not None else np.kron(across, T)
    moved = replace(found, Z=L @ found.Z)
    null: Array = L @ found.null
    # What is left of numbers that cancel is rounding.
    null[np.abs(null) <= 1e-7 * (np.abs(L) @ np.abs(found.null))] = 0.0
    with np.errstate(all="ignore"):
        if sums is None:
            matrix = from_fit(kind, moved, residuals)
        else:
            matrix = from_rows(kind, moved, sums, fit.information.counted)
    if residuals is not None:
        units = np.repeat(fit.y_scale, T.shape[0])
        matrix, null = matrix * np.outer(units, units), np.kron(np.eye(fit.y_scale.size), null)
    if not fit.has_optimum:
        matrix[:] = np.nan
    return CoefficientCovariance(matrix[np.ix_(order, order)], null[order])


def _degrees_of_freedom(
    information: Information, found: Bread, sums: Scores | None, regression: bool, kind: str
) -> float:
    if not regression:
        return float("inf")
    if kind == "cluster" and sums is not None:
        return float(sums.n_groups - 1)
    return max(0.0, information.counted - found.effective)


def _tests(estimates: Array, matrix: Array, df: float, coverage: float) -> tuple[Array, Array, Array, Array]:
    """Standard errors, statistics, p-values and intervals by Student's t, or by the normal distribution for df =
    inf."""
    from scipy.special import ndtr, ndtri, stdtr, stdtrit

    with np.errstate(all="ignore"):
        errors = np.sqrt(np.diagonal(matrix))
        statistics = estimates / errors
        if np.isinf(df):
            p_values = 2.0 * ndtr(-np.abs(statistics))
            reach = -float(ndtri(0.5 * (1.0 - coverage)))
        elif df > 0.0:
            p_values = 2.0 * stdtr(df, -np.abs(statistics))
            reach = -float(stdtrit(df, 0.5 * (1.0 - coverage)))
        else:
            p_values, reach = np.full_like(errors, np.nan), float("nan")
        intervals = np.column_stack([estimates - reach * errors, estimates + reach * errors])
    return errors, statistics, np.asarray(p_values), intervals


def _profiled(profile: Profile, order: list[int], baseline: int) -> Profile:
    """The profile in the order of the summary. Against the other class every coefficient has the opposite sign."""
    intervals = profile.intervals[order]
    if baseline == 1:
        intervals = -intervals[:, ::-1]
    return Profile(intervals, profile.statistics[order], profile.p_values[order])


def _penalised(fit: FittedCoefficients, log_likelihood: float) -> float:
    """log L + ½ log det I in the user's units; the triangle R'R = I is in scaled columns."""
    R = fit.information.root
    others = len(R) // len(fit.coefficients)
    with np.errstate(divide="ignore"):
        half_log_det = float(np.sum(np.log(np.abs(np.diagonal(R)))))
    return log_likelihood + half_log_det + others * float(np.sum(np.log(fit.x_scale)))


def _residual_sd(fit: FittedCoefficients, residuals: Array | None) -> Array | None:
    """(k,) the residual standard deviation of each target; None where there is none."""
    if residuals is None:
        return None
    variance = np.full(fit.y_scale.size, np.nan) if residuals.ndim == 0 else np.diagonal(residuals)
    return np.asarray(np.sqrt(variance) * fit.y_scale)


def _one_or_all(values: Array | None) -> float | Array | None:
    return float(values[0]) if values is not None and len(values) == 1 else values


def _overall(
    fit: FittedCoefficients, found: Bread, kind: str, likelihood: Likelihood | MixedFacts, rows: _Tested
) -> tuple[CoefficientTest, ...]:
    """The tests that no column is needed: by likelihood under the classical formula, by Wald's under another. There is
    none without an optimum, under Firth's penalty, and where a target is fitted perfectly."""
    perfect = rows.residuals is not None and bool(_perfect_targets(fit, rows.residuals).any())
    if perfect or fit.firth or not fit.has_optimum or not isinstance(likelihood, Likelihood):
        return ()
    q, regression, n_outputs = fit.coefficients.shape[0], fit.loss.quadratic, len(rows.outputs)
    if kind == "classical":
        intercepts = fit.intercept * (1 if regression else n_outputs)
        return overall_tests(fit.information, fit.loss, likelihood, found.effective, intercepts)
    groups = [list(range(c * q + fit.intercept, (c + 1) * q)) for c in range(n_outputs)]
    together = groups if regression else [[j for group in groups for j in group]]
    return overall_wald(rows.estimates, rows.covariance, together, rows.df)


def _class_counts(fit: FittedCoefficients) -> dict[str, float]:
    """The rows of each class; none where weights do not count rows."""
    if fit.loss.task == "regression" or not fit.has_likelihood or fit.weights != "frequency":
        return {}
    means = fit.information.target_means
    shares = np.append(1.0 - means, means) if len(means) == 1 else means
    counts = shares * fit.information.weight
    return dict(zip(fit.outputs, counts.tolist(), strict=True))


def _shown_groups(fit: FittedCoefficients) -> tuple[Term, ...]:
    """The terms, counted with the intercept, which a summary shows first."""
    if not fit.intercept:
        return fit.groups
    first = Term("intercept", (0,), ("intercept",))
    return (first, *(replace(term, columns=tuple(j + 1 for j in term.columns)) for term in fit.groups))


def _standardized(fit: FittedCoefficients, baseline: int, order: NDArray[np.integer]) -> Array | None:
    """(M,) the coefficients for a change of one standard deviation of the input, and of a regression's target in
    standard deviations of that; nan for intercepts."""
    if fit.spread is None:
        return None
    x, y = fit.spread
    own = np.append(x, np.nan) if fit.intercept else x
    per_sd = replace(fit, coefficients=fit.coefficients * own[:, None] / y)
    return np.asarray(_identified(per_sd, baseline)[0][order])


def _alias_text(alias: Alias, fit: FittedCoefficients, q: int) -> str:
    """'total = bill + 2 tip + 1', in the user's units."""
    center, scale, column = fit.x_center, fit.x_scale, alias.column
    inputs = {c: f * scale[column] / scale[c] for c, f in alias.combination.items() if c < len(scale)}
    parts = [(fit.terms[c], factor, center[c]) for c, factor in inputs.items()]
    constant = alias.combination.get(q - 1, 0.0) * scale[column] if fit.intercept else 0.0
    pieces = [center[column], constant, *(-factor * middle for _, factor, middle in parts)]
    total = float(np.sum(pieces))
    total = 0.0 if abs(total) <= 1e-9 * float(np.sum(np.abs(pieces))) else total
    words = [_piece(factor, name) for name, factor, _ in parts] + ([_piece(total, "")] if total or not parts else [])
    text = " ".join(words).removeprefix("+ ")
    return f"{fit.terms[column]} = {'-' + text[2:] if text.startswith('- ') else text}"


def _piece(factor: float, name: str) -> str:
    amount = f"{abs(factor):.6g}"
    words = ["-" if factor < 0 else "+", *([amount] if amount != "1" or not name else []), *([name] if name else [])]
    return " ".join(words)


def _trouble(fit: FittedCoefficients) -> str:
    if not fit.trouble:
        return ""
    if fit.has_optimum:
        return f"{fit.trouble} The numbers below are not those of an optimum."
    return f"{fit.trouble} Without finite estimates there are no standard errors."


def _title(fit: FittedCoefficients, baseline: int) -> str:
    of = f" of {joined(fit.targets)}" if fit.targets else ""
    of += " with random intercepts" if fit.mixed is not None else ""
    if fit.loss.task == "regression":
        return f"Perceptron for regression{of} ({fit.loss.method}, {fit.loss.words})"
    kind = "logistic" if len(fit.outputs) == 2 else "multinomial logistic"
    what = f"Perceptron for classification{of} ({kind} regression)"
    if len(fit.outputs) == 2:
        return f"{what}: log odds of {fit.outputs[1 - baseline]} against {fit.outputs[baseline]}"
    return f"{what}: log odds of each class against {fit.outputs[baseline]}"


# Notes below the table

# A condition number beyond this leaves fewer than six digits.
_BAD_CONDITION = 1e10
_FIRTH_WALD = (
    "An estimate and its standard error say little about a coefficient whose likelihood is asymmetric, as it is where "
    "classes are separated{}."
)
_FIRTH_PROFILE = ': intervals="profile", with X and y, gives intervals and tests by the penalised likelihood itself'
_NOT_FOUND = (
    "A missing bound was not found: the likelihood does not fall so far, or rounding hides where it does, as it can "
    "where columns depend on each other."
)
_NO_NOISE = (
    "The fit is perfect but for rounding: the rows show no noise, so there are no tests, and the standard errors and "
    "the likelihood are those of rounding."
)
_NO_TESTS = (
    "No tests: the penalty pulls estimates towards zero on purpose, so an estimate over its standard error has no "
    "known distribution under the hypothesis of zero."
)


def _perfect_targets(fit: FittedCoefficients, spread: Array) -> NDArray[np.bool_]:
    """(k,) whether the residual variance of a target, the diagonal of spread (k, k), is no more than rounding beside
    the mean square of its predictions: the criterion of R's summary.lm."""
    k = fit.y_scale.size
    if np.isnan(spread).any():
        return np.zeros(k, dtype=bool)
    information = fit.information
    # The sums of squares of the predictions are those of R B, with B in the units of training.
    B, p = fit.coefficients.copy(), fit.x_scale.size
    if fit.intercept:
        B[-1] += fit.x_center @ B[:p]
    B[:p] *= fit.x_scale[:, None]
    squares = np.square(information.root @ B).sum(axis=0) / information.weight
    return is_rounding(np.diagonal(spread) * np.square(fit.y_scale), squares)


def _notes(
    fit: FittedCoefficients, found: Bread, sums: Scores | None, penalised: bool, aliased: bool, spread: Array | None
) -> Iterator[str]:
    """The sentences below the table. sums: the scores of the rows, where the formula reads them. spread: the covariance
    of a regression's residuals, or None."""
    if aliased:
        yield (
            "Some columns are combinations of others: a coefficient that can be traded for theirs without any "
            "prediction changing is not estimable, and the one shown is that of one solution among many."
        )
    if found.condition > _BAD_CONDITION:
        digits = max(0, round(15.5 - np.log10(found.condition)))
        yield (
            f"Some columns are nearly combinations of others (condition {found.condition:.0e} in columns of equal "
            f"norm): about {count(digits, 'digit')} of the standard errors can be relied on, if the data are "
            "that precise themselves."
        )
    counted = "" if fit.information.counted == fit.information.n_rows else ", each counted by its weight,"
    if spread is not None and np.isnan(spread).any():
        yield f"There are not more rows{counted} than parameters: no variance is left to be estimated."
    elif spread is not None and _perfect_targets(fit, spread).any():
        yield _NO_NOISE
    if spread is None and sums is not None and fit.information.counted <= found.effective:
        yield (
            f"There are not more rows{counted} than parameters: HC1 and the clustered covariance have no small-sample "
            "factor then."
        )
    if sums is not None and sums.leverage_one:
        yield (
            f"Rows with leverage 1 ({sums.leverage_one:,} of them) are fitted exactly, whatever their target, and add "
            "nothing to the robust covariance."
        )
    if sums is not None and 0 < sums.n_groups <= found.effective:
        yield (
            f"The {count(sums.n_groups, 'group is', 'groups are')} no more than the parameters: clustered errors of so "
            "few groups are usually too small."
        )
    yield from fit.remarks
    if fit.mixed is not None:
        yield from fit.mixed.notes()
    if fit.firth and fit.profile is None and fit.has_optimum:
        yield _FIRTH_WALD.format(_FIRTH_PROFILE if len(fit.outputs) == 2 else "")
    if fit.profile is not None and np.isnan(fit.profile.intervals).any():
        yield _NOT_FOUND
    if penalised:
        yield _NO_TESTS
