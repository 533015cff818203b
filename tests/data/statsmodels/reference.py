"""Writes `reference.json`: statsmodels' summaries of the example data, which `tests/model/test_summary.py` reads.

Run from the root of the repository where statsmodels is installed: python tests/data/statsmodels/reference.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import statsmodels
import statsmodels.api as sm

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[2] / "examples"
PENGUINS = ["bill_length_mm", "bill_depth_mm", "body_mass_g"]
NEWTON: dict[str, Any] = {"method": "newton", "tol": 1e-10, "maxiter": 100, "disp": False}


def answers(result: Any) -> dict[str, Any]:
    """What is compared, parameters of one output after the other."""
    return {
        "estimates": np.asarray(result.params).T.ravel().tolist(),
        "standard_errors": np.asarray(result.bse).T.ravel().tolist(),
        "p_values": np.asarray(result.pvalues).T.ravel().tolist(),
        "log_likelihood": float(result.llf),
        "aic": float(result.aic),
        "bic": float(result.bic),
    }


def ordinary() -> dict[str, Any]:
    data = pd.read_csv(EXAMPLES / "concrete.csv")
    y, X = data["strength_mpa"], sm.add_constant(data.drop(columns="strength_mpa"))
    model = sm.OLS(y, X)
    found = {"classical": answers(model.fit())}
    for kind in ("HC0", "HC1", "HC2", "HC3"):
        found[kind] = answers(model.fit(cov_type=kind, use_t=True))
    clusters = {"groups": data["age_days"], "use_correction": True}
    found["cluster"] = answers(model.fit(cov_type="cluster", cov_kwds=clusters, use_t=True))
    return found


def discrete(model: Any, groups: Any) -> dict[str, Any]:
    found = {"classical": answers(model.fit(**NEWTON))}
    for kind in ("HC0", "HC1"):
        found[kind] = answers(model.fit(cov_type=kind, **NEWTON))
    clusters = {"groups": groups, "use_correction": True}
    found["cluster"] = answers(model.fit(cov_type="cluster", cov_kwds=clusters, **NEWTON))
    return found


def counts() -> dict[str, Any]:
    """Poisson regressions of `tests/data/counts`: plain, with an offset, and with frequency weights."""
    warpbreaks, ships, randhie = (
        pd.read_csv(folder / f"{name}.csv")
        for folder, name in (
            (HERE.parent / "counts", "warpbreaks"),
            (EXAMPLES, "ships"),
            (HERE.parent / "counts", "randhie"),
        )
    )
    cases: dict[str, tuple[pd.Series[Any], pd.DataFrame, dict[str, Any]]] = {
        "warpbreaks": (warpbreaks.pop("breaks"), dummies(warpbreaks), {}),
        "ships": (
            ships.pop("incidents"),
            dummies(ships.drop(columns="service").astype(str)),
            {"offset": np.log(ships["service"])},
        ),
        "randhie": (randhie.pop("mdvis"), randhie, {"freq_weights": 1 + np.arange(len(randhie)) % 3}),
    }
    found: dict[str, Any] = {}
    for name, (y, X, settings) in cases.items():
        model = sm.GLM(y, sm.add_constant(X), family=sm.families.Poisson(), **settings)
        precise = {"tol": 1e-15, "maxiter": 100}
        found[name] = {}
        for kind in ("nonrobust", "HC0"):
            result = model.fit(cov_type=kind, **precise)
            found[name]["classical" if kind == "nonrobust" else kind] = {
                "estimates": result.params.tolist(),
                "standard_errors": result.bse.tolist(),
                "p_values": result.pvalues.tolist(),
                "log_likelihood": float(result.llf),
                "aic": float(result.aic),
                "bic": float(result.bic_llf),
                "deviance": float(result.deviance),
            }
    return found


def dummies(data: pd.DataFrame) -> pd.DataFrame:
    """A column of 0 and 1 for each value but the first of each column."""
    return pd.get_dummies(data, drop_first=True).astype(float)


def main() -> None:
    data = pd.read_csv(EXAMPLES / "penguins.csv").dropna().reset_index(drop=True)
    X = sm.add_constant(data[PENGUINS])
    groups = data.groupby(["island", "species", "year"]).ngroup().to_numpy()
    island = data["island"].astype("category").cat.codes.to_numpy()
    reference = {
        "source": f"statsmodels {statsmodels.__version__}",
        "ols": ordinary(),
        "logit": discrete(sm.Logit((data["sex"] == "male").astype(float), X), groups),
        "mnlogit": discrete(sm.MNLogit(island, X), groups),
        "poisson": counts(),
    }
    (HERE / "reference.json").write_text(json.dumps(reference, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
