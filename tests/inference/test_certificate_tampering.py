"""Whatever is changed in a model or in what it states of itself, its certificate no longer holds; and what nobody
touched holds always."""

from __future__ import annotations

import copy
import io
import json
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.models import change, change_member

from newtron import (
    LBFGS,
    InputError,
    NetworkClassifier,
    NetworkRegressor,
    NewtonCG,
    PerceptronClassifier,
    PerceptronRegressor,
    load,
)
from newtron.engine.solvers import Solver
from newtron.inference.separation.separation import Separation

RNG = np.random.default_rng(11)
X = RNG.normal(size=(50, 3))
BENT = np.sin(X[:, 0]) + 0.5 * X[:, 1] + 0.1 * RNG.normal(size=50)
TWO = (BENT + 0.5 * RNG.normal(size=50) > 0.0).astype(int)
THREE = np.digitize(BENT + RNG.normal(size=50), [-0.5, 0.5])
APART = (X[:, 0] > 0.1).astype(int)
QUASI = np.where(X[:, 0] > 0.0, 1, 0)
TWIN = np.column_stack([X, X[:, 0] - 2.0 * X[:, 1]])
TOUCHING = X.copy()
TOUCHING[:6, 0] = 0.0

CASES: dict[str, tuple[Callable[[], Any], np.ndarray, np.ndarray]] = {
    "least squares": (lambda: PerceptronRegressor(standardize=True), X, BENT),
    "ridge": (lambda: PerceptronRegressor(standardize=True, alpha=1.0), X, BENT),
    "dependent": (lambda: PerceptronRegressor(), TWIN, BENT),
    "flat target": (lambda: PerceptronRegressor(standardize=True), X, np.full(50, 2.0)),
    "logistic": (lambda: PerceptronClassifier(standardize=True), X, TWO),
    "softmax": (lambda: PerceptronClassifier(), X, THREE),
    "firth": (lambda: PerceptronClassifier(penalty="firth"), X, THREE),
    "separated": (lambda: PerceptronClassifier(), X, APART),
    "touching": (lambda: PerceptronClassifier(), TOUCHING, np.where(np.arange(50) < 3, 1, QUASI)),
    "network": (lambda: NetworkRegressor(hidden=(2,), alpha=0.1, n_starts=2), X, BENT),
    "lbfgs": (lambda: NetworkRegressor(hidden=(2,), alpha=0.1, n_starts=1, solver=LBFGS()), X, BENT),
    "classes": (lambda: NetworkClassifier(hidden=(2,), alpha=0.1, n_starts=1, solver=NewtonCG()), X, THREE),
    "by evidence": (lambda: PerceptronClassifier(alpha="evidence"), X, TWO),
}


def fitted(model: Any, X: Any, y: Any, weight: Any = None) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(X, y, weight)


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {name: fitted(make(), X, y) for name, (make, X, y) in CASES.items()}


def holds(model: Any, name: str) -> bool:
    found: bool = model.certificate_.verify(CASES[name][1], CASES[name][2])
    return found


def edited(models: dict[str, Any], name: str, path: Path, edit: Callable[[dict[str, Any]], Any]) -> Any:
    """The model as a file that somebody has changed: an archive of names and JSON or arrays."""
    models[name].save(path)
    with zipfile.ZipFile(path) as archive:
        files = {part: archive.read(part) for part in archive.namelist()}
    held = {n: json.loads(d) if n.endswith("json") else np.load(io.BytesIO(d)) for n, d in files.items()}
    edit(held)
    with zipfile.ZipFile(path, "w") as archive:
        for part, value in held.items():
            buffer = io.BytesIO()
            if isinstance(value, np.ndarray):
                np.save(buffer, value)
            archive.writestr(part, buffer.getvalue() or json.dumps(value))
    return load(path)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_coefficient_counts_whatever_its_size(name: str, models: dict[str, Any], tmp_path: Path) -> None:
    assert holds(models[name], name)
    params = models[name].members_[0].params
    for position in np.flatnonzero(params):

        def move(files: dict[str, Any], position: int = int(position)) -> None:
            files["members/0/solution/params.npy"][position] *= 1.0 + 1e-6

        assert not holds(edited(models, name, tmp_path / "m", move), name)


def test_a_coefficient_that_no_derivative_sees_counts(models: dict[str, Any]) -> None:
    """The intercept of standardised least squares is rounding, and a millionth of it is nothing."""
    model = copy.deepcopy(models["least squares"])
    model.members_[0].params[-1] = 3.7e-17
    kept = model.members_[0]
    coefficients, predictions = model.coef_.copy(), model.predict(X)
    change(model)  # so that nothing is kept that was made of the coefficients before
    assert np.array_equal(model.coef_, coefficients)
    assert np.array_equal(model.predict(X), predictions)
    assert not holds(model, "least squares")
    assert kept.curvature.fingerprint


@pytest.mark.parametrize("name", CASES)
def test_a_gradient_norm_of_zero_is_found_out(name: str, models: dict[str, Any]) -> None:
    model = copy.deepcopy(models[name])
    solution = model.members_[0].solution
    if solution.gradient_norm == 0.0:
        solution = replace(solution, gradient_norm=1e-18)
    else:
        solution = replace(solution, gradient_norm=0.0)
    change_member(model, 0, solution=solution)
    assert not holds(model, name)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("sign", [-1, 0, 1, None])
def test_another_sign_of_the_curvature_is_found_out(name: str, sign: int | None, models: dict[str, Any]) -> None:
    model = copy.deepcopy(models[name])
    member = model.members_[0]
    stated = member.curvature
    change_member(model, 0, end=replace(stated, sign=sign))
    assert holds(model, name) == (sign == stated.sign)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("field", ["flat_directions", "smallest", "largest", "decrement"])
def test_other_facts_of_the_curvature_are_found_out(name: str, field: str, models: dict[str, Any]) -> None:
    model = copy.deepcopy(models[name])
    member = model.members_[0]
    before = getattr(member.curvature, field)
    after = before + 1 if field == "flat_directions" else 1.5 * before + 0.1 if np.isfinite(before) else 0.1
    change_member(model, 0, end=replace(member.curvature, **{field: after}))
    assert not holds(model, name)


NOT_SEPARATED = ("logistic", "softmax")
SEPARATED = ("separated", "touching")


@pytest.mark.parametrize("name", [*SEPARATED, *NOT_SEPARATED])
def test_a_removed_or_turned_separation_is_found_out(name: str, models: dict[str, Any]) -> None:
    model = copy.deepcopy(models[name])
    kept = model.separation_
    assert kept.found == (name in SEPARATED)
    assert holds(model, name)
    others: list[Separation | None] = [
        None,
        replace(kept, kind="none") if kept.found else Separation("complete", kept.rows, kept.rows),
    ]
    if kept.found:
        kind = "complete" if kept.kind == "quasi-complete" else "quasi-complete"
        others += [replace(kept, kind=kind), replace(kept, rows_apart=kept.rows_apart - 1)]
    for other in others:
        change(model, separation=other)
        assert not holds(model, name), other


def test_a_separation_under_a_penalty_is_found_out(models: dict[str, Any]) -> None:
    model = fitted(PerceptronClassifier(alpha=1.0), X, APART)
    assert model.certificate_.verify(X, APART)
    change(model, separation=models["separated"].separation_)
    assert not model.certificate_.verify(X, APART)


def test_files_without_a_fingerprint_hold(models: dict[str, Any], tmp_path: Path) -> None:
    def older(files: dict[str, Any]) -> None:
        files["manifest.json"]["model"]["members"][0]["end"]["fingerprint"] = ""

    model = edited(models, "logistic", tmp_path / "m", older)
    assert model.members_[0].curvature.fingerprint == ""
    assert holds(model, "logistic")


# --- untouched ---


def chance(seed: int) -> tuple[Any, Any, Any, Any]:
    """A small model with its rows, targets and weights: units, copies of columns and sizes of targets by chance."""
    rng = np.random.default_rng(seed)
    n, p = int(rng.integers(6, 40)), int(rng.integers(1, 4))
    X = rng.normal(size=(n, p)) * 10.0 ** rng.uniform(-3, 3, size=p) + rng.choice([0.0, 0.0, 10.0])
    if rng.random() < 0.15 and p > 1:
        X[:, 1] = 2.0 * X[:, 0]
    z = (X - X.mean(axis=0)) @ rng.normal(size=p) / X.std(axis=0).max() + rng.normal(size=n) * rng.choice([0.0, 0.1, 1])
    X = X.astype(np.float32 if rng.random() < 0.1 else np.float64)
    two, three = (z > np.median(z)).astype(int), np.digitize(z, np.quantile(z, [0.33, 0.66]))
    numbers = z * 10.0 ** rng.uniform(-12, 12)
    alpha, standardize = float(rng.choice([0.0, 0.0, 0.1])), bool(rng.random() < 0.5)
    solver: str | Solver = str(rng.choice(["auto", "lbfgs", "newton-cg"]))
    shape: dict[str, Any] = {"hidden": (2,), "n_starts": 1, "alpha": 0.1 + alpha, "solver": solver, "max_iter": 40}
    model, y = [
        (PerceptronRegressor(alpha=alpha, standardize=standardize), numbers.astype(X.dtype)),
        (PerceptronClassifier(alpha=alpha, standardize=standardize), two),
        (PerceptronClassifier(alpha=alpha), three),
        (PerceptronClassifier(penalty="firth"), three),
        (NetworkRegressor(**shape), numbers),
        (NetworkClassifier(**shape), three),
    ][seed % 6]
    return model, X, y, rng.integers(0, 3, size=n).astype(float) if rng.random() < 0.2 else None


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 240, 24))
def test_what_nobody_touched_holds(first: int, tmp_path: Path) -> None:
    for seed in range(first, first + 24):
        model, X, y, weight = chance(seed)
        try:
            fitted(model, X, y, weight)
        except InputError:
            continue  # a class that no row of positive weight has
        order = np.random.default_rng(seed).permutation(len(y))
        turned = None if weight is None else weight[order]
        assert model.certificate_.verify(X, y, weight), seed
        assert model.certificate_.verify(X[order], y[order], turned), seed
        model.save(tmp_path / "m")
        assert load(tmp_path / "m").certificate_.verify(X, y, weight), seed


def test_a_saturated_network_holds() -> None:
    """Its slopes are moved by the rounding of raw values far from zero, and its largest curvature with them."""
    rng = np.random.default_rng(418)
    rng.integers(6, 60), rng.integers(1, 5)
    X = rng.normal(size=(34, 2)) * 10.0 ** rng.uniform(-3, 3, size=2) + rng.choice([0, 0, 10.0])
    rng.random(), rng.random()
    z = (X - X.mean(axis=0)) @ rng.normal(size=2) / X.std(axis=0).max()
    z += rng.normal(size=34) * rng.choice([0, 0.1, 1, 3])
    y = np.digitize(z, np.quantile(z, [0.33, 0.66]))
    rng.random(), rng.uniform(), rng.random(), rng.random(), rng.choice(4), rng.random()
    weight = rng.integers(0, 3, size=34).astype(float)
    model = fitted(NetworkClassifier(hidden=(2,), n_starts=2, alpha=0.0, max_iter=60), X, y, weight)
    order = rng.permutation(34)
    assert model.certificate_.verify(X, y, weight)
    assert model.certificate_.verify(X[order], y[order], weight[order])
