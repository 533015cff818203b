"""What all four estimators share: settings checked, rows made, members trained, answers in the user's units."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from newtron.engine.base.checks import check_count, check_flag, check_number, check_penalty
from newtron.engine.base.errors import ColumnError, InputError
from newtron.engine.base.linalg import aligned, is_sparse
from newtron.engine.base.threads import one_blas_thread, thread_count
from newtron.engine.base.words import power
from newtron.engine.maths.losses import Loss
from newtron.engine.maths.scaling import Scaling
from newtron.engine.solvers import GradientDescent, Progress, Solution, Solver, Status
from newtron.estimators.notebook import account
from newtron.estimators.plain import is_plain_matrix, is_plain_target, validated
from newtron.inference.certificate.certificate import Certificate
from newtron.inference.penalties.penalty_path import RULES
from newtron.model.certified import certificate_of
from newtron.training.members import Member, Shape, Task, Trained, best_member, train_members, with_shares
from newtron.training.mix import Plan, planned
from newtron.training.scaling import learn_centering, learn_scaling, with_asinh

if TYPE_CHECKING:
    from newtron.engine.rows.streamed import StreamedRows
    from newtron.explain import Derivation
    from newtron.table.large.file_rows import TableRows

Array = NDArray[np.floating]

_PREDICT_ROWS, _PREDICT_NUMBERS = 8192, 2**24
# A product of fewer multiplications than this no BLAS shares among threads (OpenBLAS from 9,216 on), so none need be
# held back: asking it to takes as long as the prediction of one row.
_ALONE = 8192
# A column whose mean is this many times its spread is far from zero; told from so many rows.
_FAR, _LOOKED_AT = 100.0, 1000


def far_from_zero(X: Array) -> bool:
    looked = X[:: max(1, X.shape[0] // _LOOKED_AT)].astype(np.float64, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        # By products with a row of ones, several times quicker than mean and std; of a constant column exactly 0.
        share = np.full(len(looked), 1.0 / len(looked))
        beyond = looked - looked[0]
        mean = share @ beyond
        spread = np.sqrt(share @ np.square(beyond - mean))
        return bool(np.any((np.abs(looked[0] + mean) > _FAR * spread) & (spread > 0.0)))


def _seed(random_state: Any) -> int:
    if type(random_state) is int:
        return _seed_of_number(random_state)
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


@lru_cache(maxsize=128)
def _seed_of_number(number: int) -> int:
    """A number always gives the same seed, and making a generator for it costs as much as a small fit's step."""
    return int(np.random.RandomState(number).randint(np.iinfo(np.int32).max))


class NewtronEstimator(BaseEstimator):  # type: ignore[misc]
    """Base of the estimators. Subclasses set `_task` and `_networks` and declare their settings in __init__."""

    _task: str
    _sparse = False

    alpha: float | str
    solver: str | Solver
    standardize: bool
    fit_intercept: bool
    tol: float
    max_iter: int | None
    random_state: Any
    verbose: int
    callback: Callable[[Progress], Any] | None
    n_jobs: int | None

    members_: list[Member]
    solution_: Solution
    scaling_: Scaling
    loss_: Loss

    # --- fitting ---

    def _validated(self, X: Any, y: Any, **kwargs: Any) -> Any:
        self.__dict__.pop("_rows_names", None)
        if is_plain_matrix(X) and is_plain_target(y, X.shape[0]):
            self.n_features_in_ = X.shape[1]
            self.__dict__.pop("feature_names_in_", None)  # an array has no names
            return X, y
        return validated(self, X, y, **kwargs)

    def _weights(self, X: Any, sample_weight: Any) -> Array | None:
        if sample_weight is None:
            return None
        weight: Array = aligned(_check_sample_weight(sample_weight, X, dtype=X.dtype, ensure_non_negative=True))
        if not weight.any():
            raise InputError("sample_weight is zero for every row: at least one row must count.")
        if not 1e-100 < float(weight.max()) < 1e100:
            raise InputError(f"sample_weight up to {weight.max():g} is out of range: divide it by a constant.")
        return weight

    def _train(
        self, X: Any, Y: Array, weight: Array | None, loss: Loss, checkpoint: str | os.PathLike[str] | None = None
    ) -> None:
        """Train on validated arrays, Y (n, k); sets every fitted attribute that the estimators share."""
        shapes = self._shapes()
        self._check_settings()
        regression = loss.task == "regression"
        scaling = self._scaling(X, Y, weight, regression)
        asinh = partial(with_asinh, scaling, X, weight) if self.standardize else None
        plan = planned(self, shapes, scaling, (*X.shape, Y.shape[1]), asinh)
        # In float64 until scaled: float32 would round a small spread on a large offset away.
        with np.errstate(over="ignore"):
            Y = scaling.targets(Y).astype(X.dtype, copy=False)
        if not np.isfinite(Y).all():
            raise InputError(f"y has numbers too large for {X.dtype}: divide it by a constant, or give X as float64.")
        self._train_task(self._task_of(X, Y, weight, loss, plan), plan.combine, X.shape[0], weight, checkpoint)
        self._warn(4)

    def fit_rows(self, rows: TableRows, *, checkpoint: str | os.PathLike[str] | None = None) -> Self:
        """Train on rows that need not fit in memory, with the targets that they hold: to the same optimum as `fit`.

        rows: `newtron.FileRows` or `newtron.ClusterRows`. checkpoint: as in `fit`. Returns self, which predicts from
        arrays of `rows.schema.feature_names`. Raises InputError as `fit` does, where a setting needs the rows in
        memory, and where a file cannot be read any more.
        """
        from newtron.training.from_rows import (
            check_memory,
            prepared,
            scaled,
            scaling_of,
            weights_of,
            with_asinh_of_rows,
        )

        shapes = self._shapes()
        self._check_settings()
        seen, loss = prepared(self, rows)
        regression = loss.task == "regression"
        with one_blas_thread():
            scaling = scaling_of(self, seen, regression)
        asinh = partial(with_asinh_of_rows, seen, scaling) if self.standardize else None
        plan = planned(self, shapes, scaling, (seen.n_rows, seen.n_features, seen.n_outputs), asinh)
        check_memory(self.alpha, plan.shapes, seen)
        weight = weights_of(seen) if plan.combine == "stack" else None
        task = self._task_of(None, None, None, loss, plan, scaled(seen, plan.scaling, regression))
        self._train_task(task, plan.combine, seen.n_rows, weight, checkpoint)
        self._warn(3)
        self._fitted()
        return self

    def _fitted(self) -> None:
        """Whatever a subclass derives from the members."""

    def _task_of(
        self, X: Any, Y: Any, weight: Array | None, loss: Loss, plan: Plan, source: StreamedRows | None = None
    ) -> Task:
        return Task(
            X=X,
            Y=Y,
            weight=weight,
            scaling=plan.scaling,
            loss=loss,
            shapes=plan.shapes,
            n_starts=plan.n_starts,
            activation=getattr(self, "activation", "identity"),
            intercept=self.fit_intercept,
            alpha=self.alpha if isinstance(self.alpha, str) else float(self.alpha),
            weaker=plan.combine == "believe",
            stack=plan.combine == "stack",
            solver=self.solver,
            tol=float(self.tol),
            max_iter=self.max_iter,
            seed=_seed(self.random_state),
            threads=thread_count(self.n_jobs),
            callback=self._reporter(),
            source=source,
            steps=plan.steps,
        )

    def _train_task(
        self, task: Task, combine: str, n_rows: int, weight: Array | None, path: str | os.PathLike[str] | None
    ) -> None:
        # What is judged between the steps of solvers must not depend on who else is computing just then.
        try:
            with one_blas_thread(), self._kept(task, path) as kept:
                self.members_ = with_shares(self._members(kept), combine, n_rows, weight)
        except ColumnError as error:
            names = self._names()
            raise error if names is None else error.named(names) from None
        self.solution_ = self.members_[best_member(self.members_)].solution
        self.n_iter_ = max(1, *(member.solution.n_iter for member in self.members_))
        self.scaling_ = task.scaling
        self.loss_ = task.loss
        # Further trainings there are of other rows, and are not kept.
        self._learn(replace(kept, checkpoint=None))

    def call_columns(self, names: Sequence[str] | None) -> None:
        """What to call the columns of an X without names, where a fit speaks of them; None is x1, x2, ..."""
        self._column_names = None if names is None else tuple(map(str, names))

    def _names(self) -> tuple[str, ...] | None:
        """The names of the columns that were trained on, where they are known: of a frame, of the rows of files, or as
        they were told."""
        given = getattr(self, "feature_names_in_", None)
        if given is not None:
            return tuple(map(str, given))
        told: tuple[str, ...] | None = getattr(self, "_rows_names", None) or getattr(self, "_column_names", None)
        return told if told is not None and len(told) == self.n_features_in_ else None

    @contextmanager
    def _kept(self, task: Task, path: str | os.PathLike[str] | None) -> Iterator[Task]:
        """The task with its checkpoint, which is written once more at the end."""
        if path is None:
            yield task
            return
        from newtron.training.resuming import with_checkpoint

        task, checkpoint = with_checkpoint(task, self, path)
        try:
            yield task
        finally:
            checkpoint.close()

    def _members(self, task: Task) -> list[Trained]:
        """The trained members, in their order."""
        return train_members(task)

    def _learn(self, task: Task) -> None:
        """Whatever a task learns from the rows after the members."""

    def _scaling(self, X: Any, Y: Array, weight: Array | None, regression: bool) -> Scaling:
        if self.standardize:
            with one_blas_thread():
                return learn_scaling(X, Y if regression else None, weight, Y.shape[1], center=self.fit_intercept)
        # Columns far from zero (times in seconds, say) differ from the intercept only in their last digits, and no
        # curvature can tell them apart: the means are taken out, which loses no digit there, and given back. Gradient
        # descent must stay what the textbook says.
        if self.takes_means_out() and not is_sparse(X) and far_from_zero(X):
            with one_blas_thread():
                return learn_centering(X, weight, Y.shape[1])
        return Scaling.none(X.shape[1], Y.shape[1])

    def takes_means_out(self) -> bool:
        """Where columns are far from zero."""
        by_hand = self.solver == "gradient-descent" or isinstance(self.solver, GradientDescent)
        return bool(self.fit_intercept) and not by_hand

    def _shapes(self) -> tuple[Shape, ...] | None:
        """Of the members; None: the measured mix."""
        return ((),)

    def _check_settings(self) -> None:
        check_penalty(self.alpha, RULES)
        check_number("tol", self.tol, above=0.0)
        if self.max_iter is not None:
            check_count("max_iter", self.max_iter)
        check_flag("fit_intercept", self.fit_intercept)
        check_flag("standardize", self.standardize)
        if self.callback is not None and not callable(self.callback):
            raise InputError(f"callback={self.callback!r} must be a function of one argument, or None.")

    def _reporter(self) -> Callable[[Progress], Any] | None:
        if not self.verbose:
            return self.callback

        def report(progress: Progress) -> Any:
            row = progress.row
            who = f"member {progress.member + 1}/{progress.members}  " if progress.members > 1 else ""
            penalty = f"penalty {progress.penalty:.3g}  " if self.alpha else ""
            sys.stdout.write(
                f"{who}{penalty}iteration {row.iteration:4d}  objective {row.value:z.8g}  gradient "
                f"{power(row.gradient_norm)}  decrement {power(row.decrement)}  {row.seconds:.2f} s\n"
            )
            return self.callback(progress) if self.callback is not None else False

        return report

    def _warn(self, level: int) -> None:
        """level: of the caller whom the warning names, as in `warnings.warn`."""
        # A stop by rule is what the stochastic solver is for; every other end that is no convergence is told.
        used = [member.solution for member in self.members_ if member.share]
        poor = [solution for solution in used if not (solution.converged or solution.status is Status.EARLY_STOPPED)]
        if not poor:
            return
        predict = "" if len(used) == len(self.members_) else " that predict"
        who = f"{len(poor)} of {len(used)} members{predict}: " if len(used) > 1 else ""
        warnings.warn(f"{who}{poor[0].sentence}", ConvergenceWarning, stacklevel=level)

    @property
    def certificate_(self) -> Certificate:
        """Whether the fit is an optimum, of what kind, and how far from the lowest objective at most."""
        check_is_fitted(self)
        return certificate_of(self)

    @property
    def effective_parameters_(self) -> float:
        """Parameters that the data determine (MacKay's gamma), averaged over the members by their shares; nan where
        alpha was given as a number."""
        check_is_fitted(self)
        return float(sum(member.share * member.effective_parameters for member in self.members_ if member.share))

    # --- explaining ---

    def explain(
        self, x: Any, y: Any, *, notation: str = "lecture", member: int | None = None, solver: Solver | None = None
    ) -> Derivation:
        """How the model comes to its answer for x, how wrong that is by y, and every derivative by the chain rule.

        x: one row (p,), or (m, p): then the first row is followed number by number, and loss and gradient are means
        over all rows, with the penalty, as if they were the training data. y: the target or class of each row.
        notation: "lecture" (ŷ, one number at a time) or "lab" (matrices A, Z, W^[l], dW^[l]). member: which network
        of an average, counted from 1; None is the best. solver: whose step is shown; None is the model's own, and a
        `GradientDescent(learning_rate=...)` sets the rate that is shown.

        Returns a `newtron.explain.Derivation`: it prints as text, shows as HTML in a notebook, and has `to_dict`,
        `to_latex` and `to_html`. Raises InputError (a ValueError) for rows, targets or settings that do not fit.
        """
        from newtron.model.explanation import explain

        return explain(self, x, y, notation=notation, member=member, solver=solver)

    # --- in a notebook ---

    def play(self, X: Any = None, y: Any = None) -> Any:
        """The page of `newtron play` as a widget, in the output of a notebook's cell, with this model's settings.

        X: rows (n, p), y: their targets or classes; with them the page shows and trains on these rows, and both of its
        methods can be started at the fitted parameters where its network is the model's own (up to three hidden layers
        of up to eight units, eight inputs, and no asinh features as hidden="auto" has them). Of more than 1,000 rows a
        random sample is taken. Without rows it shows an example, since a fit keeps none.

        Returns an `anywidget.AnyWidget`. Raises ImportError without the extra notebook (anywidget), and InputError (a
        ValueError) for rows that do not fit, several targets, or more classes than can be drawn.
        """
        from newtron.play.of_model import play

        return play(self, X, y)

    def _repr_html_inner(self) -> str:
        """scikit-learn's picture, and below it what is known of the fit."""
        return str(super()._repr_html_inner()) + account(self)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        if "text/html" in bundle:
            bundle["text/html"] += account(self)
        return bundle

    # --- keeping ---

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to a file that `newtron.load` reads: a JSON manifest and plain arrays, no code.

        Written under a temporary name and then renamed, so that an interrupted save leaves no half file.
        Raises InputError where the path cannot be written or the model has parameters that are not finite.
        """
        from newtron.model_file import save

        check_is_fitted(self)
        save(self, path)

    # --- predicting ---

    def _for_prediction(self, X: Any) -> Any:
        known = vars(self)
        if is_plain_matrix(X) and X.shape[1] == known.get("n_features_in_") and "feature_names_in_" not in known:
            return X
        check_is_fitted(self)
        return validated(self, X, reset=False)

    def _blocks(self, X: Any) -> Iterator[slice]:
        n = _PREDICT_ROWS
        if is_sparse(X) and self.scaling_.x_center.any():  # each block becomes dense
            n = max(1, min(n, _PREDICT_NUMBERS // X.shape[1]))
        for start in range(0, X.shape[0], n):
            yield slice(start, start + n)

    def _averaged(self, X: Any, finish: Callable[[Array], Array]) -> Array:
        """Average of finish(raw prediction) over the members by their shares, (n, k), in X's dtype."""
        if X.shape[0] * max(member.network.n_params for member in self.members_) < _ALONE:
            return self._averaged_block(X, finish)
        with one_blas_thread():
            pieces = [self._averaged_block(X[rows], finish) for rows in self._blocks(X)]
        return np.concatenate(pieces)

    def _averaged_block(self, X: Any, finish: Callable[[Array], Array]) -> Array:
        block = self.scaling_.inputs(X)
        total: Any = 0.0
        for member in self.members_:
            if member.share:
                params = member.params.astype(X.dtype, copy=False)
                total = total + member.share * finish(member.network.output(params, block))
        averaged: Array = total.astype(X.dtype, copy=False)
        return averaged
