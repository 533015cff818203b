"""The linearised Laplace approximation: a Gaussian posterior of a member's parameters, and of its predictions.

Near the optimum the sum of the losses plus the penalty is a quadratic function with curvature A = J'HJ + diag(alpha),
the Gauss-Newton matrix. So the parameters have a Gaussian posterior with covariance noise * A^-1, and the raw
prediction z, linearised in the parameters, has one with covariance noise * J A^-1 J'. For a perceptron with squared
error this is exact, and the covariance is that of least squares or ridge regression.

For a network with many parameters the Gaussian is that of the output layer alone, given the layers before it: their
units are then the inputs of a perceptron (the last-layer Laplace approximation; Kristiadi, Hein & Hennig 2020,
Daxberger et al. 2021).

Sources: MacKay 1992 (A practical Bayesian framework for backpropagation networks); Immer, Korzepa & Bauer 2021
(Improving predictions of Bayesian neural nets via local linearization).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from newtron.engine.base.linalg import factorize, is_sparse, qr_triangle, singular_values
from newtron.engine.base.threads import cached_property, one_blas_thread
from newtron.engine.base.types import Array, Matrix
from newtron.engine.maths.curvature import add_gauss_newton, jacobian
from newtron.engine.maths.losses import Loss
from newtron.engine.maths.network import Linearization, Network
from newtron.engine.maths.scaling import taken_inputs
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import Chunk
from newtron.inference.coefficients.information import Information, penalty_root, square_triangle
from newtron.inference.penalties.evidence import determined_parameters

# A factor of so many parameters takes 4 MB of a model's file and of every copy of the model. In a larger network the
# output layer has a factor, of at most the second number of parameters (6 MB).
MOST_PARAMETERS, MOST_OF_A_LAYER = 1000, 1200
# Rows and outputs for each parameter of the output layer that a sample has at least.
_SAMPLE = 20.0
# Rows x outputs x parameters² of one curvature matrix: about a second of one core. Beyond, a sample of the rows stands
# for all of them.
_CURVATURE_WORK = 2e10
# Numbers of a Jacobian in memory at a time: 4 MB.
_PIECE = 2**19
# A factor whose condition number is above this is rounding in some direction.
_SINGULAR = 1e13
# What is added to the precision of such a factor: a share of each diagonal element, and of the largest one.
_ADDED, _ADDED_LARGEST = 1e-10, 1e-12
# Columns of equal norm whose smallest singular value is at most the first share of the largest are dependent. The
# second share of a column's square is then added to the diagonal.
_DEPENDENT, _ADDED_SQUARE = 1e-13, 1e-14


@dataclass(frozen=True)
class PosteriorFactor:
    """The upper triangular factor U (m, m) of the precision A = U'U of a member's parameters, as a model keeps it.

    triangle: (m (m + 1) / 2,) the numbers of U, row by row. effective: the number of parameters that the data
    determine, m - trace(diag(alpha) A^-1) (MacKay 1992).
    """

    triangle: Array
    effective: float

    def __reduce__(self) -> tuple[type[PosteriorFactor], tuple[Array, float]]:
        # The matrix is left out of a pickle: it is twice the size of the triangle that it is made from.
        return PosteriorFactor, (self.triangle, self.effective)

    @property
    def size(self) -> int:
        """m, the number of parameters."""
        return (math.isqrt(8 * self.triangle.size + 1) - 1) // 2

    @cached_property
    def matrix(self) -> Array:
        """U (m, m)."""
        U = np.zeros((self.size,) * 2)
        U[np.triu_indices(self.size)] = self.triangle
        return U


@dataclass(frozen=True)
class Posterior:
    """The Gaussian posterior of the parameters of one network: its mean is `params`, and its
    precision is A = U'U. It is the posterior of the parameters in `posterior_span`. first: the number, among all inputs
    of a model, of the first one that the network takes."""

    network: Network
    params: Array
    factor: PosteriorFactor
    first: int = 0

    @property
    def is_partial(self) -> bool:
        """True if this is the posterior of the output layer alone."""
        return self.factor.size != self.network.n_params

    @property
    def effective(self) -> float:
        """The number of parameters that the data determine."""
        return self.factor.effective

    @property
    def work(self) -> float:
        """Multiplications that `predict` takes for one row."""
        return float(self.factor.size**2 * self.network.n_outputs)

    def predict(self, X: Matrix) -> Iterator[tuple[slice, Array, Array]]:
        """Blocks of the rows of X, all inputs of a model, of which the network takes its part: which rows, z (m, k) and
        J A^-1 J' (m, k, k), all in float64."""
        from scipy.linalg.lapack import dtrtrs

        m, k = self.factor.size, self.network.n_outputs
        size = max(64, _PIECE // (m * k))
        for start in range(0, X.shape[0], size):
            rows = slice(start, min(start + size, X.shape[0]))
            own = taken_inputs(X[rows], self.network.widths[0], self.first)
            block = own.toarray() if is_sparse(own) else own
            at = self.network.linearize(self.params, block.astype(np.float64, copy=False))
            J = jacobian(_output_layer(at) if self.is_partial else at)
            # U' V = J, and J A^-1 J' = V'V. LAPACK works in column order, where U' is what U is here.
            V = dtrtrs(self.factor.matrix.T, J.reshape(m, -1), lower=1)[0].reshape(m, k, -1)
            if k == 1:
                yield rows, at.output, np.einsum("pcm,pcm->m", V, V)[:, None, None]
            else:
                turned = V.transpose(2, 1, 0)
                yield rows, at.output, turned @ turned.transpose(0, 2, 1)


def raw_predictions(posteriors: Sequence[Posterior], X: Matrix) -> list[tuple[Array, Array]]:
    """The z (n, k) of each posterior and its J A^-1 J' (n, k, k) at the rows of X (n, p), in scaled units."""
    found = []
    for posterior in posteriors:
        blocks = list(posterior.predict(X))
        found.append((np.concatenate([z for _, z, _ in blocks]), np.concatenate([V for _, _, V in blocks])))
    return found


def posterior_span(network: Network) -> slice | None:
    """The parameters that a posterior covers: all, or those of the output layer; None where these are too many, too."""
    P, output = network.n_params, network.spans[-1]
    if network.is_linear or P <= MOST_PARAMETERS:
        return slice(0, P)
    return output if output.stop - output.start <= MOST_OF_A_LAYER else None


def _output_layer(at: Linearization) -> Linearization:
    """The output layer on the same rows: a perceptron whose inputs are the units of the layer before."""
    own = _output_network(at.network)
    return Linearization(own, at.weights[-1:], at.inputs[-1:], at.output)


def _output_network(network: Network) -> Network:
    return Network(network.widths[-2:], network.activation, network.intercept)


def posterior_at(objective: TrainingObjective, params: Array) -> Posterior | None:
    """The posterior around params, the end of a training, from one pass over the rows: m²(n + m/3) multiplications.

    None where there are more parameters than a factor is kept for, or where the curvature is not finite.
    """
    network, of = objective.network, posterior_span(objective.network)
    if of is None or not np.isfinite(params).all():
        return None
    work = objective.rows.n_rows * network.n_outputs * (of.stop - of.start) ** 2
    with one_blas_thread(), np.errstate(all="ignore"):
        if of.stop - of.start < network.n_params:
            sampled = _sampled(objective, of.stop - of.start, _CURVATURE_WORK / max(work, 1))
            A = _curvature_of_output(sampled, params) * (objective.rows.total_weight / sampled.rows.total_weight)
            A[np.diag_indices_from(A)] += objective.alpha[of]
            seen = _output_network(network)
        else:
            sampled = objective.sampled(_CURVATURE_WORK / max(work, 1))
            hessian = sampled.evaluate(params, 2, gauss_newton=True).hessian
            A, seen = hessian * objective.rows.total_weight, network
        _add_along_invisible_shift(seen, objective.loss, objective.alpha[of], A)
        return _factored(network, params, A, objective.alpha[of])


def _sampled(objective: TrainingObjective, m: int, share: float) -> TrainingObjective:
    """The function on a share of the rows, and on enough of them for m parameters."""
    rows = objective.rows
    n = int(max(share * rows.n_rows, _SAMPLE * m / max(1, rows.n_outputs - 1)))
    some = rows.sample(n, np.random.default_rng(0)) if 2 * n < rows.n_rows else rows
    if not some.total_weight > 0.0:
        return objective
    return TrainingObjective(objective.network, objective.loss, some)


def _curvature_of_output(objective: TrainingObjective, params: Array) -> Array:
    """The sum over the rows of J'HJ in the output layer's parameters (m, m), without the penalty."""
    network, loss = objective.network, objective.loss
    cast = params.astype(objective.rows.dtype, copy=False)
    m = network.spans[-1].stop - network.spans[-1].start

    def of_chunk(chunk: Chunk) -> Array:
        total = np.zeros((m, m))
        for block in objective.blocks(chunk):
            at = _output_layer(network.linearize(cast, block.X))
            hessian = loss.pointwise(block.y, at.output, 2, gauss_newton=True).weighted(block.weight).hessian
            add_gauss_newton(at, hessian, total)
        return total

    return objective.rows.sum(of_chunk)


def posterior_of_perceptron(network: Network, params: Array, kept: Information, loss: Loss) -> Posterior | None:
    """The posterior of a perceptron, from what it keeps of its rows. Unlike A, its triangle keeps all digits of the
    columns."""
    k, q = network.n_outputs, kept.penalty.shape[1]
    with one_blas_thread(), np.errstate(all="ignore"):
        U = square_triangle(qr_triangle(np.vstack([kept.root, penalty_root(kept.penalty, loss)])))
        if loss.task == "regression" or k == 1:
            prior = kept.penalty[0] + _added_to_dependent(U)
            if (prior != kept.penalty[0]).any():
                U = qr_triangle(np.vstack([U, np.diag(np.sqrt(_added_to_dependent(U)))]))
            effective = k * _effective(U, prior)
            # Each target has parameters of its own, input by input, with the same information.
            triangle = np.kron(U, np.eye(k))[np.triu_indices(k * q)]
            return Posterior(network, params, PosteriorFactor(triangle, effective))
        # T maps all classes, ordered by input, to differences from the first class, ordered by class.
        T = np.zeros((k - 1, q, q, k))
        for i in range(q):
            T[:, i, i, 0] = -1.0
            T[range(k - 1), i, i, range(1, k)] = 1.0
        UT = U @ T.reshape((k - 1) * q, q * k)
        A, none = UT.T @ UT, np.zeros(q * k)
        _add_along_invisible_shift(network, loss, none, A)
        return _factored(network, params, A, none)


def _added_to_dependent(U: Array) -> Array:
    """The numbers that are added to the diagonal of U'U where columns depend on others, so that it has a factor; else
    zeros."""
    norm = np.linalg.norm(U, axis=0)
    norm[norm == 0.0] = 1.0
    values = singular_values(U / norm)
    return np.asarray(_ADDED_SQUARE * np.square(norm) * (values[-1] <= _DEPENDENT * values[0]))


def _factored(network: Network, params: Array, A: Array, penalty: Array) -> Posterior | None:
    if not np.isfinite(A).all():
        return None
    factor, prior = factorize(A), penalty
    if factor is None or factor.condition > _SINGULAR:
        # Some directions change no prediction: aliased columns, the intercept of a unit whose weights the penalty has
        # made zero. Rows like those of training do not depend on what is added there.
        diagonal = np.maximum(np.diagonal(A), 0.0)
        added = _ADDED * diagonal + _ADDED_LARGEST * diagonal.max(initial=0.0)
        factor, prior = factorize(A, added), penalty + added
    if factor is None:
        return None
    U = np.triu(factor.cholesky) * factor.scale
    if not np.isfinite(U).all():
        return None
    return Posterior(network, params, PosteriorFactor(U[np.triu_indices(len(U))], _effective(U, prior)))


def _add_along_invisible_shift(network: Network, loss: Loss, penalty: Array, A: Array) -> None:
    """Add, in place, a precision of ordinary size along the common shift of all classes of a softmax, for the
    parameters of the output layer that have no penalty. This shift changes no probability, so the prediction's
    posterior stays."""
    k = network.n_outputs
    if k == 1 or loss.visible(np.ones((1, k))).any():
        return
    last = network.spans[-1]
    rows = np.arange(last.start, last.stop).reshape(-1, k)
    for own in rows[penalty[rows[:, 0]] == 0.0]:
        block = A[np.ix_(own, own)]
        A[np.ix_(own, own)] = block + (np.trace(block) or 1.0) / k**2


def _effective(U: Array, prior: Array) -> float:
    """The number of parameters that the data determine."""
    if not prior.any():
        return float(U.shape[0])
    from scipy.linalg.lapack import dtrtri

    inverse = dtrtri(U.T, lower=1)[0]  # L^-1 with A = LL', so A^-1 has the squares of its columns on the diagonal
    return float(determined_parameters(prior, np.square(inverse).sum(axis=0)).sum())
