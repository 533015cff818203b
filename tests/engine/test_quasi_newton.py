"""Pairs of steps: the compact form against the update of BFGS itself."""

from __future__ import annotations

import numpy as np

from newtron.engine import Function
from newtron.engine.base.types import Array
from newtron.engine.solvers.quasi_newton import Pairs

_ROOT = np.random.default_rng(1).normal(size=(6, 6))
_HESSIAN = _ROOT @ _ROOT.T + np.eye(6)


class _Parabola(Function):
    n_params = 6

    def value(self, params: Array) -> float:
        return 0.5 * float(params @ _HESSIAN @ params)

    def gradient(self, params: Array) -> Array:
        return np.asarray(_HESSIAN @ params)


def test_the_compact_form_is_the_update_of_bfgs() -> None:
    rng = np.random.default_rng(0)
    start = np.diag(rng.uniform(0.5, 2.0, 6))
    steps = rng.normal(size=(5, 6))
    pairs = Pairs.none(6)
    for step in steps:
        pairs = pairs.with_pair(_Parabola(), step, _HESSIAN @ step, most=3)
    inverse = start
    for step in steps[-3:]:
        change = _HESSIAN @ step
        left = np.eye(6) - np.outer(step, change) / (step @ change)
        inverse = left @ inverse @ left.T + np.outer(step, step) / (step @ change)
    gradient = rng.normal(size=6)
    found = pairs.times_inverse(gradient, lambda q: start @ q)
    np.testing.assert_allclose(found, inverse @ gradient, rtol=1e-12)
    np.testing.assert_allclose(pairs.times_inverse(pairs.changes[-1], lambda q: start @ q), steps[-1], rtol=1e-12)


def test_a_pair_without_certain_curvature_is_left_out() -> None:
    pairs = Pairs.none(6).with_pair(_Parabola(), np.ones(6), np.ones(6))
    assert len(pairs) == 1
    assert pairs.with_pair(_Parabola(), np.ones(6), -np.ones(6)) is pairs


def test_pairs_that_follow_the_same_ones_do_not_change_each_other() -> None:
    rng = np.random.default_rng(0)
    before, steps = Pairs.none(6), rng.normal(size=(9, 6))
    for step in steps[:7]:
        before = before.with_pair(_Parabola(), step, _HESSIAN @ step, most=3)
    first, second = (before.with_pair(_Parabola(), step, _HESSIAN @ step, most=3) for step in steps[7:])
    np.testing.assert_array_equal(first.steps, steps[[5, 6, 7]])
    np.testing.assert_array_equal(second.steps, steps[[5, 6, 8]])
    np.testing.assert_allclose(before.changes, steps[4:7] @ _HESSIAN, rtol=1e-12)
