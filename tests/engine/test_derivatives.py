"""Every derivative of every loss x activation x depth x outputs against central differences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.problems import Case, cases

import newtron.engine.maths.curvature
import newtron.engine.maths.losses
from newtron.engine.maths.activations import ACTIVATIONS
from newtron.engine.maths.losses import LOSSES, RowGradients
from newtron.engine.maths.network import FirstInputs, Linearization, Network
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import ArrayRows

Array = NDArray[np.floating]

ALL = cases(tuple(ACTIVATIONS))
STEP = 1e-5


def relative(found: Array, expected: Array) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def check_derivatives(case: Case) -> None:
    """Gradient within 1e-7, Hessian, Gauss-Newton matrix and products within 1e-6, relative."""
    objective, params = case.objective(block_rows=16)
    found = objective.evaluate(params, 2)
    P = objective.n_params
    gradient, hessian = np.empty(P), np.empty((P, P))
    for j, move in enumerate(STEP * np.eye(P)):
        above, below = objective.evaluate(params + move, 1), objective.evaluate(params - move, 1)
        gradient[j] = (above.value - below.value) / (2.0 * STEP)
        hessian[:, j] = (above.gradient - below.gradient) / (2.0 * STEP)
    assert relative(found.gradient, gradient) < 1e-7
    assert relative(found.hessian, hessian) < 1e-6
    v = np.random.default_rng(0).normal(size=P)
    assert relative(objective.hvp(params, v), hessian @ v) < 1e-6
    assert relative(objective.evaluate(params, 2, gauss_newton=True).hessian, gauss_newton(case)) < 1e-6


def gauss_newton(case: Case) -> Array:
    """J'HJ + penalty, with J by central differences of the network's output and H the loss's convex part."""
    objective, params = case.objective()
    network, X = objective.network, objective.rows._X  # type: ignore[attr-defined]
    J = np.stack(
        [
            (network.output(params + move, X) - network.output(params - move, X)) / (2.0 * STEP)
            for move in STEP * np.eye(objective.n_params)
        ],
        axis=2,
    )
    y, weight = objective.rows._y, objective.rows._weight  # type: ignore[attr-defined]
    H = case.loss.pointwise(y, network.output(params, X), 2, gauss_newton=True).hessian
    assert (np.linalg.eigvalsh(H) > -1e-12).all()
    product = np.einsum("n,nkp,nkl,nlq->pq", weight, J, H, J)
    return np.asarray((product + np.diag(objective.alpha)) / objective.rows.total_weight)


@pytest.mark.slow
@pytest.mark.parametrize("case", ALL, ids=str)
def test_derivatives_agree_with_central_differences(case: Case) -> None:
    check_derivatives(case)


@pytest.mark.slow
@pytest.mark.parametrize("case", ALL, ids=str)
def test_pieces_of_the_chain_rule_agree(case: Case) -> None:
    """J v and J'u are transposes, the layers multiply up to the output, and the line search sees the same function."""
    objective, params = case.objective()
    X = objective.rows._X  # type: ignore[attr-defined]
    at = objective.network.linearize(params, X)
    rng = np.random.default_rng(2)
    u, v = rng.normal(size=at.output.shape), rng.normal(size=params.size)
    assert np.vdot(u, at.jvp(v)) == pytest.approx(float(at.vjp(u) @ v), rel=1e-11)
    change = (objective.network.output(params + 1e-6 * v, X) - objective.network.output(params - 1e-6 * v, X)) / 2e-6
    assert relative(at.jvp(v), change) < 1e-7
    layers = at.layers
    np.testing.assert_array_equal(layers[-1].z, at.output)
    for layer in layers[:-1]:
        a = layer.z.copy()
        objective.network.f.apply(a)
        np.testing.assert_array_equal(a, layer.a)
    on_line = objective.along(params, v)
    for t in (0.0, 0.3, 1.0):
        there = objective.evaluate(params + t * v, 1)
        assert on_line(t).value == pytest.approx(there.value, rel=1e-12)
        assert on_line(t).slope == pytest.approx(float(there.gradient @ v), rel=1e-9, abs=1e-12)


def _wrong_sign(method: Callable[..., Any]) -> Callable[..., Any]:
    def mutated(*args: Any, **kwargs: Any) -> Any:
        found = method(*args, **kwargs)
        return replace(found, gradient=-found.gradient) if isinstance(found, RowGradients) else found

    return mutated


def _missing_half(method: Callable[..., Any]) -> Callable[..., Any]:
    def mutated(*args: Any, **kwargs: Any) -> Any:
        found = method(*args, **kwargs)
        return replace(found, value=2.0 * found.value)

    return mutated


LOSS_MUTATIONS = {"flipped sign": _wrong_sign, "forgotten factor": _missing_half}


@pytest.mark.parametrize("mutation", LOSS_MUTATIONS)
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_a_wrong_loss_is_noticed(monkeypatch: pytest.MonkeyPatch, loss: Any, mutation: str) -> None:
    monkeypatch.setattr(type(loss), "pointwise", LOSS_MUTATIONS[mutation](type(loss).pointwise))
    with pytest.raises(AssertionError):
        check_derivatives(Case(loss, "tanh", (3,), loss.min_outputs))


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "identity"])
@pytest.mark.parametrize("part", ["slope", "bend"])
def test_a_wrong_activation_is_noticed(monkeypatch: pytest.MonkeyPatch, name: str, part: str) -> None:
    right = ACTIVATIONS[name]
    formula = getattr(right, part)
    changed: dict[str, Any] = {part: lambda a: 1.01 * formula(a) + (0.01 if part == "bend" else 0.0)}
    wrong = replace(right, **changed)
    monkeypatch.setitem(ACTIVATIONS, name, wrong)
    with pytest.raises(AssertionError):
        check_derivatives(Case(LOSSES[0], name, (4, 3), 1))


@pytest.mark.parametrize("method", ["deltas", "vjp", "_tangents", "hvp"])
def test_a_wrong_chain_rule_is_noticed(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """Each method of the linearisation matters: with one of its inputs doubled the comparison must fail."""
    right = getattr(Linearization, method)

    def wrong(self: Linearization, first: Any, *rest: Any) -> Any:
        return right(self, 2.0 * first, *rest)

    monkeypatch.setattr(Linearization, method, wrong)
    with pytest.raises(AssertionError):
        check_derivatives(Case(LOSSES[0], "tanh", (4, 3), 3))


@pytest.mark.parametrize("part", ["add_gauss_newton", "add_second_order"])
def test_a_wrong_part_of_the_hessian_is_noticed(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    right = getattr(newtron.engine.maths.curvature, part)
    monkeypatch.setattr(newtron.engine.maths.curvature, part, lambda at, first, out: right(at, 2.0 * first, out))
    with pytest.raises(AssertionError):
        check_derivatives(Case(LOSSES[0], "tanh", (4, 3), 3))


@pytest.mark.parametrize("piece", ["_add_bends", "_add_crossings"])
def test_a_missing_piece_of_the_exact_hessian_is_noticed(monkeypatch: pytest.MonkeyPatch, piece: str) -> None:
    monkeypatch.setattr(newtron.engine.maths.curvature, piece, lambda *args: None)
    with pytest.raises(AssertionError):
        check_derivatives(Case(LOSSES[0], "tanh", (4, 3), 1))


def test_activations_do_not_overflow() -> None:
    z = np.array([-1e4, -800.0, -30.0, 0.0, 30.0, 800.0, 1e4])
    for activation in ACTIVATIONS.values():
        a = z.copy()
        activation.apply(a)
        for values in (a, activation.slope(a), activation.bend(a)):
            assert np.isfinite(values).all(), activation.name


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_losses_and_probabilities_do_not_overflow(loss: Any) -> None:
    k = loss.min_outputs
    # An exponential is beyond floating point from 710 on.
    far = 700.0 if loss.name == "poisson" else 1e4
    z = np.array([[-far], [-0.08 * far], [0.0], [0.08 * far], [far]]) * np.linspace(1.0, -1.0, k)
    y = np.eye(k)[np.zeros(5, dtype=int)]
    found = loss.pointwise(y, z, 2)
    for part in (found.value, found.gradient, found.hessian):
        assert np.isfinite(part).all()
    mean = loss.inverse_link(z)
    assert np.isfinite(mean).all()
    if loss.task == "classification":
        assert ((mean >= 0.0) & (mean <= 1.0)).all()
        assert np.diff(mean[:, 0]).min() >= 0.0


HIDDEN = [case for case in ALL if case.hidden and case.activation == "tanh"]


@pytest.mark.parametrize("case", HIDDEN, ids=str)
def test_both_ways_to_the_gauss_newton_matrix_agree(monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    """Tables of products and the Jacobian, each forced, also where the loss's Hessian is indefinite."""
    objective, params = case.objective()
    X = objective.rows._X  # type: ignore[attr-defined]
    at = objective.network.linearize(params, X)
    kept = objective.network.linearize(params, X, FirstInputs(X, objective.network.intercept))
    rng = np.random.default_rng(4)
    factors = rng.normal(size=(at.output.shape[0], case.k, case.k))
    P = objective.n_params
    J = np.stack([at.jvp(v) for v in np.eye(P)], axis=2)
    for H in (factors @ factors.transpose(0, 2, 1), factors + factors.transpose(0, 2, 1)):
        expected = np.einsum("nkp,nkl,nlq->pq", J, H, J)
        for few, product in ((P, 0), (0, 0), (0, 2), (0, 1000)):
            monkeypatch.setattr(newtron.engine.maths.curvature, "_FEW", few)
            monkeypatch.setattr(newtron.engine.maths.curvature, "_PRODUCT", product)
            for there in (at, kept):
                out = np.zeros((P, P))
                newtron.engine.maths.curvature.add_gauss_newton(there, H, out)
                np.testing.assert_allclose(out, expected, rtol=1e-11, atol=1e-12 * np.abs(expected).max())


def test_a_gauss_newton_matrix_of_many_tiles_and_pieces_is_whole() -> None:
    """More parameters than a tile of the mirror, more rows than a piece, and float32 rows."""
    rng = np.random.default_rng(0)
    for widths, n in (((2, 40, 1), 9000), ((15, 12, 2), 3000)):
        network = Network(widths)
        X, H = rng.normal(size=(n, widths[0])), np.ones((n, 1, 1)) * np.eye(widths[-1])
        params = network.start(rng, np.zeros(widths[-1]))
        at = network.linearize(params, X)
        J = np.stack([at.jvp(v).ravel() for v in np.eye(network.n_params)])
        for dtype, close in ((np.float64, 1e-12), (np.float32, 1e-5)):
            there = network.linearize(params.astype(dtype), X.astype(dtype))
            out = np.zeros((network.n_params,) * 2)
            newtron.engine.maths.curvature.add_gauss_newton(there, H.astype(dtype), out)
            assert relative(out, J @ J.T) < close


def test_the_root_of_a_singular_hessian_is_one() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(200, 4)) * 10.0 ** rng.uniform(-2, 2, size=(200, 1))
    p = newtron.engine.maths.losses.softmax(z)
    h = np.einsum("nc,cd->cdn", p, np.eye(4)) - np.einsum("nc,nd->cdn", p, p)
    R = newtron.engine.maths.curvature._root(h)
    assert R is not None
    np.testing.assert_allclose(np.einsum("cen,den->cdn", R, R), h, atol=1e-14)
    assert newtron.engine.maths.curvature._root(np.array([[[0.0], [1.0]], [[1.0], [0.0]]])) is None
    assert newtron.engine.maths.curvature._root(np.array([[[1.0], [2.0]], [[2.0], [1.0]]])) is None


@pytest.mark.parametrize("widths", [(2, 70, 1), (3, 20, 15, 2)])
def test_an_exact_hessian_of_many_pieces_agrees_with_its_products(widths: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(3000, widths[0])), rng.normal(size=(3000, widths[-1]))
    objective = TrainingObjective(Network(widths), LOSSES[0], ArrayRows(X, y), alpha=0.1)
    params = rng.normal(size=objective.n_params)
    hessian = objective.evaluate(params, 2).hessian
    v = rng.normal(size=params.size)
    assert relative(hessian @ v, objective.hvp(params, v)) < 1e-11
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-12 * np.abs(hessian).max())
