"""What one default network costs, over the sets of both suites."""

from __future__ import annotations

import numpy as np
from library import certified
from results import Results
from tables import aligned
from uci_classification import classification_sets
from uci_regression import REGRESSION

# Rows below which a default fit is to take little.
SMALL = 2000


def cost_section(regression: Results, classification: Results) -> str:
    seconds: dict[str, list[tuple[float, str]]] = {"small": [], "large": []}
    suites = (
        ("regression", regression, "NetworkRegressor", REGRESSION, certified.regression_set),
        ("classification", classification, "NetworkClassifier", classification_sets(), certified.classification_set),
    )
    for suite, results, who, names, load in suites:
        for name in names:
            records = results.under(f"{name}/{who}")
            if records:
                rows = len(load(name)[0])
                words = f"{name}, {suite}, {rows:,} rows"
                median = float(np.median([record["cpu"] for record in records]))
                seconds["small" if rows < SMALL else "large"].append((median, words))
    table = []
    for size, words in (("small", f"fewer than {SMALL:,}"), ("large", f"{SMALL:,} or more")):
        if found := sorted(seconds[size]):
            median = float(np.median([value for value, _ in found]))
            ends = [f"{value:.2g} ({name})" for value, name in (found[0], found[-1])]
            table.append([words, str(len(found)), f"{median:.2g}", *ends])
    return "\n\n".join(
        [
            "## What a default network costs",
            "CPU seconds of `NetworkRegressor().fit` and `NetworkClassifier().fit` on one thread, penalties, intervals "
            "and temperature included: of each set of the two suites above the median over its splits, and of these "
            "the median, the least and the most. They were measured on a machine with other work, which makes CPU "
            "seconds longer rather than shorter.",
            aligned(["rows", "sets", "median CPU s", "least", "most"], table),
        ]
    )
