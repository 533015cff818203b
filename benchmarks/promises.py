"""The loss that a default fit promises for new rows, from rows that it left out, beside the loss on test rows."""

from __future__ import annotations

import numpy as np
from contenders import CLASSIFIERS, REGRESSORS
from halves import DEVELOPMENT, DEVELOPMENT_REGRESSION, VALIDATION, VALIDATION_REGRESSION
from paired import signed
from results import Results
from tables import aligned


def promises_section(regression: Results, classification: Results) -> str:
    halves = (
        ("development", classification, CLASSIFIERS[-1].name, sorted(DEVELOPMENT), "log_loss", ""),
        ("development", regression, REGRESSORS[-1].name, DEVELOPMENT_REGRESSION, "nll", " (regression)"),
        ("validation", classification, CLASSIFIERS[-1].name, sorted(VALIDATION), "log_loss", ""),
        ("validation", regression, REGRESSORS[-1].name, VALIDATION_REGRESSION, "nll", " (regression)"),
    )
    rows, gaps = [], dict[str, list[tuple[float, str]]]()
    for half, results, who, names, loss, suite in halves:
        for name in names:
            records = [record for record in results.under(f"{name}/{who}") if "promised" in record]
            if records:
                promised, test = (float(np.mean([record[key] for record in records])) for key in ("promised", loss))
                rows.append(
                    [name + suite, half, str(len(records)), *(f"{v:.3f}" for v in (promised, test, test - promised))]
                )
                gaps.setdefault(half, []).append((test - promised, name + suite))
    summaries = [f"{half.capitalize()} half: {_summary(found)}" for half, found in gaps.items()]
    return "\n\n".join(
        [
            "## What a fit promises, and what it keeps",
            "A default network knows a loss of rows that it left out of its training (`model_.left_out_loss`): the "
            "mean negative log probability of a class, or log density of a target, in nats for each row. Beside it the "
            "same loss on the published test rows, mean over the splits. Where the gap is positive, the fit promised "
            "too much (hopeful); where it is negative, the test rows were better than promised (pessimistic). ± is "
            "half of the 95 % interval over sets. The promise of a model that remembers rows seen before (wine) is one "
            "for rows that equal none of training.",
            *(summaries or ["No kept result has such a promise yet."]),
            *([aligned(["set", "half", "splits", "promised", "test rows", "gap"], rows, 2)] if rows else []),
        ]
    )


def _summary(gaps: list[tuple[float, str]]) -> str:
    """The mean gap with its interval, the mean size of the gaps, and the worst of both kinds. gaps: with their sets."""
    values = [gap for gap, _ in gaps]
    words = [f"mean gap {signed(values, 3)} nat, mean size {np.mean(np.abs(values)):.3f}, over {len(gaps)} sets"]
    for (gap, name), kind in ((max(gaps), "hopeful"), (min(gaps), "pessimistic")):
        if (gap > 0.0) == (kind == "hopeful"):
            words.append(f"most {kind} {gap:+.3f} ({name})")
    return "; ".join(words) + "."
