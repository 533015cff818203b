"""The loss that a default fit promises for new rows beside that of thousands of new rows, with few rows to train on.

    python benchmarks/few_rows_promised.py
    python benchmarks/few_rows_promised.py --rows 300 --sets car yeast

Some hundred rows of each development set of classes that has many are trained on, and the others are the new ones, so
that the loss of these is nearly exact. Published test rows are not read: all of them are training rows of the first
split.
"""

from __future__ import annotations

import argparse

import numpy as np
from development import inner_rows
from held_out import classified
from tables import aligned

import newtron

SETS = (
    "abalone", "car", "conn-bench-vowel-deterding", "contrac", "led-display", "letter", "magic",
    "oocytes_merluccius_nucleus_4d", "optical", "page-blocks", "pima", "statlog-german-credit", "statlog-vehicle",
    "steel-plates", "tic-tac-toe", "waveform", "yeast",
)  # fmt: skip
_NEW_ROWS = 4000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=120, help="rows to train on")
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS, metavar="NAME")
    options = parser.parse_args()
    rows, gaps = [], []
    for name in options.sets:
        X, y, X_held, y_held = inner_rows(name, 0)
        order = np.random.default_rng([options.rows, 0]).permutation(len(y))
        fit, new = order[: options.rows], order[options.rows :]
        X_new, y_new = np.concatenate([X[new], X_held])[:_NEW_ROWS], np.concatenate([y[new], y_held])[:_NEW_ROWS]
        known = np.isin(y_new, y[fit])  # a class that training never saw can have no probability
        record = classified(lambda: newtron.NetworkClassifier(n_jobs=1), X[fit], y[fit], X_new[known], y_new[known])
        promised, test = record["promised"], record["log_loss"]
        gaps.append(test - promised)
        rows.append(
            [name, str(known.sum()), *(f"{v:.3f}" for v in (promised, test, test - promised)), f"{record['cpu']:.2g}"]
        )
    print(aligned(["set", "new rows", "promised", "new rows", "gap", "CPU s"], rows, 1))
    error = np.std(gaps, ddof=1) / np.sqrt(len(gaps)) if len(gaps) > 1 else float("nan")
    print(f"\nmean gap {np.mean(gaps):.3f} ± {error:.3f} nat, worst {max(gaps):.3f}, least {min(gaps):.3f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
