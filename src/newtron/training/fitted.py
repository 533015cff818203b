"""The fitted model: one frozen value that training makes and that everything else reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from newtron.engine.base.threads import cached_property
from newtron.engine.base.types import Array, Labels, Matrix
from newtron.engine.maths.losses import Loss, loss_for
from newtron.engine.maths.network import Linearization, Network
from newtron.engine.maths.scaling import Scaling, taken_inputs
from newtron.engine.solvers import Solution
from newtron.inference.certificate.endpoint import Curvature, Endpoint
from newtron.inference.coefficients.information import Information
from newtron.inference.mixed.fit import MixedLikelihood
from newtron.inference.mixed.random_intercepts import RandomIntercepts
from newtron.inference.mixed.seen_rows import SeenRows
from newtron.inference.posterior import Posterior, PosteriorFactor
from newtron.inference.predictive.predictive import NoiseModel
from newtron.inference.separation.separation import Separation
from newtron.table.schema import Schema
from newtron.training.settings import Settings, Shape

_NOTHING = np.zeros((1, 1))


@dataclass(frozen=True)
class Member:
    """One trained network of an average: its shape, its solution, its penalties, and its share in the prediction.

    alpha: (P,) penalty on each parameter, in units of one row's loss in scaled targets: the objective is
    (Σ_i weight_i · loss_i + ½ Σ_j alpha_j params_j²) / Σ_i weight_i. 0 where a parameter is not penalised.
    noise: variance of the targets around the network, in scaled target units (the mean over several targets); 1 where
    the variance follows from the mean, as for classes and counts. So the Laplace precision of params is
    (Σ_i weight_i J'HJ + diag(alpha)) / noise, and alpha / noise is the prior's precision. first_input: the number,
    among all inputs of the model, of the first one that the network takes. log_evidence,
    effective_parameters: where the data chose alpha, else nan.
    end: where it ended, for its certificate; None where it was not measured. information: what a perceptron keeps of
    its rows, for its summary; None where that would be large or has no meaning. posterior_factor: how far the rows
    of a network determine its parameters, for its intervals; None where that would be large.

    Examples
    --------
    >>> import numpy as np
    >>> from newtron import NetworkRegressor
    >>> x = np.linspace(-1.0, 1.0, 20)[:, None]
    >>> model = NetworkRegressor(hidden=[(2,), (3,)], n_starts=1, alpha=0.1).fit(x, x[:, 0] ** 2)
    >>> [(member.hidden, member.share) for member in model.members_]
    [((2,), 0.5), ((3,), 0.5)]
    """

    network: Network
    solution: Solution
    alpha: Array
    noise: float = 1.0
    share: float = 1.0
    first_input: int = 0
    end: Endpoint | Curvature | None = field(default=None, repr=False, compare=False)
    information: Information | None = None
    posterior_factor: PosteriorFactor | None = field(default=None, repr=False, compare=False)
    log_evidence: float = float("nan")
    effective_parameters: float = float("nan")

    @property
    def hidden(self) -> Shape:
        """Units of each hidden layer."""
        return self.network.widths[1:-1]

    @property
    def params(self) -> Array:
        return self.solution.params

    def output(self, inputs: Matrix) -> Array:
        """The raw prediction (n, k) from all inputs of the model, (n, n_inputs), in their dtype, of which the network
        takes its part."""
        return self.network.output(self.params.astype(inputs.dtype, copy=False), self.taken(inputs))

    def linearized(self, inputs: Matrix) -> Linearization:
        """The same in float64, with all that derivatives are made of, from the inputs of the network alone."""
        params = self.params.astype(np.float64, copy=False)
        return self.network.linearize(params, inputs.astype(np.float64, copy=False))

    def taken(self, inputs: Matrix) -> Matrix:
        """The inputs of the network, of all those of the model, as a view."""
        return taken_inputs(inputs, self.network.widths[0], self.first_input)

    @property
    def posterior(self) -> Posterior | None:
        """The posterior of a network's parameters; None where its factor was not kept."""
        factor = self.posterior_factor
        return None if factor is None else Posterior(self.network, self.params, factor, self.first_input)

    @property
    def curvature(self) -> Curvature:
        """What second derivatives say of its end."""
        return self.end.curvature if isinstance(self.end, Endpoint) else self.end or Curvature()


@dataclass(frozen=True)
class DataDescription:
    """What is known of the columns and the targets of the rows that a model is trained on.

    n_features: of the matrix that is trained on. names: of its columns, where they are known. columns: names of the
    columns that were given to `fit`, where the schema made numbers of them; None where X was numbers, or the rows are
    of a file. from_frame: the given columns were those of a data frame, so that rows to predict must have them.
    targets: names of the targets, where they are known. one_column: the targets were given as (n,), and so are
    predictions. classes: (K,) in order; None for a regression. schema: how the columns of a frame or a file become
    numbers; None where X was numbers. column_means: (n_features,) what stands in for missing cells there; None where
    the schema says it.
    """

    n_features: int
    names: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None
    from_frame: bool = False
    targets: tuple[str, ...] = ()
    one_column: bool = True
    classes: Labels | None = None
    schema: Schema | None = None
    column_means: Array | None = None

    @property
    def given(self) -> tuple[int, tuple[str, ...] | None]:
        """The number and the names of the columns of X, as users give it."""
        return (self.n_features, self.names) if self.columns is None else (len(self.columns), self.columns)

    def without(self, columns: tuple[int, ...]) -> DataDescription:
        """What is known of the matrix without some of its columns. The schema stays that of all."""
        kept = [j for j in range(self.n_features) if j not in columns]
        names, means = self.names, self.column_means
        return replace(
            self,
            n_features=len(kept),
            names=None if names is None else tuple(names[j] for j in kept),
            column_means=None if means is None else means[kept],
        )

    @property
    def known_classes(self) -> Labels:
        """The classes of a classification."""
        if self.classes is None:
            raise TypeError("a regression has no classes")
        return self.classes


@dataclass(frozen=True, eq=False)
class FittedModel:
    """All that is known after a fit. Every question about the model is a function of this value.

    members: the trained networks, one for a perceptron. separation: whether planes separate the classes; None where
    nobody asked or a penalty keeps the coefficients finite. temperature: probabilities are taken to the power
    1 / temperature. noise_model: what a regression by networks knows of its noise, or the sentence why there are no
    intervals; None for all other models. relevance: (p,) how much each column moves the prediction; None for a
    perceptron. random_intercepts: what raw predictions gain by the groups of their rows; None where nothing is.
    left_out_loss: the mean loss, in nats a row, that rows which were left out while this average was trained promise
    for new ones (`inference.predictive.promise`); nan where there were none, and for a perceptron. mixed: the
    likelihood of a perceptron with random intercepts; None for all other models. seen_rows: what raw predictions of
    rows that equal a training row gain beside that; None where nothing is. left_out_loss is of rows never seen.

    Examples
    --------
    >>> import pandas as pd
    >>> from newtron import PerceptronClassifier
    >>> penguins = pd.read_csv("examples/penguins.csv").dropna()
    >>> X, y = penguins[["species", "bill_depth_mm", "body_mass_g"]], penguins["sex"]
    >>> model = PerceptronClassifier().fit(X, y)
    >>> fitted = model.model_
    >>> fitted.is_perceptron, fitted.n_outputs, fitted.data.classes
    (True, 1, array(['female', 'male'], dtype=object))
    """

    settings: Settings
    data: DataDescription
    scaling: Scaling
    members: tuple[Member, ...]
    separation: Separation | None = None
    temperature: float = 1.0
    noise_model: NoiseModel | str | None = None
    relevance: Array | None = None
    random_intercepts: RandomIntercepts | None = None
    left_out_loss: float = float("nan")
    mixed: MixedLikelihood | None = None
    seen_rows: SeenRows | None = None

    @cached_property
    def loss(self) -> Loss:
        """The loss that was minimised."""
        return loss_for(self.settings.task, self.settings.loss, self.n_outputs)

    @property
    def n_outputs(self) -> int:
        """Raw predictions for each row."""
        return self.members[0].network.n_outputs

    @property
    def is_regression(self) -> bool:
        return self.settings.task == "regression"

    @property
    def is_perceptron(self) -> bool:
        return self.settings.family == "perceptron"

    @property
    def is_separated(self) -> bool:
        """Was it proved that the classes are separated, so that no finite coefficients are best?"""
        return self.separation is not None and self.separation.found

    @cached_property
    def means(self) -> Callable[[Array], Array]:
        """The function from z (n, k) to the means (n, k) of a regression, in the user's units, or to probabilities."""
        return self.scaling.outputs if self.loss.has_identity_link else self.loss.inverse_link

    def scaling_of(self, member: Member) -> Scaling:
        """The scaling of the inputs that a member takes."""
        return self.scaling.taking(member.network.widths[0], member.first_input)

    def shape_of(self, member: Member) -> str:
        """The widths of a member from inputs to outputs, as "4-10-3"; where the inputs are no columns, from what."""
        shape = "-".join(map(str, member.network.widths))
        return f"{shape} landmarks" if self.scaling_of(member).landmarks is not None else shape

    @cached_property
    def most_parameters(self) -> int:
        """The number of parameters of the largest member."""
        return max(member.network.n_params for member in self.members)

    def gained(self, X: Matrix) -> Array:
        """(n, k) what the raw predictions of rows X gain by random intercepts, those of rows seen before among them;
        (1, 1) zeros where there are none."""
        by_groups = self.gained_by_groups(X)
        return by_groups if self.seen_rows is None else by_groups + self.seen_rows.at(X)

    def gained_by_groups(self, X: Matrix) -> Array:
        """The same by the groups of the rows alone, which a row keeps when other columns of it change."""
        return _NOTHING if self.random_intercepts is None else self.random_intercepts.at(X)

    @property
    def has_intercepts(self) -> bool:
        """Does any row gain anything?"""
        return self.random_intercepts is not None or self.seen_rows is not None

    @property
    def sharing(self) -> tuple[Member, ...]:
        """The members that take part in the prediction."""
        return tuple(member for member in self.members if member.share > 0.0)

    @property
    def best(self) -> int:
        """The position of the member that stands for all where one is shown: the best of those that take the columns
        themselves, which their parameters say more of than those of a perceptron on landmarks do, unless none of these
        has a share."""
        used = [place for place, member in enumerate(self.members) if member.share]
        shown = [place for place in used if not self.members[place].first_input] or used
        return shown[best_member([self.members[place] for place in shown])]

    @property
    def solution(self) -> Solution:
        """How the training of the best member ended."""
        return self.members[self.best].solution

    @cached_property
    def coefficients(self) -> tuple[Array, Array]:
        """W (p, k) and b (k,) of the raw prediction of a perceptron, in the user's units."""
        member, scaling = self.members[0], self.scaling
        layer = member.network.split(member.params)[0]
        W = layer.W / scaling.x_scale[:, None] * scaling.y_scale
        b = np.zeros(W.shape[1]) if layer.b is None else layer.b * scaling.y_scale
        b = b + scaling.y_center - scaling.x_center @ W
        for array in (W, b):  # whoever changed them would change no prediction
            array.flags.writeable = False
        return W, b


def best_member(members: Sequence[Member]) -> int:
    """The member with the greatest evidence, or where that was not computed with the lowest objective, among those with
    the greatest share; a value that is not finite is never the best."""
    chosen = all(np.isfinite(m.log_evidence) for m in members)
    largest = max(m.share for m in members)
    values = [-m.log_evidence if chosen else m.solution.value for m in members]
    values = [
        value if np.isfinite(value) and m.share == largest else np.inf for value, m in zip(values, members, strict=True)
    ]
    return int(np.argmin(values))
