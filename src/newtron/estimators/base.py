"""What all four estimators share: settings checked, rows made, a `FittedModel` trained, and shown as attributes."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, ClassVar, Self, TypeAlias

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from newtron.engine.base.errors import InputError
from newtron.engine.base.linalg import aligned, is_sparse
from newtron.engine.base.types import Array, Labels, Matrix
from newtron.engine.base.words import power
from newtron.engine.maths.losses import Loss
from newtron.engine.maths.scaling import Scaling
from newtron.engine.rows import Rows
from newtron.engine.solvers import Progress, Solution, Solver, Status
from newtron.estimators.given import rows_to_fit, rows_to_predict, warn_of
from newtron.estimators.notebook import described
from newtron.estimators.of_formula import formula_kept, learn_rows
from newtron.estimators.plain import is_plain_matrix, is_plain_target
from newtron.inference.certificate.certificate import Certificate
from newtron.model.certified import certificate_of
from newtron.model.groups import frame_of_intercepts
from newtron.model.rows_again import rows_of_table
from newtron.model.targets import given_rows
from newtron.table import Schema, Table
from newtron.table.large.file_rows import TableRows
from newtron.training.columns import column_means, encoded_columns, schema_of
from newtron.training.fitted import DataDescription, FittedModel, Member
from newtron.training.forecast import Forecast
from newtron.training.settings import ColumnKinds, Family, Settings, TaskName

if TYPE_CHECKING:
    import pandas as pd

    from newtron.explain import Derivation

Callback: TypeAlias = Callable[[Progress], object]


def _seed(random_state: object) -> int:
    if type(random_state) is int:
        return _seed_of_number(random_state)
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


@lru_cache(maxsize=128)
def _seed_of_number(number: int) -> int:
    """A number always gives the same seed, and making a generator for it costs as much as a small fit's step."""
    return int(np.random.RandomState(number).randint(np.iinfo(np.int32).max))


class NewtronEstimator(BaseEstimator):  # type: ignore[misc]
    """Base of the estimators. Subclasses name their family and task, and declare their settings in __init__.

    model_: the fitted model, which everything that is asked after `fit` reads.
    """

    _family: ClassVar[Family]
    _task: ClassVar[TaskName]

    alpha: float | str
    columns: ColumnKinds
    missing: str
    random_state: object
    verbose: int
    callback: Callback | None

    model_: FittedModel
    _called: tuple[tuple[str, ...] | None, tuple[str, ...]] = (None, ())
    _schema: Schema | None = None
    _told: Callable[[Forecast], object] | None = None

    # --- fitting ---

    @property
    def _sparse(self) -> bool:
        """Are sparse matrices taken?"""
        return self._family == "perceptron"

    def _settings(self) -> Settings:
        """The settings, checked."""
        if self.callback is not None and not callable(self.callback):
            raise InputError(f"callback={self.callback!r} must be a function of one argument, or None.")
        settings = Settings.of(self._family, self._task, vars(self))
        settings.shapes()
        return settings.checked()

    def _validated(self, X: Matrix, y: Matrix, **kwargs: bool) -> tuple[Matrix | Table, Labels]:
        if self.columns is None and is_plain_matrix(X) and is_plain_target(y, X.shape[0]):
            self.n_features_in_ = X.shape[1]
            self.__dict__.pop("feature_names_in_", None)  # an array has no names
            return X, y
        return rows_to_fit(self, self._sparse, X, y, **kwargs)

    def _as_numbers(
        self, rows: Matrix | Table, data: DataDescription, settings: Settings
    ) -> tuple[Matrix, DataDescription]:
        """X (n, p) of the rows of a fit, and how its columns are made."""
        if not isinstance(rows, Table):
            return rows, replace(data, column_means=column_means(rows))
        X, data = encoded_columns(rows, data, settings)
        assert data.schema is not None
        warn_of(data.schema.warnings, rows.path)
        return X, data

    def _weights(self, X: Matrix | Table, sample_weight: object) -> Array | None:
        if sample_weight is None:
            return None
        dtype = np.float64 if isinstance(X, Table) else X.dtype
        rows = X.data if isinstance(X, Table) else X
        weight: Array = aligned(_check_sample_weight(sample_weight, rows, dtype=dtype, ensure_non_negative=True))
        if not weight.any():
            raise InputError("sample_weight is zero for every row: at least one row must count.")
        if not 1e-100 < float(weight.max()) < 1e100:
            raise InputError(f"sample_weight up to {weight.max():g} is out of range: divide it by a constant.")
        if vars(self).get("weights") == "sampling":  # their unit says nothing of the rows that there are
            weight = weight * (np.count_nonzero(weight) / weight.sum(dtype=np.float64)).astype(weight.dtype)
        return weight

    def _described(self, y: object) -> DataDescription:
        """Return what is known about the rows before y is encoded: the columns as they are given, and the names of the
        targets."""
        of_frame = vars(self).get("feature_names_in_")
        names, targets = self._called
        if of_frame is not None:
            names = tuple(map(str, of_frame))
        elif names is not None and len(names) != self.n_features_in_:
            names = None
        return DataDescription(
            self.n_features_in_,
            names,
            from_frame=of_frame is not None,
            targets=_names_of(y) or targets,
            schema=None if names is None else self._schema,
        )

    def call_columns(
        self, names: Sequence[str] | None, target: str | None = None, schema: Schema | None = None
    ) -> None:
        """What to call the columns of an X without names, and a target without a name, where a fit speaks of them; None
        is x1, x2, ..., and no name. schema: what made the columns of numbers, where that is known."""
        self._called = None if names is None else tuple(map(str, names)), () if target is None else (target,)
        self._schema = schema

    def _train(
        self, rows: Rows, data: DataDescription, settings: Settings, checkpoint: str | os.PathLike[str] | None
    ) -> None:
        from newtron.training.train import train

        open_keeper = None
        if checkpoint is not None:
            from newtron.model_file.checkpoint import Checkpoint

            open_keeper = partial(Checkpoint, checkpoint)
        self.model_ = train(
            rows,
            data,
            settings,
            seed=_seed(self.random_state),
            callback=self._reporter(),
            open_keeper=open_keeper,
            foretell=self._foretold(),
        )

    def foretell_to(self, told: Callable[[Forecast], object] | None) -> None:
        """Whom to tell, before networks are trained, how long that will take; None is nobody."""
        self._told = told

    def _foretold(self) -> Callable[[Forecast], object] | None:
        if self._told is not None or not self.verbose:
            return self._told

        def tell(forecast: Forecast) -> None:
            if forecast.sentence:
                sys.stdout.write(f"{forecast.sentence}\n")

        return tell

    def fit_rows(self, rows: TableRows, *, checkpoint: str | os.PathLike[str] | None = None) -> Self:
        """Train on rows that need not fit in memory, with the targets that they hold: to the same optimum as `fit`.

        Parameters
        ----------
        rows : FileRows or ClusterRows
        checkpoint : path, optional
            As in `fit`.

        Returns
        -------
        self
            It predicts from frames with the columns of the files, and from arrays of `rows.schema.feature_names`.

        Raises
        ------
        InputError
            As in `fit`; also where a setting needs the rows in memory, and where a file cannot be read any more.

        Examples
        --------
        >>> from newtron import FileRows, PerceptronRegressor
        >>> rows = FileRows("examples/concrete.csv", target="strength_mpa")
        >>> PerceptronRegressor().fit_rows(rows).coef_.shape
        (8,)
        """
        from newtron.training.table_rows import describe_rows, with_class_weight

        if not isinstance(rows, TableRows):
            raise InputError(
                f"rows={type(rows).__name__} cannot be trained on: give newtron.FileRows or newtron.ClusterRows, or "
                "use fit(X, y)."
            )
        settings = self._settings()
        if settings.columns or settings.missing != Settings.missing:
            raise InputError(
                "The settings columns and missing are of frames, and rows of files come with theirs: give FileRows or "
                "ClusterRows choices=newtron.table.choices.ColumnChoices(...)."
            )
        data = describe_rows(rows, settings)
        self._train(with_class_weight(rows, settings), data, settings, checkpoint)
        self.n_features_in_ = rows.n_features
        self.__dict__.pop("feature_names_in_", None)
        self._warn(3)
        return self

    def fit_formula(self, formula: str, data: object, sample_weight: object = None) -> Self:
        """Train on the terms of a formula such as "y ~ a * b + bs(age, 4)", which the model keeps.

        Parameters
        ----------
        formula : str
            Terms as in R, patsy and formulaic, with the functions that docs/formulas.md lists.
        data : data frame
            The columns that the formula names; rows with a missing cell in one of them are left out.
        sample_weight : (n,), optional
            The weights of the rows of `data`.

        Returns
        -------
        self
            It predicts from frames with these columns; `model_.data.schema.formula` is what is kept.

        Raises
        ------
        InputError
            The formula cannot be read or kept, or its intercept is not what `fit_intercept` says.
        ImportError
            formulaic is not installed (extra formula).

        Examples
        --------
        >>> import pandas as pd
        >>> from newtron import PerceptronRegressor
        >>> cars = pd.DataFrame({"speed": [4, 7, 8, 9, 10], "dist": [2, 4, 16, 10, 18]})
        >>> model = PerceptronRegressor().fit_formula("dist ~ speed + I(speed**2)", cars)
        >>> model.predict(pd.DataFrame({"speed": [8]})).round(3).tolist()
        [10.132]
        """
        learnt, weight = learn_rows(formula, data, sample_weight, bool(vars(self)["fit_intercept"]))
        called = self._called
        self.call_columns(learnt.formula.feature_names)
        try:
            self.fit(learnt.X, learnt.y, weight)
        finally:
            self._called = called
        self.model_ = formula_kept(self.model_, learnt)
        return self

    def _reporter(self) -> Callback | None:
        if not self.verbose:
            return self.callback

        def report(progress: Progress) -> object:
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
        model = self.model_
        used = [member.solution for member in model.sharing]
        poor = [solution for solution in used if not (solution.converged or solution.status is Status.EARLY_STOPPED)]
        if not poor:
            return
        predict = "" if len(used) == len(model.members) else " that predict"
        who = f"{len(poor)} of {len(used)} members{predict}: " if len(used) > 1 else ""
        warnings.warn(f"{who}{poor[0].sentence}", ConvergenceWarning, stacklevel=level)

    # --- what a fit has found ---

    def _fitted_model(self) -> FittedModel:
        """The fitted model; raises NotFittedError before `fit`."""
        check_is_fitted(self)
        return self.model_

    @property
    def schema_(self) -> Schema:
        """What each column of a frame or a file is, and how it becomes the columns of `coef_`. Prints as a table."""
        model = self._fitted_model()
        return schema_of(model.data, model.settings)

    @property
    def members_(self) -> list[Member]:
        """The trained networks: one for a perceptron."""
        return list(self._fitted_model().members)

    @property
    def solution_(self) -> Solution:
        """How the training ended, for the member that stands for all where one is shown."""
        return self._fitted_model().solution

    @property
    def n_iter_(self) -> int:
        """The most iterations that a member took, at least 1."""
        return max(1, *(member.solution.n_iter for member in self._fitted_model().members), 1)

    @property
    def scaling_(self) -> Scaling:
        """The units of training."""
        return self._fitted_model().scaling

    @property
    def loss_(self) -> Loss:
        """The loss that was minimised."""
        return self._fitted_model().loss

    @property
    def certificate_(self) -> Certificate:
        """Whether the fit is an optimum, of what kind, and how far from the lowest objective at most."""
        return certificate_of(self._fitted_model(), self._rows_given)

    @property
    def effective_parameters_(self) -> float:
        """Parameters that the data determine (MacKay's gamma), averaged over the members by their shares; nan where
        alpha was given as a number."""
        return float(sum(member.share * member.effective_parameters for member in self._fitted_model().sharing))

    @property
    def random_intercepts_(self) -> pd.DataFrame:
        """The random intercept of each group, of a model with `intercepts`: a pandas frame.

        Columns: column and group; output, where there are several; intercept, what the group adds to the raw
        prediction (the conditional mode, or BLUP): in the units of the target for a squared error, else of the log odds
        or the log mean; standard_deviation, that of the intercept given the rest of the model.

        Raises AttributeError where the model has none.
        """
        model = self._fitted_model()
        if model.random_intercepts is None:
            raise AttributeError(
                f"{type(self).__name__} has no attribute 'random_intercepts_': this model has no random intercepts. "
                "intercepts names the columns whose groups have them."
            )
        return frame_of_intercepts(model)

    def _rows_given(self, X: Matrix, y: object, sample_weight: object) -> Rows:
        """The rows that a fitted model is asked about, as `fit` or `fit_rows` makes them. Raises InputError for unknown
        classes, and TypeError where targets are missing, or given beside rows that have theirs."""
        if isinstance(X, TableRows) != (y is None):
            raise TypeError("give X and y, or FileRows or ClusterRows alone, which have targets of their own.")
        if isinstance(X, TableRows):
            return rows_of_table(self.model_, X, y, sample_weight).rows
        X = self._for_prediction(X)
        return given_rows(self.model_, X, y, self._weights(X, sample_weight))

    # --- explaining ---

    def explain(
        self,
        x: Matrix,
        y: object = None,
        *,
        notation: str = "lecture",
        member: int | None = None,
        solver: Solver | None = None,
    ) -> Derivation:
        """How the model comes to its answer for x, how wrong that is by y, and every derivative by the chain rule.

        Parameters
        ----------
        x : (p,), (m, p) or a frame
            Of several rows the first is followed number by number, and loss and gradient are means over all, with the
            penalty, as if they were the training data.
        y : the target or class of each row, optional
            None where it is not known: then the answer is derived, with its derivatives with respect to the columns,
            and the loss is left out.
        notation : {"lecture", "lab"}
            ŷ, one number at a time; or matrices A, Z, W^[l], dW^[l].
        member : int or None
            Which network of an average, counted from 1; None is the best.
        solver : Solver or None
            Whose step is shown; None is the model's own. `GradientDescent(learning_rate=...)` sets the rate.

        Returns
        -------
        Derivation
            It prints as text, shows as HTML in a notebook, and has `to_dict`, `to_latex` and `to_html`.

        Raises
        ------
        InputError
            Rows, targets or settings do not fit. It is a ValueError.

        Examples
        --------
        >>> import numpy as np
        >>> from newtron import PerceptronRegressor
        >>> x, y = np.array([[1.0], [2.0], [3.0], [4.0]]), np.array([2.0, 4.0, 5.0, 7.0])
        >>> model = PerceptronRegressor().fit(x, y)
        >>> round(model.explain([2.0], 4.0).loss, 4)
        0.045
        """
        from newtron.model.explanation import explained

        X = _dense(self._for_prediction(_as_rows(x)))
        return explained(self.model_, X, y, notation=notation, member=member, solver=solver)

    # --- in a notebook ---

    def play(self, X: Matrix = None, y: object = None) -> object:
        """The page of `newtron play` as a widget, in the output of a notebook's cell, with this model's settings.

        X: rows (n, p), y: their targets or classes; with them the page shows and trains on these rows, and both of its
        methods can be started at the fitted parameters where its network is the model's own (up to three hidden layers
        of up to eight units, eight inputs, and no asinh features as hidden="auto" has them). Of more than 1,000 rows a
        random sample is taken. Without rows it shows an example, since a fit keeps no targets.

        Returns an `anywidget.AnyWidget`. Raises ImportError without the extra notebook (anywidget), and InputError (a
        ValueError) for rows that do not fit, several targets, or more classes than can be drawn.
        """
        from newtron.play.of_model import play

        model = self._fitted_model()
        if (X is None) != (y is None):
            raise InputError(
                "play needs both X and y, or neither: the loss is measured against the targets of the rows."
            )
        return play(model, None if X is None else _dense(self._for_prediction(_as_rows(X))), y)

    def _repr_html_inner(self) -> str:
        """scikit-learn's picture, and below it what is known of the fit."""
        return str(super()._repr_html_inner()) + described(vars(self).get("model_"))

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, str]:
        bundle: dict[str, str] = super()._repr_mimebundle_(**kwargs)
        if "text/html" in bundle:
            bundle["text/html"] += described(vars(self).get("model_"))
        return bundle

    # --- keeping ---

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to a file that `newtron.load` reads: a JSON manifest and plain arrays, no code.

        It is written under a temporary name and then renamed, so that an interrupted save leaves no half file.

        Parameters
        ----------
        path : path

        Raises
        ------
        InputError
            The path cannot be written, or the model has parameters that are not finite.

        Examples
        --------
        >>> import numpy as np
        >>> from newtron import PerceptronRegressor
        >>> x, y = np.array([[1.0], [2.0], [3.0], [4.0]]), np.array([2.0, 4.0, 5.0, 7.0])
        >>> model = PerceptronRegressor().fit(x, y)
        >>> model.save("line.newtron")
        """
        from newtron.model_file import write_model

        model, name = self._fitted_model(), type(self).__name__
        if name != model.settings.estimator:
            raise InputError(
                f"a {name} cannot be saved as a newtron model; save a {model.settings.estimator} with the same "
                "settings."
            )
        write_model(model, path)

    def export(
        self,
        path: str | os.PathLike[str],
        *,
        interval: float | None = None,
        table: str | None = None,
        keep: Sequence[str] | None = None,
    ) -> None:
        """Write the model for a system that has no newtron: as ONNX, C, SQL or Python with NumPy.

        The file predicts what `predict` and `predict_proba` do, to rounding, from the columns that the model was fitted
        to: text, dates and missing cells too, where it has a schema. It says at its head what the model is and how to
        use it (docs/export.md).

        Parameters
        ----------
        path : str or path
            Its ending says what is written: ``.onnx`` (needs the extra ``export``), ``.c`` (C99 without allocation),
            ``.sql`` (one query for SQLite, DuckDB and PostgreSQL) or ``.py`` (NumPy alone).
        interval : float between 0 and 1, optional
            Also the ends of an interval that holds the target with this probability; for a perceptron with squared
            errors, whose intervals have a formula.
        table : str, default "data"
            For SQL, the name of the table, such as ``birds`` or ``zoo.birds``.
        keep : list of str, optional
            For SQL, columns of the table to be given out beside the predictions; by default those that the model reads.

        Raises
        ------
        InputError
            The ending is none of these, a setting is for another language, the model cannot be written in this one, or
            the file cannot be written.

        Examples
        --------
        >>> import runpy, tempfile
        >>> from newtron import PerceptronRegressor
        >>> model = PerceptronRegressor().fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.export(f"{folder}/line.py")
        ...     line = runpy.run_path(f"{folder}/line.py")
        >>> line["predict"]([[10.0]]).round(6).tolist()
        [21.0]
        """
        from newtron.export import export_model

        export_model(self._fitted_model(), path, interval=interval, table=table, keep=keep)

    # --- predicting ---

    def _for_prediction(self, X: Matrix) -> Matrix:
        known = vars(self)
        plain = is_plain_matrix(X) and "model_" in known and "feature_names_in_" not in known
        if plain and X.shape[1] == known["n_features_in_"] and known["model_"].data.columns is None:
            return X
        check_is_fitted(self)
        return rows_to_predict(self, self._sparse, self.model_, X)


def _names_of(y: object) -> tuple[str, ...]:
    """Return the names of the targets, where a series or a frame has them."""
    columns = getattr(y, "columns", None)
    names: Sequence[object] = [getattr(y, "name", None)] if columns is None else list(columns)
    return tuple(str(name) for name in names) if all(isinstance(name, str) and name for name in names) else ()


def _as_rows(x: Matrix) -> Matrix:
    """One row as a matrix of one row; a pandas row keeps its names."""
    if hasattr(x, "to_frame") and getattr(x, "ndim", 2) == 1:
        return x.to_frame().T.infer_objects()
    if not hasattr(x, "shape"):
        found = np.asarray(x)
        x = np.asarray(x, dtype=object) if found.dtype.kind in "US" else found  # beside text, numbers stay numbers
    return x.reshape(1, -1) if len(x.shape) == 1 else x


def _dense(X: Matrix) -> Array:
    return np.asarray(X.toarray() if is_sparse(X) else X, dtype=np.float64)
