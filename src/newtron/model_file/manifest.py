"""A fitted estimator as a manifest and arrays, and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.engine.base.strict_json import (
    DAMAGED,
    a_count,
    a_flag,
    a_list,
    a_number,
    a_text,
    an_object,
    float_from_json,
    float_to_json,
    one_of,
    wrong,
)
from newtron.engine.base.version import __version__
from newtron.engine.maths.activations import activation_named
from newtron.engine.maths.losses import loss_for
from newtron.engine.maths.network import Network
from newtron.engine.maths.scaling import AsinhFeatures, Scaling
from newtron.engine.solvers import Solution, Status, TraceRow
from newtron.model_file.archive import Vector
from newtron.model_file.ends import curvature_from_json, curvature_to_json
from newtron.model_file.first_version import complete_first_version
from newtron.model_file.information import information_from_json, information_names, information_to_json
from newtron.model_file.predictive import (
    posterior_from_json,
    posterior_names,
    posterior_to_json,
    predictive_from_json,
    predictive_to_json,
    relevance_from_json,
    relevance_to_json,
)
from newtron.model_file.separation import separation_from_json, separation_to_json
from newtron.model_file.settings import (
    ESTIMATORS,
    classes_from_json,
    classes_to_json,
    estimator_from_json,
    settings_to_json,
    solver_from_json,
    solver_to_json,
)
from newtron.model_file.whole import check_shares
from newtron.training.fitted import DataDescription, FittedModel, Member
from newtron.training.settings import Settings

FORMAT, VERSION = "newtron-model", 2

FIELDS = (
    "format",
    "version",
    "newtron",
    "estimator",
    "settings",
    "features",
    "classes",
    "outputs",
    "loss",
    "separation",
    "members",
    "predictive",
    "schema",
    "report",
)
_OUTPUTS = ("count", "one_column", "names")
_FEATURES = ("count", "names", "called", "bent", "relevance")
_MEMBER = (
    "widths",
    "activation",
    "intercept",
    "share",
    "noise",
    "log_evidence",
    "effective_parameters",
    "solution",
    "curvature",
    "information",
    "effective",
)
_SOLUTION = ("status", "value", "gradient_norm", "n_iter", "counts", "note", "chosen", "solver", "trace_rows")
# Of a trace row; how long a row took is left out, because it says nothing about the model and would make the
# same fit another file each time.
_TRACE = ("iteration", "value", "gradient_norm", "decrement", "step_size")
_SCALING = ("x_center", "x_scale", "y_center", "y_scale")
_BENDS = ("center", "scale", "mean", "spread")

# Of more members a prediction would take minutes.
MOST_MEMBERS = 10_000

Read = Callable[[str, int], Vector]


def to_manifest(estimator: Any) -> tuple[dict[str, Any], dict[str, Vector]]:
    """The manifest, without schema and report, and the arrays by their names in the archive."""
    name = type(estimator).__name__
    if ESTIMATORS.get(name) is not type(estimator):
        known = ", ".join(ESTIMATORS)
        raise InputError(f"a {name} cannot be saved as a newtron model; save one of {known}.")
    if "model_" not in vars(estimator):
        raise InputError(f"this {name} has not been trained; call fit before it is saved.")
    scaling = estimator.scaling_
    arrays = {_scaling_name(part): getattr(scaling, part) for part in _SCALING}
    if scaling.asinh is not None:
        arrays |= {_bend_name(part): getattr(scaling.asinh, part) for part in _BENDS}
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise InputError(
            "the model is not saved, because the means or spreads of its columns are not finite: the data hold "
            "numbers that are too large to be squared; divide them by a constant and fit again."
        )
    members = []
    for number, member in enumerate(estimator.members_):
        if not np.isfinite(member.params).all():
            raise InputError(
                f"the model has parameters that are not finite (member {number + 1}), so it predicts "
                "nothing and is not saved; fit it with a penalty, standardize=True or another solver."
            )
        members.append(_member_to_json(member, number, arrays))
    classes = getattr(estimator, "classes_", None)
    names = getattr(estimator, "feature_names_in_", None)
    model = estimator.model_
    called = model.data.names if names is None else None
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "newtron": __version__,
        "estimator": name,
        "settings": settings_to_json(estimator),
        "features": {
            "count": int(estimator.n_features_in_),
            "names": None if names is None else [str(n) for n in names],
            "called": None if called is None else list(called),
            "bent": None if scaling.asinh is None else scaling.asinh.columns.tolist(),
            "relevance": relevance_to_json(estimator),
        },
        "classes": None if classes is None else classes_to_json(classes),
        "outputs": {
            "count": estimator.members_[0].network.n_outputs,
            "one_column": model.data.one_column,
            "names": list(model.data.targets),
        },
        "loss": estimator.loss_.name,
        "separation": separation_to_json(getattr(estimator, "separation_", None)),
        "members": members,
        "predictive": predictive_to_json(estimator),
    }
    return manifest, arrays


def _member_to_json(member: Member, number: int, arrays: dict[str, Vector]) -> dict[str, Any]:
    solution = member.solution
    trace = np.array([[getattr(row, part) for part in _TRACE] for row in solution.trace], dtype=np.float64)
    arrays[_member_name(number, "params")] = np.asarray(member.params, dtype=np.float64)
    arrays[_member_name(number, "alpha")] = np.asarray(member.alpha, dtype=np.float64)
    arrays[_member_name(number, "gradient")] = np.asarray(solution.gradient, dtype=np.float64)
    arrays[_member_name(number, "trace")] = trace.reshape(-1)
    return {
        "widths": [int(width) for width in member.network.widths],
        "activation": member.network.activation,
        "intercept": bool(member.network.intercept),
        "share": float(member.share),
        "noise": float(member.noise),
        "log_evidence": float_to_json(member.log_evidence),
        "effective_parameters": float_to_json(member.effective_parameters),
        "solution": {
            "status": solution.status.name,
            "value": float_to_json(solution.value),
            "gradient_norm": float_to_json(solution.gradient_norm),
            "n_iter": int(solution.n_iter),
            "counts": {str(kind): int(count) for kind, count in solution.counts.items()},
            "note": solution.note,
            "chosen": solution.chosen,
            "solver": solver_to_json(solution.solver, "solution.solver"),
            "trace_rows": len(solution.trace),
        },
        "curvature": curvature_to_json(member.curvature),
        "information": information_to_json(member.information, number, arrays),
        "effective": posterior_to_json(member.posterior_factor, number, arrays),
    }


def _member_name(number: int, part: str) -> str:
    return f"members/{number}/{part}.npy"


def _scaling_name(part: str) -> str:
    return f"scaling/{part}.npy"


def _bend_name(part: str) -> str:
    return f"bends/{part}.npy"


def array_names(manifest: dict[str, Any]) -> tuple[str, ...]:
    """Every array that an archive with this manifest holds."""
    members = a_list(manifest["members"], "members", lambda member, _: member)
    if len(members) > MOST_MEMBERS:
        raise wrong("members", f"a list of at most {MOST_MEMBERS:,}", len(members))
    features = an_object(manifest["features"], "features", _FEATURES)
    bends = () if features["bent"] is None else tuple(map(_bend_name, _BENDS))
    parts = ("params", "gradient", "trace") if manifest["version"] == 1 else ("params", "alpha", "gradient", "trace")
    names = [_member_name(m, part) for m in range(len(members)) for part in parts]
    for number, member in enumerate(members):
        names += [*information_names(member, number), *posterior_names(member, number)]
    return (*map(_scaling_name, _SCALING), *bends, *names)


def check_format(manifest: Any) -> None:
    """Is this a manifest of a version that is known? Asked before anything else of it is looked at."""
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else manifest
        raise wrong("format", repr(FORMAT), found)
    if "version" not in manifest:
        raise InputError(f"version is missing; {DAMAGED}.")
    version = a_count(manifest["version"], "version", 1)
    if version > VERSION:
        raise InputError(
            f"the model was written by a newer newtron (format version {version}, and this one reads up to "
            f"{VERSION}); upgrade newtron to open it."
        )
    if version == 1:
        complete_first_version(manifest)
    an_object(manifest, "", FIELDS)
    if isinstance(manifest["outputs"], dict):
        manifest["outputs"].setdefault("names", [])  # files written before targets had names
    if isinstance(manifest["features"], dict):
        manifest["features"].setdefault("called", None)
    a_text(manifest["newtron"], "newtron")


def from_manifest(manifest: dict[str, Any], read: Read, capacity: int) -> Any:
    """The estimator, fitted as it was. `read` gives an array of a known length; no array of more than
    `capacity` numbers can be in the archive."""
    made = estimator_from_json(manifest["estimator"], manifest["settings"])
    estimator = SimpleNamespace(**made.get_params(deep=False), _task=made._task)
    features = an_object(manifest["features"], "features", _FEATURES)
    outputs = an_object(manifest["outputs"], "outputs", _OUTPUTS)
    estimator._targets = tuple(a_list(outputs["names"], "outputs.names", a_text))
    n_features = a_count(features["count"], "features.count", 1)
    n_outputs = a_count(outputs["count"], "outputs.count", 1)
    for name, number in (("features.count", n_features), ("outputs.count", n_outputs)):
        if number > capacity:
            raise wrong(name, "as many as stored", number)
    _read_classes(estimator, manifest["classes"], n_outputs)
    if not hasattr(estimator, "classes_"):
        estimator._one_column = a_flag(outputs["one_column"], "outputs.one_column")
        if estimator._one_column and n_outputs != 1:
            raise wrong("outputs.one_column", "false for several outputs", True)
    try:
        estimator.loss_ = loss_for(estimator._task, estimator.loss, n_outputs)
    except InputError as error:
        raise InputError(f"settings.loss: {error} The model file is damaged.") from None
    one_of(manifest["loss"], "loss", (estimator.loss_.name,))
    scaling = _read_scaling(read, n_features, n_outputs)
    estimator.scaling_ = scaling = replace(scaling, asinh=_read_bends(features["bent"], read, n_features))

    # Files of the first version have one penalty for all weights: the setting.
    fixed = a_number(estimator.alpha, "settings.alpha") if manifest["version"] == 1 else None

    def member(value: Any, where: str) -> Member:
        return _read_member(value, where, read, capacity, (scaling.n_inputs, n_outputs), estimator._task, fixed)

    members = a_list(manifest["members"], "members", member)
    perceptron = not hasattr(estimator, "hidden")
    if not members or (perceptron and (len(members) > 1 or members[0].hidden)):
        raise InputError(f"members does not fit a {type(made).__name__}; {DAMAGED}.")
    check_shares([member.share for member in members])
    estimator.members_ = members
    _read_separation(estimator, manifest["separation"], n_features, n_outputs)
    predictive_from_json(estimator, manifest["predictive"])
    relevance_from_json(estimator, features["relevance"], n_features)
    made.n_features_in_ = n_features
    names = None
    if features["names"] is not None:
        names = tuple(_names(features, "names", n_features))
        made.feature_names_in_ = np.array(names, dtype=object)
    elif features["called"] is not None:
        names = tuple(_names(features, "called", n_features))
    made.model_ = _fitted_model(made, estimator, names, features["names"] is not None, scaling, members)
    return made


def _fitted_model(
    made: Any, found: Any, names: tuple[str, ...] | None, from_frame: bool, scaling: Scaling, members: list[Member]
) -> FittedModel:
    return FittedModel(
        Settings.of(made._family, made._task, made.get_params(deep=False)),
        DataDescription(
            len(scaling.x_center),
            names,
            from_frame,
            found._targets,
            getattr(found, "_one_column", True),
            getattr(found, "classes_", None),
        ),
        scaling,
        tuple(members),
        getattr(found, "separation_", None),
        getattr(found, "temperature_", 1.0),
        getattr(found, "noise", None),
        getattr(found, "relevance_", None),
    )


def _names(features: dict[str, Any], field: str, n_features: int) -> list[str]:
    names = a_list(features[field], f"features.{field}", a_text)
    if len(names) != n_features:
        raise wrong(f"features.{field}", f"{n_features} names", names)
    return names


def _read_classes(estimator: Any, value: Any, n_outputs: int) -> None:
    if estimator._task == "regression":
        if value is not None:
            raise wrong("classes", "null for a regression", value)
        return
    estimator.classes_ = classes_from_json(value)
    n_classes = len(estimator.classes_)
    if n_outputs != (1 if n_classes == 2 else n_classes):
        raise wrong("outputs.count", f"that of {n_classes} classes", n_outputs)


def _read_separation(estimator: Any, value: Any, n_features: int, n_outputs: int) -> None:
    if hasattr(estimator, "classes_") and not hasattr(estimator, "hidden"):
        estimator.separation_ = separation_from_json(value, n_features, n_outputs)
    elif value is not None:
        raise wrong("separation", "null for any other than a perceptron for classes", value)


def _read_scaling(read: Read, n_features: int, n_outputs: int) -> Scaling:
    parts = {}
    for part in _SCALING:
        name = _scaling_name(part)
        parts[part] = read(name, n_features if part.startswith("x") else n_outputs)
        if not np.isfinite(parts[part]).all():
            raise InputError(f"{name} holds numbers that are not finite; {DAMAGED}.")
        if part.endswith("scale") and not (parts[part] > 0.0).all():
            raise InputError(f"{name} holds scales that are not positive; {DAMAGED}.")
    return Scaling(parts["x_center"], parts["x_scale"], parts["y_center"], parts["y_scale"])


def _read_bends(value: Any, read: Read, n_features: int) -> AsinhFeatures | None:
    if value is None:
        return None
    columns = a_list(value, "features.bent", a_count)
    if not columns or columns[-1] >= n_features or any(a >= b for a, b in pairwise(columns)):
        raise wrong("features.bent", "columns in order, none twice", value)
    parts = {}
    for part in _BENDS:
        parts[part] = read(_bend_name(part), len(columns))
        good = np.isfinite(parts[part]) & ((parts[part] > 0.0) | (part not in ("scale", "spread")))
        if not good.all():
            raise InputError(f"{_bend_name(part)} holds numbers that bend no column; {DAMAGED}.")
    return AsinhFeatures(np.array(columns, dtype=np.intp), **parts)


def _read_member(
    value: Any, where: str, read: Read, capacity: int, ends: tuple[int, int], task: str, fixed: float | None
) -> Member:
    an_object(value, where, _MEMBER)
    number = int(where[len("members[") : -1])
    widths = a_list(value["widths"], f"{where}.widths", lambda w, place: a_count(w, place, 1))
    intercept = a_flag(value["intercept"], f"{where}.intercept")
    if len(widths) < 2 or (widths[0], widths[-1]) != ends:
        raise wrong(f"{where}.widths", f"widths from {ends[0]} inputs to {ends[1]} outputs", widths)
    # In whole numbers of Python, which do not overflow, before anything of that size is made.
    n_params = sum((i + intercept) * o for i, o in pairwise(widths))
    if n_params > capacity:
        raise wrong(f"{where}.widths", "a network of as many parameters as are stored", widths)
    activation = a_text(value["activation"], f"{where}.activation")
    try:
        activation_named(activation)
    except InputError as error:
        raise InputError(f"{where}.activation: {error} The model file is damaged.") from None
    share = a_number(value["share"], f"{where}.share")
    if share < 0.0:
        raise wrong(f"{where}.share", "0 or more", share)
    params = read(_member_name(number, "params"), n_params)
    if not np.isfinite(params).all():
        raise InputError(f"{_member_name(number, 'params')} holds numbers that are not finite; {DAMAGED}.")
    network = Network(tuple(widths), activation, intercept)
    alpha = read(_member_name(number, "alpha"), n_params) if fixed is None else np.where(network.is_weight, fixed, 0.0)
    if not (np.isfinite(alpha).all() and (alpha >= 0.0).all()):
        raise InputError(f"{_member_name(number, 'alpha')} holds penalties that are not 0 or more; {DAMAGED}.")
    noise = a_number(value["noise"], f"{where}.noise")
    if noise < 0.0:
        raise wrong(f"{where}.noise", "0 or more", noise)
    gradient = read(_member_name(number, "gradient"), n_params)
    rows = an_object(value["solution"], f"{where}.solution", _SOLUTION)["trace_rows"]
    n_rows = a_count(rows, f"{where}.solution.trace_rows", 1)
    if n_rows > capacity:
        raise wrong(f"{where}.solution.trace_rows", "as many rows as are stored", n_rows)
    trace = read(_member_name(number, "trace"), n_rows * len(_TRACE)).reshape(n_rows, len(_TRACE))
    solution = _read_solution(value["solution"], f"{where}.solution", params, gradient, trace)
    evidence = float_from_json(value["log_evidence"], f"{where}.log_evidence")
    effective = float_from_json(value["effective_parameters"], f"{where}.effective_parameters")
    return Member(
        network,
        solution,
        alpha,
        noise,
        share,
        log_evidence=evidence,
        effective_parameters=effective,
        end=curvature_from_json(value["curvature"], f"{where}.curvature"),
        information=information_from_json(value["information"], number, network, task, read, capacity),
        posterior_factor=posterior_from_json(value["effective"], number, network, read),
    )


def _trace_row(numbers: list[float]) -> TraceRow:
    values: dict[str, Any] = dict(zip(_TRACE, numbers, strict=True))
    # The file does not say how long anything took.
    return TraceRow(**{**values, "iteration": int(values["iteration"])}, seconds=float("nan"))


def _read_solution(value: Any, where: str, params: Vector, gradient: Vector, trace: Vector) -> Solution:
    if not (np.isfinite(trace[:, 0]).all() and (np.abs(trace[:, 0]) < 2**53).all()):
        raise InputError(f"the trace of {where} has iterations that are not whole numbers; {DAMAGED}.")
    counts = value["counts"]
    if not isinstance(counts, dict):
        raise wrong(f"{where}.counts", "an object", counts)
    return Solution(
        params=params,
        value=float_from_json(value["value"], f"{where}.value"),
        gradient=gradient,
        gradient_norm=float_from_json(value["gradient_norm"], f"{where}.gradient_norm"),
        status=Status[one_of(value["status"], f"{where}.status", tuple(Status.__members__))],
        n_iter=a_count(value["n_iter"], f"{where}.n_iter"),
        trace=tuple(_trace_row(row) for row in trace.tolist()),
        counts={kind: a_count(count, f"{where}.counts.{kind}") for kind, count in counts.items()},
        solver=solver_from_json(value["solver"], f"{where}.solver"),
        seconds=float("nan"),
        note=a_text(value["note"], f"{where}.note"),
        chosen=a_text(value["chosen"], f"{where}.chosen"),
    )
