"""What a logistic perceptron needs beyond training: whether a minimum exists, and Firth's likelihood instead."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.engine.base.linalg import is_sparse, qr_triangle
from newtron.engine.base.threads import one_blas_thread
from newtron.engine.base.words import count
from newtron.engine.maths.losses import loss_for
from newtron.engine.maths.network import Network
from newtron.engine.maths.scaling import Scaling
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import ArrayRows
from newtron.engine.solvers import SOLVERS, Newton, Solution, Solver, Status, Stochastic, minimize
from newtron.engine.solvers.loop import relative_gradient
from newtron.inference.certificate.firth_end import measure_firth, of_all_classes
from newtron.inference.coefficients.covariance import NEGLIGIBLE_WEIGHT, independent
from newtron.inference.coefficients.firth import FirthObjective
from newtron.inference.coefficients.information import MOST_PARAMETERS, information_at, square_triangle
from newtron.inference.coefficients.profile import Profile, profile_intervals, profile_tests
from newtron.inference.separation.overlap import classes_overlap
from newtron.inference.separation.separation import Separation, find_separation
from newtron.training.members import Member, Task, member_of, objective_of, settle

Array = NDArray[np.floating]

_BY_GRADIENT = "the gradient at the end of the training proves it"
# Ends that somebody else decided: they stay what they are, whatever the classes.
_FROM_OUTSIDE = (Status.STOPPED, Status.INTERRUPTED, Status.EARLY_STOPPED)
# Rows times columns times other classes that linear programs are asked about: seconds, and minutes at worst.
_LARGEST = 2e7


def judged(task: Task, member: Member, names: tuple[str, ...] | None) -> tuple[Member, Separation | None]:
    """An unpenalised classifier's member with the end that its classes allow, and what is known of their separation.

    The solver judges by numbers alone. Where the classes are proved to be separated no end is convergence; where they
    are proved to overlap and the solver thought otherwise, it goes on from where it stopped.
    """
    solution = member.solution
    log_loss = task.loss.name == "log_loss"
    if not log_loss and solution.status is not Status.UNBOUNDED:
        return member, None
    with one_blas_thread(), np.errstate(all="ignore"):
        objective = objective_of(task, member.network, task.threads)
        usable = log_loss and bool(np.isfinite(solution.gradient).all())
        if usable and classes_overlap(objective, solution.params, solution.gradient):
            return _ended(task, objective, member, Separation("none", objective.rows.n_rows, proof=_BY_GRADIENT))
        if solution.status is Status.INTERRUPTED:
            return member, None
        try:
            found = _by_programs(task, member, names)
            small = task.source is None and _fits_a_program(task.X, task.Y)
            if found.kind == "undecided" and small and solution.status is Status.UNBOUNDED:
                # Rows that overlap by very little have an optimum far away, and its gradient proves it.
                further = _resumed(task, objective, solution)
                if classes_overlap(objective, further.params, further.gradient):
                    return member_of(task, objective, further), replace(found, kind="none", proof=_BY_GRADIENT)
        except KeyboardInterrupt:
            proof = "the search for a plane between them was interrupted"
            found = Separation("undecided", objective.rows.n_rows, proof=proof)
            return replace(member, solution=replace(solution, status=Status.INTERRUPTED, note="")), found
        return _ended(task, objective, member, found)


def _fits_a_program(X: Any, Y: Array) -> bool:
    return bool(float(X.shape[0]) * X.shape[1] * max(1, Y.shape[1] - 1) <= _LARGEST)


def _by_programs(task: Task, member: Member, names: tuple[str, ...] | None) -> Separation:
    if task.source is not None:
        proof = f"a linear program needs the rows in memory, and these are {task.source.place}"
        return Separation("undecided", task.source.n_rows, proof=proof)
    return separation_of(member, task.X, task.Y, task.weight, task.scaling, names)


def separation_of(
    member: Member, X: Any, Y: Array, weight: Array | None, scaling: Scaling, names: tuple[str, ...] | None = None
) -> Separation:
    """Whether the classes of rows, X not yet scaled, are separated, looked for where a perceptron says."""
    n, others = X.shape[0], max(1, Y.shape[1] - 1)
    if not _fits_a_program(X, Y):
        return Separation("undecided", n, proof="the data are too many for a linear program")
    layer = member.network.split(member.params)[0]
    W = layer.W / scaling.x_scale[:, None]
    b = (np.zeros(W.shape[1]) if layer.b is None else layer.b) - scaling.x_center @ W
    codes = Y.argmax(axis=1) if others > 1 else Y[:, 0].astype(np.int64)
    through = member.network.intercept
    return find_separation(X, codes, others + 1, weight, intercept=through, names=names, start=(W.T, b))


def _ended(task: Task, objective: TrainingObjective, member: Member, found: Separation) -> tuple[Member, Separation]:
    solution = member.solution
    if found.found:
        if solution.status in _FROM_OUTSIDE:
            return replace(member, solution=replace(solution, note=found.sentence)), found
        return replace(member, solution=replace(solution, status=Status.UNBOUNDED, note=found.sentence)), found
    if found.kind == "none" and solution.status is Status.UNBOUNDED and task.loss.name == "log_loss":
        return member_of(task, objective, _resumed(task, objective, solution)), found
    if found.kind == "undecided" and solution.status is Status.UNBOUNDED:
        # The solver judged by the size of its steps; what that is worth is said with it.
        return replace(member, solution=replace(solution, note=f"{solution.note} {found.finding}")), found
    return member, found


class _WithMinimum(TrainingObjective):
    """An objective that is known to have a minimum: a long way there is no reason to give up."""

    def unbounded_below(self, value: float) -> None:
        del value

    def escapes_to_infinity(self, params: Array, gradient: Array) -> None:
        del params, gradient


def _resumed(task: Task, objective: TrainingObjective, before: Solution) -> Solution:
    """The training from where it was given up, as one solution."""
    bounded = _WithMinimum(objective.network, objective.loss, objective.rows)
    after = minimize(
        bounded,
        before.params,
        before.solver,
        tol=task.tol,
        max_iter=task.max_iter,
        callback=task.callback,
        **task.kept(0, 1, before.solver, bounded.n_params),
    )
    counts = {kind: before.counts.get(kind, 0) + after.counts.get(kind, 0) for kind in {*before.counts, *after.counts}}
    later = (
        replace(row, iteration=row.iteration + before.n_iter, seconds=row.seconds + before.seconds)
        for row in after.trace[1:]
    )
    return replace(
        after,
        n_iter=before.n_iter + after.n_iter,
        trace=(*before.trace, *later),
        counts=dict(sorted(counts.items())),
        seconds=before.seconds + after.seconds,
        chosen=before.chosen,
    )


def is_firth(estimator: Any) -> bool:
    """Is it fitted by Firth's penalised likelihood?"""
    return getattr(estimator, "penalty", "l2") == "firth"


def firth_member(task: Task, names: tuple[str, ...] | None) -> Member:
    """The perceptron at the optimum of Firth's penalised likelihood, with its parameters laid out as in any other."""
    network = Network((task.X.shape[1], task.Y.shape[1]), task.activation, task.intercept)
    k = network.n_outputs
    with one_blas_thread():
        objective = firth_objective(task.X, task.Y, task.weight, task.scaling, task.intercept, names)
        solver, chosen = _firth_solver(task.solver, objective)
        start = np.zeros(objective.n_params)
        kept = task.kept(0, 0, solver, objective.n_params)
        solution = minimize(
            objective, start, solver, tol=task.tol, max_iter=task.max_iter, callback=task.callback, **kept
        )
    if k > 1:
        # The last class is the reference, whose parameters are zero.
        others = solution.params.reshape(-1, k - 1)
        params = np.column_stack([others, np.zeros(len(others))]).ravel()
        settle(network.split(params)[-1], task.loss, penalised=False)
        solution = replace(solution, params=params, gradient=of_all_classes(solution.gradient, k))
    solution = replace(solution, chosen=chosen)
    plain = objective_of(task, network, task.threads)
    value = plain.evaluate(solution.params, 0).value
    # One pass more is little beside those of the training.
    information = information_at(plain, solution.params, value, any_size=network.n_params <= MOST_PARAMETERS)
    alpha = np.zeros(network.n_params)
    return Member(network, solution, alpha, end=measure_firth(objective, solution, k), information=information)


def firth_objective(
    X: Any, Y: Array, weight: Array | None, scaling: Scaling, intercept: bool, names: tuple[str, ...] | None = None
) -> FirthObjective:
    """Firth's likelihood of the rows as they are trained on, X not yet scaled; of more than two classes the last is
    the reference."""
    Y = Y if Y.shape[1] == 1 else Y[:, :-1]
    return FirthObjective(scaling.inputs(X), Y, weight, intercept=intercept, names=names)


def _firth_solver(solver: str | Solver, objective: FirthObjective) -> tuple[Solver, str]:
    if isinstance(solver, Stochastic) or solver == Stochastic.name:
        raise InputError(
            'penalty="firth" is no sum over rows: choose another solver than "stochastic", such as "newton".'
        )
    if isinstance(solver, Solver):
        return solver, "given by the user"
    if solver == "auto":
        curvature = "the exact Hessian" if objective.exact else "the Fisher information"
        return (
            Newton(),
            f"Firth's likelihood of {count(objective.n_params, 'parameter')}: Newton steps with {curvature}",
        )
    if solver in SOLVERS:
        return SOLVERS[solver](), "named by the user"
    known = ", ".join(repr(name) for name in ("auto", *SOLVERS) if name != Stochastic.name)
    raise InputError(f"solver={solver!r} is not known: choose one of {known}, or a solver object.")


# A gradient beyond this, relative to a typical row's, is not that of the rows that a model was fitted on.
_ELSEWHERE = 1e-4


def coefficient_profile(
    X: Any,
    y: Array,
    weight: Array | None,
    fitted: tuple[Array, Array],
    penalty: str,
    coverage: float,
    *,
    tests: bool = False,
) -> Profile:
    """Profile-likelihood intervals, and where asked for tests, of the coefficients of two classes, then of the
    intercept where there is one.

    X, y (0 and 1) and weight: those of the fit. fitted: coefficients (p,) and intercept (1,), or (0,) without one.
    """
    w, b = fitted
    has_intercept = bool(len(b))
    # A profile is an optimum for each of its points, with the full Hessian: it is asked of few columns.
    X = np.asarray(X.toarray() if is_sparse(X) else X, dtype=np.float64)
    # The means of the columns are taken out: the coefficients are the same, and their curvature is better told apart.
    center = X.mean(axis=0) if has_intercept else np.zeros(len(w))
    centered = X - center

    def of(X: Any, b: Array, which: list[int] | None) -> Profile:
        objective, total = _likelihood(X, y, weight, has_intercept, penalty)
        return _profiled(objective, total, np.append(w, b), coverage, which, tests)

    fewer = None if penalty == "firth" else _independent_part(centered, center, weight, fitted)
    if fewer is not None:
        part = coefficient_profile(X[:, fewer.columns], y, weight, fewer.fitted, penalty, coverage, tests=tests)
        places = [*fewer.columns, *([len(w)] if has_intercept else [])]
        size, known = len(w) + has_intercept, fewer.estimable
        found = Profile(np.full((size, 2), np.nan), np.full(size, np.nan), np.full(size, np.nan))
        for whole, of_part in zip(found, part, strict=True):
            whole[places] = np.where(known[places].reshape(-1, *[1] * (of_part.ndim - 1)), of_part, np.nan)
        return found
    if not (has_intercept and center.any()):
        return of(centered, b, None)
    found = of(centered, b + center @ w, list(range(len(w))))
    try:
        last = of(X, b, [len(w)])
    except InputError:  # columns so far from zero that nothing can be said of a row of zeros
        last = Profile(np.full((1, 2), np.nan), np.full(1, np.nan), np.full(1, np.nan))
    return Profile(*(np.concatenate(pair) for pair in zip(found, last, strict=True)))


class _Part(NamedTuple):
    """Columns that do not depend on each other, the coefficients and intercept of the same fit by these alone, and
    which of all coefficients, the intercept last, can be traded for no other (p,) or (p + 1,)."""

    columns: list[int]
    fitted: tuple[Array, Array]
    estimable: NDArray[np.bool_]


def _independent_part(
    centered: Array, center: Array, weight: Array | None, fitted: tuple[Array, Array]
) -> _Part | None:
    """What is left where columns that follow from others are left out; None where there are none.

    The likelihood depends on the columns by their span alone, so the profiles of what stays estimable are the same.
    """
    w, b = fitted
    p, intercept = len(w), bool(len(b))
    A = np.column_stack([centered, np.ones(len(centered))]) if intercept else centered
    R = square_triangle(qr_triangle(A if weight is None else A * np.sqrt(weight)[:, None]))
    norm = np.linalg.norm(R, axis=0)
    norm[norm == 0.0] = 1.0
    kept, dependent = independent(R / norm, p + intercept, intercept)
    if not dependent or (intercept and p in dependent):
        return None
    W = np.zeros((p + intercept, len(dependent)))  # each dependent column as a combination of the others
    for d, (column, factors) in enumerate(dependent.items()):
        for c, factor in factors.items():
            W[c, d] = factor * norm[column] / norm[c] if abs(factor) > NEGLIGIBLE_WEIGHT else 0.0
    gone = list(dependent)
    columns = [c for c in kept if c < p]
    less = (w + W[:p] @ w[gone])[columns]
    estimable = np.asarray((W == 0.0).all(axis=1))
    estimable[gone] = False
    if not intercept:
        return _Part(columns, (less, b), estimable)
    pieces = np.vstack([center[gone], W[p], -center[:, None] * W[:p]])
    estimable[p] = bool((np.abs(pieces.sum(axis=0)) <= 1e-9 * np.abs(pieces).sum(axis=0)).all())
    return _Part(columns, (less, b + center @ w + W[p] @ w[gone] - center[columns] @ less), estimable)


def _likelihood(
    X: Any, y: Array, weight: Array | None, intercept: bool, penalty: str
) -> tuple[FirthObjective | TrainingObjective, float]:
    """What is profiled, divided by the total weight, and the weight."""
    Y = np.asarray(y, dtype=np.float64)[:, None]
    if penalty == "firth":
        firth = FirthObjective(X, Y, weight, intercept=intercept)
        return firth, firth.total_weight
    rows = ArrayRows(X, Y, None if weight is None else weight.astype(np.float64))
    network = Network((X.shape[1], 1), "identity", intercept)
    return TrainingObjective(network, loss_for("classification", "log_loss", 1), rows), rows.total_weight


def _profiled(
    objective: FirthObjective | TrainingObjective,
    total: float,
    params: Array,
    coverage: float,
    which: list[int] | None,
    tests: bool,
) -> Profile:
    from scipy.special import chdtrc

    gradient = objective.evaluate(params, 1).gradient
    if not relative_gradient(objective, gradient) <= _ELSEWHERE:
        raise InputError("X, y and sample_weight are not those of the fit: its coefficients are no optimum for them.")
    optimum = minimize(objective, params, Newton()).params
    intervals = profile_intervals(objective, optimum, total, coverage=coverage, which=which)
    statistics = profile_tests(objective, optimum, total, which) if tests else np.full(len(intervals), np.nan)
    return Profile(intervals, statistics, np.asarray(chdtrc(1.0, statistics)))


def check_penalty(penalty: Any, alpha: Any, loss: str | None) -> None:
    """Firth's penalty stands alone, and is one of the log loss."""
    if penalty not in ("l2", "firth"):
        raise InputError(f"penalty={penalty!r} is not known: choose one of 'l2', 'firth'.")
    if penalty == "l2":
        return
    if alpha != 0.0:
        raise InputError(f'penalty="firth" is a penalty of its own: set alpha=0 with it, not {alpha!r}.')
    if loss not in (None, "log_loss"):
        raise InputError(f'penalty="firth" is a penalty on the log loss: set loss=None with it, not {loss!r}.')


def check_profile(estimator: Any) -> None:
    """Is there a likelihood to be profiled?"""
    if len(estimator.classes_) > 2:
        raise InputError("Profile intervals are those of two classes, and this model has more.")
    if not estimator.solution_.converged and not (estimator.separation_ is not None and estimator.separation_.found):
        raise InputError("Profile intervals start at the optimum, and this fit did not converge.")
    if estimator.loss_.name != "log_loss" or estimator.alpha != 0.0:
        raise InputError("Profile intervals need the log loss without alpha: its penalty is no part of the likelihood.")
    if estimator.class_weight is not None:
        raise InputError("Profile intervals do not know class_weight: fit with sample_weight instead.")
    if estimator.separation_ is not None and estimator.separation_.found:
        raise InputError('The classes are separated, and the likelihood has no maximum: fit with penalty="firth".')
