"""The input of an explanation, the values that training computes for it, and the symbols for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from newtron.engine.base.threads import cached_property
from newtron.engine.base.types import Array
from newtron.engine.maths.losses import Loss, RowHessians
from newtron.engine.maths.network import LayerValues, Linearization, Network
from newtron.engine.maths.scaling import Scaling
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import ArrayRows
from newtron.engine.solvers import Solver

# A factor ∂L/∂ŷ above this is the inverse of a probability that has lost digits: the smallest float64 with all of them
# is 2e-308.
_LARGEST_FACTOR = 1e300


@dataclass(frozen=True, eq=False)
class Answer:
    """The prediction of the whole model for the first row, where the network that is explained is one of several.

    member: number of that network, counted from 1. shares: (M,) weights of all members in the average. shapes: the
    widths of each member, in words. each: predictions of the members, (M, k), in the user's units or as probabilities.
    averaged: their weighted mean (k,), or the probabilities of all classes, to the power 1 / temperature and
    normalised. slopes: the derivatives of these with respect to the columns, (k, p), in the user's units. groups: of
    each column with random
    intercepts its name, the group of the row ("" where training never saw it), and the intercept (k,), which `each` has
    already.
    """

    member: int
    shares: Array
    shapes: tuple[str, ...]
    each: Array
    averaged: Array
    slopes: Array
    temperature: float = 1.0
    groups: tuple[tuple[str, str, Array], ...] = ()

    @property
    def members(self) -> int:
        """The number of members with a positive share."""
        return int(np.count_nonzero(self.shares))

    @property
    def share(self) -> float:
        """The share of the member that is explained."""
        return float(self.shares[self.member - 1])


@dataclass(frozen=True, eq=False)
class Subject:
    """A network with its parameters, and rows in the units of training.

    X (m, n_inputs) and Y (m, k) are in scaled units; as_given (m, p) and targets_given (m, k) in the user's. Y is nan
    where the targets are not known: there is no loss then, and the answer alone is derived. inputs, outputs: names of
    the network's inputs, and of targets or classes (both classes where there are two). columns: names of the p columns,
    which are those of the first inputs where these are columns. alpha: the penalty of training,
    one number for every weight or one for each parameter (P,). why_alpha: how alpha was chosen, in words that follow "α
    = 2", or "" where the user gave it. solver: the solver whose step is shown. target: its name, or "" where it is not
    known.
    """

    network: Network
    loss: Loss
    params: Array
    X: Array
    Y: Array
    as_given: Array
    targets_given: Array
    scaling: Scaling
    columns: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    solver: Solver
    alpha: float | Array = 0.0
    why_alpha: str = ""
    answer: Answer | None = None
    remarks: tuple[str, ...] = ()
    target: str = ""


class Point:
    """The subject as the engine computes it: forward pass, losses and backpropagation of its rows, and their
    objective."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.network, self.loss, self.params = subject.network, subject.loss, subject.params
        with np.errstate(all="ignore"):
            self.at: Linearization = self.network.linearize(self.params, subject.X)
            self.row: RowHessians = self.loss.pointwise(subject.Y, self.at.output, 2)
            self.by_z: Array = self.row.gradient
            self.layers: tuple[LayerValues, ...] = self.at.layers
            self.deltas: list[Array] = self.at.deltas(self.by_z)
            self.mean: Array = self.loss.inverse_link(self.at.output)
            self.by_mean: Array = self.loss.by_mean(subject.Y, self.mean)
            self.mean_by_z: Array = self.loss.mean_by_z(self.at.output)
        self.names = Names(self.network, self.loss, subject.inputs, subject.outputs)

    @property
    def m(self) -> int:
        """The number of rows."""
        return int(self.subject.X.shape[0])

    @property
    def k(self) -> int:
        """The number of outputs."""
        return self.network.n_outputs

    @property
    def depth(self) -> int:
        """The number of layers with parameters."""
        return len(self.layers)

    @cached_property
    def known(self) -> bool:
        """Whether the targets are known, so that there is a loss."""
        return not np.isnan(self.subject.Y).any()

    @cached_property
    def identity(self) -> bool:
        """Whether the link is the identity, so that ŷ = z."""
        return self.loss.has_identity_link

    @cached_property
    def factors_finite(self) -> bool:
        """Whether ∂L/∂ŷ and ∂ŷ/∂z of the first row are finite and have all their digits. They are not where the model
        gives the observed class a probability of 0, or one so small that it has lost its digits."""
        return bool(np.all(np.abs(self.by_mean[0]) < _LARGEST_FACTOR))

    def below(self, layer: int) -> Array:
        """The inputs of a layer (counted from 1) for the first row: x or a^[layer-1]."""
        return np.asarray(self.at.inputs[layer - 1][0], dtype=np.float64)

    def by_value(self, layer: int) -> Array:
        """∂L/∂a^[layer] of a hidden layer for the first row."""
        return np.asarray(self.deltas[layer][0] @ self.at.weights[layer].W.T)

    @cached_property
    def objective(self) -> TrainingObjective:
        """The mean loss of the rows; for several rows with the penalty, as if they were all of the training data."""
        rows = ArrayRows(self.subject.X, self.subject.Y, None)
        return TrainingObjective(self.network, self.loss, rows, self.alpha if self.m > 1 else 0.0)

    @cached_property
    def alpha(self) -> Array:
        """The penalty of training on each parameter, (P,)."""
        given = np.asarray(self.subject.alpha, dtype=np.float64)
        return given if given.ndim else np.where(self.network.is_weight, given, 0.0)

    @cached_property
    def gradient(self) -> Array:
        """The gradient of the mean loss without penalty, (P,)."""
        return np.asarray(self.at.vjp(self.by_z) / self.m)


class Names:
    """The symbols of all quantities. Layers have superscripts in brackets, except the only layer of a perceptron; an
    index that could only be 1 is left out."""

    def __init__(self, network: Network, loss: Loss, inputs: tuple[str, ...], outputs: tuple[str, ...] = ()) -> None:
        self._network, self._inputs, self._outputs = network, inputs, outputs
        self._widths = network.widths
        self._last = len(self._widths) - 1
        self._identity = loss.has_identity_link

    def mark(self, layer: int) -> str:
        """The superscript of a layer."""
        return "" if self._last == 1 else f"^{{[{layer}]}}"

    def _index(self, index: int | str, of: int) -> str:
        if of == 1:
            return ""
        return f"_{{{index + 1 if isinstance(index, int) else index}}}"

    def x(self, j: int | str) -> str:
        """The symbol of an input."""
        return "x" + self._index(j, self._widths[0])

    def given(self, j: int | str) -> str:
        """The symbol of the number that is given in a column, where columns are no inputs themselves."""
        return f"given_{{{j + 1 if isinstance(j, int) else j}}}"

    def below(self, layer: int, j: int | str) -> str:
        """The symbol of input j of a layer."""
        return self.x(j) if layer == 1 else self.a(layer - 1, j)

    def a(self, layer: int, k: int | str) -> str:
        """The symbol of an activation."""
        return "a" + self._index(k, self._widths[layer]) + self.mark(layer)

    def z(self, layer: int, k: int | str) -> str:
        """The symbol of the sum of a unit; ŷ where the prediction is that sum itself."""
        if layer == self._last and self._identity:
            return self.mean(k)
        return "z" + self._index(k, self._widths[layer]) + self.mark(layer)

    def mean(self, c: int | str) -> str:
        """The symbol of a prediction."""
        return "ŷ" + self._index(c, self._widths[-1])

    def y(self, c: int | str) -> str:
        """The symbol of a target."""
        return "y" + self._index(c, self._widths[-1])

    def w(self, layer: int, j: int | str, k: int | str) -> str:
        """The symbol of a weight from input j to unit k."""
        inputs, units = self._widths[layer - 1], self._widths[layer]
        if isinstance(j, int) and isinstance(k, int) and inputs > 1 and units > 1:
            gap = "," if j > 8 or k > 8 else ""
            return f"w_{{{j + 1}{gap}{k + 1}}}{self.mark(layer)}"
        shown = [str(i + 1) if isinstance(i, int) else i for i, of in ((j, inputs), (k, units)) if of > 1]
        gap = "," if any(len(i) > 1 for i in shown) and len(shown) > 1 else ""
        index = f"_{{{gap.join(shown)}}}" if shown else ""
        return "w" + index + self.mark(layer)

    def b(self, layer: int, k: int | str) -> str:
        """The symbol of an intercept."""
        return "b" + self._index(k, self._widths[layer]) + self.mark(layer)

    def letters(self, layer: int) -> tuple[str, str]:
        """The letters that stand for a layer's inputs and units."""
        return "j", "c" if layer == self._last else "k"

    @cached_property
    def parameters(self) -> tuple[tuple[str, str], ...]:
        """Symbol and name of every parameter, in the order of the flat vector. The name of a first-layer weight is that
        of its column, the name of the intercept of a perceptron is "intercept", and all others are ""."""
        found: list[tuple[str, str]] = []
        for layer, (inputs, units) in enumerate(pairwise(self._widths), start=1):
            columns = self._inputs if layer == 1 else ("",) * inputs
            found += [(self.w(layer, j, k), columns[j]) for j in range(inputs) for k in range(units)]
            if self._network.intercept:
                name = "intercept" if self._last == 1 else ""
                found += [(self.b(layer, k), name) for k in range(units)]
        return tuple(found)

    def output(self, c: int) -> str:
        """The name of the target or class of an output."""
        outputs = self._outputs
        two_classes = self._widths[-1] == 1 and len(outputs) == 2
        return outputs[1] if two_classes else outputs[c] if c < len(outputs) else ""
