"""All numbers of one point: what every unit says for every row, the rows' losses, and value, slopes and curvatures of
the whole objective. The lessons draw their scenes from it."""

from __future__ import annotations

import numpy as np

from newtron.engine.base.linalg import eigh
from newtron.engine.base.types import Array
from newtron.play.messages import PointFacts
from newtron.play.numbers import json_matrix, json_number, json_vector
from newtron.play.problem import Problem
from newtron.play.runs import EVERY_HESSIAN


def point_facts(problem: Problem, params: Array) -> PointFacts:
    """The point `params` (P,) of a problem."""
    at = problem.network.linearize(params, problem.X)
    rows = problem.loss.pointwise(problem.Y, at.output, 1)
    few = problem.network.n_params <= EVERY_HESSIAN
    whole = problem.objective.evaluate(params, 2) if few else None
    found = whole or problem.objective.evaluate(params, 1)
    values, vectors = eigh(whole.hessian) if whole else (np.empty(0), np.empty((0, 0)))
    mean = problem.loss.inverse_link(at.output)
    return {
        "value": json_number(found.value),
        "gradient": json_vector(found.gradient),
        "hessian": json_matrix(whole.hessian) if whole else None,
        "eigenvalues": json_vector(values) if whole else None,
        "eigenvectors": json_matrix(vectors.T) if whole else None,
        "z": [json_matrix(layer.z) for layer in at.layers],
        "a": [json_matrix(layer.a) for layer in at.layers[:-1]] + [json_matrix(mean)],
        "deltas": [json_matrix(delta) for delta in at.deltas(rows.gradient)],
        "losses": json_vector(rows.value),
    }
