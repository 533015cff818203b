"""Write marginaleffects.json: effects on the penguins of examples/, by the Python package marginaleffects 0.6.

It needs marginaleffects, statsmodels and a polars before 2.0, which the tests do not.
"""

from __future__ import annotations

import json
import warnings
from importlib.metadata import version
from pathlib import Path

import marginaleffects as me
import pandas as pd
import statsmodels.formula.api as smf
from marginaleffects.datagrid import datagrid

ROOT = Path(__file__).resolve().parents[3]
GRID = {"species": ["Adelie", "Gentoo"], "bill_depth_mm": [15, 18]}
KEPT = ("term", "contrast", "species", "island", "bill_depth_mm", "estimate", "std_error", "statistic", "p_value")


def main() -> None:
    warnings.simplefilter("ignore")
    frame = pd.read_csv(ROOT / "examples" / "penguins.csv").dropna()
    # In kilograms its coefficient is of the size that differences need.
    frame["mass_kg"] = frame["body_mass_g"] / 1000.0
    frame = frame[["species", "island", "bill_depth_mm", "mass_kg", "sex"]].reset_index(drop=True)
    frame["male"] = (frame.pop("sex") == "male").astype(int)
    frame["species"] = pd.Categorical(frame["species"], ["Adelie", "Gentoo", "Chinstrap"])
    frame["island"] = pd.Categorical(frame["island"], ["Biscoe", "Dream", "Torgersen"])
    formula = "male ~ species + island + bill_depth_mm + mass_kg"
    fit = smf.logit(formula, frame).fit(disp=0, tol=1e-14, maxiter=100)
    values = datagrid(model=fit, grid_type="counterfactual", **GRID)
    found = {
        "slopes": me.avg_slopes(fit),
        "by island": me.avg_slopes(fit, variables="mass_kg", by="island"),
        "at values": me.avg_slopes(fit, newdata=values, variables="mass_kg", by=list(GRID)),
    }
    for comparison in ("differenceavg", "lnratioavg", "lnoravg"):
        found[comparison] = me.avg_comparisons(fit, variables={"species": "pairwise"}, comparison=comparison)
    made: dict[str, object] = {name: _rows(table) for name, table in found.items()}
    made["versions"] = {package: version(package) for package in ("marginaleffects", "statsmodels", "polars")}
    text = json.dumps(made, indent=1)
    (Path(__file__).parent / "marginaleffects.json").write_text(text + "\n", encoding="utf-8")


def _rows(table: object) -> list[dict[str, object]]:
    rows = table.to_dicts()  # type: ignore[attr-defined]
    return [{name: row[name] for name in KEPT if name in row} for row in rows]


if __name__ == "__main__":
    main()
