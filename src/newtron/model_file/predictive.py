"""What a model knows beside its parameters, in JSON and back: the posterior of each member, the noise, and how much
each column of a network matters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.engine.base.strict_json import DAMAGED, a_list, a_number, an_object, wrong
from newtron.engine.maths.network import Network
from newtron.inference.posterior import PosteriorFactor, posterior_span
from newtron.inference.predictive.noise import ScaleModel
from newtron.inference.predictive.predictive import NoiseModel
from newtron.model_file.archive import Vector
from newtron.training.predictive import posteriors_of

_SCALE = ("dof", "intercept", "slopes", "center", "spread", "low", "high")
_VECTORS = _SCALE[2:]


def _name(number: int) -> str:
    return f"members/{number}/triangle.npy"


def posterior_names(member: Any, number: int) -> tuple[str, ...]:
    """The arrays that a member's entry in the manifest asks for."""
    none = isinstance(member, dict) and member.get("effective") is None
    return () if none else (_name(number),)


def posterior_to_json(kept: PosteriorFactor | None, number: int, arrays: dict[str, Vector]) -> float | None:
    """The entry of the manifest, the effective parameters; puts the factor among the arrays."""
    if kept is None:
        return None
    arrays[_name(number)] = kept.triangle.astype(np.float64)
    return float(kept.effective)


def posterior_from_json(
    value: Any, number: int, network: Network, read: Callable[[str, int], Vector]
) -> PosteriorFactor | None:
    if value is None:
        return None
    of, where = posterior_span(network), f"members[{number}].effective"
    effective = a_number(value, where)
    m = 0 if of is None or network.is_linear else of.stop - of.start
    if not m or abs(effective) > m:
        raise wrong(where, f"a number of parameters up to {m}, or null", value)
    triangle = read(_name(number), m * (m + 1) // 2)
    diagonal = np.cumsum([0, *range(m, 1, -1)])
    if not np.isfinite(triangle).all() or not triangle[diagonal].all():
        raise InputError(f"{_name(number)} holds numbers that are no factor of a curvature; {DAMAGED}.")
    return PosteriorFactor(triangle, effective)


def predictive_to_json(estimator: Any) -> Any:
    """Of networks: the temperature of a classifier; of a regression an object, or the sentence why there is none."""
    if not hasattr(estimator, "n_starts"):
        return None
    if estimator._task != "regression":
        return {"temperature": float(estimator.temperature_)}
    found = estimator.predictive_
    if isinstance(found, str):
        return found
    return {
        "noise": found.noise.variance.tolist(),
        "stretch": found.noise.stretch.tolist(),
        "scales": [[_scale_to_json(model) for model in models] for models in found.noise.scales],
    }


def _scale_to_json(model: ScaleModel) -> dict[str, Any]:
    numbers = {"dof": float(model.dof), "intercept": float(model.intercept)}
    return {**numbers, **{name: getattr(model, name).tolist() for name in _VECTORS}}


def predictive_from_json(estimator: Any, value: Any) -> None:
    """Sets predictive_ of a regression, temperature_ of a classifier, whose members are read."""
    networks = hasattr(estimator, "n_starts")
    if value is None and estimator._task != "regression":
        estimator.temperature_ = 1.0  # of perceptrons, and of files of the first version
        return
    if value is None and networks:
        estimator.noise = "its file is of an older newtron: fit and save it again."
        return
    if value is None:
        return
    if not networks:
        raise wrong("predictive", "null for a perceptron", value)
    if estimator._task != "regression":
        given = an_object(value, "predictive", ("temperature",))["temperature"]
        estimator.temperature_ = a_number(given, "predictive.temperature")
        if estimator.temperature_ <= 0.0:
            raise wrong("predictive.temperature", "a number above 0", given)
        return
    if isinstance(value, str):
        estimator.noise = value
        return
    an_object(value, "predictive", ("noise", "stretch", "scales"))
    sharing = [member for member in estimator.members_ if member.share > 0.0]
    posteriors = posteriors_of(sharing, estimator.loss_)
    if not sharing or isinstance(posteriors, str):
        raise wrong("predictive", "text where not every member has a posterior", value)
    k = sharing[0].network.n_outputs
    noise = [_numbers(row, f"predictive.noise[{i}]", k, positive=True) for i, row in enumerate(_a_list(value, "noise"))]
    if len(noise) != len(sharing):
        raise wrong("predictive.noise", "numbers for each member", value["noise"])
    scales = tuple(
        tuple(a_list(models, f"predictive.scales[{i}]", _scale_from_json))
        for i, models in enumerate(_a_list(value, "scales"))
    )
    n_features = sharing[0].network.widths[0]
    lengths = [[len(model.slopes) for model in models] for models in scales]
    # Constant, by prediction, by inputs: so many of them, in this order.
    known = [0, 3, 3 + n_features]
    if len(scales) != k or not all(found and found == known[: len(found)] for found in lengths):
        raise wrong("predictive.scales", "models of the noise of each output", value["scales"])
    stretch = _numbers(value["stretch"], "predictive.stretch", k, positive=True)
    estimator.noise = NoiseModel(np.array(noise), scales, stretch)


def relevance_to_json(estimator: Any) -> list[float] | None:
    """Of networks; None for a perceptron, and where it is not known."""
    found = getattr(estimator, "relevance_", None)
    return None if found is None or not np.isfinite(found).all() else found.tolist()


def relevance_from_json(estimator: Any, value: Any, n_features: int) -> None:
    """Sets relevance_ of networks; nan where a file does not know it."""
    where = "features.relevance"
    if not hasattr(estimator, "n_starts"):
        if value is not None:
            raise wrong(where, "null for a perceptron", value)
        return
    shares = np.full(n_features, np.nan) if value is None else _numbers(value, where, n_features)
    if (shares < 0.0).any() or not (value is None or shares.sum() <= 1.0 + 1e-9):
        raise wrong(where, "shares, none below 0, that add to 1", value)
    estimator.relevance_ = shares


def _a_list(value: Any, name: str) -> list[Any]:
    if not isinstance(value[name], list):
        raise wrong(f"predictive.{name}", "a list", value[name])
    found: list[Any] = value[name]
    return found


def _numbers(value: Any, where: str, length: int | None = None, positive: bool = False) -> Vector:
    found = np.array(a_list(value, where, a_number), dtype=np.float64)
    if (length is not None and len(found) != length) or (positive and not (found > 0.0).all()):
        raise wrong(where, f"{length} numbers" + (" above 0" if positive else ""), value)
    return found


def _scale_from_json(value: Any, where: str) -> ScaleModel:
    an_object(value, where, _SCALE)
    dof, intercept = a_number(value["dof"], f"{where}.dof"), a_number(value["intercept"], f"{where}.intercept")
    if dof <= 0.0:
        raise wrong(f"{where}.dof", "a number above 0", value["dof"])
    slopes = _numbers(value["slopes"], f"{where}.slopes")
    rest = {
        name: _numbers(value[name], f"{where}.{name}", len(slopes), positive=name == "spread") for name in _VECTORS[1:]
    }
    return ScaleModel(dof, intercept, slopes, **rest)
