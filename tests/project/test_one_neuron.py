"""The example of one neuron: it fits on a screen, and its digits are newtron's."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from newtron import GradientDescent, Newton, PerceptronClassifier
from newtron.engine.solvers import Progress, Solver

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "one_neuron.py"

Shown = dict[str, list[tuple[int, list[str]]]]


@pytest.fixture(scope="module")
def shown() -> Shown:
    """The lines of each method: the number of its steps, and w, b and the loss as they are printed."""
    run = subprocess.run([sys.executable, EXAMPLE], capture_output=True, text=True, check=True)
    found: Shown = {}
    method = ""
    for line in run.stdout.splitlines():
        if title := re.fullmatch(r" *(\w+) steps +w +b +loss", line):
            method = title[1]
        elif numbers := re.fullmatch(r" *([\d,]+) +(\S+) +(\S+) +(\S+)", line):
            found.setdefault(method, []).append((int(numbers[1].replace(",", "")), [*numbers.groups()[1:]]))
    return found


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("method", "solver", "counts"),
    [
        ("gradient_descent", GradientDescent(learning_rate=0.1), [1, 10, 100, 1000, 10_000]),
        ("newton", Newton(), [1, 2, 3, 4, 5, 6, 7, 8]),
    ],
)
def test_each_step_has_the_digits_of_newtron(shown: Shown, method: str, solver: Solver, counts: list[int]) -> None:
    penguins = pd.read_csv(EXAMPLE.with_name("penguins.csv"))
    rows = penguins[(penguins["species"] == "Adelie") & penguins["sex"].notna()][:10]
    x, y = rows[["body_mass_g"]].to_numpy() / 1000, rows["sex"] == "male"
    way: list[list[str]] = []

    def note(progress: Progress) -> None:
        way.append([f"{number:.9f}" for number in (*progress.state.params, progress.state.value)])

    PerceptronClassifier(solver=solver, tol=1e-15, max_iter=counts[-1], callback=note).fit(x, y)
    assert [steps for steps, _ in shown[method]] == counts
    for steps, digits in shown[method]:
        assert digits == way[steps - 1]


def test_it_fits_on_a_screen() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 80
    assert set(re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE)) == {"csv", "numpy", "pathlib"}
