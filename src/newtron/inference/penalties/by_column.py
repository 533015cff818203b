"""Penalties by column: the weights of a column that says little are penalised more than those of one that says much.

Under one penalty for all weights a network follows chance in columns that say nothing. With a penalty of its own for
the weights of each column (automatic relevance determination: MacKay 1994; Neal 1996; the adaptive ridge of Grandvalet
1998), which follows from how large these weights are, columns without meaning are all but switched off.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.types import Array
from newtron.engine.maths.network import Network

# The prior of a column's precision is worth so many weights, for each of its weights. It keeps the penalty of a column
# whose weights vanish below 1 + 1/.05 = 21 times the common one. Inside the training rows of friedman1 (two samples of
# 200 rows, of whose ten columns five say nothing) .3, .05 and .01 lower the error by 15, 17 and 18 % in one round.
_PRIOR = 0.05
# A column whose weights get at least so many times the common penalty is said to be all but switched off: its weights
# have less than .055 of the mean square of all.
SWITCHED_OFF = 10.0


def column_factors(network: Network, params: Array, columns: NDArray[np.intp]) -> Array:
    """(P,) by how many times the common penalty each parameter is to be penalised, given weights near an optimum.

    The m weights from a column's inputs, whose mean square is r times that of the weights from all inputs, get
    (1 + c) / (r + c), MacKay's and Neal's fixed point m / Σ w² under a gamma prior worth c m weights. Then the penalty
    of the given weights is about what it was. All others get 1, and so do all where no input has a weight.

    params: (P,). columns: (inputs,) the number of the column that each input of the network is made of.
    """
    factors = np.ones(network.n_params)
    squares = np.square(network.split(params)[0].W).sum(axis=1)
    total = float(squares.sum())
    if not total > 0.0:
        return factors
    share = np.bincount(columns, squares) / np.maximum(np.bincount(columns), 1) * (len(columns) / total)
    network.split(factors)[0].W[:] = ((1.0 + _PRIOR) / (share + _PRIOR))[columns, None]
    return factors


def common_penalty(network: Network, alpha: Array) -> float:
    """The penalty of the weights to the outputs, which penalties by column are multiples of; 0 without one."""
    return float(network.split(alpha)[-1].W.max(initial=0.0))


def factors_of_inputs(network: Network, alpha: Array) -> Array:
    """(inputs,) by how many times the common penalty the weights from each input are penalised. alpha: (P,)."""
    of_inputs, common = network.split(alpha)[0].W[:, 0], common_penalty(network, alpha)
    return of_inputs / common if common > 0.0 else np.ones(len(of_inputs))
