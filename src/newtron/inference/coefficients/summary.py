"""The summary of a fitted perceptron: estimates with standard errors, tests and intervals, and how well it fits."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.words import joined
from newtron.engine.maths.losses import Loss
from newtron.inference.coefficients.covariance import (
    Alias,
    Bread,
    Scores,
    bread,
    from_fit,
    from_rows,
    residual_covariance,
)
from newtron.inference.coefficients.information import Information
from newtron.inference.coefficients.profile import Profile
from newtron.inference.coefficients.summary_notes import notes_on, perfect_targets
from newtron.inference.coefficients.summary_text import as_html, as_text

Array = NDArray[np.floating]

FORMULAS = {
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


@dataclass(frozen=True)
class Fitted:
    """What a summary reads of a fit.

    coefficients: (q, k) in the user's units, the intercept last. x_center, x_scale (p,), y_scale (k,): of training.
    terms: (p,) names of the inputs. outputs: names of the targets or classes. targets: names of the targets, where they
    are known. trouble: a sentence where the fit is no optimum, else "". determined: False where it has none, so that no
    standard error has a meaning. counted: does a weight of 2 mean two rows, so that there is a likelihood? firth: the
    estimates are those of Firth's penalised likelihood. profile: of two classes, in the order of coefficients, where
    intervals and tests are by the likelihood. remarks: what else a reader must know.
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
    determined: bool = True
    counted: bool = True
    firth: bool = False
    profile: Profile | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Summary:
    """Estimates of a perceptron and what is known of their error, in the units of the data.

    Prints as a table, at the prompt too; in a notebook it shows as one. Rows are output by output (targets; classes
    against the baseline), each as its intercept and then the inputs: M of them.

    Attributes
    ----------
    names : tuple of str
        Of the rows: the input, preceded by "output: " where there are several outputs.
    estimates, standard_errors, statistics, p_values : (M,)
        statistics is estimate / standard error, or of the likelihood-ratio test. nan where a coefficient is not
        estimable, and p_values are nan under a penalty on the weights.
    intervals : (M, 2)
        Lower and upper end, with `coverage`.
    interval_kind : "confidence", "credible" or "penalised"
        What the intervals are of. "confidence": they hold the true coefficient in this share of samples. Under a
        penalty none of newtron's do: "credible" (covariance "posterior") are Bayesian, with the penalty as the prior,
        and "penalised" (the other formulas) say how the penalised estimate varies about its own mean.
    covariance : str
        Which formula.
    covariance_matrix : (M, M)
    interval_method : "wald" or "profile"
        From the standard errors, or by profiling the likelihood.
    statistic : "t", "z" or "χ²"
    degrees_of_freedom : float
        Of t; inf for z.
    log_likelihood, aic, bic : float
        AIC = -2 log L + 2k, BIC = -2 log L + k log n, with k = effective_parameters and, for each target of a
        regression, 1 for the residual variance, whose maximum-likelihood estimate RSS/n is in log L. (So has R;
        statsmodels and Stata leave that 1 out.) n is the total weight of the rows. nan with class weights, and with
        sample weights that are not whole numbers: what the likelihood is depends on what such weights mean.
    penalised_log_likelihood : float or None
        Under Firth's penalty log L + ½ log det I, I the Fisher information in the units of the data: what the fit
        maximised. log L, AIC and BIC are without it.
    effective_parameters : float
        How many the rows determine; under a penalty tr((I + S)^-1 I).
    n_rows : int
    total_weight : float
        Equal to n_rows without sample weights.
    residual_sd, r_squared : float, or (k,) for several targets; None for a classification
        sqrt(RSS / (n - p)); 1 - RSS / sum of squares about the mean (about 0 without an intercept).
    aliases : tuple of str
        Columns that are combinations of others, each as "column = combination".
    trouble : str
        Where the fit is no optimum, why; else empty. Stands above the table.
    notes : tuple of str
        What else a reader must know. Stands below the table.
    """

    names: tuple[str, ...]
    estimates: Array
    standard_errors: Array
    statistics: Array
    p_values: Array
    intervals: Array
    interval_kind: str
    covariance: str
    covariance_matrix: Array
    coverage: float
    interval_method: str
    statistic: str
    degrees_of_freedom: float
    log_likelihood: float
    aic: float
    bic: float
    penalised_log_likelihood: float | None
    effective_parameters: float
    n_rows: int
    total_weight: float
    residual_sd: float | Array | None
    r_squared: float | Array | None
    aliases: tuple[str, ...]
    trouble: str
    notes: tuple[str, ...]
    title: str
    formula: str
    terms: tuple[str, ...]
    outputs: tuple[str, ...]

    def __repr__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)


def summarize(fitted: Fitted, kind: str, coverage: float, baseline: int, sums: Scores | None, found: Bread) -> Summary:
    """kind: one of `COVARIANCES`; sums: of the rows, for those that read them. baseline: number of the class that the
    others are seen against."""
    information, regression = fitted.information, fitted.loss.task == "regression"
    q = fitted.coefficients.shape[0]
    estimates, across, outputs = _identified(fitted, baseline)
    T = _to_users_units(fitted, q)
    residuals = residual_covariance(information, found.effective) if regression else None
    matrix, unknown = _covariance(fitted, kind, found, sums, residuals, T, across)
    matrix[unknown], matrix[:, unknown] = np.nan, np.nan
    # Before the inputs, the intercept.
    first = [q - 1, *range(q - 1)] if fitted.intercept else list(range(q))
    order = np.concatenate([c * q + np.array(first) for c in range(len(outputs))])
    estimates, matrix = estimates[order], matrix[np.ix_(order, order)]
    df = _degrees_of_freedom(information, found, sums, regression, kind)
    errors, statistics, p_values, intervals = _tests(estimates, matrix, df, coverage)
    if residuals is not None:
        rounding = np.repeat(perfect_targets(fitted, residuals), q)
        statistics[rounding], p_values[rounding] = np.nan, np.nan
    if fitted.profile is not None:
        intervals, statistics, p_values = _profiled(fitted.profile, first, baseline)
    penalised = bool(information.penalty.any())
    terms = (*(("intercept",) if fitted.intercept else ()), *fitted.terms)
    aliases = tuple(_alias_text(alias, fitted, q) for alias in found.aliases) if fitted.determined else ()
    log_likelihood, aic, bic = _criteria(fitted, found)
    residual_sd, r_squared = _goodness(fitted, residuals) if regression else (None, None)
    return Summary(
        names=tuple(f"{output}: {term}" if len(outputs) > 1 else term for output in outputs for term in terms),
        estimates=estimates,
        standard_errors=errors,
        statistics=statistics,
        p_values=np.full_like(p_values, np.nan) if penalised else p_values,
        intervals=intervals,
        interval_kind="confidence" if not penalised else "credible" if kind == "posterior" else "penalised",
        covariance=kind,
        covariance_matrix=matrix,
        coverage=coverage,
        interval_method="wald" if fitted.profile is None else "profile",
        statistic="t" if regression else "z" if fitted.profile is None else "χ²",
        degrees_of_freedom=df,
        log_likelihood=log_likelihood,
        aic=aic,
        bic=bic,
        penalised_log_likelihood=_penalised(fitted, log_likelihood) if fitted.firth else None,
        effective_parameters=found.effective * (len(outputs) if regression else 1),
        n_rows=information.n_rows,
        total_weight=information.weight,
        residual_sd=residual_sd,
        r_squared=r_squared,
        aliases=aliases,
        trouble=_trouble(fitted),
        notes=tuple(notes_on(fitted, found, sums, penalised, bool(aliases), residuals)),
        title=_title(fitted, baseline),
        formula=FORMULAS[kind],
        terms=terms,
        outputs=outputs,
    )


def _identified(fitted: Fitted, baseline: int) -> tuple[Array, Array, tuple[str, ...]]:
    """Estimates (M,) output by output, the map (c, c) to classes against the baseline, and names."""
    B = fitted.coefficients
    k = B.shape[1]
    if fitted.loss.task == "regression":
        return B.T.ravel(), np.eye(k), fitted.outputs
    if k == 1:
        sign = 1.0 if baseline == 0 else -1.0
        return sign * B[:, 0], np.array([[sign]]), (fitted.outputs[1 - baseline],)
    # The information is of each class against the first: differences of those, where another one is the baseline.
    others = [c for c in range(k) if c != baseline]
    against_first = np.vstack([np.zeros(k - 1), np.eye(k - 1)])
    across = against_first[others] - against_first[baseline]
    return (B[:, others] - B[:, [baseline]]).T.ravel(), across, tuple(fitted.outputs[c] for c in others)


def _to_users_units(fitted: Fitted, q: int) -> Array:
    """(q, q): one output's parameters in the user's units of inputs, from those of training."""
    T = np.zeros((q, q))
    p = fitted.x_scale.size
    T[np.arange(p), np.arange(p)] = 1.0 / fitted.x_scale
    if fitted.intercept:
        T[-1, :p] = -fitted.x_center / fitted.x_scale
        T[-1, -1] = 1.0
    return T


def _covariance(
    fitted: Fitted, kind: str, found: Bread, sums: Scores | None, residuals: Array | None, T: Array, across: Array
) -> tuple[Array, NDArray[np.bool_]]:
    """The covariance (M, M) in the user's units, and (M,) True for parameters that the rows do not determine."""
    # What a target shares with the others is moved once, before anything is squared, so that no variance cancels.
    L = T if residuals is not None else np.kron(across, T)
    moved = replace(found, Z=L @ found.Z)
    with np.errstate(all="ignore"):
        if sums is None:
            matrix = from_fit(kind, moved, residuals)
        else:
            matrix = from_rows(kind, moved, sums, fitted.information.weight)
    unknown = np.any(np.abs(L @ found.null) > 1e-7 * (np.abs(L) @ np.abs(found.null)), axis=1)
    if residuals is not None:
        units = np.repeat(fitted.y_scale, T.shape[0])
        matrix, unknown = matrix * np.outer(units, units), np.tile(unknown, fitted.y_scale.size)
    return matrix, np.asarray(unknown) if fitted.determined else np.ones(len(matrix), dtype=bool)


def _degrees_of_freedom(
    information: Information, found: Bread, sums: Scores | None, regression: bool, kind: str
) -> float:
    if not regression:
        return float("inf")
    if kind == "cluster" and sums is not None:
        return float(sums.n_groups - 1)
    return max(0.0, information.weight - found.effective)


def _tests(estimates: Array, matrix: Array, df: float, coverage: float) -> tuple[Array, Array, Array, Array]:
    """Standard errors, statistics, p-values and intervals, by Student's t or, for df = inf, the normal distribution."""
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
    """In the order of the summary; with the other class as the baseline every coefficient has the other sign."""
    intervals = profile.intervals[order]
    if baseline == 1:
        intervals = -intervals[:, ::-1]
    return Profile(intervals, profile.statistics[order], profile.p_values[order])


def _penalised(fitted: Fitted, log_likelihood: float) -> float:
    """log L + ½ log det I. The triangle R'R = I is in scaled columns."""
    R = fitted.information.root
    others = len(R) // len(fitted.coefficients)
    with np.errstate(divide="ignore"):
        half_log_det = float(np.sum(np.log(np.abs(np.diagonal(R)))))
    return log_likelihood + half_log_det + others * float(np.sum(np.log(fitted.x_scale)))


def _criteria(fitted: Fitted, found: Bread) -> tuple[float, float, float]:
    """log L, AIC, BIC."""
    information = fitted.information
    n, k, count = information.weight, fitted.coefficients.shape[1], found.effective
    if not fitted.counted:
        return float("nan"), float("nan"), float("nan")
    log_likelihood = information.log_likelihood
    if fitted.loss.task == "regression":
        with np.errstate(divide="ignore"):
            variance = np.diagonal(information.residual_products) * np.square(fitted.y_scale) / n
            log_likelihood = float(np.sum(-0.5 * n * (np.log(2.0 * np.pi * variance) + 1.0)))
        count = k * (count + 1.0)
    return log_likelihood, -2.0 * log_likelihood + 2.0 * count, -2.0 * log_likelihood + float(np.log(n)) * count


def _goodness(fitted: Fitted, residuals: Array | None) -> tuple[float | Array, float | Array]:
    """Residual standard deviation and R²."""
    information = fitted.information
    k = fitted.y_scale.size
    variance = np.full(k, np.nan) if residuals is None or residuals.ndim == 0 else np.diagonal(residuals)
    sd = np.sqrt(variance) * fitted.y_scale
    with np.errstate(all="ignore"):
        r_squared = 1.0 - np.diagonal(information.residual_products) / information.target_squares
    r_squared[information.target_squares == 0.0] = np.nan
    return (float(sd[0]), float(r_squared[0])) if k == 1 else (sd, r_squared)


def _alias_text(alias: Alias, fitted: Fitted, q: int) -> str:
    """'total = bill + 2 tip + 1', in the user's units."""
    center, scale, column = fitted.x_center, fitted.x_scale, alias.column
    inputs = {c: f * scale[column] / scale[c] for c, f in alias.combination.items() if c < len(scale)}
    parts = [(fitted.terms[c], factor, center[c]) for c, factor in inputs.items()]
    constant = alias.combination.get(q - 1, 0.0) * scale[column] if fitted.intercept else 0.0
    pieces = [center[column], constant, *(-factor * middle for _, factor, middle in parts)]
    total = float(np.sum(pieces))
    total = 0.0 if abs(total) <= 1e-9 * float(np.sum(np.abs(pieces))) else total
    words = [_piece(factor, name) for name, factor, _ in parts] + ([_piece(total, "")] if total or not parts else [])
    text = " ".join(words).removeprefix("+ ")
    return f"{fitted.terms[column]} = {'-' + text[2:] if text.startswith('- ') else text}"


def _piece(factor: float, name: str) -> str:
    amount = f"{abs(factor):.6g}"
    words = ["-" if factor < 0 else "+", *([amount] if amount != "1" or not name else []), *([name] if name else [])]
    return " ".join(words)


def _trouble(fitted: Fitted) -> str:
    if not fitted.trouble:
        return ""
    if fitted.determined:
        return f"{fitted.trouble} The numbers below are not those of an optimum."
    return f"{fitted.trouble} Without finite estimates there are no standard errors."


def _title(fitted: Fitted, baseline: int) -> str:
    of = f" of {joined(fitted.targets)}" if fitted.targets else ""
    if fitted.loss.task == "regression":
        return f"Perceptron for regression{of} (linear regression, squared error)"
    kind = "logistic" if len(fitted.outputs) == 2 else "multinomial logistic"
    what = f"Perceptron for classification{of} ({kind} regression)"
    if len(fitted.outputs) == 2:
        return f"{what}: log odds of {fitted.outputs[1 - baseline]} against {fitted.outputs[baseline]}"
    return f"{what}: log odds of each class against {fitted.outputs[baseline]}"


__all__ = ["FORMULAS", "Fitted", "Summary", "bread", "summarize"]
